r"""CTC in scaled numbers, in plain Python: a probability is m · 2^e, a float and an integer of any size.

The range of a logarithm with the relative precision of a plain float, and no exp or log on the way: products
multiply mantissas and add exponents, sums shift the smaller number to the exponent of the larger. The fast
kernels (`ctctag.ctc._numbers`) do the same with integers of 32 or 64 bits, and end where those end. Python's
do not, so here a log-probability of -1e300 is as exact as one of -1.

Alpha contains the emission of its frame and beta does not, as in `ctctag.reference.ctc_recursion`.
"""

import decimal
import functools
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ctctag.reference.ctc_recursion import extend, skips

__all__ = [
    "Scaled",
    "add_scaled",
    "ctc_loss_and_grad_scaled",
    "ctc_scaled_lattice",
    "ctc_scaled_occupancy",
    "exp_scaled",
    "log_scaled",
    "multiply_scaled",
]

Scaled = tuple[float, int]
Lattice = list[list[Scaled]]

ZERO: Scaled = (0.0, 0)
ONE: Scaled = (1.0, 0)

# A float64 has at most 309 digits before the point; so many more keep the fraction of its multiple of ln 2.
_DIGITS = 309 + 25


@functools.cache
def _ln2() -> Decimal:
    with decimal.localcontext(prec=_DIGITS):
        return Decimal(2).ln()


def exp_scaled(z: float | Decimal) -> Scaled:
    r"""Return :math:`e^z = m 2^e` with :math:`m \in [0.5, 1)`; ``-inf`` gives zero.

    Examples
    --------
    >>> exp_scaled(0.0), exp_scaled(-math.inf)
    ((0.5, 1), (0.0, 0))
    >>> m, e = exp_scaled(-1e15)
    >>> round(m, 6), e
    (0.754002, -1442695040888963)
    """
    if z == -math.inf:
        return ZERO
    with decimal.localcontext(prec=_DIGITS):
        exact = Decimal(z)
        k = int((exact / _ln2()).to_integral_value())
        m, e = math.frexp(math.exp(exact - k * _ln2()))
    return m, e + k


def log_scaled(number: Scaled) -> float:
    r"""Return :math:`\log(m 2^e)`; ``-inf`` of zero.

    Examples
    --------
    >>> round(log_scaled((0.5, 1)), 12), log_scaled((0.0, 0))
    (0.0, -inf)
    """
    m, e = number
    if m == 0:
        return -math.inf
    with decimal.localcontext(prec=_DIGITS):
        return float(Decimal(math.log(m)) + e * _ln2())


def multiply_scaled(a: Scaled, b: Scaled) -> Scaled:
    """Return the product of two scaled numbers.

    Examples
    --------
    >>> multiply_scaled((0.5, 10), (0.5, -8))
    (0.5, 1)
    """
    m, e = math.frexp(a[0] * b[0])
    return (m, e + a[1] + b[1]) if m else ZERO


def add_scaled(a: Scaled, b: Scaled) -> Scaled:
    """Return the sum of two scaled numbers: the smaller is shifted to the exponent of the larger.

    Examples
    --------
    >>> add_scaled((0.5, 1), (0.5, 2))
    (0.75, 2)
    >>> add_scaled((0.5, 10**20), (0.5, 1)) == (0.5, 10**20)
    True
    """
    if not (a[0] and b[0]):
        return a if a[0] else b
    (low, shift), (high, top) = sorted((a, b), key=lambda number: number[1])
    m, e = math.frexp(high + math.ldexp(low, max(shift - top, -1100)))
    return m, e + top


