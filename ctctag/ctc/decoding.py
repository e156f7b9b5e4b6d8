"""From scores to labels: the best path, with the exact probability of what it spells."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.ctc._engine import run_greedy
from ctctag.ctc._extreme import run_of_any_range
from ctctag.ctc._inputs import Targets, check_scores

__all__ = ["Decoded", "best_path"]


@dataclass(frozen=True)
class Decoded:
    """A labelling found in one clip.

    Attributes
    ----------
    labels : ndarray, shape (L,), int64
        Classes in order, none of them blank.
    spans : ndarray, shape (L, 2), int64
        First and last frame of each label on the path it was read from.
    score : float
        Exact log-probability of the labelling: summed over *all* its paths. NaN only if not asked for.
    """

    labels: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]
    score: float


def best_path(
    inputs: npt.ArrayLike,
    input_lengths: npt.ArrayLike | None = None,
    *,
    blank: int = 0,
    inputs_are: str = "logits",
    check_normalised: bool = True,
    with_scores: bool = True,
) -> Any:
    """Decode by best path: the most probable class of each frame, repeats merged, blanks dropped.

    The best path need not spell the best labelling, which gathers the probability of many paths. The score
    tells how probable the labelling is; `beam_search` looks further.

    Parameters
    ----------
    inputs : array_like, shape (N, T, C) or (T, C), float
        Scores of the classes in each frame. Of equal scores in a frame, the first class wins.
    input_lengths : array_like, shape (N,), int, optional
        Valid frames of each clip; T if not given.
    blank : int
        The blank class; negative counts from the end.
    inputs_are : {"logits", "log_probs", "probs"}
        What `inputs` holds.
    check_normalised : bool
        Raise if probabilities or log-probabilities do not sum to 1 in each frame.
    with_scores : bool
        Compute the exact scores, which costs a forward pass; if not, they are NaN, and the values of `inputs`
        are compared but not checked.

    Returns
    -------
    list of Decoded
        One for each clip; for one clip (T, C) just a `Decoded`.

    Raises
    ------
    ParameterError
        As `ctc_loss`.

    References
    ----------
    Graves et al., "Connectionist Temporal Classification", ICML 2006, section 3.2.

    Examples
    --------
    >>> logits = 5 * np.eye(4)[[0, 2, 2, 0, 0, 3]]  # six frames, four classes
    >>> heard = best_path(logits)
    >>> heard.labels, heard.spans.tolist(), round(heard.score, 3)
    (array([2, 3]), [[1, 2], [5, 5]], -0.086)
    """
    scores = check_scores(inputs, input_lengths, blank, inputs_are, check_normalised)
    N, T, _ = scores.x.shape
    labels, spans, found = run_greedy(scores)
    if with_scores:
        ends = np.zeros(N + 1, dtype=np.int64)
        np.cumsum(found, out=ends[1:])
        used = np.arange(T) < found[:, None]
        values = -run_of_any_range(scores, Targets(labels[used], ends, found), None)[0]
    else:
        values = np.full(N, np.nan)
    decoded = [
        Decoded(labels[n, :count].copy(), spans[n, :count].copy(), value + 0.0)
        for n, (count, value) in enumerate(zip(found.tolist(), values.tolist(), strict=True))
    ]
    return decoded[0] if scores.single else decoded
