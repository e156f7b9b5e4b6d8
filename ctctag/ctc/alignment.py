"""Where each label of a known target lies: the most probable single path (Viterbi)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.ctc._engine import run_viterbi
from ctctag.ctc._inputs import check_scores, check_targets, raise_infeasible

__all__ = ["Alignment", "align"]


@dataclass(frozen=True)
class Alignment:
    """The most probable path of a target.

    Attributes
    ----------
    path : ndarray, shape (T,), int64
        The class of each frame; it collapses to the target.
    spans : ndarray, shape (L, 2), int64
        First and last frame of each label.
    score : float
        Log-probability of this one path; never above that of the labelling, which sums over all paths.
    """

    path: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]
    score: float


def align(
    inputs: npt.ArrayLike,
    target: Any,
    input_lengths: npt.ArrayLike | None = None,
    target_lengths: npt.ArrayLike | None = None,
    *,
    blank: int = 0,
    inputs_are: str = "logits",
    check_normalised: bool = True,
) -> Any:
    r"""Find the most probable path that spells the target: Viterbi on CTC's trellis.

    .. math:: v_t(s) = \max[v_{t-1}(s),\, v_{t-1}(s-1),\, \delta_s v_{t-1}(s-2)] + \log y_t(l_s)

    Among equals, staying in a state wins over leaving it, and a blank between over none.

    Parameters
    ----------
    inputs : array_like, shape (T, C) or (N, T, C), float
        Scores of the classes in each frame, of one clip or of N.
    target : array_like or list, int
        The labels of the clip, shape (L,); for N clips as in `ctc_loss`.
    input_lengths, target_lengths : array_like, shape (N,), int, optional
        As in `ctc_loss`.
    blank : int
        The blank class; negative counts from the end.
    inputs_are : {"logits", "log_probs", "probs"}
        What `inputs` holds.
    check_normalised : bool
        Raise if probabilities or log-probabilities do not sum to 1 in each frame.

    Returns
    -------
    Alignment
        For N clips a list of them.

    Raises
    ------
    ParameterError
        As `ctc_loss`, and if a target has no path: too few frames, or none of probability above zero.

    Notes
    -----
    CTC's emissions are peaks: a span covers the frames in which the network says the label, which may be much
    shorter than the event.

    Examples
    --------
    >>> logits = 5 * np.eye(4)[[0, 2, 2, 0, 0, 3]]  # six frames, four classes
    >>> alignment = align(logits, [2, 3])
    >>> alignment.path, alignment.spans.tolist()
    (array([0, 2, 2, 0, 0, 3]), [[1, 2], [5, 5]])
    """
    scores = check_scores(inputs, input_lengths, blank, inputs_are, check_normalised)
    targets = check_targets(target, target_lengths, scores)
    found, paths, spans = run_viterbi(scores, targets)
    lost = np.isneginf(found)
    if lost.any():
        raise_infeasible(int(np.flatnonzero(lost)[0]), scores, targets)
    ends = targets.ends.tolist()
    alignments = [
        Alignment(paths[n, :length], spans[ends[n] : ends[n + 1]], score)
        for n, (length, score) in enumerate(zip(scores.lengths.tolist(), found.tolist(), strict=True))
    ]
    return alignments[0] if scores.single else alignments
