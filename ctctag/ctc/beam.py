"""Prefix beam search: the most probable labellings, not only the most probable path."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer
from ctctag._threads import run_tasks
from ctctag.ctc._engine import log_normalisers
from ctctag.ctc._extreme import run_of_any_range
from ctctag.ctc._inputs import KINDS, Scores, Targets, check_scores
from ctctag.ctc.alignment import align
from ctctag.ctc.decoding import Decoded
from ctctag.exceptions import ParameterError

__all__ = ["beam_search"]

Array = npt.NDArray[np.float64]


def beam_search(
    inputs: npt.ArrayLike,
    input_lengths: npt.ArrayLike | None = None,
    *,
    beam_width: int = 16,
    n_best: int = 1,
    blank: int = 0,
    inputs_are: str = "logits",
    check_normalised: bool = True,
) -> list[Any]:
    """Search for the `n_best` most probable labellings, adding up the paths that spell the same.

    Frame by frame the `beam_width` most probable prefixes are kept, each with the probability of its paths
    that end in a blank and of those that do not. The final candidates are scored exactly, by the forward
    pass over all their paths, and sorted by that. A labelling whose prefix was dropped on the way is missed.

    Parameters
    ----------
    inputs : array_like, shape (N, T, C) or (T, C), float
        Scores of the classes in each frame.
    input_lengths : array_like, shape (N,), int, optional
        Valid frames of each clip; T if not given.
    beam_width : int
        Prefixes kept in each frame, at least `n_best`. Cost grows linearly with it.
    n_best : int
        Labellings returned, at most: fewer if fewer are possible.
    blank : int
        The blank class; negative counts from the end.
    inputs_are : {"logits", "log_probs", "probs"}
        What `inputs` holds.
    check_normalised : bool
        Raise if probabilities or log-probabilities do not sum to 1 in each frame.

    Returns
    -------
    list of list of Decoded
        For each clip its labellings, best first; for one clip (T, C) just that list. The scores are exact
        log-probabilities of the labellings, the spans those of their best paths (see `align`).

    Raises
    ------
    ParameterError
        As `ctc_loss`.

    References
    ----------
    Graves and Jaitly, "Towards End-To-End Speech Recognition with Recurrent Neural Networks", ICML 2014,
    algorithm 1.

    Examples
    --------
    The best path says nothing at all, with probability 0.36; yet "1" has 0.64:

    >>> best, second = beam_search([[0.6, 0.4], [0.6, 0.4]], inputs_are="probs", n_best=2)
    >>> best.labels, round(float(np.exp(best.score)), 6)
    (array([1]), 0.64)
    >>> second.labels.size, round(float(np.exp(second.score)), 6)
    (0, 0.36)
    """
    n_best = check_integer(n_best, "n_best", low=1)
    beam_width = check_integer(beam_width, "beam_width", low=1)
    if beam_width < n_best:
        raise ParameterError(f"beam_width must be at least n_best = {n_best}, got {beam_width}")
    scores = check_scores(inputs, input_lengths, blank, inputs_are, check_normalised)
    normalisers = log_normalisers(scores)
    found: list[list[Decoded]] = [[] for _ in scores.x]

    def run(n: int) -> None:
        rows = scores.x[n, : scores.lengths[n]].astype(np.float64)
        with np.errstate(divide="ignore"):
            log_y = (
                np.log(rows) if KINDS[scores.kind] == "probs" else rows - normalisers[n, : len(rows), None]
            )
        candidates = _prefixes(log_y, scores.blank, beam_width)
        found[n] = _exact(candidates, scores, n, n_best)

    run_tasks(run, range(len(found)))
    return found[0] if scores.single else found


def _prefixes(log_y: Array, blank: int, beam_width: int) -> list[list[int]]:
    """Return the labellings in the beam after the last frame."""
    # A tree of prefixes: each has a parent and a last label; the empty one is its own parent.
    parents, labels, children = [0], [blank], {}
    nodes = np.array([0])
    ends_blank, ends_label = np.array([0.0]), np.array([-np.inf])
    C = log_y.shape[1]
    for row in log_y:
        last = np.array([labels[node] for node in nodes])
        total = np.logaddexp(ends_blank, ends_label)
        longer = total[:, None] + row  # (beam, C): the prefix with one more label
        here = np.arange(len(nodes))
        longer[here, last] = ends_blank + row[last]  # a repeat needs a blank between
        longer[:, blank] = -np.inf
        ends_blank, ends_label = total + row[blank], ends_label + row[last]
        place = {int(node): i for i, node in enumerate(nodes)}
        for i, node in enumerate(nodes):
            j = place.get(parents[node])
            if node and j is not None:  # the parent, made longer, is this same prefix
                ends_label[i] = np.logaddexp(ends_label[i], longer[j, last[i]])
                longer[j, last[i]] = -np.inf
        kept = np.concatenate([np.logaddexp(ends_blank, ends_label), longer.ravel()])
        order = np.argsort(-kept, kind="stable")[:beam_width]
        order = order[kept[order] > -np.inf]
        new_nodes, new_blank, new_label = [], [], []
        for choice in order:
            if choice < len(nodes):
                new_nodes.append(int(nodes[choice]))
                new_blank.append(ends_blank[choice])
                new_label.append(ends_label[choice])
                continue
            i, k = divmod(int(choice) - len(nodes), C)
            key = (int(nodes[i]), k)
            if key not in children:
                children[key] = len(parents)
                parents.append(key[0])
                labels.append(k)
            new_nodes.append(children[key])
            new_blank.append(-np.inf)
            new_label.append(kept[choice])
        nodes, ends_blank, ends_label = np.array(new_nodes), np.array(new_blank), np.array(new_label)

    def spell(node: int) -> list[int]:
        spelt = []
        while node:
            spelt.append(labels[node])
            node = parents[node]
        return spelt[::-1]

    return [spell(int(node)) for node in nodes]


def _exact(candidates: list[list[int]], scores: Scores, n: int, n_best: int) -> list[Decoded]:
    """Score the candidates by the forward pass; return the best of them with their spans."""
    clip = scores.clip(n)
    B = len(candidates)
    many = Scores(
        clip.x.repeat(B, axis=0),
        clip.lengths.repeat(B),
        clip.dtype,
        False,
        clip.blank,
        clip.kind,
        np.inf,
    )
    sizes = np.array([len(labels) for labels in candidates], dtype=np.int64)
    ends = np.zeros(B + 1, dtype=np.int64)
    np.cumsum(sizes, out=ends[1:])
    joined = np.array([label for labels in candidates for label in labels], dtype=np.int64)
    exact = -run_of_any_range(many, Targets(joined, ends, sizes), None)[0]
    best = sorted(range(B), key=lambda b: (-exact[b], candidates[b]))[:n_best]
    kind = KINDS[clip.kind]
    return [
        Decoded(
            np.array(candidates[b], dtype=np.int64),
            align(clip.x[0], candidates[b], blank=clip.blank, inputs_are=kind, check_normalised=False).spans,
            float(exact[b]) + 0.0,
        )
        for b in best
        if exact[b] > -np.inf
    ]
