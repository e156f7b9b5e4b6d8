"""CTC loss and gradient: the ladder, PyTorch, five regimes, and sweeps that show linear cost.

Run as ``python benchmarks/bench_ctc.py [--json FILE] [--picture FILE] [--quick]``. Everything is checked
before it is timed; the two sides take turns, warm, with the same number of threads; medians in milliseconds.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import ctctag
from ctctag.ctc import align, best_path, ctc_loss, ctc_loss_and_grad, tag_probs
from ctctag.experiment.machine import processor
from ctctag.numerics import log_softmax, softmax
from ctctag.reference import ctc_by_enumeration, ctc_loss_and_grad_numpy, ctc_loss_and_grad_plain

try:
    import torch
except ImportError:
    torch = None

REGIMES = {  # N, T, C, L
    "R1 tagging": (64, 240, 17, 3),
    "R2 characters": (32, 1000, 32, 120),
    "R3 word pieces": (16, 400, 5000, 50),
    "R4 long": (4, 8000, 64, 1500),
    "R5 one small clip": (1, 50, 17, 3),
}


def make(N, T, C, L, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, T, C)).astype(dtype), rng.integers(1, C, (N, L))


clock = time.perf_counter  # --clock cpu: time.process_time, for a machine that is busy with other work


def median_ms(*functions, seconds=4.0, most=60):
    """Time the functions in turn; return the median of each in milliseconds."""
    times = [[] for _ in functions]
    for function in functions:
        function()  # warm
    start = time.perf_counter()
    while len(times[0]) < 3 or (time.perf_counter() - start < seconds and len(times[0]) < most):
        for function, taken in zip(functions, times, strict=True):
            before = clock()
            function()
            taken.append(clock() - before)
    return [1e3 * float(np.median(taken)) for taken in times]


def torch_loss_and_grad(x, targets, kind):
    N, T, _ = x.shape
    leaf = torch.tensor(x, requires_grad=True)
    log_probs = leaf.log_softmax(-1) if kind == "logits" else leaf
    lengths = torch.full((N,), T), torch.full((N,), targets.shape[1])
    loss = torch.nn.functional.ctc_loss(
        log_probs.transpose(0, 1), torch.from_numpy(targets), *lengths, reduction="sum"
    )
    loss.backward()
    return float(loss.detach()), leaf.grad.numpy()


def regimes(names, seconds):
    rows = []
    for name in names:
        N, T, C, L = REGIMES[name]
        x, targets = make(N, T, C, L)
        exact_loss, exact = ctc_loss_and_grad(x.astype(np.float64), targets, reduction="sum")
        loss, grad = ctc_loss_and_grad(x, targets, reduction="sum")
        error, loss_error = float(np.abs(grad - exact).max()), abs(float(loss) - exact_loss) / exact_loss
        assert error < 1e-3, "the result is wrong: not timed"
        assert loss_error < 1e-6, "the result is wrong: not timed"
        row = {
            "regime": name,
            "N": N,
            "T": T,
            "C": C,
            "L": L,
            "gradient error": error,
            "loss error": loss_error,
        }
        if torch is not None:
            row["gradient error, torch"] = float(
                np.abs(torch_loss_and_grad(x, targets, "logits")[1] - exact).max()
            )
        floor = median_ms(lambda x=x: softmax(x), seconds=seconds / 4)[0]
        row["NumPy softmax ms"] = floor
        for threads in (1,) if clock is time.process_time else (1, 2):
            ctctag.set_num_threads(threads)
            if torch is not None:
                torch.set_num_threads(threads)
            for kind, inputs in (("logits", x), ("log_probs", log_softmax(x))):
                functions = [
                    lambda inputs=inputs, kind=kind, targets=targets: ctc_loss_and_grad(
                        inputs, targets, inputs_are=kind, reduction="sum"
                    )
                ]
                if torch is not None:
                    functions.append(
                        lambda inputs=inputs, kind=kind, targets=targets: torch_loss_and_grad(
                            inputs, targets, kind
                        )
                    )
                times = median_ms(*functions, seconds=seconds)
                row[f"{kind}, {threads} threads"] = times
                said = f"{name:18s} {threads} threads {kind:9s} {times[0]:9.3f} ms"
                if torch is not None:
                    said += f"   PyTorch {times[1]:9.3f} ms   x {times[1] / times[0]:5.1f}"
                print(said, flush=True)
        ctctag.set_num_threads(1)
        forward, aligned = median_ms(
            lambda x=x, y=targets: ctc_loss(x, y), lambda x=x, y=targets: align(x, y), seconds=seconds / 4
        )
        path, argmax = median_ms(
            lambda x=x: best_path(x, with_scores=False), lambda x=x: numpy_best_path(x), seconds=seconds / 4
        )
        tags, numpy_tags = median_ms(
            lambda x=x: tag_probs(x),
            lambda x=x: 1 - np.prod(1 - softmax(x).astype(np.float64), axis=1),
            seconds=seconds / 4,
        )
        np.testing.assert_allclose(tag_probs(x), 1 - np.prod(1 - softmax(x), axis=1), atol=1e-4)
        row |= {
            "tag_probs ms": tags,
            "tag_probs, NumPy ms": numpy_tags,
            "forward ms": forward,
            "align ms": aligned,
            "best_path ms": path,
            "argmax + collapse ms": argmax,
        }
        print(
            f"{name:18s} forward {forward:.3f}  align {aligned:.3f}  best_path {path:.3f}  "
            f"NumPy argmax and collapse {argmax:.3f} ms  tag_probs {tags:.3f}  NumPy {numpy_tags:.3f}; "
            f"gradient error {error:.1e}, "
            f"PyTorch's {row.get('gradient error, torch', float('nan')):.1e}; loss error {loss_error:.1e}",
            flush=True,
        )
        rows.append(row)
    return rows


def numpy_best_path(x):
    found = []
    for path in x.argmax(axis=2):
        changed = np.concatenate([[True], path[1:] != path[:-1]])
        found.append(path[changed & (path != 0)])
    return found


def ladder():
    """One clip small enough for the enumeration, then one for the others."""
    rows = {}
    for T, C, target, with_paths in ((6, 3, [1, 2], True), (240, 17, [3, 1, 7], False)):
        logits = np.random.default_rng(0).standard_normal((T, C))
        log_y, probs = log_softmax(logits), softmax(logits).tolist()
        listed = log_y.tolist()
        rungs = {
            "plain Python": lambda y=listed, z=target: ctc_loss_and_grad_plain(y, z)[0],
            "NumPy": lambda y=log_y, z=target: ctc_loss_and_grad_numpy(y, z)[0],
            "Numba": lambda x=logits, z=target: ctc_loss_and_grad(x, z, reduction="sum")[0],
        }
        if with_paths:
            rungs = {"enumeration": lambda p=probs, z=target: ctc_by_enumeration(p, z).loss, **rungs}
        losses = [float(rung()) for rung in rungs.values()]
        np.testing.assert_allclose(losses, losses[0], rtol=1e-10)
        times = median_ms(*rungs.values(), seconds=2.0)
        rows[f"T={T} C={C} L={len(target)}"] = dict(zip(rungs, times, strict=True))
        print(
            f"T={T}, C={C}:",
            "  ".join(f"{k} {t:.3f} ms" for k, t in zip(rungs, times, strict=True)),
            flush=True,
        )
    return rows


def sweeps():
    """Vary one size at a time, from a middling problem."""
    base = {"N": 8, "T": 500, "C": 40, "L": 100}
    points = {
        "N": (2, 4, 8, 16, 32),
        "T": (250, 500, 1000, 2000, 4000),
        "C": (40, 500, 1000, 2000, 4000),
        "L": (25, 50, 100, 150, 200),
    }
    result = {}
    for name, values in points.items():
        result[name] = []
        for value in values:
            sizes = {**base, name: value}
            if name == "L":
                sizes["T"] = 2000  # long enough that the reachable band is nearly the whole trellis
            x, targets = make(*(sizes[k] for k in "NTCL"))
            taken = median_ms(lambda x=x, y=targets: ctc_loss_and_grad(x, y), seconds=1.0, most=30)[0]
            result[name].append((value, taken))
        print(name, "  ".join(f"{v}: {t:.2f} ms" for v, t in result[name]), flush=True)
    return result


def first_call():
    """Seconds for import and first loss in a fresh process: with an empty cache, then with a full one."""
    code = "import numpy as np; from ctctag.ctc import ctc_loss; ctc_loss(np.zeros((1, 9, 3), 'f4'), [[1]])"
    with tempfile.TemporaryDirectory() as folder:
        taken = []
        for _ in range(2):
            before = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", code], check=True, env={**os.environ, "NUMBA_CACHE_DIR": folder}
            )
            taken.append(time.perf_counter() - before)
    print(f"import and first loss: {taken[0]:.2f} s compiling, {taken[1]:.2f} s from the cache", flush=True)
    return taken


def draw(result, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(11, 2.7), layout="constrained")
    for axis, (name, points) in zip(axes, result.items(), strict=True):
        sizes, times = zip(*points, strict=True)
        axis.plot(sizes, times, "o-")
        axis.set(xlabel=name, xlim=(0, None), ylim=(0, None))
    axes[0].set_ylabel("loss + gradient, ms")
    figure.savefig(path, dpi=90)


def machine():
    """Return what the figures depend on."""
    import numba

    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "ctctag": ctctag.__version__,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--regimes", nargs="*", default=list(REGIMES), help="beginnings of names, e.g. R1 R2")
    parser.add_argument("--quick", action="store_true", help="about a tenth of the repeats")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: one thread only")
    arguments = parser.parse_args()
    if arguments.clock == "cpu":
        global clock
        clock = time.process_time
        if torch is not None:
            torch.set_num_threads(1)
    names = [name for name in REGIMES if any(name.startswith(start) for start in arguments.regimes)]
    about = machine() | {"clock": arguments.clock, "torch": torch and torch.__version__}
    print(about, flush=True)
    result = {
        "about": about,
        "first call s": first_call(),
        "ladder ms": ladder(),
        "regimes": regimes(names, 0.4 if arguments.quick else 4.0),
        "sweeps": sweeps(),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    if arguments.picture:
        draw(result["sweeps"], arguments.picture)


if __name__ == "__main__":
    main()
