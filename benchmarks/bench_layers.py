"""Each layer of CRNN-CTC alone, forward and backward, beside PyTorch's.

``python benchmarks/bench_layers.py [--preset small] [--batch 32] [--rounds 5] [--json FILE]``

Weights and inputs are equal and outputs must agree before anything is timed; the sides take turns and the
best round counts. A block is also shown in its two parts, the convolution and the fused pass of batch norm,
ReLU and pooling. The floor is the arithmetic alone, with Winograd's quarter, at the rate of one large product
of matrices on the same threads; where there is next to no arithmetic, it is the bytes that must move, at the
rate of a copy. PyTorch is optional.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

import ctctag
from ctctag._threads import run_tasks
from ctctag.layers import BiGRU, Conv2d, ConvBlock, Dense, to_torch_state
from ctctag.layers import block as block_module
from ctctag.layers._blocks import frame_blocks
from ctctag.layers.norm import input_coefficients


class Pooling:
    """A block without its convolution: batch norm, ReLU and pooling, forward and backward in fused passes."""

    def __init__(self, channels):
        self.channels = channels

    def forward(self, y, training):
        frames = np.full(len(y), y.shape[1])
        moments = block_module.BlockMoments(y.shape[:3], self.channels, frames)
        run_tasks(lambda task: moments.add(*task, y[task[0]]), frame_blocks(*y.shape[:2]))
        mean, variance, count = moments.result()
        inverse = 1 / np.sqrt(variance + 1e-5)
        scale, shift = inverse.astype(y.dtype), (-mean * inverse).astype(y.dtype)
        z = block_module.normalise(y, frames, scale, shift)
        return z, (y, frames, scale, shift, mean, inverse, count)

    def backward(self, dz, cache):
        y, frames, scale, shift, mean, inverse, count = cache
        dbias, dweight = block_module.gradient_sums(y, frames, scale, shift, mean, dz)
        dweight *= inverse
        terms = input_coefficients(np.ones(self.channels), mean, inverse, dbias, dweight, count)
        lend = block_module.gradient_before_norm(
            y, frames, scale, shift, [t.astype(y.dtype) for t in terms], dz
        )
        dy = np.empty_like(y)

        def keep(task):
            with lend(*task) as block:
                dy[task.clip, task.start : task.stop] = block[task.start : task.stop]

        run_tasks(keep, frame_blocks(*y.shape[:2]))
        return dy, {}


class Loss:
    """CTC from logits, as a layer whose output is its gradient."""

    def __init__(self, classes, batch):
        rng = np.random.default_rng(1)
        self.targets = [rng.permutation(classes - 1)[: 1 + n % 4] + 1 for n in range(batch)]

    def forward(self, x, training):
        return ctctag.ctc.ctc_loss_and_grad(x, self.targets)[1], None

    def backward(self, dy, cache):
        """Nothing is left to do."""


def cases(preset, batch):
    """Return (name, layer, input, operations and bytes of forward and backward) of each layer."""
    rng = np.random.default_rng(0)
    channels = {"small": (16, 32, 64, 64), "paper": (64,) * 4}[preset]
    rows, inputs, bands, frames = [], 1, 64, 240

    def sample(*shape):
        return rng.standard_normal((batch, frames, *shape)).astype(np.float32)

    for outputs in channels:
        once = 2 * 9 * batch * frames * bands * inputs * outputs
        layer = ConvBlock(inputs, outputs, needs_input_grad=inputs > 1)
        work = once / 4 * 3 if inputs > 1 else once * 2
        x = sample(bands, inputs)
        rows.append((f"block {inputs} -> {outputs}, {bands} bands", layer, x, work, 0))
        conv = Conv2d(inputs, outputs, bias=False, needs_input_grad=inputs > 1)
        rows.append(("  its convolution", conv, x, work, 0))
        # Read forward twice, backward twice, and written twice, once of it at half the size.
        moved = 4 * batch * frames * bands * outputs * (4 + 1 + 0.5 + 2 * 0.5)
        rows.append(("  its norm, ReLU and pool", Pooling(outputs), sample(bands, outputs), 0, moved))
        inputs, bands = outputs, bands // 2
    features = inputs * bands
    work = 2 * 2 * 3 * 3 * batch * frames * 64 * (features + 64)
    rows.append((f"BiGRU {features} -> 2 x 64", BiGRU(features, 64), sample(features), work, 0))
    rows.append(("dense 128 -> 17", Dense(128, 17), sample(128), 3 * 2 * batch * frames * 128 * 17, 0))
    # Scores are read once and gradients written once.
    rows.append(("CTC, 17 classes", Loss(17, batch), sample(17), 0, 2 * 4 * batch * frames * 17))
    return rows


def rival(layer, x):
    """Return a function that runs PyTorch's layer forward and backward and hands out its output."""
    import torch

    functional = torch.nn.functional
    if isinstance(layer, Loss):
        return rival_loss(layer, x)
    named = {} if isinstance(layer, Pooling) else to_torch_state(layer)
    state = {name: torch.from_numpy(array) for name, array in named.items()}
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
    elif isinstance(layer, Conv2d | Pooling):
        weight = (
            state["weight"].contiguous(memory_format=torch.channels_last).requires_grad_() if state else None
        )
        gamma, beta = (torch.ones(x.shape[3]).requires_grad_(), torch.zeros(x.shape[3]).requires_grad_())
        needs_input_grad = weight is None or layer.needs_input_grad
        x, last = torch.from_numpy(x).permute(0, 3, 1, 2), (0, 2, 3, 1)

        def forward(x):
            if weight is not None:
                return functional.conv2d(x, weight, padding=1)
            y = functional.batch_norm(x, None, None, gamma, beta, training=True)
            return functional.max_pool2d(functional.relu(y), (1, 2))

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


