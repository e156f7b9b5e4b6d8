"""A training step and inference of CRNN-CTC, beside the same network in PyTorch's fastest mode.

``python benchmarks/bench_train.py [--preset small paper] [--batch 1 8 32] [--rounds 7] [--json FILE]``

A step is forward, CTC, backward and Adam on clips of 240 frames x 64 bands. Both sides start from the same
weights and the same clips. Before anything is timed, in float64 the gradients of a step must agree to 1e-9,
and in float32 ours must be as near to those as PyTorch's own, or within 1e-4. PyTorch runs channels-last,
with its fused Adam. The sides take turns, and the best round counts: other work on the machine only adds.
With ``--clock cpu`` and ``--threads 1`` processor time is counted, which a busy machine disturbs less. Peak
memory is that of a process of its own, over what it held before the first step.
PyTorch is optional: without it our columns stand alone.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import ctctag
from ctctag.layers import to_torch_state
from ctctag.layers.block import ConvBlock

CLASSES, BANDS, FRAMES = 16, 64, 240


def clips(batch):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((batch, FRAMES, BANDS)).astype(np.float32)
    return x, [rng.permutation(CLASSES)[: 1 + n % 4].tolist() for n in range(batch)]


def ours(preset, batch, dropout=True, dtype=np.float32):
    """Return the model, and functions that make a step and infer."""
    model = ctctag.models.build(
        "crnn-ctc", n_classes=CLASSES, preset=preset, n_mels=BANDS, seed=0, dtype=dtype
    )
    if not dropout:
        model.layers.layers["dropout"].p = 0.0
    optimiser = ctctag.optim.Adam(model.params, lr=1e-3)
    x, targets = clips(batch)

    def step():
        loss, grads = model.loss_and_grads(x, targets)
        optimiser.step(grads)
        return loss, grads

    return model, step, lambda: model.forward(x)[0]


def theirs(model, batch, threads, dropout=True):
    """Return functions that do the same in PyTorch, from the same weights."""
    import torch

    torch.set_num_threads(threads)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, layer in model.layers.layers.items():
                if isinstance(layer, ConvBlock):
                    block = torch.nn.Module()
                    inputs, outputs = layer.conv.in_channels, layer.conv.out_channels
                    block.conv = torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
                    block.norm = torch.nn.BatchNorm2d(outputs)
                    setattr(self, name, block)
            gru, dense = model.layers.layers["gru"], model.layers.layers["dense"]
            self.gru = torch.nn.GRU(gru.inputs, gru.units, batch_first=True, bidirectional=True)
            self.dense = torch.nn.Linear(dense.inputs, dense.outputs)
            self.p = model.layers.layers["dropout"].p if dropout else 0.0

        def forward(self, x):
            functional = torch.nn.functional
            for name, layer in model.layers.layers.items():
                if isinstance(layer, ConvBlock):
                    block = getattr(self, name)
                    x = functional.max_pool2d(functional.relu(block.norm(block.conv(x))), (1, 2))
            x = x.permute(0, 2, 3, 1).flatten(2)
            return self.dense(self.gru(functional.dropout(x, self.p, self.training))[0])

    network = Network()
    state = {name: torch.from_numpy(array) for name, array in to_torch_state(model.layers).items()}
    network.load_state_dict(state, strict=False)
    kind = state["dense.weight"].dtype
    network = network.to(kind).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    x, targets = clips(batch)
    image = torch.from_numpy(x)[:, None].to(kind).contiguous(memory_format=torch.channels_last)
    labels = torch.tensor([label + 1 for target in targets for label in target])
    lengths = torch.tensor([len(target) for target in targets])
    frames = torch.full((batch,), FRAMES)

    def step():
        network.train()
        optimiser.zero_grad()
        log_probs = network(image).log_softmax(-1).transpose(0, 1)
        loss = torch.nn.functional.ctc_loss(log_probs, labels, frames, lengths)
        loss.backward()
        grads = {name: p.grad.numpy().copy() for name, p in network.named_parameters()}
        optimiser.step()
        return float(loss.detach()), grads

    def infer():
        network.eval()
        with torch.inference_mode():
            return network(image).numpy()

    return step, infer


def verify(preset, threads, batch=4):
    """Raise unless the gradients of a step agree; return the worst relative differences."""
    exact, exact_step, _ = ours(preset, batch, dropout=False, dtype=np.float64)
    model, step, _ = ours(preset, batch, dropout=False)
    for key, array in exact.params.items():
        array[...] = model.params[key]
    rival = theirs(exact, batch, threads, dropout=False)[0]()
    single_rival = theirs(model, batch, threads, dropout=False)[0]()
    (loss, grads), (single_loss, single) = exact_step(), step()
    truth = {key: turned(key, grad) for key, grad in grads.items()}
    worst = {
        "float64": distance(truth, by_our_name(model, rival[1])),
        "float32, ours": distance(truth, {key: turned(key, grad) for key, grad in single.items()}),
        "float32, PyTorch's": distance(truth, by_our_name(model, single_rival[1])),
        "loss, float32": max(abs(single_loss - loss), abs(single_loss - single_rival[0])) / loss,
    }
    single_ok = worst["float32, ours"] <= max(1e-4, worst["float32, PyTorch's"])
    if worst["float64"] > 1e-9 or not single_ok or worst["loss, float32"] > 1e-5:
        raise SystemExit(f"the two sides differ: {worst}")
    return worst


def distance(truth, grads):
    """Return the largest relative difference of a weight's gradient."""
    return max(float(np.linalg.norm(grads[key] - g) / np.linalg.norm(g)) for key, g in truth.items())


