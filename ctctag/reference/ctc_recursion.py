r"""CTC's forward and backward variables, as the paper writes them, in plain Python.

The target :math:`z` of length L is extended to :math:`l` of length :math:`S = 2L + 1` by a blank before,
between and after the labels (`extend`). A path through the trellis stays in its state, moves to the next one,
or skips a blank between two different labels. With :math:`y_t(k)` the probability of class k in frame t, and
:math:`\delta_s = 1` if :math:`l_s \ne l_{s-2}` (so never into a blank) and 0 otherwise:

.. math::

    \alpha_1(s) &= y_1(l_s) \text{ for } s \le 2, \quad 0 \text{ otherwise} \\
    \alpha_t(s) &= [\alpha_{t-1}(s) + \alpha_{t-1}(s-1) + \delta_s \alpha_{t-1}(s-2)]\, y_t(l_s)

and, its mirror,

.. math::

    \beta_T(s) &= 1 \text{ for } s \ge S - 1, \quad 0 \text{ otherwise} \\
    \beta_t(s) &= \beta_{t+1}(s)\, y_{t+1}(l_s) + \beta_{t+1}(s+1)\, y_{t+1}(l_{s+1})
                  + \delta_{s+2}\, \beta_{t+1}(s+2)\, y_{t+1}(l_{s+2})

**The convention**: :math:`\alpha_t` contains the emission of frame t and :math:`\beta_t` does not, so each
emission is counted once. Then :math:`P = \sum_s \alpha_t(s) \beta_t(s)` at *every* frame, and the occupancy
is :math:`\gamma_t(s) = \alpha_t(s) \beta_t(s) / P` without dividing by :math:`y`. (Graves lets both contain
:math:`y_t`, and must divide once; doing so twice, or never, is the classic mistake.)

Products of many probabilities underflow, so each function has a twin in log space, where products are sums
and sums are `log_add`.

References
----------
Hou, Kong, Li, "Audio Tagging With Connectionist Temporal Classification Model Using Sequential Labelled
Data", 2018, equations 1.2 and 1.3; Graves et al., "Connectionist Temporal Classification", 2006, section 4.
"""

import math
from collections.abc import Sequence

__all__ = [
    "ctc_alpha",
    "ctc_beta",
    "ctc_log_alpha",
    "ctc_log_beta",
    "ctc_loss_and_grad_plain",
    "ctc_occupancy",
    "extend",
    "log_add_plain",
    "skips",
]

Rows = Sequence[Sequence[float]]
Lattice = list[list[float]]


def extend(target: Sequence[int], blank: int = 0) -> list[int]:
    """Put a blank before, between and after the labels.

    Examples
    --------
    >>> extend([3, 1, 2])
    [0, 3, 0, 1, 0, 2, 0]
    """
    states = [blank]
    for label in target:
        states += [int(label), blank]
    return states


def skips(states: Sequence[int]) -> list[bool]:
    """Tell for each state whether it can be reached from the state two before: the paper's delta.

    Examples
    --------
    >>> skips(extend([1, 1, 2]))  # not into a blank, not between equal labels, not from before the start
    [False, False, False, False, False, True, False]
    """
    return [s >= 2 and label != states[s - 2] for s, label in enumerate(states)]


def ctc_alpha(probs: Rows, target: Sequence[int], blank: int = 0) -> Lattice:
    """Return the forward variable: the probability of all paths' beginnings up to frame t, ending in state s.

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
    list of list of float, shape (T, 2 L + 1)
        Contains the emission of frame t (see the module).

    Examples
    --------
    >>> alpha = ctc_alpha([[0.6, 0.4], [0.5, 0.5]], [1])
    >>> [[round(a, 6) for a in row] for row in alpha]
    [[0.6, 0.4, 0.0], [0.3, 0.5, 0.2]]
    """
    states = extend(target, blank)
    skip = skips(states)
    alpha = [[float(probs[0][k]) if s < 2 else 0.0 for s, k in enumerate(states)]]
    for y in probs[1:]:
        before = alpha[-1]
        row = []
        for s, k in enumerate(states):
            arriving = before[s]
            if s >= 1:
                arriving += before[s - 1]
            if skip[s]:
                arriving += before[s - 2]
            row.append(arriving * float(y[k]))
        alpha.append(row)
    return alpha


def ctc_beta(probs: Rows, target: Sequence[int], blank: int = 0) -> Lattice:
    """Return the backward variable: the probability of all paths' endings after frame t, from state s.

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
    list of list of float, shape (T, 2 L + 1)
        Does *not* contain the emission of frame t (see the module).

    Examples
    --------
    >>> beta = ctc_beta([[0.6, 0.4], [0.5, 0.5]], [1])
    >>> [[round(b, 6) for b in row] for row in beta]
    [[0.5, 1.0, 0.5], [0.0, 1.0, 1.0]]
    """
    states = extend(target, blank)
    skip = skips(states)
    last = len(states) - 1
    beta = [[1.0 if s >= last - 1 else 0.0 for s in range(last + 1)]]
    for y in reversed(probs[1:]):
        after = beta[0]
        row = []
        for s, k in enumerate(states):
            leaving = after[s] * float(y[k])
            if s + 1 <= last:
                leaving += after[s + 1] * float(y[states[s + 1]])
            if s + 2 <= last and skip[s + 2]:
                leaving += after[s + 2] * float(y[states[s + 2]])
            row.append(leaving)
        beta.insert(0, row)
    return beta


