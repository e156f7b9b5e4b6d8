"""The whole trellis of one clip, for teaching and for pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.ctc._extreme import run_lattice_of_any_range
from ctctag.ctc._inputs import check_scores, check_targets
from ctctag.exceptions import ParameterError

__all__ = ["Lattice", "lattice"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lattice:
    r"""Forward and backward variables of one clip, and what follows from them.

    The emission of frame t is in alpha and not in beta, so that alpha + beta is the log-probability of all
    paths through a state, and its log-sum over the states is ``-loss`` at every frame.

    Attributes
    ----------
    alpha : ndarray, shape (T, S), float64
        :math:`\log \alpha_t(s)`: all beginnings up to frame t, in state s. S is 2 L + 1.
    beta : ndarray, shape (T, S), float64
        :math:`\log \beta_t(s)`: all endings after frame t, from state s.
    occupancy : ndarray, shape (T, S), float64
        :math:`\alpha_t(s) \beta_t(s) / P`, the posterior of each state: rows sum to 1 (to 0 if P = 0).
    class_occupancy : ndarray, shape (T, C), float64
        The same, added up by class: the gradient by the log-probabilities with its sign changed.
    states : ndarray, shape (S,), int64
        The class of each state: the target with blanks before, between and after.
    loss : float
        :math:`-\log P`; ``inf`` if no path is possible.
    """

    alpha: Array
    beta: Array
    occupancy: Array
    class_occupancy: Array
    states: npt.NDArray[np.int64]
    loss: float


def lattice(
    inputs: npt.ArrayLike,
    target: Any,
    *,
    blank: int = 0,
    inputs_are: str = "logits",
    check_normalised: bool = True,
) -> Lattice:
    """Compute the forward-backward lattice of one clip.

    Parameters
    ----------
    inputs : array_like, shape (T, C), float
        Scores of the classes in each frame.
    target : array_like, shape (L,), int
        The labels.
    blank : int
        The blank class; negative counts from the end.
    inputs_are : {"logits", "log_probs", "probs"}
        What `inputs` holds.
    check_normalised : bool
        Raise if probabilities or log-probabilities do not sum to 1 in each frame.

    Returns
    -------
    Lattice
        Always float64; from any input it is computed in float64.

    Raises
    ------
    ParameterError
        As `ctc_loss`, and if `inputs` is a batch.

    References
    ----------
    Hou, Kong, Li 2018, Eqs. 1.2 and 1.3, and figure 1.3.

    Examples
    --------
    >>> trellis = lattice(np.zeros((2, 2)), [1])
    >>> trellis.states
    array([0, 1, 0])
    >>> np.exp(trellis.alpha).round(6)
    array([[0.5 , 0.5 , 0.  ],
           [0.25, 0.5 , 0.25]])
    >>> trellis.occupancy.sum(axis=1).round(6)
    array([1., 1.])
    """
    scores = check_scores(inputs, None, blank, inputs_are, check_normalised, np.float64)
    if not scores.single:
        raise ParameterError(
            f"inputs must be one clip of shape (T, C), got {scores.x.shape} (take one clip of the batch)"
        )
    labels = check_targets(target, None, scores).labels
    loss, alpha, beta, occupancy = run_lattice_of_any_range(scores, labels)
    states = np.full(2 * len(labels) + 1, scores.blank, dtype=np.int64)
    states[1::2] = labels
    classes = np.zeros(scores.x.shape[1:])
    np.add.at(classes, (slice(None), states), occupancy)  # type: ignore[arg-type]
    return Lattice(alpha, beta, occupancy, classes, states, loss)
