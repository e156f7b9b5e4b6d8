"""From a checked batch to kernel calls, several clips a call."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._threads import run_tasks
from ctctag.ctc import _kernel
from ctctag.ctc._inputs import Scores, Targets

__all__ = ["ROOM", "log_normalisers", "run_batch", "run_lattice"]

# Bytes of lattice that a clip may keep; beyond, it is computed in blocks (see `_kernel.clip_loss`).
ROOM = 1 << 20

# Work of about this size, in lattice cells and scores, is one task: enough to be worth handing to a thread.
_GRAIN = 100_000


def run_batch(
    scores: Scores, targets: Targets, weights: npt.NDArray[np.float64] | None, room: int = ROOM
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any] | None]:
    """Return the losses, shape (N,), and the gradient of their sum weighted by `weights`, if not None."""
    x = scores.x
    N = len(x)
    losses = np.empty(N)
    bad = np.empty(N, dtype=np.int64)
    with_grad = weights is not None
    grad = np.empty_like(x) if with_grad else x[:1]
    scales = np.ones(N) if weights is None else weights

    def run(clips: npt.NDArray[np.int64]) -> None:
        _kernel.clip_losses(
            x,
            scores.lengths,
            scores.kind,
            scores.tolerance,
            targets.labels,
            targets.ends,
            scores.blank,
            scales,
            room,
            clips,
            with_grad,
            grad,
            losses,
            bad,
        )

    run_tasks(run, _cut(scores, targets))
    if bad.max() >= 0:
        clip = int(np.flatnonzero(bad >= 0)[0])
        scores.explain_frame(clip, int(bad[clip]))
    if scores.kind == 0 or scores.tolerance < np.inf:
        np.maximum(losses, 0.0, out=losses)  # a loss below zero is rounding
    return losses, grad if with_grad else None


def _cut(scores: Scores, targets: Targets) -> list[npt.NDArray[np.int64]]:
    """Cut the batch into tasks of some size, the dearest clips first."""
    N, _, C = scores.x.shape
    if N == 1:
        return [np.arange(1)]
    cost = scores.lengths * (np.diff(targets.ends) * 4 + C + 60)
    if cost.sum() <= 2 * _GRAIN:
        return [np.arange(N)]
    order = np.argsort(-cost, kind="stable")
    task = np.cumsum(cost[order]) // _GRAIN
    return np.split(order, np.flatnonzero(np.diff(task)) + 1)


def log_normalisers(scores: Scores) -> npt.NDArray[np.float64]:
    """Check the values; return what to subtract from each frame's scores to get log-probabilities."""
    N, T, _ = scores.x.shape
    shifts = np.zeros((N, T))
    bad = np.empty(N, dtype=np.int64)

    def run(n: int) -> None:
        length = int(scores.lengths[n])
        bad[n] = _kernel.log_normalisers(scores.x[n, :length], scores.kind, scores.tolerance, shifts[n])

    run_tasks(run, range(N))
    for n in np.flatnonzero(bad >= 0):
        scores.explain_frame(int(n), int(bad[n]))
    return shifts


def run_lattice(
    scores: Scores, labels: npt.NDArray[np.int64]
) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return loss, log alpha and log beta of one clip."""
    x = scores.x[0]
    alpha = np.empty((len(x), 2 * len(labels) + 1))
    beta = np.empty_like(alpha)
    bad = _kernel.log_lattice(x, scores.kind, scores.tolerance, labels, scores.blank, alpha, beta)
    if bad >= 0:
        scores.explain_frame(0, bad)
    return -float(np.logaddexp.reduce(alpha[-1, -2:])), alpha, beta
