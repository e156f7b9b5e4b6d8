"""CTC loss and gradient beside every other library that is installed: time, error, memory, hard inputs.

    python benchmarks/bench_ctc_rivals.py [--threads 1 2] [--regimes R1 R2] [--seconds 4] [--json FILE]

PyTorch, optax (under jit) and TensorFlow (the sparse op) are compared where they can be imported, warp-ctc
where the environment variable WARPCTC_LIBRARY names its shared library. Its sources come with the package
torch-baidu-ctc on PyPI; in their folder third-party/warp-ctc this makes the library:

    g++ -O3 -march=native -std=c++11 -fopenmp -shared -fPIC -Iinclude src/ctc_entrypoint.cpp -o libwarpctc.so

Each side lives in a process of its own, so that no thread pool disturbs another, and is bound to as many
processors as it may have threads. Its results are checked against float64 before it is timed; then the sides
take turns, warm, a few calls each. Printed are medians in milliseconds by the clock, the largest error of the
gradient, and for the long regime the peak memory that a first call adds.

The floor is what no implementation of this kind can beat on this machine: the vector operations of the
recursions and the softmax at the measured rate of multiply-adds, or the scores read once and the gradient
written once at the rate of a copy, whichever is longer.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from multiprocessing.connection import Client, Listener
from pathlib import Path

import numpy as np
from bench_ctc import REGIMES, machine, make

SIDES = ("ctctag", "torch", "optax", "tensorflow", "warpctc")


# The sides: each makes a function of no arguments that returns the summed loss and the gradient.


def ctctag_side(x, targets, kind):
    from ctctag.ctc import ctc_loss_and_grad

    return lambda: ctc_loss_and_grad(x, targets, inputs_are=kind, reduction="sum", check_normalised=False)


def torch_side(x, targets, kind):
    import torch

    lengths = torch.full((len(x),), x.shape[1]), torch.tensor([len(target) for target in targets])
    labels = torch.tensor(np.concatenate([*targets, []]).astype(np.int64))
    leaf = torch.tensor(x, requires_grad=True)

    def run():
        leaf.grad = None
        log_probs = leaf.log_softmax(-1) if kind == "logits" else leaf
        arguments = log_probs.transpose(0, 1), labels, *lengths
        loss = torch.nn.functional.ctc_loss(*arguments, reduction="sum")
        loss.backward()
        return float(loss.detach()), leaf.grad.numpy()

    return run


def optax_side(x, targets, kind):
    if kind != "logits":
        return None
    import jax
    import optax

    longest = max(1, *(len(target) for target in targets))
    labels = np.zeros((len(targets), longest), np.int32)
    padding = np.ones(labels.shape, np.float32)
    for n, target in enumerate(targets):
        labels[n, : len(target)], padding[n, : len(target)] = target, 0
    frames = np.zeros(x.shape[:2], np.float32)
    run = jax.jit(jax.value_and_grad(lambda z: optax.ctc_loss(z, frames, labels, padding).sum()))
    z = jax.numpy.asarray(x)

    def call():
        loss, grad = run(z)
        return float(loss), grad.block_until_ready()

    return call


def tensorflow_side(x, targets, kind):
    if kind != "logits":
        return None
    import tensorflow as tf

    places = [(n, i) for n, target in enumerate(targets) for i in range(len(target))]
    labels = tf.SparseTensor(
        np.array(places, np.int64).reshape(-1, 2),
        np.concatenate([*targets, []]).astype(np.int32),
        (len(targets), max(1, *(len(target) for target in targets))),
    )
    frames = tf.fill([len(x)], x.shape[1])
    z = tf.constant(x)

    @tf.function
    def run(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            losses = tf.nn.ctc_loss(labels, z, None, frames, logits_time_major=False, blank_index=0)
            loss = tf.reduce_sum(losses)
        return loss, tape.gradient(loss, z)

    def call():
        loss, grad = run(z)
        return float(loss), grad.numpy()

    return call


def warpctc_side(x, targets, kind):
    if kind != "logits":
        return None
    import ctypes

    class Options(ctypes.Structure):  # where: 0 is the processor
        _fields_ = (("where", ctypes.c_int), ("threads", ctypes.c_uint64), ("blank", ctypes.c_int))

    library = warpctc_library()
    pointers, integer = ctypes.c_void_p, ctypes.c_int
    library.get_workspace_size.argtypes = [pointers, pointers, integer, integer, Options, pointers]
    library.compute_ctc_loss.argtypes = [*[pointers] * 5, integer, integer, pointers, pointers, Options]
    options = Options(0, len(os.sched_getaffinity(0)), 0)
    z = np.ascontiguousarray(np.swapaxes(x, 0, 1), np.float32)  # frames first, as the library has them
    grad, losses = np.empty_like(z), np.empty(len(x), np.float32)
    labels = np.concatenate([*targets, []]).astype(np.int32)
    label_lengths = np.array([len(target) for target in targets], np.int32)
    lengths = np.full(len(x), x.shape[1], np.int32)
    arrays = z, grad, labels, label_lengths, lengths
    inputs = [array.ctypes.data for array in arrays]
    size = ctypes.c_size_t()
    library.get_workspace_size(*inputs[3:], x.shape[2], len(x), options, ctypes.byref(size))
    room = np.empty(size.value, np.uint8)

    def run(kept=arrays):  # whose memory the library reads
        status = library.compute_ctc_loss(
            *inputs, x.shape[2], len(x), losses.ctypes.data, room.ctypes.data, options
        )
        if status:
            raise RuntimeError(status)
        return float(losses.sum(dtype=np.float64)), np.swapaxes(grad, 0, 1)

    return run


def warpctc_library():
    import ctypes

    path = os.environ.get("WARPCTC_LIBRARY")
    if not path:
        raise ImportError("WARPCTC_LIBRARY is not set")
    return ctypes.CDLL(path)


def bind(side, threads):
    """Hold a side to some processors and threads; return its version."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if side == "ctctag":
        import ctctag

        ctctag.set_num_threads(threads)
        return ctctag.__version__
    if side == "torch":
        import torch

        torch.set_num_threads(threads)
        return torch.__version__
    if side == "optax":
        import jax
        import optax

        return f"{optax.__version__}, jax {jax.__version__}"
    if side == "warpctc":
        return f"API {warpctc_library().get_warpctc_version()}"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return tf.__version__


