"""Stable sums, softmax and sigmoid: the few formulas that everything else stands on.

All work for ``-inf`` (a probability of zero) without a warning and without NaN, and return the dtype they
were given (integers become float64).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_float_array

__all__ = ["log_add", "log_sigmoid", "log_softmax", "log_sum_exp", "sigmoid", "softmax"]

Array = npt.NDArray[Any]


def log_add(a: npt.ArrayLike, b: npt.ArrayLike) -> Array:
    r"""Return :math:`\log(e^a + e^b)` elementwise, with ``log_add(-inf, -inf) == -inf``.

    Parameters
    ----------
    a, b : array_like, float
        Logarithms; broadcast against each other.

    Returns
    -------
    ndarray
        The logarithm of the sum.

    Notes
    -----
    With m the larger of the two, :math:`m + \log(1 + e^{-|a - b|})`. Where both are ``-inf`` the difference
    would be NaN, so the maximum itself is returned.

    Examples
    --------
    >>> float(log_add(-1000.0, -1000.0))
    -999.3068528194401
    >>> float(log_add(-np.inf, -np.inf))
    -inf
    """
    return np.logaddexp(check_float_array(a, "a"), check_float_array(b, "b"))


def log_sum_exp(x: npt.ArrayLike, axis: int = -1, keepdims: bool = False) -> Array:
    r"""Return :math:`\log \sum_i e^{x_i}` along `axis`; a slice of nothing but ``-inf`` gives ``-inf``.

    Parameters
    ----------
    x : array_like, float
        Logarithms.
    axis : int
        The axis summed over.
    keepdims : bool
        Keep the axis, with length 1.

    Returns
    -------
    ndarray
        The logarithm of the sum.

    Examples
    --------
    >>> float(log_sum_exp([1000.0, 1000.0]))
    1000.6931471805599
    """
    x = check_float_array(x, "x")
    peak = x.max(axis=axis, keepdims=True)
    shift = np.where(np.isfinite(peak), peak, np.zeros_like(peak))
    with np.errstate(divide="ignore"):  # log(0) = -inf is the right answer
        total = np.log(np.exp(x - shift).sum(axis=axis, keepdims=True)) + shift
    return total if keepdims else np.squeeze(total, axis=axis)


def log_softmax(logits: npt.ArrayLike, axis: int = -1) -> Array:
    r"""Return :math:`x_k - \log \sum_j e^{x_j}`: log-probabilities that sum to one along `axis`.

    Parameters
    ----------
    logits : array_like, float
        Any real scores; ``-inf`` is a class of probability zero (not every class may be).
    axis : int
        The axis of the classes.

    Returns
    -------
    ndarray
        Log-probabilities, the shape of `logits`.

    Examples
    --------
    >>> log_softmax([0.0, 0.0]).round(4)
    array([-0.6931, -0.6931])
    """
    x = check_float_array(logits, "logits")
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def softmax(logits: npt.ArrayLike, axis: int = -1) -> Array:
    r"""Return :math:`e^{x_k} / \sum_j e^{x_j}` along `axis`.

    Parameters
    ----------
    logits : array_like, float
        Any real scores; ``-inf`` is a class of probability zero (not every class may be).
    axis : int
        The axis of the classes.

    Returns
    -------
    ndarray
        Probabilities, the shape of `logits`.

    Examples
    --------
    >>> softmax([1000.0, 1000.0])
    array([0.5, 0.5])
    """
    x = check_float_array(logits, "logits")
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def sigmoid(x: npt.ArrayLike) -> Array:
    r"""Return :math:`1 / (1 + e^{-x})` without overflow at either end.

    Parameters
    ----------
    x : array_like, float
        Logits.

    Returns
    -------
    ndarray
        Values in [0, 1], the shape of `x`.

    Examples
    --------
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    x = check_float_array(x, "x")
    decay = np.exp(-np.abs(x))  # in (0, 1]: cannot overflow
    return np.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))


def log_sigmoid(x: npt.ArrayLike) -> Array:
    r"""Return :math:`\log \sigma(x) = -\log(1 + e^{-x})` without overflow at either end.

    Parameters
    ----------
    x : array_like, float
        Logits.

    Returns
    -------
    ndarray
        Values at most 0, the shape of `x`.

    Examples
    --------
    >>> log_sigmoid([-1000.0, 0.0]).round(4)
    array([-1.000e+03, -6.931e-01])
    """
    x = check_float_array(x, "x")
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))
