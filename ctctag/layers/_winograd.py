"""The Python side of Winograd's convolution: its constant matrices, the sizes of its scratch memory."""

import numpy as np

from ctctag._simd import lanes
from ctctag.layers._base import Array

__all__ = ["scratch", "transform_kernel", "transform_kernel_back"]

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


def transform_kernel(weight: Array) -> Array:
    """Return G w Gᵀ for every pair of channels: (3, 3, C_in, C_out) -> (36, C_in, C_out)."""
    both = _G_TWICE.astype(weight.dtype) @ weight.reshape(9, -1)
    return both.reshape(36, *weight.shape[2:])


def transform_kernel_back(dkernel: Array) -> Array:
    """Return Gᵀ dk G for every pair of channels: (36, C_in, C_out) -> (3, 3, C_in, C_out)."""
    both = _G_TWICE.T.astype(dkernel.dtype) @ dkernel.reshape(36, -1)
    return both.reshape(3, 3, *dkernel.shape[1:])


def scratch(bands: int, channels: int, weight: Array) -> tuple[int, list[int]]:
    """Return the rows of tiles that a block holds, and how many values each of its stages takes.

    They are spare, padded, v, m and out: see the kernels. All are multiples of a vector.
    """
    tile_columns = -(-bands // 4)
    tile_rows = max(1, _TILES // tile_columns)
    tiles = tile_rows * tile_columns
    padded = (4 * tile_rows + 2) * (4 * tile_columns + 2) * channels
    return tile_rows, [36 * lanes(weight), padded, *(size * tiles * channels for size in (36, 36, 16))]
