r"""Losses and their derivatives together: binary cross entropy, and the distance between two views of a clip.

.. math:: L = -\frac{1}{M} \sum_i w_i \left(t_i \log p_i + (1 - t_i) \log(1 - p_i)\right)

is the first, with M the number of entries, clips times classes: PyTorch's ``reduction="mean"``. (CTC has a
room of its own, `ctctag.ctc`.)
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag import numerics
from ctctag._checks import check_float_array
from ctctag.exceptions import ParameterError

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "consistency_with_logits"]

Array = npt.NDArray[Any]

_FLOOR = -100.0  # of a logarithm, where a probability is 0 or 1 and wrong: PyTorch's choice
_TINY = 1e-12  # of p (1 - p) in the derivative, likewise


def binary_cross_entropy_with_logits(
    logits: npt.ArrayLike, targets: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[float, Array]:
    r"""Return the mean cross entropy of σ(logits), and its derivative by the logits.

    The derivative is :math:`w_i (\sigma(x_i) - t_i) / M`; nothing overflows however large a logit is.

    Parameters
    ----------
    logits : array_like, shape (N, C) or any other, float
        Scores before the sigmoid.
    targets : array_like, same shape, in [0, 1]
        1 where the class is present.
    weights : array_like, broadcast to that shape, optional
        Weight of each entry, at least 0. The mean still divides by the number of entries.

    Returns
    -------
    loss : float
        The mean, at least 0.
    gradient : ndarray
        Derivative by `logits`, in their shape and dtype.

    Raises
    ------
    ParameterError
        If shapes differ, a target lies outside [0, 1], or a weight is negative.

    Examples
    --------
    >>> loss, gradient = binary_cross_entropy_with_logits([[0.0, 2.0]], [[1, 0]])
    >>> round(loss, 4), gradient.round(4)
    (1.41, array([[-0.25 , 0.4404]]))
    """
    x, targets, weights = _checked(logits, "logits", targets, weights)
    # -t log σ(x) - (1 - t) log σ(-x) = (1 - t) x - log σ(x)
    entropy = weights * ((1 - targets) * x - numerics.log_sigmoid(x))
    gradient = weights * (numerics.sigmoid(x) - targets) / x.size
    return float(entropy.mean(dtype=np.float64)), gradient.astype(x.dtype, copy=False)


def binary_cross_entropy(
    probs: npt.ArrayLike, targets: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[float, Array]:
    r"""Return the mean cross entropy of probabilities, and its derivative by them.

    The derivative is :math:`w_i (p_i - t_i) / (p_i (1 - p_i)) / M`. As in PyTorch a logarithm counts as at
    least -100 and the denominator as at least 1e-12, so that a probability of exactly 0 or 1 does no harm.

    Parameters
    ----------
    probs : array_like, shape (N, C) or any other, in [0, 1]
        Probabilities, e.g. pooled over frames.
    targets : array_like, same shape, in [0, 1]
        1 where the class is present.
    weights : array_like, broadcast to that shape, optional
        Weight of each entry, at least 0. The mean still divides by the number of entries.

    Returns
    -------
    loss : float
        The mean, at least 0.
    gradient : ndarray
        Derivative by `probs`, in their shape and dtype.

    Raises
    ------
    ParameterError
        If shapes differ, a probability or a target lies outside [0, 1], or a weight is negative.

    Examples
    --------
    >>> loss, gradient = binary_cross_entropy([[0.5, 0.8]], [[1, 0]])
    >>> round(loss, 4), gradient
    (1.1513, array([[-1. , 2.5]]))
    """
    p, targets, weights = _checked(probs, "probs", targets, weights)
    _check_unit_interval(p, "probs", "are these logits?")
    with np.errstate(divide="ignore"):
        present, absent = np.maximum(np.log(p), _FLOOR), np.maximum(np.log1p(-p), _FLOOR)
    entropy = -weights * (targets * present + (1 - targets) * absent)
    gradient = weights * (p - targets) / np.maximum(p * (1 - p), _TINY) / p.size
    return float(entropy.mean(dtype=np.float64)), gradient.astype(p.dtype, copy=False)


def consistency_with_logits(
    first: npt.ArrayLike, second: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[float, Array, Array]:
    r"""Return how far apart two softmaxes are, and the derivatives that draw each to the other.

    .. math::

        L = \frac12 \sum_t w_t
            \left(\mathrm{KL}(\bar p_t \,\|\, q_t) + \mathrm{KL}(\bar q_t \,\|\, p_t)\right)

    where p and q are the softmaxes of `first` and `second`, and a bar marks what counts as given: each view
    learns from the other and does not lower itself to it. The derivatives are therefore
    :math:`w_t (p_t - q_t) / 2` by the first logits and the negative of that by the second; they are not those
    of L as a function of both.

    Parameters
    ----------
    first, second : array_like, shape (N, T, C) or any (…, C), float
        Logits of two views of the same clips.
    weights : array_like, broadcast to (N, T) or (…), optional
        Weight of each frame, at least 0; 1 if not given.

    Returns
    -------
    loss : float
        The weighted sum over the frames, at least 0.
    dfirst, dsecond : ndarray
        The derivatives, in the shape and dtype of the logits.

    Raises
    ------
    ParameterError
        If shapes differ, or a weight is negative.

    References
    ----------
    Yao et al., "CR-CTC: Consistency regularization on CTC for improved speech recognition", ICLR 2025,
    equation 4.

    Examples
    --------
    >>> loss, dfirst, dsecond = consistency_with_logits([[0.0, 0.0]], [[2.0, 0.0]])
    >>> round(loss, 4), dfirst.round(4), dsecond.round(4)
    (0.3808, array([[-0.1904,  0.1904]]), array([[ 0.1904, -0.1904]]))
    """
    a = check_float_array(first, "first")
    if a.ndim == 0 or a.size == 0:
        raise ParameterError(f"first must hold at least one frame, got shape {a.shape}")
    b = check_float_array(second, "second", a.shape).astype(a.dtype, copy=False)
    weight = _weights(np.ones((), a.dtype) if weights is None else weights, a.shape[:-1], a.dtype)
    log_a, log_b = numerics.log_softmax(a), numerics.log_softmax(b)
    half = (weight[..., np.newaxis] / 2) * (np.exp(log_a) - np.exp(log_b))
    return float((half * (log_a - log_b)).sum(dtype=np.float64)), half, -half


def _checked(
    scores: npt.ArrayLike, name: str, targets: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[Array, Array, Array]:
    x = check_float_array(scores, name)
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    if x.size == 0:
        raise ParameterError(f"{name} must hold at least one entry, got shape {x.shape}")
    wanted = check_float_array(targets, "targets", x.shape).astype(x.dtype, copy=False)
    _check_unit_interval(wanted, "targets", "are these class numbers?")
    if weights is None:
        return x, wanted, np.ones((), dtype=x.dtype)
    return x, wanted, _weights(weights, x.shape, x.dtype)


def _weights(weights: npt.ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    weighted = check_float_array(weights, "weights").astype(dtype, copy=False)
    try:
        weighted = np.broadcast_to(weighted, shape)
    except ValueError:
        raise ParameterError(f"weights must broadcast to {shape}, got shape {weighted.shape}") from None
    if not (weighted >= 0).all():
        raise ParameterError(f"weights must be at least 0, got {weighted.min():g}")
    return weighted


def _check_unit_interval(array: Array, name: str, slip: str) -> None:
    wrong = np.argwhere(~((array >= 0) & (array <= 1)))
    if len(wrong):
        index = tuple(int(i) for i in wrong[0])
        where = ", ".join(map(str, index))
        raise ParameterError(f"{name}[{where}] is {array[index]:g}, but must lie in [0, 1] ({slip})")
