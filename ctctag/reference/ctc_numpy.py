"""CTC for one clip in NumPy: the plain recursion with the loop over states turned into array arithmetic.

The convention is that of `ctctag.reference.ctc_recursion`: alpha contains the emission of its frame, beta
does not. What is left in Python is the loop over frames, which is the part that cannot be vectorised: each
row needs the one before.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ctc_lattice_numpy", "ctc_loss_and_grad_numpy"]

Array = npt.NDArray[np.float64]


def ctc_lattice_numpy(
    log_probs: npt.ArrayLike, target: Sequence[int] | npt.NDArray[Any], blank: int = 0
) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Return log alpha, log beta and the extended target of one clip.

    Parameters
    ----------
    log_probs : array_like, shape (T, C), float
        Log-probabilities of the classes in each frame; ``-inf`` is legal.
    target : sequence of int, length L
        The labels, none of them blank.
    blank : int
        The blank class.

    Returns
    -------
    alpha, beta : ndarray, shape (T, 2 L + 1), float64
        In log space.
    states : ndarray, shape (2 L + 1,), int
        The extended target.

    Examples
    --------
    >>> half = np.log(0.5)
    >>> alpha, beta, states = ctc_lattice_numpy(np.full((2, 2), half), [1])
    >>> np.exp(alpha).round(6)
    array([[0.5 , 0.5 , 0.  ],
           [0.25, 0.5 , 0.25]])
    """
    log_y = np.asarray(log_probs, dtype=np.float64)
    states = np.full(2 * len(target) + 1, blank, dtype=np.int64)
    states[1::2] = target
    emission = log_y[:, states]  # (T, S)
    T, S = emission.shape
    skip = np.full(S, -np.inf)
    skip[2:][states[2:] != states[:-2]] = 0.0  # log of the paper's delta

    alpha = np.full((T, S), -np.inf)
    alpha[0, :2] = emission[0, :2]
    for t in range(1, T):
        arriving = alpha[t - 1].copy()
        arriving[1:] = np.logaddexp(arriving[1:], alpha[t - 1, :-1])
        arriving[2:] = np.logaddexp(arriving[2:], alpha[t - 1, :-2] + skip[2:])
        alpha[t] = arriving + emission[t]

    beta = np.full((T, S), -np.inf)
    beta[-1, -2:] = 0.0
    for t in range(T - 2, -1, -1):
        onward = beta[t + 1] + emission[t + 1]
        leaving = onward.copy()
        leaving[:-1] = np.logaddexp(leaving[:-1], onward[1:])
        leaving[:-2] = np.logaddexp(leaving[:-2], onward[2:] + skip[2:])
        beta[t] = leaving
    return alpha, beta, states


def ctc_loss_and_grad_numpy(
    log_probs: npt.ArrayLike, target: Sequence[int] | npt.NDArray[Any], blank: int = 0
) -> tuple[float, Array]:
    """Return the loss of one clip and its derivative by the log-probabilities, minus the occupancy.

    Parameters
    ----------
    log_probs : array_like, shape (T, C), float
        Log-probabilities of the classes in each frame; ``-inf`` is legal.
    target : sequence of int, length L
        The labels, none of them blank.
    blank : int
        The blank class.

    Returns
    -------
    loss : float
        ``inf`` if no path is possible.
    grad : ndarray, shape (T, C), float64
        All zero if no path is possible.

    Examples
    --------
    >>> loss, grad = ctc_loss_and_grad_numpy(np.full((2, 2), np.log(0.5)), [1])
    >>> round(float(np.exp(-loss)), 6)
    0.75
    """
    alpha, beta, states = ctc_lattice_numpy(log_probs, target, blank)
    grad = np.zeros(np.shape(log_probs))
    log_total = np.logaddexp.reduce(alpha[-1, -2:])
    if log_total == -np.inf:
        return np.inf, grad
    occupancy = np.exp(alpha + beta - log_total)  # (T, S)
    np.subtract.at(grad, (slice(None), states), occupancy)  # type: ignore[arg-type]
    return float(-log_total), grad
