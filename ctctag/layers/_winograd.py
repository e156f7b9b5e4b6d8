"""The Python side of Winograd's convolution: when it serves, its constant matrices, its scratch memory."""

import itertools

import numpy as np

from ctctag._simd import lanes
from ctctag._threads import run_tasks, single_threaded_blas
from ctctag.layers import _winograd_kernels as kernels
from ctctag.layers._base import Array
from ctctag.layers._blocks import After, frame_blocks, shares
from ctctag.layers._buffers import Spares, empty, zeros

__all__ = ["convolve", "kernel_gradient", "scratch", "serves", "transform_kernel", "transform_kernel_back"]

_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_G_TWICE = np.kron(_G, _G)  # (36, 9): along frames and along bands at once
_TILES = 32  # tiles of a block: v and m, 36 values a tile and channel each, stay in a cache of 1 MB


def serves(kernel_size: tuple[int, int], inputs: int, outputs: int, weight: Array) -> bool:
    """Tell whether the kernels can take this convolution: 3 x 3, and channels that fill vectors."""
    w = lanes(weight)
    return kernel_size == (3, 3) and inputs % w == 0 and outputs % w == 0


def transform_kernel(weight: Array) -> Array:
    """Return G w Gᵀ for every pair of channels: (3, 3, C_in, C_out) -> (36, C_in, C_out)."""
    both = _G_TWICE.astype(weight.dtype) @ weight.reshape(9, -1)
    return both.reshape(36, *weight.shape[2:])


def transform_kernel_back(dkernel: Array) -> Array:
    """Return Gᵀ dk G for every pair of channels: (36, C_in, C_out) -> (3, 3, C_in, C_out)."""
    both = _G_TWICE.T.astype(dkernel.dtype) @ dkernel.reshape(36, -1)
    return both.reshape(3, 3, *dkernel.shape[1:])


def scratch(bands: int, channels: int, weight: Array) -> tuple[int, tuple[Array, ...]]:
    """Return the rows of tiles that a block holds, and flat arrays for the stages of a block.

    They are spare, padded, v, m and out: see the kernels.
    """
    tile_columns = -(-bands // 4)
    tile_rows = max(1, _TILES // tile_columns)
    tiles = tile_rows * tile_columns
    padded = (4 * tile_rows + 2) * (4 * tile_columns + 2) * channels
    sizes = [36 * lanes(weight), padded, 36 * tiles * channels, 36 * tiles * channels, 16 * tiles * channels]
    starts = list(itertools.accumulate(sizes, initial=0))  # all of them multiples of a vector
    memory = empty((starts[-1],), weight.dtype)
    return tile_rows, tuple(memory[a:b] for a, b in itertools.pairwise(starts))


@single_threaded_blas()  # also for the transforms: woken threads of the BLAS look for more work for a while
def convolve(x: Array, lengths: Array, weight: Array, bias: Array, after: After | None = None) -> Array:
    """Return the convolution of x (N, T, F, C_in) with weight (3, 3, C_in, C_out); see `conv.convolve`."""
    bands, (inputs, outputs) = x.shape[2], weight.shape[2:]
    kernel = transform_kernel(weight)
    y = empty((*x.shape[:3], outputs), x.dtype)
    spares = Spares(lambda: scratch(bands, max(inputs, outputs), weight))

    def block(task: tuple[int, int, int]) -> None:
        n, start, stop = task
        with spares.one() as (tile_rows, arrays):
            kernels.convolve(
                x[n].ravel(), lengths[n], bands, kernel, bias, start, stop, tile_rows, arrays, y[n].ravel()
            )
        if after is not None:
            after(n, start, stop, y[n])

    run_tasks(block, frame_blocks(*x.shape[:2]))
    return y


@single_threaded_blas()
def kernel_gradient(x: Array, lengths: Array, dy: Array) -> Array:
    """Return the gradient (3, 3, C_in, C_out) of the kernel."""
    bands, inputs, outputs = x.shape[2], x.shape[3], dy.shape[3]
    parts = shares(frame_blocks(*x.shape[:2]))
    dweight = np.empty((len(parts), 3, 3, inputs, outputs), dtype=x.dtype)
    spares = Spares(lambda: scratch(bands, max(inputs, outputs), x))

    def share(index: int) -> None:
        dkernel = zeros((36 * inputs * outputs,), x.dtype)
        with spares.one() as (tile_rows, arrays):
            for n, start, stop in parts[index]:
                kernels.kernel_gradient(
                    x[n].ravel(),
                    lengths[n],
                    bands,
                    inputs,
                    dy[n].ravel(),
                    outputs,
                    start,
                    stop,
                    tile_rows,
                    arrays,
                    dkernel,
                )
        dweight[index] = transform_kernel_back(dkernel.reshape(36, inputs, outputs))

    run_tasks(share, range(len(parts)))
    return dweight.sum(axis=0)