def by_our_name(model, their_grads):
    names = zip(to_torch_names(model), model.params, strict=True)
    return {ours: their_grads[there] for there, ours in names}


def to_torch_names(model):
    return [name for name in to_torch_state(model.layers) if "running_" not in name]


def turned(key, grad):
    """Return a gradient in PyTorch's shape."""
    if key.endswith("conv.weight"):
        return grad.transpose(3, 2, 0, 1)
    return grad.T if key == "dense.weight" else grad


def best(functions, rounds, clock=time.perf_counter):
    """Return each function's best time in ms; they take turns."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(rounds):
        for function, mine in zip(functions, times, strict=True):
            start = clock()
            function()
            mine.append(clock() - start)
    return [1000 * min(mine) for mine in times]


def floor(model, batch, threads):
    """Return the ms of the arithmetic alone, with Winograd's quarter, and the BLAS's GFLOP/s it assumes."""
    a = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
    out = np.empty_like(a)
    (ms,) = best([lambda: np.matmul(a, a, out=out)], 10)
    rate = 2 * 1024**3 / ms / 1e6  # GFLOP/s of the BLAS on its own threads
    flops, bands = 0.0, BANDS
    for layer in model.layers.layers.values():
        if isinstance(layer, ConvBlock):
            inputs, outputs = layer.conv.in_channels, layer.conv.out_channels
            once = 2 * 9 * batch * FRAMES * bands * inputs * outputs
            flops += once / 4 * 3 if inputs > 1 else once * 2
            bands //= 2
    gru = model.layers.layers["gru"]
    flops += 2 * 2 * 3 * 3 * batch * FRAMES * gru.units * (gru.inputs + gru.units)
    return flops / rate / 1e6, rate


def peak(side, preset, batch, threads):
    """Return the MB that three steps of one side add to a fresh process."""
    command = [sys.executable, __file__, "--measure", side, "--preset", preset, "--batch", str(batch)]
    command += ["--threads", str(threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(side, preset, batch, threads):
    model, step, _ = ours(preset, batch)
    if side == "theirs":
        step, _ = theirs(model, batch, threads)
    else:
        ours(preset, 1)[1]()  # kernels are loaded before the count begins
    before = peak_so_far()
    for _ in range(3):
        step()
    print(peak_so_far() - before)


def peak_so_far():
    """Return this process's peak memory in MB (Linux; its `ru_maxrss` would count the parent's, too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", nargs="+", default=["small", "paper"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    ctctag.set_num_threads(options.threads)
    if options.measure:
        measure(options.measure, options.preset[0], options.batch[0], options.threads)
        return
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    try:
        import torch

        rival = f"PyTorch {torch.__version__}"
    except ImportError:
        rival = None
    head = f"{platform.machine()}, {options.threads} threads, numpy {np.__version__}, beside {rival}"
    print(head)
    rows = []
    for preset in options.preset:
        if rival:
            print(preset, "agrees:", {key: f"{v:.1e}" for key, v in verify(preset, options.threads).items()})
        for batch in options.batch:
            model, step, infer = ours(preset, batch)
            row = {"preset": preset, "batch": batch}
            functions = [step, infer]
            if rival:
                functions += theirs(model, batch, options.threads)
            row.update(
                zip(
                    ("step", "inference", "step_torch", "inference_torch"),
                    best(functions, options.rounds, clock),
                    strict=False,
                )
            )
            ctctag.set_num_threads(1)
            row["step_1_thread"], row["inference_1_thread"] = best(
                [step, infer], max(2, options.rounds // 2), clock
            )
            ctctag.set_num_threads(options.threads)
            row["floor"], row["gflops"] = floor(model, batch, options.threads)
            row["memory"] = peak("ours", preset, batch, options.threads)
            if rival:
                row["memory_torch"] = peak("theirs", preset, batch, options.threads)
            rows.append(row)
            print("  ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
            if rival:
                print(
                    f"    step {row['step_torch'] / row['step']:.2f} x, inference "
                    f"{row['inference_torch'] / row['inference']:.2f} x, 1 -> {options.threads} threads "
                    f"{row['step_1_thread'] / row['step']:.2f} x"
                )
    if options.json:
        options.json.write_text(json.dumps({"machine": head, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
