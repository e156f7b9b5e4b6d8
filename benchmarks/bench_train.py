"""A training step and inference of CRNN-CTC, beside the same network in PyTorch's fastest mode.

``python benchmarks/bench_train.py [--preset small paper] [--batch 1 8 32] [--rounds 7] [--json FILE]``

A step is forward, CTC, backward and Adam on clips of 240 frames x 64 bands. Both sides start from the same
weights and the same clips. PyTorch runs channels-last, with its fused Adam. The sides take turns, and the
best round counts: other work on the machine only adds. With ``--clock cpu`` and ``--threads 1`` processor
time is counted, which a busy machine disturbs less. Peak memory is that of a process of its own, over what it
held before the first step. PyTorch is optional: without it our columns stand alone.

Before anything is timed, in float64 the gradients of a step must agree to 1e-9 and the losses of ten steps to
1e-9. In float32 a digit decides now and then which of two bands is the larger or whether a sum is positive,
and the gradient of the other choice goes elsewhere; such turned decisions are counted, and on clips without
one the gradients must agree with float64 to 1e-4. All differences are relative: the norm of the difference
over the norm of the gradient, of the weight where that is worst.

What several threads gain stands beside what the machine itself gives: how much more so many one-thread
processes do at once than one of them alone.

``--sweep`` times a step against batch, frames and channels, and ``--picture FILE`` draws that.
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


def clips(batch, seed=1, frames=FRAMES):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, frames, BANDS)).astype(np.float32)
    return x, [rng.permutation(CLASSES)[: 1 + n % 4].tolist() for n in range(batch)]


def ours(preset, batch, dropout=True, dtype=np.float32, data=None):
    """Return the model, and functions that make a step and infer."""
    model = ctctag.models.build(
        "crnn-ctc", n_classes=CLASSES, preset=preset, n_mels=BANDS, seed=0, dtype=dtype
    )
    if not dropout:
        model.layers.layers["dropout"].p = 0.0
    optimiser = ctctag.optim.Adam(model.params, lr=1e-3)
    x, targets = data or clips(batch)

    def step():
        loss, grads = model.loss_and_grads(x, targets)
        optimiser.step(grads)
        return loss, grads

    return model, step, lambda: model.forward(x)[0]


def theirs(model, batch, threads, dropout=True, data=None):
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
    x, targets = data or clips(batch)
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
    """Raise unless gradients and ten losses agree; return the worst relative differences."""
    found = {}
    for data, name in ((clips(batch), f"{batch} clips"), (steady_clip(preset), "1 clip, none turned")):
        size = len(data[0])
        exact, exact_step, _ = ours(preset, size, False, np.float64, data)
        model, step, _ = ours(preset, size, False, np.float32, data)
        for key, array in exact.params.items():
            array[...] = model.params[key]
        rival = theirs(exact, size, threads, False, data)[0]
        single_rival = theirs(model, size, threads, False, data)[0]
        found[f"turned, {name}"] = turned_decisions(exact, model, data[0])
        (loss, grads), (single_loss, single) = exact_step(), step()
        (rival_loss, rival_grads), (single_rival_loss, single_grads) = rival(), single_rival()
        truth = {key: as_theirs(key, grad) for key, grad in grads.items()}
        mine = {key: as_theirs(key, grad) for key, grad in single.items()}
        found[f"float64, {name}"] = distance(truth, by_our_name(model, rival_grads))
        found[f"float32, {name}"] = distance(truth, mine)
        found[f"float32, {name}, PyTorch's"] = distance(truth, by_our_name(model, single_grads))
        losses = [(loss, rival_loss), *((exact_step()[0], rival()[0]) for _ in range(9))]
        single_losses = [
            (single_loss, single_rival_loss),
            *((step()[0], single_rival()[0]) for _ in range(9)),
        ]
        found[f"ten losses, float64, {name}"] = max(abs(a / b - 1) for a, b in losses)
        found[f"ten losses, float32, {name}"] = max(abs(a / b - 1) for a, b in single_losses)
    exact_ones = [value for key, value in found.items() if "float64" in key]
    if max(exact_ones) > 1e-9 or found["float32, 1 clip, none turned"] > 1e-4:
        raise SystemExit(f"the two sides differ: {found}")
    return found


def steady_clip(preset):
    """Return the first clip of which float32 turns no decision."""
    for seed in range(100):
        data = clips(1, seed)
        exact, single = ours(preset, 1, False, np.float64, data)[0], ours(preset, 1, False, data=data)[0]
        for key, array in exact.params.items():
            array[...] = single.params[key]
        if not turned_decisions(exact, single, data[0]):
            return data
    raise SystemExit("no clip without a turned decision")


def turned_decisions(exact, single, x):
    """Return how many maxima and signs of the blocks differ between float64 and float32, forward."""
    maps = [x[..., np.newaxis].astype(np.float64), x[..., np.newaxis]]
    count = 0
    for blocks in zip(exact.layers.layers.values(), single.layers.layers.values(), strict=True):
        if not isinstance(blocks[0], ConvBlock):
            return count
        chosen = []
        for side, block in enumerate(blocks):
            maps[side], (_, _, y, _, _, _, scale, shift) = block.forward(maps[side], training=True)
            normal = (np.float64(scale) * y + shift).astype(y.dtype)  # rounded once, as in the kernel
            first, second = normal[:, :, :-1:2], normal[:, :, 1::2]
            chosen.append(np.stack([first < second, np.maximum(first, second) > 0]))
        alive = chosen[0][1] | chosen[1][1]  # which was the larger does not matter where neither is positive
        count += int(((chosen[0] != chosen[1]) & alive).sum())
    return count


def distance(truth, grads):
    """Return the largest relative difference of a weight's gradient."""
    return max(float(np.linalg.norm(grads[key] - g) / np.linalg.norm(g)) for key, g in truth.items())


