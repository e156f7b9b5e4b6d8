"""From a checked batch to kernel calls, one a clip."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._threads import run_tasks
from ctctag.ctc._inputs import Scores, Targets
from ctctag.ctc._kernel import clip_loss

__all__ = ["run_batch"]


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