def serve(side, threads, address):
    """Be a side: prepare and run what the parent asks for, until it hangs up."""
    with Client(address) as connection:
        try:
            connection.send(bind(side, threads))
        except ImportError as error:
            connection.send(error)
            return
        run = None
        while (order := connection.recv()) is not None:
            try:
                if order == "go":
                    connection.send(turn(run))
                elif order == "result":
                    loss, grad = run()
                    connection.send((float(loss), np.asarray(grad)))
                elif order == "peak":
                    before = peak_mb()
                    run()
                    connection.send(peak_mb() - before)
                else:
                    run = globals()[f"{side}_side"](*order)
                    connection.send(run is not None)
            except Exception as error:
                connection.send(f"raises {type(error).__name__}")


def turn(run):
    """Return the seconds of one call, or of several short ones.

    Calls of the first 20 ms do not count: caches are cold, and threads of the side before are still awake,
    looking for work.
    """
    taken, start = [], time.perf_counter()
    while time.perf_counter() - start < 0.02:
        run()
    while not taken or (len(taken) < 8 and sum(taken) < 0.05):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return taken


def peak_mb():
    """Return this process's peak memory in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


class Side:
    """A side seen from the parent."""

    def __init__(self, name, threads):
        self.name = name
        listener = Listener()
        command = [sys.executable, __file__, "--serve", name, "--threads", str(threads)]
        command += ["--address", str(listener.address)]
        # BLAS and OpenMP read these once, when they are loaded.
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        self.process = subprocess.Popen(command, env={**os.environ, **limits}, stderr=subprocess.DEVNULL)
        self.connection = listener.accept()
        self.version = self.connection.recv()

    def ask(self, order):
        self.connection.send(order)
        return self.connection.recv()

    def close(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait()


def sides(threads, names=SIDES):
    """Return those sides that can be imported."""
    found = []
    for name in names:
        side = Side(name, threads)
        if isinstance(side.version, ImportError):
            print(f"{name}: not installed", flush=True)
            side.close()
        else:
            found.append(side)
    return found


# What is measured.


def compare(regimes, threads, seconds):
    rows, running = [], sides(threads)
    for name in regimes:
        x, targets = make(*REGIMES[name])
        log_probs = x - np.logaddexp.reduce(x, axis=-1, keepdims=True)
        exact_loss, exact = ctctag_side(x.astype(np.float64), targets, "logits")()
        for kind, inputs in (("logits", x), ("log_probs", log_probs)):
            ready, errors = [], {}
            for side in running:
                if side.ask((inputs, targets, kind)) is not True:
                    continue
                loss, grad = side.ask("result")
                if abs(loss / exact_loss - 1) > 1e-4:
                    raise SystemExit(f"{side.name} gives {loss}, not {exact_loss}: not timed")
                if kind == "logits":
                    errors[side.name] = float(np.abs(grad - exact).max())
                ready.append(side)
            times = {side.name: [] for side in ready}
            start = time.perf_counter()
            while len(times["ctctag"]) < 3 or time.perf_counter() - start < seconds:
                for side in ready:
                    times[side.name] += side.ask("go")
            row = {"regime": name, "threads": threads, "from": kind, "errors": errors}
            row["ms"] = {side: 1e3 * float(np.median(taken)) for side, taken in times.items()}
            rows.append(row)
            print(said(row), flush=True)
    versions = {side.name: side.version for side in running}
    for side in running:
        side.close()
    return rows, versions


def said(row):
    ours = row["ms"]["ctctag"]
    cells = [f"{name} {ms:.3f} ({ms / ours:.1f}x)" for name, ms in row["ms"].items()]
    errors = "  ".join(f"{name} {error:.0e}" for name, error in row["errors"].items())
    text = f"{row['regime']:18s} {row['threads']} threads {row['from']:9s} " + "  ".join(cells)
    return text + (f"   gradient errors: {errors}" if errors else "")


def memory(threads):
    """Return the MB that a first call of the long regime adds, side by side, each in a new process."""
    x, targets = make(*REGIMES["R4 long"])
    found = {}
    for name in SIDES:
        side = Side(name, threads)
        if not isinstance(side.version, ImportError):
            side.ask((x[:1, :50, :5], [[1]], "logits"))
            side.ask("result")  # kernels are loaded before the count begins
            side.ask((x, targets, "logits"))
            found[name] = side.ask("peak")
        side.close()
    found["the gradient itself"] = x.nbytes / 2**20
    print("peak memory of R4, MB:", {key: round(value) for key, value in found.items()}, flush=True)
    return found


HARD = {
    "-inf for a class outside the target": lambda: (_scores([[0, 0, -np.inf]] * 4), [[1]]),
    "-inf for the target's class in one frame": lambda: (
        _scores([[0, 0, 0], [0, -np.inf, 0], [0, 0, 0], [0, 0, 0]]),
        [[1]],
    ),
    "target longer than the clip": lambda: (_scores([[0, 0, 0]] * 2), [[1, 2, 1]]),
    "repeat without room for a blank": lambda: (_scores([[0, 0, 0]] * 2), [[1, 1]]),
    "sure of another path, 1000 nats": lambda: (_scores([[500, 0, 0], [500, 0, 0]]), [[1, 2]]),
    "loss exactly 0": lambda: (_scores([[0, 2e4, 0], [0, 0, 2e4]]), [[1, 2]]),
    "empty target": lambda: (_scores([[0, 0, 0]] * 4), [[]]),
}


def _scores(rows):
    return np.array([rows], np.float32)


def hard(threads):
    """Print what each side makes of inputs that are legal and awkward."""
    running, found = sides(threads), {}
    for name, case in HARD.items():
        x, targets = case()
        found[name] = {}
        for side in running:
            answer = side.ask((x, targets, "logits"))
            if answer is True:
                answer = side.ask("result")
            if not isinstance(answer, str):
                loss, grad = answer
                state = "NaN" if np.isnan(grad).any() else "zero" if not grad.any() else "finite"
                answer = f"{loss:.6g}, gradient {state}"
            found[name][side.name] = answer
        print(f"{name:42s}", *(f"{key}: {value}  " for key, value in found[name].items()), flush=True)
    for side in running:
        side.close()
    return found


def floor(N, T, C, L, threads):
    """Return ms of the arithmetic and of the memory traffic, from logits, in float32."""
    import numba

    from ctctag import _simd as simd

    @numba.njit(nogil=True)
    def multiply_adds(x, rounds):
        at = simd.address(x)
        a, b, c, d = simd.load(at, 0), simd.load(at, 16), simd.load(at, 32), simd.load(at, 48)
        e, f, g, h = a + b, b + c, c + d, d + a
        for _ in range(rounds):
            a, b, c, d = simd.fma(a, a, a), simd.fma(b, b, b), simd.fma(c, c, c), simd.fma(d, d, d)
            e, f, g, h = simd.fma(e, e, e), simd.fma(f, f, f), simd.fma(g, g, g), simd.fma(h, h, h)
        simd.store(at, 0, ((a + b) + (c + d)) + ((e + f) + (g + h)))

    x = np.zeros(64, np.float32)
    multiply_adds(x, 10)
    start = time.perf_counter()
    multiply_adds(x, 2_000_000)
    rate = 8 * 2_000_000 / (time.perf_counter() - start)  # vector operations a second, one thread
    # Operations of one vector of pairs: 43 to advance alpha, 43 for beta, 24 for the shares, 22 an emission.
    # Short targets have a vector of 8 clips; long ones a vector of 16 pairs of one clip.
    vectors = T * (L + 1) * N / 8 if L <= 7 else T * -(-(L + 1) // 16) * N
    softmax = 26 * N * T * -(-C // 16)
    compute = (vectors * (43 + 43 + 24 + 22) + softmax) / rate / threads
    source, target = np.zeros(1 << 25, np.float32), np.ones(1 << 25, np.float32)
    start = time.perf_counter()
    for _ in range(5):
        np.copyto(target, source)
    stream = 10 * source.nbytes / (time.perf_counter() - start)
    return 1e3 * compute, 1e3 * 2 * 4 * N * T * C / stream


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--regimes", nargs="*", default=list(REGIMES), help="beginnings of names, e.g. R1 R2")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each comparison")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.threads[0], arguments.address)
        return
    names = [name for name in REGIMES if any(name.startswith(start) for start in arguments.regimes)]
    about = machine()
    print(about, flush=True)
    result = {"about": about, "rows": [], "floors": {}}
    for threads in arguments.threads:
        rows, result["versions"] = compare(names, threads, arguments.seconds)
        result["rows"] += rows
        for row in rows[::2]:
            bounds = floor(*REGIMES[row["regime"]], threads)
            result["floors"][f"{row['regime']}, {threads} threads"] = bounds
            print(
                f"{row['regime']:18s} {threads} threads floor: arithmetic {bounds[0]:.3f}, memory "
                f"{bounds[1]:.3f} ms; ours {row['ms']['ctctag'] / max(bounds):.1f} times the longer"
            )
    print(result["versions"])
    result["memory"] = memory(max(arguments.threads))
    result["hard"] = hard(1)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
