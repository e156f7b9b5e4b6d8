"""Each layer of CRNN-CTC alone, forward and backward, beside PyTorch's.

``python benchmarks/bench_layers.py [--preset small] [--batch 32] [--rounds 5] [--json FILE]``

Weights and inputs are equal and outputs must agree before anything is timed; the sides take turns and the
best round counts. The floor is the arithmetic alone, with Winograd's quarter, at the rate of one large
product of matrices on the same threads. PyTorch is optional.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

import ctctag
from ctctag.layers import BiGRU, ConvBlock, Dense, to_torch_state


def cases(preset, batch):
    """Return (name, layer, input, floating-point operations of forward and backward) of each layer."""
    rng = np.random.default_rng(0)
    channels = {"small": (16, 32, 64, 64), "paper": (64,) * 4}[preset]
    rows, inputs, bands, frames = [], 1, 64, 240

    def sample(*shape):
        return rng.standard_normal((batch, frames, *shape)).astype(np.float32)

    for outputs in channels:
        once = 2 * 9 * batch * frames * bands * inputs * outputs
        layer = ConvBlock(inputs, outputs, needs_input_grad=inputs > 1)
        work = once / 4 * 3 if inputs > 1 else once * 2
        rows.append((f"block {inputs} -> {outputs}, {bands} bands", layer, sample(bands, inputs), work))
        inputs, bands = outputs, bands // 2
    features = inputs * bands
    work = 2 * 2 * 3 * 3 * batch * frames * 64 * (features + 64)
    rows.append((f"BiGRU {features} -> 2 x 64", BiGRU(features, 64), sample(features), work))
    rows.append(("dense 128 -> 17", Dense(128, 17), sample(128), 3 * 2 * batch * frames * 128 * 17))
    return rows


def rival(layer, x):
    """Return a function that runs PyTorch's layer forward and backward and hands out its output."""
    import torch

    functional = torch.nn.functional
    state = {name: torch.from_numpy(array) for name, array in to_torch_state(layer).items()}
    if isinstance(layer, ConvBlock):
        weight = state["conv.weight"].contiguous(memory_format=torch.channels_last).requires_grad_()
        gamma, beta = state["norm.weight"].requires_grad_(), state["norm.bias"].requires_grad_()
        mean, variance = state["norm.running_mean"], state["norm.running_var"]
        x = torch.from_numpy(x).permute(0, 3, 1, 2)  # channels-last memory, PyTorch's order of axes

        def forward(x):
            y = functional.conv2d(x, weight, padding=1)
            y = functional.batch_norm(y, mean, variance, gamma, beta, training=True)
            return functional.max_pool2d(functional.relu(y), (1, 2))

        needs_input_grad = layer.conv.needs_input_grad
        last = (0, 2, 3, 1)
    else:
        if isinstance(layer, BiGRU):
            module = torch.nn.GRU(layer.inputs, layer.units, batch_first=True, bidirectional=True)
        else:
            module = torch.nn.Linear(layer.inputs, layer.outputs)
        module.load_state_dict(state)
        x, needs_input_grad, last = torch.from_numpy(x), True, (0, 1, 2)

        def forward(x):
            y = module(x)
            return y[0] if isinstance(y, tuple) else y

    def step():
        leaf = x.detach().requires_grad_(needs_input_grad)
        y = forward(leaf)
        y.backward(torch.ones_like(y))
        return y.detach().permute(last).numpy()

    return step


def best(functions, rounds):
    """Return each function's best time in ms; they take turns."""
    times = [[] for _ in functions]
    for number in range(rounds + 1):  # the first warms up
        for function, mine in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if number:
                mine.append(time.perf_counter() - start)
    return [1000 * min(mine) for mine in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="small", choices=["small", "paper"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ctctag.set_num_threads(options.threads)
    try:
        import torch

        torch.set_num_threads(options.threads)
        version = f"PyTorch {torch.__version__}"
    except ImportError:
        version = None
    square = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
    (product,) = best([lambda: square @ square], 5)
    rate = 2 * 1024**3 / product / 1e6
    print(
        f"{options.preset}, batch {options.batch}, {options.threads} threads, {version}, {rate:.0f} GFLOP/s"
    )
    table = []
    for name, layer, x, work in cases(options.preset, options.batch):

        def step(layer=layer, x=x):
            y, cache = layer.forward(x, training=True)
            layer.backward(np.ones_like(y), cache)
            return y

        row = {"layer": name, "floor": work / rate / 1e6}
        if version:
            other = rival(layer, x)
            np.testing.assert_allclose(step(), other(), rtol=1e-3, atol=1e-3)
            row["ms"], row["torch"] = best([step, other], options.rounds)
            row["ratio"] = row["torch"] / row["ms"]
        else:
            (row["ms"],) = best([step], options.rounds)
        table.append(row)
        print("  ".join(f"{key} {v:.2f}" if isinstance(v, float) else f"{v:<28}" for key, v in row.items()))
    if options.json:
        options.json.write_text(json.dumps({"versions": version, "rows": table}, indent=1))


if __name__ == "__main__":
    main()
