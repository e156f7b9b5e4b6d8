"""From a checked batch to kernel calls, one a clip."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._threads import run_tasks
from ctctag.ctc._inputs import Scores, Targets
from ctctag.ctc._kernel import clip_loss, log_lattice, log_rows

__all__ = ["log_normalisers", "run_batch", "run_lattice"]


def run_batch(
    scores: Scores, targets: Targets, weights: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any] | None]:
    """Return the losses, shape (N,), and the gradient of their sum weighted by `weights`, if not None."""
    x = scores.x
    N = len(x)
    losses = np.empty(N)
    bad = np.empty(N, dtype=np.int64)
    grad = None if weights is None else np.zeros_like(x)

    def run(n: int) -> None:
        T, labels = int(scores.lengths[n]), targets[n]
        shape = (T, 2 * len(labels) + 1)
        losses[n], bad[n] = clip_loss(
            x[n, :T],
            scores.kind,
            scores.tolerance,
            labels,
            scores.blank,
            1.0 if weights is None else weights[n],
            np.empty((T, x.shape[2])),
            np.empty(shape),
            np.empty(shape),
            grad is not None,
            x[n, :0] if grad is None else grad[n, :T],
        )

    run_tasks(run, range(N))
    for n in np.flatnonzero(bad >= 0):
        scores.explain_frame(int(n), int(bad[n]))
    if scores.kind == 0 or scores.tolerance < np.inf:
        np.maximum(losses, 0.0, out=losses)  # a loss below zero is rounding
    return losses, grad


def log_normalisers(scores: Scores) -> npt.NDArray[np.float64]:
    """Check the values; return what to subtract from each frame's scores to get log-probabilities."""
    N, T, _ = scores.x.shape
    shifts = np.zeros((N, T))
    for n in range(N):
        x = scores.x[n, : scores.lengths[n]]
        out = np.empty(x.shape)
        bad = log_rows(x, scores.kind, scores.tolerance, out)
        if bad >= 0:
            scores.explain_frame(n, bad)
        if scores.kind == 0:
            k = x.argmax(axis=1)
            rows = np.arange(len(x))
            shifts[n, : len(x)] = x[rows, k] - out[rows, k]
    return shifts


def run_lattice(
    scores: Scores, labels: npt.NDArray[np.int64]
) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return loss, log alpha and log beta of one clip."""
    x = scores.x[0]
    log_y = np.empty(x.shape)
    bad = log_rows(x, scores.kind, scores.tolerance, log_y)
    if bad >= 0:
        scores.explain_frame(0, bad)
    alpha = np.empty((len(x), 2 * len(labels) + 1))
    beta = np.empty_like(alpha)
    loss = -float(log_lattice(log_y, labels, scores.blank, alpha, beta))
    return loss, alpha, beta