def ctc_occupancy(alpha: Lattice, beta: Lattice) -> Lattice:
    r"""Return :math:`\gamma_t(s) = \alpha_t(s) \beta_t(s) / P`: the posterior of state s at frame t.

    Examples
    --------
    >>> probs = [[0.6, 0.4], [0.5, 0.5]]
    >>> occupancy = ctc_occupancy(ctc_alpha(probs, [1]), ctc_beta(probs, [1]))
    >>> [[round(g, 6) for g in row] for row in occupancy]
    [[0.428571, 0.571429, 0.0], [0.0, 0.714286, 0.285714]]
    """
    total = alpha[-1][-1] + (alpha[-1][-2] if len(alpha[-1]) > 1 else 0.0)
    return [
        [a * b / total if total else 0.0 for a, b in zip(*rows, strict=True)]
        for rows in zip(alpha, beta, strict=True)
    ]


def log_add_plain(a: float, b: float) -> float:
    r"""Return :math:`\log(e^a + e^b)`; two ``-inf`` give ``-inf``, and no infinities are ever subtracted.

    Examples
    --------
    >>> log_add_plain(-math.inf, -math.inf)
    -inf
    """
    high, low = (a, b) if a >= b else (b, a)
    if low == -math.inf:
        return high
    return high + math.log1p(math.exp(low - high))


def ctc_log_alpha(log_probs: Rows, target: Sequence[int], blank: int = 0) -> Lattice:
    """Return the logarithm of `ctc_alpha`, computed in log space: nothing underflows.

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
    list of list of float, shape (T, 2 L + 1)

    Examples
    --------
    >>> half = math.log(0.5)
    >>> [[round(math.exp(a), 6) for a in row] for row in ctc_log_alpha([[half, half]] * 2, [1])]
    [[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]]
    """
    states = extend(target, blank)
    skip = skips(states)
    alpha = [[float(log_probs[0][k]) if s < 2 else -math.inf for s, k in enumerate(states)]]
    for log_y in log_probs[1:]:
        before = alpha[-1]
        row = []
        for s, k in enumerate(states):
            arriving = before[s]
            if s >= 1:
                arriving = log_add_plain(arriving, before[s - 1])
            if skip[s]:
                arriving = log_add_plain(arriving, before[s - 2])
            row.append(arriving + float(log_y[k]))
        alpha.append(row)
    return alpha


def ctc_log_beta(log_probs: Rows, target: Sequence[int], blank: int = 0) -> Lattice:
    """Return the logarithm of `ctc_beta`, computed in log space: nothing underflows.

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
    list of list of float, shape (T, 2 L + 1)

    Examples
    --------
    >>> half = math.log(0.5)
    >>> [[round(math.exp(b), 6) for b in row] for row in ctc_log_beta([[half, half]] * 2, [1])]
    [[0.5, 1.0, 0.5], [0.0, 1.0, 1.0]]
    """
    states = extend(target, blank)
    skip = skips(states)
    last = len(states) - 1
    beta = [[0.0 if s >= last - 1 else -math.inf for s in range(last + 1)]]
    for log_y in reversed(log_probs[1:]):
        after = beta[0]
        row = []
        for s, k in enumerate(states):
            leaving = after[s] + float(log_y[k])
            if s + 1 <= last:
                leaving = log_add_plain(leaving, after[s + 1] + float(log_y[states[s + 1]]))
            if s + 2 <= last and skip[s + 2]:
                leaving = log_add_plain(leaving, after[s + 2] + float(log_y[states[s + 2]]))
            row.append(leaving)
        beta.insert(0, row)
    return beta


def ctc_loss_and_grad_plain(
    log_probs: Rows, target: Sequence[int], blank: int = 0
) -> tuple[float, list[list[float]]]:
    """Return the loss of one clip and its derivative by the log-probabilities, minus the occupancy.

    The derivative by the logits is the softmax plus this; by the probabilities, this divided by them.

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
    loss : float
        ``inf`` if no path is possible.
    grad : list of list of float, shape (T, C)
        All zero if no path is possible.

    Examples
    --------
    >>> half = math.log(0.5)
    >>> loss, grad = ctc_loss_and_grad_plain([[half, half]] * 2, [1])
    >>> round(math.exp(-loss), 6), [[round(g, 6) for g in row] for row in grad]
    (0.75, [[-0.333333, -0.666667], [-0.333333, -0.666667]])
    """
    states = extend(target, blank)
    alpha = ctc_log_alpha(log_probs, target, blank)
    beta = ctc_log_beta(log_probs, target, blank)
    log_total = alpha[-1][-1]
    if len(states) > 1:
        log_total = log_add_plain(log_total, alpha[-1][-2])
    grad = [[0.0] * len(row) for row in log_probs]
    if log_total == -math.inf:
        return math.inf, grad
    for t, (row_a, row_b) in enumerate(zip(alpha, beta, strict=True)):
        for s, k in enumerate(states):
            grad[t][k] -= math.exp(row_a[s] + row_b[s] - log_total)
    return -log_total, grad
