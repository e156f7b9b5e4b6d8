"""Matrix products over the rows of a batch, cut into fixed blocks: the same bits for any number of threads.

A BLAS with threads of its own may cut a product differently for each number of them, and rounding follows
the cut. Here the rows are cut by the problem alone, and each block goes to a BLAS held to one thread. Padded
frames are left out first: a row may round differently at another place of a block, on some processors.
"""

import numpy as np

from ctctag._threads import run_tasks, single_threaded_blas
from ctctag.layers._base import Array
from ctctag.layers._buffers import empty, zeros

__all__ = ["affine", "outer_sum", "row_sum"]

_ROWS = 512  # rows of a block: enough for the BLAS, few enough for many threads
_PARTS = 8  # partial sums of a gradient: bounds their memory


def affine(x: Array, weight: Array, bias: Array | None = None, lengths: Array | None = None) -> Array:
    """Return ``x @ weight + bias`` for x (..., in), weight (in, out), bias (out,); 0 in padded frames."""
    rows = _rows(x, lengths)
    y = empty((len(rows), weight.shape[1]), x.dtype)

    def block(start: int) -> None:
        part = y[start : start + _ROWS]
        np.matmul(rows[start : start + _ROWS], weight, out=part)
        if bias is not None:
            part += bias

    with single_threaded_blas():
        run_tasks(block, range(0, len(rows), _ROWS))
    shape = (*x.shape[:-1], weight.shape[1])
    if lengths is None:
        return y.reshape(shape)
    padded = zeros(shape, x.dtype)
    padded[_valid(x, lengths)] = y
    return padded


def outer_sum(x: Array, dy: Array, lengths: Array | None = None) -> Array:
    """Return the sum over valid rows of the outer products x dyᵀ: (..., in), (..., out) -> (in, out)."""
    x_rows, dy_rows = _rows(x, lengths), _rows(dy, lengths)
    step = max(_ROWS, -(-len(x_rows) // _PARTS))
    starts = range(0, len(x_rows), step)
    parts = np.empty((len(starts), x_rows.shape[1], dy_rows.shape[1]), dtype=x.dtype)

    def block(index: int) -> None:
        rows = slice(starts[index], starts[index] + step)
        np.matmul(x_rows[rows].T, dy_rows[rows], out=parts[index])

    with single_threaded_blas():
        run_tasks(block, range(len(starts)))
    return parts.sum(axis=0)


def _valid(x: Array, lengths: Array) -> Array:
    """Return which frames of x (N, T, ...) are not padded, (N, T) bool."""
    valid: Array = np.arange(x.shape[1]) < lengths[:, np.newaxis]
    return valid


def _rows(x: Array, lengths: Array | None) -> Array:
    """Return the valid rows of x (..., in), one under the other."""
    return x.reshape(-1, x.shape[-1]) if lengths is None else x[_valid(x, lengths)]


def row_sum(dy: Array) -> Array:
    """Return the sum over all rows: (..., out) -> (out,). Clip by clip first, which loses fewer digits."""
    if dy.ndim == 2:
        return dy.sum(axis=0)
    sums = np.empty((len(dy), dy.shape[-1]), dtype=dy.dtype)
    run_tasks(lambda n: dy[n].reshape(-1, dy.shape[-1]).sum(axis=0, out=sums[n]), range(len(dy)))
    return sums.sum(axis=0)