def by_our_name(model, their_grads):
    names = zip(to_torch_names(model), model.params, strict=True)
    return {ours: their_grads[there] for there, ours in names}


def to_torch_names(model):
    return [name for name in to_torch_state(model.layers) if "running_" not in name]


def as_theirs(key, grad):
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


def best_in_a_row(function, number, rounds, clock):
    """Return the best time in ms with so many threads, one step after the other, as training goes.

    In turns with another side, processors wake up from idling, and caches hold what the other side left.
    """
    ctctag.set_num_threads(number)
    return min(best([function], rounds, clock) for _ in range(2))[0]


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


def sweep(threads, rounds, clock):
    """Return ms of a step with ``threads`` threads and with one, by what is varied and its values."""
    found = {}
    for what, values in (
        ("batch", (4, 8, 16, 32, 64)),
        ("frames", (60, 120, 240, 480, 960)),
        ("channels", (16, 32, 48, 64, 96)),
    ):
        for value in values:
            batch, frames = (value if what == "batch" else 16), (value if what == "frames" else FRAMES)
            _, step, _ = ours("small", batch, data=clips(batch, frames=frames))
            if what == "channels":
                step = block_step(value, batch)
            (many,) = best([step], rounds, clock)
            ctctag.set_num_threads(1)
            (one,) = best([step], rounds, clock)
            ctctag.set_num_threads(threads)
            found.setdefault(what, []).append((value, many, one))
            print(f"{what} {value}: {many:.1f} ms, one thread {one:.1f} ms")
    return found


def block_step(channels, batch):
    """Return a function that runs one block of so many channels, at 32 bands, forward and backward."""
    block = ConvBlock(channels, channels)
    x = np.random.default_rng(0).standard_normal((batch, FRAMES, 32, channels)).astype(np.float32)

    def step():
        z, cache = block.forward(x, training=True)
        block.backward(z, cache)

    return step


