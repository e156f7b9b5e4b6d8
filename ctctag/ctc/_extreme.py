"""Losses of any size: clips beyond the range of the kernels' exponents.

An exponent is an integer of the width of the mantissa beside it, so the kernels take a probability below
2^-(2^28) in float32, 2^-(2^49) in float64, for impossible: losses above 1.8e8, or 3.9e14, which scores of
1e15 reach in one frame. A clip that float32 cannot hold is computed again in float64, and beyond that by
the textbook's scaled numbers, whose exponents have no end (`ctctag.reference.ctc_scaled`).
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.ctc._engine import run_batch, run_lattice
from ctctag.ctc._inputs import KINDS, Scores, Targets, frames_needed
from ctctag.reference.ctc_scaled import (
    ctc_loss_and_grad_scaled,
    ctc_scaled_lattice,
    ctc_scaled_occupancy,
    log_scaled,
)

__all__ = ["run_lattice_of_any_range", "run_of_any_range"]

Array = npt.NDArray[np.float64]

# The largest loss that the kernels hold, by the bytes of a score.
_LARGEST = {4: 2.0**28 * np.log(2), 8: 2.0**49 * np.log(2)}

# From here on the rounding of a logarithm in float64 shows in its exponential.
_LARGEST_LOG = 1e6


def run_of_any_range(
    scores: Scores, targets: Targets, weights: Array | None
) -> tuple[Array, npt.NDArray[Any] | None]:
    """Return what `run_batch` returns, right also where a probability is beyond the kernels' range."""
    losses, grads = run_batch(scores, targets, weights)
    if np.inf not in losses:
        return losses, grads
    for n in np.flatnonzero(np.isposinf(losses)).tolist():
        if frames_needed(targets[n]) > scores.lengths[n] or _reach(scores, n) < _largest(scores):
            continue
        loss, grad = _run_one(scores.clip(n), targets[n], None if weights is None else weights[n])
        losses[n] = loss
        if grads is not None:
            grads[n, : len(grad)] = grad
    return losses, grads


def run_lattice_of_any_range(
    scores: Scores, labels: npt.NDArray[np.int64]
) -> tuple[float, Array, Array, Array]:
    """Return what `run_lattice` returns, right beyond the kernels' range, too, and the occupancy (T, S)."""
    loss, alpha, beta = run_lattice(scores, labels)
    if _reach(scores, 0) < _LARGEST_LOG:
        return loss, alpha, beta, np.zeros_like(alpha) if loss == np.inf else np.exp(alpha + beta + loss)
    rows, denominators = _relative_scores(scores)
    scaled = ctc_scaled_lattice(rows, labels.tolist(), scores.blank)
    total, occupancy = ctc_scaled_occupancy(*scaled)
    alpha, beta = (
        np.array([[log_scaled(number) for number in row] for row in variable]) for variable in scaled
    )
    before = np.cumsum(denominators)
    loss = -log_scaled(total) + float(before[-1])
    return loss, alpha - before[:, None], beta - (before[-1] - before)[:, None], np.array(occupancy)


def _largest(scores: Scores) -> float:
    """Return the largest loss that the kernels can hold."""
    return _LARGEST[scores.x.itemsize]


def _reach(scores: Scores, n: int) -> float:
    """Return the largest loss that a path of clip n may have, or more."""
    x = scores.x[n, : scores.lengths[n]].astype(np.float64)
    if KINDS[scores.kind] == "probs":
        logs = np.log(x, where=x > 0, out=np.zeros_like(x))
        return float(np.abs(logs).max(axis=-1).sum())
    with np.errstate(over="ignore"):
        least = x.min(axis=-1, initial=np.inf, where=x > -np.inf)
        return float(np.subtract(x.max(axis=-1), least, where=least < np.inf, out=np.zeros(len(x))).sum())


def _run_one(
    clip: Scores, labels: npt.NDArray[np.int64], weight: float | None
) -> tuple[float, npt.NDArray[Any]]:
    """Return loss and gradient (T, C) of one clip, in float64 if that has the range."""
    double = replace(clip, x=clip.x.astype(np.float64))
    targets = Targets(labels, np.array([0, len(labels)]), np.array([len(labels)]))
    (loss,), grads = run_batch(double, targets, None if weight is None else np.array([weight]))
    if loss < np.inf or _reach(double, 0) < _largest(double):
        return float(loss), clip.x[0] if grads is None else grads[0]
    assert KINDS[clip.kind] != "probs"  # what float64 holds of them is in the range of float64's kernels
    rows, denominators = _relative_scores(double)
    loss, by_log_y = ctc_loss_and_grad_scaled(rows, labels.tolist(), clip.blank)
    grad = np.array(by_log_y)
    if KINDS[clip.kind] == "logits" and loss < np.inf:
        grad += [np.exp([float(z) for z in row]) for row in rows] / np.exp(denominators)[:, None]
    return loss + denominators.sum(), grad if weight is None else weight * grad


def _relative_scores(scores: Scores) -> tuple[list[list[Decimal]], Array]:
    """Return the exact differences of one clip's logits to their peaks, and the log of each denominator.

    Probabilities become log-probabilities, and those come back as they are, with denominators of 1.
    """
    x = scores.x[0, : scores.lengths[0]].astype(np.float64)
    if KINDS[scores.kind] == "probs":
        with np.errstate(divide="ignore"):
            x = np.log(x)
    if KINDS[scores.kind] != "logits":
        return [[Decimal(v) for v in row] for row in x.tolist()], np.zeros(len(x))
    peaks = x.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        denominators = np.log(np.exp(x - peaks).sum(axis=1))
    pairs = zip(x.tolist(), peaks[:, 0].tolist(), strict=True)
    return [[Decimal(v) - Decimal(peak) for v in row] for row, peak in pairs], denominators
