"""The vector tools of the kernels: memory that is used again, small products, kernel transforms."""

import numpy as np
import pytest

from ctctag.layers._buffers import empty, zeros
from ctctag.layers._vector_product import multiply
from ctctag.layers._winograd import transform_kernel, transform_kernel_back

pytestmark = pytest.mark.kernel


def test_memory_is_used_again_once_nothing_refers_to_it():
    shape = (123, 4567)
    array = empty(shape, np.float32)
    place = array.ctypes.data
    assert place % 64 == 0
    part = array[3:5].T
    del array
    other = empty(shape, np.float32)
    assert other.ctypes.data != place  # a part is still held
    del part
    assert zeros(shape, np.float32).ctypes.data == place


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "depth", "columns"), [(8, 5, 32), (19, 7, 48), (3, 1, 16), (16, 4, 16)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("add", [False, True])
def test_product(dtype, rows, depth, columns, turned, add):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, depth), (depth, columns)))
    c = rng.standard_normal((rows, columns)).astype(dtype)
    wanted = a @ b + (c if add else 0)
    stored, strides = (a.T.copy(), (1, rows)) if turned else (a, (depth, 1))
    multiply(stored.ravel(), 0, *strides, rows, depth, b.ravel(), 0, columns, c.ravel(), 0, add)
    np.testing.assert_allclose(c, wanted, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-5)


def test_kernel_transforms_are_adjoint():
    rng = np.random.default_rng(0)
    weight, other = rng.standard_normal((3, 3, 2, 4)), rng.standard_normal((36, 2, 4))
    left = (transform_kernel(weight) * other).sum()
    np.testing.assert_allclose(left, (weight * transform_kernel_back(other)).sum(), rtol=1e-12)
