"""The most probable path that spells a target: the trellis with a maximum where the loss has a sum."""

import numpy as np

from ctctag._jit import jit

__all__ = ["viterbi"]


@jit
def viterbi(x, is_probs, labels, blank, moves_blank, moves_label, rows, path, spans):
    """Find the best path of one clip; return the sum of its scores, or -inf if there is none.

    Blanks and labels have rows of their own: state 2i is blank i, state 2i + 1 is label i. Among equals,
    staying wins over moving on, and moving from the blank over skipping it.

    Parameters
    ----------
    x : ndarray, shape (T, C)
        Scores to be added up (to be multiplied, if `is_probs`).
    labels : ndarray, shape (L,), int64
    moves_blank : ndarray, shape (T, L + 1), uint8
        Written in place: 0 stayed, 1 came from the label before.
    moves_label : ndarray, shape (T, L), uint8
        Written in place: 0 stayed, 1 came from the blank before, 2 from the label before that.
    rows : ndarray, shape (5, L + 1), float64
        Working memory.
    path : ndarray, shape (T,), int64
        Written in place: the class of each frame.
    spans : ndarray, shape (L, 2), int64
        Written in place: first and last frame of each label.
    """
    T = x.shape[0]
    L = labels.size
    score_blank, score_label = rows[0], rows[1]
    next_blank, next_label = rows[2], rows[3]
    emission = rows[4]
    rows[:] = -np.inf
    score_blank[0] = 0.0  # a blank before the first frame: it may stay, or move to the first label
    for t in range(T):
        # States that the start can have reached by now, and from which the end can still be reached.
        high = min(L, t + 1)
        low = max(0, L - (T - t))
        for i in range(low, high):
            emission[i] = x[t, labels[i]]
        at_blank = float(x[t, blank])
        if is_probs:
            for i in range(low, high):
                emission[i] = np.log(emission[i]) if emission[i] > 0.0 else -np.inf
            at_blank = np.log(at_blank) if at_blank > 0.0 else -np.inf
        if low == 0:
            next_blank[0] = score_blank[0] + at_blank
            moves_blank[t, 0] = 0
        for i in range(max(low, 1), high + 1):
            moved = score_label[i - 1] > score_blank[i]
            next_blank[i] = (score_label[i - 1] if moved else score_blank[i]) + at_blank
            moves_blank[t, i] = moved
        for i in range(low, high):
            best, move = score_label[i], 0
            if score_blank[i] > best:
                best, move = score_blank[i], 1
            if i > 0 and labels[i] != labels[i - 1] and score_label[i - 1] > best:
                best, move = score_label[i - 1], 2
            next_label[i] = best + emission[i]
            moves_label[t, i] = move
        score_blank, next_blank = next_blank, score_blank
        score_label, next_label = next_label, score_label

    at_label = L > 0 and score_label[L - 1] > score_blank[L]
    best = score_label[L - 1] if at_label else score_blank[L]
    if best == -np.inf:
        return best
    i = L
    if at_label:
        i -= 1
        spans[i, 1] = T - 1
    for t in range(T - 1, -1, -1):
        if at_label:
            path[t] = labels[i]
            spans[i, 0] = t
            move = moves_label[t, i]
            if move == 1:
                at_label = False
            elif move == 2:
                i -= 1
                spans[i, 1] = t - 1
        else:
            path[t] = blank
            if moves_blank[t, i] == 1:
                at_label = True
                i -= 1
                spans[i, 1] = t - 1
    return best
