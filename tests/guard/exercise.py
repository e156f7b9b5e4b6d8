"""Call every kernel under `guard.c`: ``exercise.py ctc|layers end|front CASES [FAULT]``.

Run by `test_guard` with the guard preloaded. Inputs, and working memory that kernels take by address, begin
or end at a forbidden page to the byte; everything else is malloc's, so within 16 bytes. Each case is computed
without the guard first, and must give the same bits under it. ``FAULT`` plants one, which must be found.
"""

import ctypes
import mmap
import sys
import weakref

import numba
import numpy as np

import ctctag
from ctctag import _simd, ctc, layers
from ctctag.ctc import _engine, _rows
from ctctag.exceptions import ParameterError
from ctctag.layers import _buffers
from ctctag.numerics import log_softmax, softmax

LEAST = 100  # bytes of a guarded block: smaller ones are NumPy's own pool
KINDS = ["logits", "log_probs", "probs"]

guard = ctypes.CDLL(None)
guard.guard_made.restype = guard.guard_broken.restype = ctypes.c_long
guard.mmap.restype = ctypes.c_void_p
guard.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
guard.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
guard.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Exact:
    """Arrays that begin or end at a forbidden page to the byte."""

    def __init__(self, front):
        self.front = front

    def aligned(self, size, dtype):
        """Stand in for `_simd.aligned`; every byte is 0xFF, NaN or -1, and shows if it is used unwritten."""
        bytes_wanted = int(size) * np.dtype(dtype).itemsize
        length = max(1, -(-bytes_wanted // mmap.PAGESIZE)) * mmap.PAGESIZE
        pages = guard.mmap(None, length + 2 * mmap.PAGESIZE, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        first = pages + mmap.PAGESIZE
        guard.mprotect(first, length, mmap.PROT_READ | mmap.PROT_WRITE)
        start = first if self.front else first + length - bytes_wanted
        memory = (ctypes.c_char * bytes_wanted).from_address(start)
        weakref.finalize(memory, guard.munmap, pages, length + 2 * mmap.PAGESIZE)
        array = np.frombuffer(memory, np.uint8)
        array[...] = 0xFF
        return array.view(dtype)

    def copy(self, array):
        array = np.ascontiguousarray(array)
        copy = self.aligned(array.size, array.dtype).reshape(array.shape)
        copy[...] = array
        return copy


def draw_ctc(rng):
    N, T = int(rng.choice([1, 1, 2, 3, 8, 9, 17])), int(rng.choice([1, 1, 2, 3, 7, 8, 9, 16, 17, 33, 70]))
    C = int(rng.choice([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65]))
    kind, dtype = KINDS[rng.integers(3)], rng.choice(["float16", "float32", "float64"], p=[0.1, 0.45, 0.45])
    blank = int(rng.integers(C))
    logits = rng.choice([0.1, 3.0, 30.0]) * rng.standard_normal((N, T, C))
    x = {"logits": logits, "log_probs": log_softmax(logits), "probs": softmax(logits)}[kind].astype(dtype)
    lengths = rng.integers(1, T + 1, N)
    labels = np.delete(np.arange(C), blank)
    longest = int(rng.choice([1, 3, 7, 8, 9, 15, 16, 17, 40]))
    targets = []
    for n in range(N):
        x[n, lengths[n] :] = np.nan
        size = min(int(rng.integers(longest + 1)), T) if labels.size else 0
        targets.append(rng.choice(labels, size) if size else np.zeros(0, np.int64))
        targets[-1][-1:] = labels[-1:]  # the last class: the end of the last row is read
    return x, targets, lengths, blank, kind


def call_ctc(case, copy):
    """Return all that the public functions say of a batch."""
    x, targets, lengths, blank, kind = case
    x, lengths, options = copy(x), copy(lengths), {"blank": blank, "inputs_are": kind}
    sizes = copy(np.array([len(target) for target in targets]))
    joined = copy(np.concatenate(targets).astype(np.int64))
    said = [*ctc.ctc_loss_and_grad(x, joined, lengths, sizes, reduction="none", **options)]
    said.append(ctc.ctc_loss(x, joined, lengths, sizes, infeasible="zero", **options))
    said.append(ctc.tag_probs(x, lengths, inputs_are=kind))
    for decoded in ctc.best_path(x, lengths, **options):
        said += [decoded.labels, decoded.spans, decoded.score]
    try:
        for alignment in ctc.align(x, joined, lengths, sizes, **options):
            said += [alignment.path, alignment.spans, alignment.score]
    except ParameterError as error:  # some target has no path
        said.append(str(error))
    clip = copy(x[0, : lengths[0]])
    trellis = ctc.lattice(clip, copy(np.array(targets[0], np.int64)), **options)
    said += [trellis.alpha, trellis.beta, trellis.occupancy, trellis.loss]
    for decoded in ctc.beam_search(clip, beam_width=3, n_best=2, **options):
        said += [decoded.labels, decoded.spans, decoded.score]
    return said


def draw_layer(rng):
    dtype = rng.choice([np.float32, np.float64])
    N, T, F = (
        int(rng.choice([1, 2, 3, 5])),
        int(rng.choice([3, 5, 8, 17, 33])),
        int(rng.choice([3, 4, 7, 8, 16])),
    )
    C, D = (int(rng.choice([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48])) for _ in range(2))
    given = {"rng": np.random.default_rng(int(rng.integers(1 << 30))), "dtype": dtype}
    kernel = tuple(rng.choice([1, 3, 5], 2).tolist())
    maps = {
        "conv": lambda: layers.Conv2d(C, D, kernel, bias=bool(rng.integers(2)), **given),
        "conv 3 x 3": lambda: layers.Conv2d(C, D, (3, 3), **given),
        "block": lambda: layers.ConvBlock(C, D, **given),
        "norm": lambda: layers.BatchNorm(C, dtype=dtype),
        "pool": lambda: layers.MaxPool2d(tuple(rng.integers(1, 4, 2).tolist())),
        "dropout": lambda: layers.Dropout(0.5),
    }
    rows = {
        "gru": lambda: layers.GRU(C, D, reverse=bool(rng.integers(2)), **given),
        "bigru": lambda: layers.BiGRU(C, D, **given),
        "dense": lambda: layers.Dense(C, D, **given),
        "relu": layers.ReLU,
        "sigmoid": layers.Sigmoid,
        "softmax": layers.Softmax,
        "average": layers.GlobalAverage,
        "max": layers.GlobalMax,
    }
    name = str(rng.choice([*maps, *rows]))
    layer = (maps.get(name) or rows[name])()
    x = rng.standard_normal((N, T, F, C) if name in maps else (N, T, C)).astype(dtype)
    lengths = rng.integers(3, T + 1, N)
    for n in range(N):
        x[n, lengths[n] :] = np.nan
    return layer, x, lengths, bool(rng.integers(2)), int(rng.integers(1 << 30))


def call_layer(case, copy):
    """Return output and gradients of a layer, from the same state every time."""
    layer, x, lengths, training, seed = case
    state = {name: value.copy() for name, value in layer.state.items()}
    params = dict(layer.params)
    layer.params.update({name: copy(value) for name, value in params.items()})
    y, cache = layer.forward(copy(x), lengths=copy(lengths), training=training)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(x.dtype)
    dx, grads = layer.backward(copy(dy), cache)
    layer.params.update(params)
    for name, value in state.items():
        layer.state[name][...] = value
    return [y, dx, *(grads[name] for name in sorted(grads))]


def plant(fault):
    """Run a kernel with a fault that no test of values sees."""

    @numba.njit
    def overrun(x):
        _simd.store(x, x.size - 1, _simd.spread(x, 1.0))

    @numba.njit
    def freed(x):
        work = np.zeros(x.size)
        at = _simd.address(work)
        total = 0.0
        for i in range(x.size):
            at[i] = x[i]
            total += at[i]
        return total

    @numba.njit
    def slack(x):
        _simd.address(x)[x.size] = 1.0

    if fault == "slack":  # within 16 bytes of the end: the pattern tells, once the block is freed
        guard.guard_on(ctypes.c_size_t(LEAST), 0)
        slack(np.zeros(331, np.float32))
        guard.guard_off()
    else:
        x = np.zeros(1000)
        guard.guard_on(ctypes.c_size_t(LEAST), 0)
        {"overrun": overrun, "freed": freed}[fault](x.copy())
        guard.guard_off()


def main(what, side, cases, fault=None):
    exact, rng = Exact(side == "front"), np.random.default_rng(len(what) + len(side))
    draw, call = {"ctc": (draw_ctc, call_ctc), "layers": (draw_layer, call_layer)}[what]
    plain = _engine.aligned
    if fault:
        plant(fault)
    for _ in range(cases):
        ctctag.set_num_threads(int(rng.integers(1, 3)))
        case = draw(rng)
        want = [np.asarray(value).tobytes() for value in call(case, np.copy)]
        for module in (_simd, _engine, _rows):
            module.aligned = exact.aligned
        _rows._own.__dict__.clear()
        _buffers._SMALL = 1 << 60  # the layers' own store of memory would hide malloc's
        guard.guard_on(ctypes.c_size_t(LEAST), int(exact.front))
        got = call(case, exact.copy)
        guard.guard_off()
        for module in (_simd, _engine, _rows):
            module.aligned = plain
        _rows._own.__dict__.clear()
        if [np.asarray(value).tobytes() for value in got] != want:
            sys.exit(f"other bits under the guard: {case[1:]}")
        del got
    if guard.guard_broken():
        sys.exit(f"{guard.guard_broken()} blocks were written to beyond their end")
    print(
        f"{what}, {side}: {cases} cases, {guard.guard_made()} guarded blocks, none overrun or used after free"
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
