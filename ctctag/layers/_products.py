"""Matrix products over the rows of a batch, cut into fixed blocks: the same bits for any number of threads.

A BLAS with threads of its own may cut a product differently for each number of them, and rounding follows
the cut. Here the rows are cut by the problem alone, and each block goes to a BLAS held to one thread. Padded
frames are left out first: a row may round differently at another place of a block, on some processors.

Functions in the plural do several such things as one list of tasks: threads then wait for each other once.
"""

from collections.abc import Sequence

import numpy as np

from ctctag._threads import run_tasks, single_threaded_blas
from ctctag.layers._base import Array
from ctctag.layers._buffers import empty, zeros

__all__ = ["affine", "affines", "outer_sum", "outer_sums", "product_sum", "row_sum", "row_sums"]

_ROWS = 480  # rows of a block, two clips of ten seconds: enough for the BLAS, few enough for many threads
_PARTS = 8  # partial sums of a gradient: bounds their memory


def affine(x: Array, weight: Array, bias: Array | None = None, lengths: Array | None = None) -> Array:
    """Return ``x @ weight + bias`` for x (..., in), weight (in, out), bias (out,); 0 in padded frames."""
    return affines(x, [(weight, bias)], lengths)[0]


@single_threaded_blas()
def affines(
    x: Array, maps: Sequence[tuple[Array, Array | None]], lengths: Array | None = None
) -> list[Array]:
    """Return `affine` of `x` by each weight and bias."""
    rows = _rows(x, lengths)
    found = [empty((len(rows), weight.shape[1]), x.dtype) for weight, _ in maps]

    def block(task: tuple[int, int]) -> None:
        start, index = task
        weight, bias = maps[index]
        part = found[index][start : start + _ROWS]
        np.matmul(rows[start : start + _ROWS], weight, out=part)
        if bias is not None:
            part += bias

    run_tasks(block, [(start, index) for start in range(0, len(rows), _ROWS) for index in range(len(maps))])
    return [_with_padding(y, x, lengths) for y in found]


@single_threaded_blas()
def product_sum(terms: Sequence[tuple[Array, Array]], lengths: Array | None = None) -> Array:
    """Return the sum of ``x @ weight`` over the pairs x (..., in), weight (in, out); 0 in padded frames."""
    pairs = [(_rows(x, lengths), weight) for x, weight in terms]
    (first, weight), more = pairs[0], pairs[1:]
    y = empty((len(first), weight.shape[1]), first.dtype)

    def block(start: int) -> None:
        part = y[start : start + _ROWS]
        np.matmul(first[start : start + _ROWS], weight, out=part)
        for rows, other in more:
            part += rows[start : start + _ROWS] @ other

    run_tasks(block, range(0, len(first), _ROWS))
    return _with_padding(y, terms[0][0], lengths)


def outer_sum(x: Array, dy: Array, lengths: Array | None = None) -> Array:
    """Return the sum over valid rows of the outer products x dyᵀ: (..., in), (..., out) -> (in, out)."""
    return outer_sums([(x, dy)], lengths)[0]


@single_threaded_blas()
def outer_sums(pairs: Sequence[tuple[Array, Array]], lengths: Array | None = None) -> list[Array]:
    """Return `outer_sum` of each pair; all of them have the same rows."""
    rows = [(_rows(x, lengths), _rows(dy, lengths)) for x, dy in pairs]
    step = max(_ROWS, -(-len(rows[0][0]) // _PARTS))
    starts = range(0, len(rows[0][0]), step)
    parts = [np.empty((len(starts), x.shape[1], dy.shape[1]), dtype=x.dtype) for x, dy in rows]

    def block(task: tuple[int, int]) -> None:
        index, place = task
        x, dy = (array[starts[place] : starts[place] + step] for array in rows[index])
        np.matmul(x.T, dy, out=parts[index][place])

    run_tasks(block, [(index, place) for index in range(len(rows)) for place in range(len(starts))])
    return [part.sum(axis=0) for part in parts]


def row_sum(dy: Array) -> Array:
    """Return the sum over all rows: (..., out) -> (out,). Clip by clip first, which loses fewer digits."""
    return row_sums([dy])[0]


def row_sums(arrays: Sequence[Array]) -> list[Array]:
    """Return `row_sum` of each array."""
    if arrays[0].ndim == 2:
        return [dy.sum(axis=0) for dy in arrays]
    sums = [np.empty((len(dy), dy.shape[-1]), dtype=dy.dtype) for dy in arrays]

    def clip(task: tuple[int, int]) -> None:
        index, n = task
        dy = arrays[index]
        dy[n].reshape(-1, dy.shape[-1]).sum(axis=0, out=sums[index][n])

    run_tasks(clip, [(index, n) for index, dy in enumerate(arrays) for n in range(len(dy))])
    return [of_clips.sum(axis=0) for of_clips in sums]


def _valid(x: Array, lengths: Array) -> Array:
    """Return which frames of x (N, T, ...) are not padded, (N, T) bool."""
    valid: Array = np.arange(x.shape[1]) < lengths[:, np.newaxis]
    return valid


def _rows(x: Array, lengths: Array | None) -> Array:
    """Return the valid rows of x (..., in), one under the other."""
    return x.reshape(-1, x.shape[-1]) if lengths is None else x[_valid(x, lengths)]


def _with_padding(y: Array, x: Array, lengths: Array | None) -> Array:
    """Return the rows of an output in the shape of `x`, with zeros in padded frames."""
    shape = (*x.shape[:-1], y.shape[1])
    if lengths is None:
        return y.reshape(shape)
    padded = zeros(shape, y.dtype)
    padded[_valid(x, lengths)] = y
    return padded
