"""The vector type of the kernels: each operation against NumPy, lane by lane."""

import numpy as np
import pytest

from ctctag import _simd as simd
from ctctag._jit import jit
from ctctag._simd import address

pytestmark = pytest.mark.kernel


@jit
def _floats(a, b, places, out):
    at_a, at_b, at_places = simd.address(a), simd.address(b), simd.address(places)
    w = simd.lanes(a)
    x, y = simd.load(at_a, 1), simd.load(b, 0)
    results = (
        x + y,
        x - y,
        x * y,
        x / y,
        simd.fma(x, y, x),
        simd.larger(x, y),
        simd.pick(x, y, x, x + x),
        simd.rint(x),
        simd.as_float(simd.as_int(x)),
        simd.slide_in(x, y),
        simd.slide_back(x, y),
        simd.gather(b, at_a, 2, at_places, 3),
        simd.spread(x, 3.0),
        simd.spread(at_b, simd.sum_lanes(x)),
        simd.spread(b, simd.max_lanes(x)),
    )
    for i in range(len(results)):
        simd.store(out, i * w, results[i])


@jit
def _integers(a, b, out):
    w = simd.lanes(a)
    x, y = simd.load(a, 0), simd.load(b, 0)
    results = (
        x + y,
        x - y,
        x & y,
        x | y,
        simd.shift_left(x, 3),
        simd.shift_right(x, 2),
        simd.larger(x, y),
        simd.choose(y, x, y),
        simd.to_int(simd.rint(simd.as_float(y - y))),
    )
    for i in range(len(results)):
        simd.store(out, i * w, results[i])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats(dtype):
    rng = np.random.default_rng(0)
    w = 64 // np.dtype(dtype).itemsize
    a, b = (4 * rng.standard_normal((2, 3 * w))).astype(dtype)
    places = rng.integers(0, w, 2 * w)
    out = np.empty((15, w), dtype)
    _floats(a, b, places, out.reshape(-1))
    x, y = a[1 : w + 1], b[:w]
    expected = [
        x + y,
        x - y,
        x * y,
        x / y,
        x * y + x,
        np.maximum(x, y),
        np.where(x > y, x, 2 * x),
        np.rint(x),
        x,
        np.r_[x[-1], y[:-1]],
        np.r_[x[1:], y[0]],
        a[2 + places[3 : 3 + w]],
        np.full(w, 3),
        np.full(w, x.sum()),
        np.full(w, x.max()),
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integers(dtype):
    rng = np.random.default_rng(0)
    w = 64 // np.dtype(dtype).itemsize
    a, b = rng.integers(-1000, 1000, (2, w)).astype(dtype)
    b[::3] = 0
    out = np.empty((9, w), dtype)
    _integers(a, b, out.reshape(-1))
    expected = [
        a + b,
        a - b,
        a & b,
        a | b,
        a << 3,
        a >> 2,
        np.maximum(a, b),
        np.where(b != 0, a, b),
        np.zeros(w),
    ]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_aligned_memory(dtype, size):
    memory = simd.aligned(size, dtype)
    assert (memory.shape, memory.dtype) == ((size,), dtype)
    assert size == 0 or memory.ctypes.data % 64 == 0


def test_a_kernel_may_not_take_addresses_and_make_arrays():
    """Numba frees an array after its last use by name: what is at its address then is anybody's."""

    def kernel(x):
        work = np.zeros(8)
        at = simd.address(work)
        at[0] = x[0]
        return at[0]

    def by_name(x):
        work = np.zeros(8)
        at = address(work)
        at[0] = x[0]
        return at[0]

    message = r"takes addresses and makes arrays \(zeros\), which Numba frees after their last use by name"
    for function in (kernel, by_name):
        with pytest.raises(TypeError, match=message):
            jit(function)
