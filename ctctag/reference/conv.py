"""Convolution as its equation reads, with the derivative of every factor written where the factor stands."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["conv2d", "conv2d_backward"]

Array = npt.NDArray[Any]


def conv2d(x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike) -> Array:
    r"""Correlate one clip with a kernel, zero beyond the edges.

    .. math:: y_{t,f,o} = b_o + \sum_{i,j,c} x_{t + i - k_T // 2,\; f + j - k_F // 2,\; c} \; W_{i,j,c,o}

    Parameters
    ----------
    x : array_like, shape (T, F, C_in)
        One clip's maps.
    weight : array_like, shape (kT, kF, C_in, C_out)
        The kernel, of odd sizes.
    bias : array_like, shape (C_out,)
        Added everywhere.

    Returns
    -------
    ndarray, shape (T, F, C_out)
        The output.

    Examples
    --------
    >>> conv2d(np.ones((1, 4, 1)), np.ones((1, 3, 1, 1)), [0.0]).ravel()
    array([2., 3., 3., 2.])
    """
    x, weight = np.asarray(x, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    y = np.zeros((*x.shape[:2], weight.shape[3])) + np.asarray(bias, dtype=np.float64)
    for t, f, i, j, ti, fj in _places(x.shape, weight.shape):
        y[t, f] += x[ti, fj] @ weight[i, j]
    return y


def conv2d_backward(dy: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Return the gradients of input, kernel and bias: each term x · W of y gives dy · W and x · dy.

    Parameters
    ----------
    dy : array_like, shape (T, F, C_out)
        The gradient at the output.
    x : array_like, shape (T, F, C_in)
        The input.
    weight : array_like, shape (kT, kF, C_in, C_out)
        The kernel.

    Returns
    -------
    dx, dweight, dbias : ndarray
        In the shapes of x, weight and bias.

    Examples
    --------
    >>> dx, dweight, dbias = conv2d_backward(np.ones((1, 4, 1)), np.ones((1, 4, 1)), np.ones((1, 3, 1, 1)))
    >>> dx.ravel(), dweight.ravel(), dbias
    (array([2., 3., 3., 2.]), array([3., 4., 3.]), array([4.]))
    """
    dy, x, weight = (np.asarray(array, dtype=np.float64) for array in (dy, x, weight))
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for t, f, i, j, ti, fj in _places(x.shape, weight.shape):
        dx[ti, fj] += weight[i, j] @ dy[t, f]
        dweight[i, j] += np.outer(x[ti, fj], dy[t, f])
    return dx, dweight, dy.sum(axis=(0, 1))


def _places(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """List (t, f, i, j, t + i - kT // 2, f + j - kF // 2) of every term whose input is inside the clip."""
    (frames, bands), (kt, kf) = x_shape[:2], kernel_shape[:2]
    terms = np.ndindex(frames, bands, kt, kf)
    shifted = [(t, f, i, j, t + i - kt // 2, f + j - kf // 2) for t, f, i, j in terms]
    return [term for term in shifted if 0 <= term[4] < frames and 0 <= term[5] < bands]
