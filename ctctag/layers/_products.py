"""Matrix products over the rows of a batch, cut into fixed blocks: the same bits for any number of threads.

A BLAS with threads of its own may cut a product differently for each number of them, and rounding follows
the cut. Here the rows are cut by the problem alone, and each block goes to a BLAS held to one thread.
"""

import numpy as np

from ctctag._threads import run_tasks, single_threaded_blas
from ctctag.layers._base import Array
from ctctag.layers._buffers import empty

__all__ = ["affine", "outer_sum", "row_sum"]

_ROWS = 1024  # rows of a block: enough for the BLAS, few enough for many threads
_PARTS = 16  # partial sums of a gradient: bounds their memory


def affine(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return ``x @ weight + bias`` for x (..., in), weight (in, out), bias (out,)."""
    rows = x.reshape(-1, x.shape[-1])
    y = empty((len(rows), weight.shape[1]), x.dtype)

    def block(start: int) -> None:
        part = y[start : start + _ROWS]
        np.matmul(rows[start : start + _ROWS], weight, out=part)
        if bias is not None:
            part += bias

    with single_threaded_blas():
        run_tasks(block, range(0, len(rows), _ROWS))
    return y.reshape(*x.shape[:-1], weight.shape[1])


def outer_sum(x: Array, dy: Array) -> Array:
    """Return the sum over all rows of the outer products x dyᵀ: (..., in), (..., out) -> (in, out)."""
    x_rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    step = max(_ROWS, -(-len(x_rows) // _PARTS))
    starts = range(0, len(x_rows), step)
    parts = np.empty((len(starts), x_rows.shape[1], dy_rows.shape[1]), dtype=x.dtype)

    def block(index: int) -> None:
        rows = slice(starts[index], starts[index] + step)
        np.matmul(x_rows[rows].T, dy_rows[rows], out=parts[index])

    with single_threaded_blas():
        run_tasks(block, range(len(starts)))
    return parts.sum(axis=0)


def row_sum(dy: Array) -> Array:
    """Return the sum over all rows: (..., out) -> (out,). Clip by clip first, which loses fewer digits."""
    if dy.ndim > 2:
        dy = dy.sum(axis=1)
    return dy.reshape(-1, dy.shape[-1]).sum(axis=0)
