"""Pooling: over small windows, and over all valid frames of a clip."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer
from ctctag._threads import run_tasks
from ctctag.exceptions import ParameterError
from ctctag.layers import _pool_kernels as kernels
from ctctag.layers._base import (
    Array,
    Layer,
    all_lengths,
    as_gradient,
    as_input,
    valid_frames,
    without_padding,
)

__all__ = ["GlobalAverage", "GlobalMax", "MaxPool2d"]


class MaxPool2d(Layer):
    """Keep the largest value of every window of frames × bands; windows do not overlap.

    What is left at the end (``T % frames``, ``F % bands``) is dropped. Backward hands dy to the place the
    maximum came from, the first of equal ones.

    Parameters
    ----------
    size : (int, int)
        Frames and bands of a window. The default (1, 2) keeps every frame. A window of several frames divides
        the lengths too: see ``output_lengths``.

    Examples
    --------
    >>> layer = MaxPool2d((1, 2))
    >>> y, cache = layer.forward(np.array([1.0, 2.0, 4.0, 3.0, 9.0]).reshape(1, 1, 5, 1))
    >>> y.ravel()
    array([2., 4.])
    >>> layer.backward(np.ones_like(y), cache)[0].ravel()
    array([0., 1., 1., 0., 0.])
    """

    def __init__(self, size: tuple[int, int] = (1, 2)) -> None:
        super().__init__()
        if np.shape(size) != (2,):
            raise ParameterError(f"size must be (frames, bands), got {size!r}")
        self.size = (check_integer(size[0], "size", low=1), check_integer(size[1], "size", low=1))
        if self.size[0] * self.size[1] > 255:
            raise ParameterError(f"size must span at most 255 places, got {size!r}")

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the maxima (N, T // frames, F // bands, C) of `x` (N, T, F, C); see `Layer.forward`."""
        x = as_input(x, ("N", "T", "F", "C"))
        pt, pf = self.size
        if x.shape[1] < pt or x.shape[2] < pf:
            raise ParameterError(f"x must have at least {pt} frames and {pf} bands to pool, got {x.shape}")
        frames = all_lengths(valid_frames(lengths, x), x) // pt
        y = np.zeros((x.shape[0], x.shape[1] // pt, x.shape[2] // pf, x.shape[3]), dtype=x.dtype)
        where = np.zeros(y.shape, dtype=np.uint8)
        run_tasks(lambda n: kernels.max_pool(x[n], pt, pf, frames[n], y[n], where[n]), range(len(x)))
        return y, (x.shape, x.dtype, frames, where)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return `dy` at the places of the maxima, zero elsewhere; see `Layer.backward`."""
        shape, dtype, frames, where = cache
        dy = as_gradient(dy, where.shape, dtype)
        dx = np.zeros(shape, dtype=dtype)
        run_tasks(lambda n: kernels.max_unpool(dy[n], where[n], *self.size, frames[n], dx[n]), range(len(dx)))
        return dx, {}

    def output_lengths(self, lengths: Array | None) -> Array | None:
        """Return the lengths divided by the frames of a window, rounded down."""
        return None if lengths is None else np.asarray(lengths) // self.size[0]

    def __repr__(self) -> str:
        return f"MaxPool2d({self.size})"


class GlobalMax(Layer):
    """Take the largest value of each class over the valid frames: (N, T, C) -> (N, C).

    Backward hands dy to that frame, the first of equal ones.

    Examples
    --------
    >>> GlobalMax().forward([[[1.0], [3.0], [np.nan]]], lengths=[2])[0]
    array([[3.]])
    """

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the maxima (N, C) of `x` (N, T, C); see `Layer.forward`."""
        x = as_input(x, ("N", "T", "C"))
        frames = all_lengths(valid_frames(lengths, x), x)
        y = np.empty((x.shape[0], x.shape[2]), dtype=x.dtype)
        where = np.empty(y.shape, dtype=np.int64)
        for n, length in enumerate(frames):
            kernels.global_max(x[n], length, y[n], where[n])
        return y, (x.shape, x.dtype, where)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return `dy` at the frames of the maxima, zero elsewhere; see `Layer.backward`."""
        shape, dtype, where = cache
        dx = np.zeros(shape, dtype=dtype)
        np.put_along_axis(dx, where[:, None, :], as_gradient(dy, where.shape, dtype)[:, None, :], axis=1)
        return dx, {}

    def output_lengths(self, lengths: Array | None) -> None:
        """Return ``None``: there are no frames any more."""
        return None


class GlobalAverage(Layer):
    """Average each class over the valid frames: (N, T, C) -> (N, C).

    Backward gives every valid frame an equal share of dy.

    Examples
    --------
    >>> GlobalAverage().forward([[[1.0], [3.0], [np.nan]]], lengths=[2])[0]
    array([[2.]])
    """

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the means (N, C) of `x` (N, T, C); see `Layer.forward`."""
        x = as_input(x, ("N", "T", "C"))
        padded = valid_frames(lengths, x)
        frames = all_lengths(padded, x)
        y = np.stack([clip[:length].sum(axis=0) / length for clip, length in zip(x, frames, strict=True)])
        return y.astype(x.dtype, copy=False), (x.shape, x.dtype, padded, frames)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return `dy` divided by the length, at every valid frame; see `Layer.backward`."""
        shape, dtype, padded, frames = cache
        share = as_gradient(dy, (shape[0], shape[2]), dtype) / frames[:, None]
        dx = np.repeat(share[:, None, :].astype(dtype), shape[1], axis=1)
        return without_padding(dx, padded), {}

    def output_lengths(self, lengths: Array | None) -> None:
        """Return ``None``: there are no frames any more."""
        return None
