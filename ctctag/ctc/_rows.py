"""One frame's scores: their softmax, the check that they are what they are said to be, and their largest."""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._jit import jit
from ctctag._simd import (
    address,
    aligned,
    count_bits,
    fma,
    lanes,
    lanes_above,
    larger,
    load,
    max_lanes,
    pick,
    spread,
    store,
    sum_lanes,
)
from ctctag.ctc._numbers import exp

__all__ = ["greedy", "log_normalisers", "multiply", "noisy_or", "normalise", "row_memory"]


# Up to here every whole number is a float32.
_COUNTABLE = 1 << 24

_own = threading.local()


def row_memory(dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return this thread's working memory: zeros, ones, 0, 1, 2, ..., and two rows of one vector each.

    A kernel may overwrite the rows, of as many values as there are classes; the rest of a row stays -inf only
    within one call of a kernel.
    """
    w = 64 // dtype.itemsize
    memory = getattr(_own, dtype.char, None)
    if memory is None:
        memory = aligned(5 * w, dtype)
        memory[:w], memory[w : 2 * w], memory[2 * w : 3 * w] = 0, 1, np.arange(w)
        setattr(_own, dtype.char, memory)
    memory[3 * w :] = -np.inf
    return memory


@jit(forceinline=True)
def _softmax(x, at, C, ramp, exps, place, keep):
    """Return the largest of C scores and the sum of e^(score - largest), in float64.

    What the largest adds is counted, and the rest is summed apart: next to a certain class the others are not
    rounded away. NaN or inf among the scores makes a result NaN or inf. C is at least the number of lanes; a
    last vector that is not full overlaps the one before, and counts only in part.
    """
    w = lanes(x)
    over = C % w
    top = load(x, at)
    for k in range(w, C - over, w):
        top = larger(top, load(x, at + k))
    if over:
        top = larger(top, load(x, at + C - w))
    peak = max_lanes(top)
    peaks, one = spread(x, peak), spread(x, 1.0)
    rest, below = spread(x, 0.0), 0
    for k in range(0, C - over, w):
        row = load(x, at + k)
        term = exp(row - peaks)
        rest = rest + pick(peaks, row, term, term - one)
        below += count_bits(lanes_above(peaks, row))
        if keep:
            store(exps, place + k, term)
    if over:
        row = load(x, at + C - w)
        term = exp(row - peaks)
        rest = fma(pick(peaks, row, term, term - one), load(ramp, over), rest)
        below += count_bits(lanes_above(peaks, row) >> (w - over))
        if keep:
            store(exps, place + C - w, term)
    return peak, (C - below) + np.float64(sum_lanes(rest))


@jit(forceinline=True)
def multiply(values, at, count, factor):
    """Multiply some values, which lie at an address, by a factor."""
    w = lanes(values)
    factors = spread(values, factor)
    whole = count - count % w
    for k in range(at, at + whole, w):
        store(values, k, load(values, k) * factors)
    for k in range(at + whole, at + count):
        values[k] *= factor


@jit(forceinline=True)
def _are_probabilities(x, at, C, tolerance):
    total, least = 0.0, x[at]
    for k in range(at, at + C):
        total += x[k]
        least = min(least, x[k])
    return least >= 0 and total < np.inf and abs(total - 1.0) <= tolerance  # not so if NaN


@jit(forceinline=True)
def normalise(x, at, C, kind, tolerance, memory, exps, place, keep):
    """Return peak and denominator of one frame's scores, and whether they are good.

    Logits (kind 0) and log-probabilities (1) are taken relative to their peak. The latter and probabilities
    (2) must add up to 1 within the tolerance, and have denominator 1.

    Parameters
    ----------
    x : address
    at, C : int
        The scores are x[at : at + C].
    kind : int
    tolerance : float
    memory : address
        Of what `row_memory` gave.
    exps : address
        The terms e^(score - peak) are written to exps[place : place + C].
    keep : bool
        Whether to write them.
    """
    if kind == 2:
        return 0.0, 1.0, _are_probabilities(x, at, C, tolerance)
    w = lanes(x)
    if w > C:  # in a row of its own, filled up with classes that are impossible
        for k in range(C):
            memory[3 * w + k] = x[at + k]
        peak, total = _softmax(memory, 3 * w, w, memory, memory, 4 * w, True)
        if keep:
            for k in range(C):
                exps[place + k] = memory[4 * w + k]
    else:
        peak, total = _softmax(x, at, C, memory, exps, place, keep)
    if kind == 0:
        return np.float64(peak), total, -np.inf < peak < np.inf and total > 0.0  # not so if NaN
    if peak == -np.inf:  # no class is possible
        return 0.0, 1.0, total > 0.0 and tolerance >= 1.0
    good = peak < np.inf and total > 0.0
    if good and tolerance < np.inf:
        good = abs(total * np.exp(np.float64(peak)) - 1.0) <= tolerance
    return np.float64(peak), 1.0, good


@jit
def log_normalisers(x, frames, C, kind, tolerance, memory, shifts):
    """Write what to subtract from each frame's scores to get log-probabilities; return a bad frame or -1."""
    flat, own = address(x), address(memory)
    for t in range(frames):
        peak, total, good = normalise(flat, t * C, C, kind, tolerance, own, own, 0, False)
        if not good:
            return t
        shifts[t] = peak + np.log(total) if kind == 0 else 0.0
    return -1


@jit
def noisy_or(x, frames, C, kind, tolerance, memory, exps, out):
    """Write the probability that each class occurs into `out`, float64; return a bad frame or -1.

    `exps` has room for C values.
    """
    flat, own, terms = address(x), address(memory), address(exps)
    out[:] = 0.0
    for t in range(frames):
        peak, total, good = normalise(flat, t * C, C, kind, tolerance, own, terms, 0, kind < 2)
        if not good:
            return t
        scale = 1.0 / total if kind == 0 else np.exp(peak)
        for k in range(C):
            y = np.float64(flat[t * C + k]) if kind == 2 else exps[k] * scale
            # p + (1 - p) y: no cancellation where p is small, unlike 1 - prod(1 - y)
            out[k] += (1.0 - out[k]) * min(y, 1.0)
    return -1


@jit(forceinline=True)
def _argmax(x, at, C, counted):
    """Return the first place of the largest of C scores; of NaN some place. `counted` holds 0, 1, 2, ..."""
    w = lanes(x)
    top = load(x, at)
    number = load(counted, 0)
    first = number
    for k in range(w, C, w):
        start = min(k, C - w)
        row = load(x, at + start)
        first = pick(row, top, spread(x, float(start)) + number, first)
        top = pick(row, top, row, top)
    peaks = spread(x, max_lanes(top))
    none = spread(x, float(C))
    place = -max_lanes(spread(x, 0.0) - pick(peaks, top, none, first))
    return min(int(place), C - 1)


@jit(forceinline=True)
def _argmax_of_many(x, at, C, counted):
    """Return what `_argmax` returns, of any number of scores: places are floats, exact up to `_COUNTABLE`."""
    best = _argmax(x, at, min(C, _COUNTABLE), counted)
    for start in range(_COUNTABLE, C, _COUNTABLE):
        begin = min(start, C - lanes(x))  # the last part must fill a vector: it may overlap the one before
        place = begin + _argmax(x, at + begin, min(C - begin, _COUNTABLE), counted)
        if x[at + place] > x[at + best]:
            best = place
    return best


@jit
def greedy(x, frames, C, lengths, blank, clips, memory, labels, spans, found):
    """Write the labels of some clips' best paths.

    Of equal scores the first class wins, as for NumPy's argmax; scores that are NaN give some class.

    Parameters
    ----------
    x, frames, C, lengths, blank, clips, memory
        See `ctctag.ctc._lanes.group_losses`.
    labels, spans : ndarray, shape (N, frames) and (N, frames, 2), int64
        Written in place: the labels, and their first and last frames.
    found : ndarray, shape (N,), int64
        Written in place: how many labels each clip has.
    """
    w = lanes(x)
    flat, own, counted = address(x), address(memory), address(memory[2 * w : 3 * w])
    for n in clips:
        before, count = blank, 0
        for t in range(lengths[n]):
            at = (n * frames + t) * C
            if w > C:
                for k in range(C):
                    memory[3 * w + k] = x[at + k]
                best = min(_argmax(own, 3 * w, w, counted), C - 1)
            else:
                best = _argmax_of_many(flat, at, C, counted)
            if best != blank:
                if best != before:
                    labels[n, count] = best
                    spans[n, count, 0] = t
                    count += 1
                spans[n, count - 1, 1] = t
            before = best
        found[n] = count