def draw(sweeps, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = {
        "batch": "step of `small`, 240 frames",
        "frames": "step of `small`, 16 clips",
        "channels": "one block C to C, 16 clips, 32 bands",
    }
    figure, axes = pyplot.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    for axis, (what, rows) in zip(axes, sweeps.items(), strict=True):
        values, many, one = zip(*rows, strict=True)
        axis.plot(values, one, "o-", color="#999999", label="one thread")
        axis.plot(values, many, "o-", color="#0072b2", label="two threads")
        axis.set(xlabel=what, title=titles[what], ylim=(0, None), xlim=(0, None))
        axis.title.set_fontsize(9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("ms")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def peak(side, preset, batch, threads):
    """Return the MB that three steps of one side add to a fresh process."""
    command = [sys.executable, __file__, "--measure", side, "--preset", preset, "--batch", str(batch)]
    command += ["--threads", str(threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def gain(preset, batch, options):
    """Return the milliseconds of a step with all threads and with one, in a process of its own.

    Beside the other side its threads, its memory and its cache would be measured, too.
    """
    command = [sys.executable, __file__, "--measure", "gain", "--preset", preset, "--batch", str(batch)]
    command += ["--threads", str(options.threads), "--rounds", str(options.rounds), "--clock", options.clock]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def machines_own(preset, batch, threads, rounds):
    """Return how much more several one-thread processes do at once than one alone: what threads can gain.

    Virtual processors may share a core, a cache or a memory channel, and then two do less than twice.
    """
    command = [sys.executable, __file__, "--measure", "steps", "--preset", preset, "--batch", str(batch)]
    command += ["--threads", "1", "--rounds", str(rounds)]
    best_of = {1: float("inf"), threads: float("inf")}
    for number in (1, threads) * 2:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(command, **pipes) for _ in range(number)]
        for process in processes:
            process.stdout.readline()  # it is warm
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        seconds = [float(process.stdout.readline()) for process in processes]
        for process in processes:
            process.communicate()
        best_of[number] = min(best_of[number], sum(seconds) / number)
    return threads * best_of[1] / best_of[threads]


def measure(side, preset, batch, threads, rounds, clock):
    model, step, _ = ours(preset, batch)
    if side == "gain":
        print(json.dumps([best_in_a_row(step, number, rounds, clock) for number in (threads, 1)]))
        return
    if side == "steps":
        step()
        print("ready", flush=True)
        sys.stdin.readline()
        start = time.perf_counter()
        for _ in range(rounds):
            step()
        print(time.perf_counter() - start)
        return
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
    parser.add_argument("--sweep", action="store_true", help="a step against batch, frames and channels")
    parser.add_argument("--picture", type=Path, help="of the sweep")
    parser.add_argument("--measure", choices=["gain", "ours", "theirs", "steps"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    ctctag.set_num_threads(options.threads)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    if options.measure:
        preset, batch = options.preset[0], options.batch[0]
        measure(options.measure, preset, batch, options.threads, options.rounds, clock)
        return
    try:
        import torch

        rival = f"PyTorch {torch.__version__}"
    except ImportError:
        rival = None
    head = f"{platform.machine()}, {options.threads} threads, numpy {np.__version__}, beside {rival}"
    print(head)
    rows = []
    if options.sweep:
        sweeps = sweep(options.threads, options.rounds, clock)
        if options.picture:
            draw(sweeps, options.picture)
        rows.append({"sweep": sweeps})
        options.preset = []
    for preset in options.preset:
        if rival:
            print(f"{preset} agrees:")
            rows.append({"preset": preset, "agreement": verify(preset, options.threads)})
            for key, value in rows[-1]["agreement"].items():
                print(f"    {key:<44}{value:.1e}" if isinstance(value, float) else f"    {key:<44}{value}")
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
            if options.threads > 1:
                row["step_alone"], row["step_1_thread"] = gain(preset, batch, options)
                row["machine_scaling"] = machines_own(preset, batch, options.threads, options.rounds)
            row["floor"], row["gflops"] = floor(model, batch, options.threads)
            row["memory"] = peak("ours", preset, batch, options.threads)
            if rival:
                row["memory_torch"] = peak("theirs", preset, batch, options.threads)
            rows.append(row)
            print("  ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
            if rival:
                print(
                    f"    step {row['step_torch'] / row['step']:.2f} x, inference "
                    f"{row['inference_torch'] / row['inference']:.2f} x"
                )
            if "machine_scaling" in row:
                print(
                    f"    1 -> {options.threads} threads {row['step_1_thread'] / row['step_alone']:.2f} x of "
                    f"{row['machine_scaling']:.2f} x"
                )
    if options.json:
        options.json.write_text(json.dumps({"machine": head, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
