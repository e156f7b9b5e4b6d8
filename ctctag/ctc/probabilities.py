"""Exact answers about the labelling, from the frames alone."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._threads import run_tasks
from ctctag.ctc._inputs import check_scores
from ctctag.ctc._rows import noisy_or, row_memory

__all__ = ["tag_probs"]


def tag_probs(
    inputs: npt.ArrayLike,
    input_lengths: npt.ArrayLike | None = None,
    *,
    inputs_are: str = "logits",
    check_normalised: bool = True,
) -> npt.NDArray[Any]:
    r"""Compute the exact probability that each class occurs in the labelling.

    .. math:: P(k \text{ occurs}) = 1 - \prod_t (1 - y_t(k))

    CTC takes frames as independent given the input, and a class is in the collapsed labelling exactly if it
    is somewhere on the path. So the noisy-or is no heuristic here but the answer; the maximum over frames is
    only a lower bound.

    Parameters
    ----------
    inputs : array_like, shape (N, T, C) or (T, C), float
        Scores of the classes in each frame.
    input_lengths : array_like, shape (N,), int, optional
        Valid frames of each clip; T if not given.
    inputs_are : {"logits", "log_probs", "probs"}
        What `inputs` holds.
    check_normalised : bool
        Raise if probabilities or log-probabilities do not sum to 1 in each frame.

    Returns
    -------
    ndarray, shape (N, C) or (C,)
        In [0, 1], the dtype of `inputs`. The column of the blank is the probability that some frame is blank.

    Raises
    ------
    ParameterError
        As `ctc_loss`.

    Examples
    --------
    >>> tag_probs([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]], inputs_are="probs")
    array([0.75, 0.5 , 0.5 ])
    """
    scores = check_scores(inputs, input_lengths, 0, inputs_are, check_normalised)
    N, _, C = scores.x.shape
    probs = np.empty((N, C))
    bad = np.empty(N, dtype=np.int64)

    def run(n: int) -> None:
        bad[n] = noisy_or(
            scores.x[n].reshape(-1),
            scores.lengths[n],
            C,
            scores.kind,
            scores.tolerance,
            row_memory(scores.x.dtype),
            np.empty(C, scores.x.dtype),
            probs[n],
        )

    run_tasks(run, range(N))
    for n in np.flatnonzero(bad >= 0):
        scores.explain_frame(int(n), int(bad[n]))
    probs = probs.astype(scores.dtype)
    return probs[0] if scores.single else probs
