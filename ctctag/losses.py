r"""Binary cross entropy, from logits and from probabilities: the value and its derivative together.

.. math:: L = -\frac{1}{M} \sum_i w_i \left(t_i \log p_i + (1 - t_i) \log(1 - p_i)\right)

with M the number of entries, clips times classes: PyTorch's ``reduction="mean"``. (CTC has a room of its own,
`ctctag.ctc`.)
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag import numerics
from ctctag._checks import check_float_array
from ctctag.exceptions import ParameterError

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits"]

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
    weighted = check_float_array(weights, "weights").astype(x.dtype, copy=False)
    try:
        weighted = np.broadcast_to(weighted, x.shape)
    except ValueError:
        raise ParameterError(f"weights must broadcast to {x.shape}, got shape {weighted.shape}") from None
    if not (weighted >= 0).all():
        raise ParameterError(f"weights must be at least 0, got {weighted.min():g}")
    return x, wanted, weighted


def _check_unit_interval(array: Array, name: str, slip: str) -> None:
    wrong = np.argwhere(~((array >= 0) & (array <= 1)))
    if len(wrong):
        index = tuple(int(i) for i in wrong[0])
        where = ", ".join(map(str, index))
        raise ParameterError(f"{name}[{where}] is {array[index]:g}, but must lie in [0, 1] ({slip})")
