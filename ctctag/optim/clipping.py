"""Clipping of gradients by their common norm."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_number
from ctctag.exceptions import ParameterError

__all__ = ["clip_gradient_norm", "gradient_norm"]

Array = npt.NDArray[Any]


def gradient_norm(grads: Mapping[str, Array]) -> float:
    """Return the Euclidean norm of all gradients together.

    Examples
    --------
    >>> gradient_norm({"a": np.array([3.0]), "b": np.array([4.0])})
    5.0
    """
    return float(np.sqrt(sum(float(np.square(grad, dtype=np.float64).sum()) for grad in grads.values())))


def clip_gradient_norm(grads: Mapping[str, Array], max_norm: float) -> float:
    """Shrink all gradients together, in place, so that their common norm is at most `max_norm`.

    Parameters
    ----------
    grads : dict of ndarray
        Changed in place where the norm is larger.
    max_norm : float
        Above 0.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    ParameterError
        If the norm is not finite: a step would destroy the weights.

    Examples
    --------
    >>> grads = {"a": np.array([3.0]), "b": np.array([4.0])}
    >>> clip_gradient_norm(grads, 1.0)
    5.0
    >>> grads["a"], grads["b"]
    (array([0.6]), array([0.8]))
    """
    max_norm = check_number(max_norm, "max_norm", low=0, exclude_low=True)
    norm = gradient_norm(grads)
    if not np.isfinite(norm):
        name = next((name for name, grad in grads.items() if not np.isfinite(grad).all()), None)
        where = f"grads[{name!r}] holds NaN or infinity" if name else "the gradients are too large to square"
        raise ParameterError(f"{where}, so they cannot be clipped (is the learning rate too high?)")
    if norm > max_norm:
        for grad in grads.values():
            grad *= max_norm / norm
    return norm