def rival_loss(layer, x):
    """Return a function that hands out the gradient of PyTorch's CTC by the logits."""
    import torch

    logits = torch.from_numpy(x).requires_grad_()
    labels = torch.tensor(np.concatenate(layer.targets))
    lengths = torch.tensor([len(target) for target in layer.targets])
    frames = torch.full((len(x),), x.shape[1])

    def step():
        logits.grad = None
        log_probs = logits.log_softmax(-1).transpose(0, 1)
        torch.nn.functional.ctc_loss(log_probs, labels, frames, lengths).backward()
        return logits.grad.numpy()

    return step


def best(functions, rounds, clock=time.perf_counter):
    """Return each function's best time in ms; they take turns."""
    times = [[] for _ in functions]
    for number in range(rounds + 1):  # the first warms up
        for function, mine in zip(functions, times, strict=True):
            start = clock()
            function()
            if number:
                mine.append(clock() - start)
    return [1000 * min(mine) for mine in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="small", choices=["small", "paper"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
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
    source = np.zeros(1 << 25, np.float32)
    target = np.ones_like(source)
    (copy,) = best([lambda: np.copyto(target, source)], 5)
    stream = 2 * source.nbytes / copy / 1e6
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    print(
        f"{options.preset}, batch {options.batch}, {options.threads} threads, {version}, {rate:.0f} GFLOP/s, "
        f"copy {stream:.0f} GB/s"
    )
    table = []
    for name, layer, x, work, moved in cases(options.preset, options.batch):

        def step(layer=layer, x=x):
            y, cache = layer.forward(x, training=True)
            layer.backward(np.ones_like(y), cache)
            return y

        row = {"layer": name, "floor": work / rate / 1e6 + moved / stream / 1e6}
        if version:
            other = rival(layer, x)
            np.testing.assert_allclose(step(), other(), rtol=1e-3, atol=1e-3)
            row["ms"], row["torch"] = best([step, other], options.rounds, clock)
            row["ratio"] = row["torch"] / row["ms"]
        else:
            (row["ms"],) = best([step], options.rounds, clock)
        row["floors"] = row["ms"] / row["floor"]
        table.append(row)
        print("  ".join(f"{key} {v:.2f}" if isinstance(v, float) else f"{v:<28}" for key, v in row.items()))
    if options.json:
        options.json.write_text(json.dumps({"versions": version, "rows": table}, indent=1))


if __name__ == "__main__":
    main()
