r"""The most probable path of a target, in plain Python: the forward recursion with max in place of the sum.

.. math:: v_t(s) = \max[v_{t-1}(s),\, v_{t-1}(s-1),\, \delta_s v_{t-1}(s-2)] + \log y_t(l_s)

Each state remembers where its maximum came from; the path is read back from the better of the last
two states.
"""

import math
from collections.abc import Sequence

from ctctag.reference.ctc_recursion import Rows, extend, skips

__all__ = ["ctc_viterbi"]


def ctc_viterbi(log_probs: Rows, target: Sequence[int], blank: int = 0) -> tuple[float, list[int]]:
    """Return log-probability and classes of the most probable path that collapses to the target.

    Among equals, staying in a state wins over leaving it, and a blank between over none.

    Parameters
    ----------
    log_probs : sequence of rows, shape (T, C)
        Log-probabilities of the classes in each frame; ``-inf`` is legal.
    target : sequence of int, length L
        The labels, none of them blank.
    blank : int
        The blank class.

    Returns
    -------
    score : float
        ``-inf`` if no path is possible.
    path : list of int, length T
        The class of each frame; empty if no path is possible.

    Examples
    --------
    >>> score, path = ctc_viterbi([[-0.5, -0.9], [-0.6, -0.8]], [1])
    >>> round(score, 6), path
    (-1.3, [0, 1])
    """
    states = extend(target, blank)
    skip = skips(states)
    scores = [float(log_probs[0][k]) if s < 2 else -math.inf for s, k in enumerate(states)]
    came_from = []  # (T - 1, S)
    for log_y in log_probs[1:]:
        moves = []
        for s in range(len(states)):
            best = s
            if s >= 1 and scores[s - 1] > scores[best]:
                best = s - 1
            if skip[s] and scores[s - 2] > scores[best]:
                best = s - 2
            moves.append(best)
        scores = [scores[best] + float(log_y[k]) for best, k in zip(moves, states, strict=True)]
        came_from.append(moves)
    s = len(states) - 1
    if s > 0 and scores[s - 1] > scores[s]:
        s -= 1
    score = scores[s]
    if score == -math.inf:
        return score, []
    path = [states[s]]
    for moves in reversed(came_from):
        s = moves[s]
        path.append(states[s])
    return score, path[::-1]
