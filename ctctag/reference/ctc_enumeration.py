r"""CTC by brute force: write down every path, collapse it, add up. Nothing here can be subtly wrong.

A path chooses one class in each frame; its probability is the product of the chosen :math:`y_t(k)`, because
CTC takes frames as independent given the input. The labelling of a path is what is left when repeats are
merged and blanks dropped (`collapse`, the paper's mapping :math:`\beta`). All :math:`C^T` paths are visited,
so this is for T up to 6 or so: it is the oracle that every other rung of the ladder is held against.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "CtcSums",
    "best_labelling",
    "collapse",
    "ctc_by_enumeration",
    "ctc_labellings",
    "ctc_paths",
    "tag_probs_by_enumeration",
]

Rows = Sequence[Sequence[float]]


@dataclass(frozen=True)
class CtcSums:
    r"""What the paths of one target add up to.

    Attributes
    ----------
    probability : float
        :math:`P`, the sum over all paths that collapse to the target.
    loss : float
        :math:`-\log P`; ``inf`` if there is no such path.
    occupancy : list of list of float, shape (T, C)
        The share of :math:`P` whose paths are in class k at frame t: each row sums to 1. All zero if
        :math:`P = 0`.
    grad_logits, grad_log_probs, grad_probs : list of list of float, shape (T, C)
        The derivative of the loss by the logits under a softmax (:math:`y - \text{occupancy}`), by the
        log-probabilities (:math:`-\text{occupancy}`) and by the probabilities. All zero if :math:`P = 0`.
    """

    probability: float
    loss: float
    occupancy: list[list[float]]
    grad_logits: list[list[float]]
    grad_log_probs: list[list[float]]
    grad_probs: list[list[float]]


def collapse(path: Sequence[int], blank: int = 0) -> tuple[int, ...]:
    """Merge repeats, then drop blanks: the labelling that a path stands for.

    Parameters
    ----------
    path : sequence of int, length T
        One class for each frame.
    blank : int
        The blank class.

    Returns
    -------
    tuple of int

    Examples
    --------
    The paper's example, with C A T = 1 2 3 and the blank 0:

    >>> collapse([1, 0, 2, 3, 0]), collapse([0, 1, 1, 0, 0, 2, 3, 3])
    ((1, 2, 3), (1, 2, 3))
    >>> collapse([1, 1, 0, 1])  # a blank between them keeps equal labels apart
    (1, 1)
    """
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def ctc_paths(frames: int, classes: int) -> Iterator[tuple[int, ...]]:
    """Yield every path: all ``classes ** frames`` of them.

    Parameters
    ----------
    frames : int
        T.
    classes : int
        C, the blank included.

    Examples
    --------
    >>> list(ctc_paths(2, 2))
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    return itertools.product(range(classes), repeat=frames)


def ctc_labellings(probs: Rows, blank: int = 0) -> dict[tuple[int, ...], float]:
    """Return the probability of each labelling that some path collapses to.

    Parameters
    ----------
    probs : sequence of rows, shape (T, C)
        Probabilities of the classes in each frame.
    blank : int
        The blank class.

    Returns
    -------
    dict
        From labelling to probability. The values sum to 1.

    Examples
    --------
    >>> ctc_labellings([[0.5, 0.5], [0.5, 0.5]])
    {(): 0.25, (1,): 0.75}
    """
    labellings: dict[tuple[int, ...], float] = {}
    for path in ctc_paths(len(probs), len(probs[0])):
        labelling = collapse(path, blank)
        labellings[labelling] = labellings.get(labelling, 0.0) + _probability(probs, path)
    return labellings


def best_labelling(probs: Rows, blank: int = 0) -> tuple[tuple[int, ...], float]:
    """Return the most probable labelling and its probability; the first in order if several are.

    This is not the labelling of the most probable path, which best-path decoding gives.

    Parameters
    ----------
    probs : sequence of rows, shape (T, C)
        Probabilities of the classes in each frame.
    blank : int
        The blank class.

    Examples
    --------
    Best path says "nothing" (0.6 · 0.6 = 0.36), yet the label is more probable:

    >>> labelling, probability = best_labelling([[0.6, 0.4], [0.6, 0.4]])
    >>> labelling, round(probability, 6)
    ((1,), 0.64)
    """
    return max(sorted(ctc_labellings(probs, blank).items()), key=lambda item: item[1])


def ctc_by_enumeration(probs: Rows, target: Sequence[int], blank: int = 0) -> CtcSums:
    """Sum over all paths that collapse to `target`: probability, loss, occupancy and gradients.

    Parameters
    ----------
    probs : sequence of rows, shape (T, C)
        Probabilities of the classes in each frame.
    target : sequence of int, length L
        The labels, none of them blank.
    blank : int
        The blank class.

    Returns
    -------
    CtcSums

    Examples
    --------
    >>> sums = ctc_by_enumeration([[0.6, 0.4], [0.6, 0.4]], [1])
    >>> round(sums.probability, 6)
    0.64
    """
    frames, classes = len(probs), len(probs[0])
    wanted = tuple(int(label) for label in target)
    total = 0.0
    through = [[0.0] * classes for _ in range(frames)]  # probability of the target's paths through (t, k)
    others = [[0.0] * classes for _ in range(frames)]  # the same without the factor y_t(k): its derivative
    for path in ctc_paths(frames, classes):
        if collapse(path, blank) != wanted:
            continue
        probability = _probability(probs, path)
        total += probability
        for t, k in enumerate(path):
            through[t][k] += probability
            others[t][k] += math.prod(float(probs[u][j]) for u, j in enumerate(path) if u != t)
    if total == 0.0:
        zero = [[0.0] * classes for _ in range(frames)]
        return CtcSums(0.0, math.inf, zero, zero, zero, zero)
    occupancy = [[value / total for value in row] for row in through]
    return CtcSums(
        probability=total,
        loss=-math.log(total),
        occupancy=occupancy,
        grad_logits=[
            [float(y) - value for y, value in zip(*rows, strict=True)]
            for rows in zip(probs, occupancy, strict=True)
        ],
        grad_log_probs=[[-value for value in row] for row in occupancy],
        grad_probs=[[-value / total for value in row] for row in others],
    )


def tag_probs_by_enumeration(probs: Rows, blank: int = 0) -> list[float]:
    """Return, for each class, the probability that it occurs in the labelling; for the blank, in the path.

    Parameters
    ----------
    probs : sequence of rows, shape (T, C)
        Probabilities of the classes in each frame.
    blank : int
        The blank class. It makes no difference: a class is in the labelling exactly if it is in the path.

    Examples
    --------
    >>> [round(p, 6) for p in tag_probs_by_enumeration([[0.6, 0.4], [0.6, 0.4]])]
    [0.84, 0.64]
    """
    tags = [0.0] * len(probs[0])
    for path in ctc_paths(len(probs), len(probs[0])):
        probability = _probability(probs, path)
        for k in {*collapse(path, blank), *([blank] if blank in path else [])}:
            tags[k] += probability
    return tags


def _probability(probs: Rows, path: Sequence[int]) -> float:
    return math.prod(float(row[k]) for row, k in zip(probs, path, strict=True))
