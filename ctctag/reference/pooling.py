"""Pooling as it reads: the largest value of a window, and of all frames; the mean of all frames."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["global_average", "global_max", "max_pool", "max_pool_backward"]

Array = npt.NDArray[Any]


def max_pool(x: npt.ArrayLike, size: tuple[int, int] = (1, 2)) -> Array:
    """Return the largest value of every window; what is left at the ends is dropped.

    Parameters
    ----------
    x : array_like, shape (T, F, C)
        One clip's maps.
    size : (int, int)
        Frames and bands of a window.

    Returns
    -------
    ndarray, shape (T // frames, F // bands, C)
        The maxima.

    Examples
    --------
    >>> max_pool(np.array([1.0, 2.0, 4.0, 3.0, 9.0]).reshape(1, 5, 1)).ravel()
    array([2., 4.])
    """
    x = np.asarray(x, dtype=np.float64)
    y = np.empty((x.shape[0] // size[0], x.shape[1] // size[1], x.shape[2]))
    for t, f, c in np.ndindex(y.shape):
        y[t, f, c] = _window(x, t, f, c, size).max()
    return y


def max_pool_backward(dy: npt.ArrayLike, x: npt.ArrayLike, size: tuple[int, int] = (1, 2)) -> Array:
    """Return the gradient at the input: all of dy at the place of the maximum, the first of equal ones.

    Parameters
    ----------
    dy : array_like, shape (T // frames, F // bands, C)
        The gradient at the maxima.
    x : array_like, shape (T, F, C)
        The input.
    size : (int, int)
        Frames and bands of a window.

    Returns
    -------
    ndarray, shape (T, F, C)
        The gradient at the input.

    Examples
    --------
    >>> max_pool_backward(np.array([[[5.0]]]), np.array([[[1.0], [2.0]]])).ravel()
    array([0., 5.])
    """
    x = np.asarray(x, dtype=np.float64)
    dx = np.zeros_like(x)
    for (t, f, c), gradient in np.ndenumerate(dy):
        window = _window(x, t, f, c, size)
        row, column = np.unravel_index(window.argmax(), window.shape)
        dx[t * size[0] + row, f * size[1] + column, c] += gradient
    return dx


def global_max(x: npt.ArrayLike) -> Array:
    """Return the largest value of each class over the frames: (T, C) -> (C,).

    Examples
    --------
    >>> global_max([[1.0, 5.0], [3.0, 4.0]])
    array([3., 5.])
    """
    return np.asarray(x, dtype=np.float64).max(axis=0)


def global_average(x: npt.ArrayLike) -> Array:
    """Return the mean of each class over the frames: (T, C) -> (C,).

    Examples
    --------
    >>> global_average([[1.0, 5.0], [3.0, 4.0]])
    array([2. , 4.5])
    """
    return np.asarray(x, dtype=np.float64).mean(axis=0)


def _window(x: Array, t: int, f: int, c: int, size: tuple[int, int]) -> Array:
    frames, bands = size
    return x[t * frames : (t + 1) * frames, f * bands : (f + 1) * bands, c]