def ctc_scaled_lattice(
    log_probs: Sequence[Sequence[Any]], target: Sequence[int], blank: int = 0
) -> tuple[Lattice, Lattice]:
    """Return forward and backward variables of one clip.

    Parameters
    ----------
    log_probs : sequence of rows, shape (T, C)
        Log-probabilities of the classes in each frame, floats or Decimals; ``-inf`` is legal.
    target : sequence of int, length L
        The labels, none of them blank.
    blank : int
        The blank class.

    Returns
    -------
    alpha, beta : list of list of Scaled, shape (T, 2 L + 1)

    Examples
    --------
    >>> half = math.log(0.5)
    >>> alpha, _ = ctc_scaled_lattice([[half, half]] * 2, [1])
    >>> [[round(m * 2**e, 6) for m, e in row] for row in alpha]
    [[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]]
    """
    states = extend(target, blank)
    skip = skips(states)
    last = len(states) - 1
    emissions = []
    for row in log_probs:
        y = {k: exp_scaled(row[k]) for k in set(states)}
        emissions.append([y[k] for k in states])

    alpha: Lattice = [[y if s < 2 else ZERO for s, y in enumerate(emissions[0])]]
    for y_t in emissions[1:]:
        before, row = alpha[-1], []
        for s in range(last + 1):
            arriving = before[s]
            if s >= 1:
                arriving = add_scaled(arriving, before[s - 1])
            if skip[s]:
                arriving = add_scaled(arriving, before[s - 2])
            row.append(multiply_scaled(arriving, y_t[s]))
        alpha.append(row)

    beta: Lattice = [[ONE if s >= last - 1 else ZERO for s in range(last + 1)]]
    for y_t in reversed(emissions[1:]):
        onward = [multiply_scaled(b, y) for b, y in zip(beta[-1], y_t, strict=True)]
        row = []
        for s in range(last + 1):
            leaving = onward[s]
            if s + 1 <= last:
                leaving = add_scaled(leaving, onward[s + 1])
            if s + 2 <= last and skip[s + 2]:
                leaving = add_scaled(leaving, onward[s + 2])
            row.append(leaving)
        beta.append(row)
    return alpha, beta[::-1]


def ctc_scaled_occupancy(alpha: Lattice, beta: Lattice) -> tuple[Scaled, list[list[float]]]:
    r"""Return P and the occupancy :math:`\alpha_t(s) \beta_t(s) / P`; all zero if no path is possible.

    Examples
    --------
    >>> half = math.log(0.5)
    >>> total, occupancy = ctc_scaled_occupancy(*ctc_scaled_lattice([[half, half]] * 2, [1]))
    >>> [[round(share, 6) for share in row] for row in occupancy]
    [[0.333333, 0.666667, 0.0], [0.0, 0.666667, 0.333333]]
    """
    total = add_scaled(alpha[-1][-1], alpha[-1][-2] if len(alpha[-1]) > 1 else ZERO)

    def share(a: Scaled, b: Scaled) -> float:
        m, e = multiply_scaled(a, b)
        return math.ldexp(m / total[0], max(e - total[1], -1100)) if m else 0.0

    return total, [
        [share(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(alpha, beta, strict=True)
    ]


def ctc_loss_and_grad_scaled(
    log_probs: Sequence[Sequence[Any]], target: Sequence[int], blank: int = 0
) -> tuple[float, list[list[float]]]:
    """Return the loss of one clip and its gradient with respect to the log-probabilities.

    Parameters
    ----------
    log_probs : sequence of rows, shape (T, C)
        Log-probabilities of the classes in each frame, floats or Decimals; ``-inf`` is legal.
    target : sequence of int, length L
        The labels, none of them blank.
    blank : int
        The blank class.

    Returns
    -------
    loss : float
        ``inf`` if no path is possible.
    grad : list of list of float, shape (T, C)
        Minus the occupancy; all zero if no path is possible.

    Examples
    --------
    Two frames in which the label is less probable than the blank by e^(-1e15):

    >>> loss, grad = ctc_loss_and_grad_scaled([[0.0, -1e15]] * 2, [1])
    >>> loss, grad
    (999999999999999.2, [[-0.5, -0.5], [-0.5, -0.5]])
    """
    states = extend(target, blank)
    total, occupancy = ctc_scaled_occupancy(*ctc_scaled_lattice(log_probs, target, blank))
    grad = [[0.0] * len(row) for row in log_probs]
    for row, shares in zip(grad, occupancy, strict=True):
        for k, share in zip(states, shares, strict=True):
            row[k] -= share
    return -log_scaled(total), grad
