r"""How sure a score is: bootstrap intervals over clips, and a paired comparison of two systems.

Clips are drawn with replacement, as many as there are; the score is computed anew; the interval holds the
middle of what comes. Two systems are compared on the same clips: the interval is that of the difference, and
the p-value comes from exchanging the two systems' answers clip by clip at random, which changes nothing in
distribution if neither is better.

References
----------
B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer, check_number
from ctctag.exceptions import ParameterError

__all__ = ["Comparison", "Interval", "bootstrap_interval", "compare_systems"]


@dataclass(frozen=True)
class Interval:
    """A score with its bootstrap percentile interval.

    Attributes
    ----------
    value : float
        The score on all clips.
    low, high : float
        Ends of the interval; infinite where the resamples are.
    confidence : float
        The share of resamples inside.
    n_resamples : int
        Resamples on which the score was defined.
    """

    value: float
    low: float
    high: float
    confidence: float
    n_resamples: int


@dataclass(frozen=True)
class Comparison:
    """The difference of two systems' scores, a less b.

    Attributes
    ----------
    difference : float
        On all clips; NaN where a score is, or where both are the same infinity.
    low, high : float
        Ends of the difference's bootstrap percentile interval, over the resamples that have a difference.
    p_value : float
        Two-sided, of the paired permutation test: how often a difference at least as large comes by
        exchanging answers at random, among the exchanges that have a difference. NaN where `difference` is:
        what is not defined is not significant.
    confidence : float
        The share of resamples inside the interval.
    n_resamples : int
        Resamples, and exchanges, each.
    """

    difference: float
    low: float
    high: float
    p_value: float
    confidence: float
    n_resamples: int


def bootstrap_interval(
    statistic: Callable[..., float],
    *clips: Sequence[Any] | npt.NDArray[Any],
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a score with its percentile interval over clips.

    Parameters
    ----------
    statistic : callable
        Takes what `clips` holds, in that order, and returns a number.
    *clips : array or list, each with N entries
        True tags and scores, say, or reference and decoded sequences: one entry a clip.
    n_resamples : int
        How often clips are drawn.
    confidence : float
        Between 0 and 1.
    seed : int
        Of the draws.

    Returns
    -------
    Interval
        Resamples on which the statistic is NaN are left out. Those on which it is infinite count: an end of
        the interval that falls among them is infinite.

    Raises
    ------
    ParameterError
        If there is no clip, entries differ in number, or a parameter is out of range.

    Examples
    --------
    >>> from ctctag.metrics import exact_sequence_rate
    >>> truth = [["a", "b"]] * 50
    >>> heard = [["a", "b"]] * 40 + [["b", "a"]] * 10
    >>> interval = bootstrap_interval(exact_sequence_rate, truth, heard)
    >>> interval.value, round(interval.low, 2), round(interval.high, 2)
    (0.8, 0.68, 0.9)
    """
    n = _check(clips, n_resamples, confidence)
    rng = np.random.default_rng(seed)
    value = float(statistic(*clips))
    drawn = []
    for _ in range(n_resamples):
        chosen = rng.integers(0, n, n)
        drawn.append(float(statistic(*(_take(part, chosen) for part in clips))))
    low, high, defined = _percentiles(drawn, confidence)
    return Interval(value, low, high, float(confidence), defined)


def compare_systems(
    statistic: Callable[[Any, Any], float],
    truth: Sequence[Any] | npt.NDArray[Any],
    a: Sequence[Any] | npt.NDArray[Any],
    b: Sequence[Any] | npt.NDArray[Any],
    *,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two systems' answers to the same clips.

    Parameters
    ----------
    statistic : callable
        ``statistic(truth, answers)`` returns a number.
    truth, a, b : array or list, each with N entries
        What is true, what system a answered, what system b answered: one entry a clip.
    n_resamples : int
        How often clips are drawn, and how often answers are exchanged.
    confidence : float
        Between 0 and 1.
    seed : int
        Of the draws.

    Returns
    -------
    Comparison
        The smallest possible p-value is ``1 / (n_resamples + 1)``. It is NaN where the difference is.

    Raises
    ------
    ParameterError
        If there is no clip, entries differ in number, or a parameter is out of range.

    Examples
    --------
    >>> from ctctag.metrics import exact_sequence_rate
    >>> truth = [["a", "b"]] * 50
    >>> good, poor = [["a", "b"]] * 45 + [["b"]] * 5, [["a", "b"]] * 30 + [["b"]] * 20
    >>> comparison = compare_systems(exact_sequence_rate, truth, good, poor)
    >>> round(comparison.difference, 2), comparison.p_value < 0.01
    (0.3, True)
    """
    n = _check((truth, a, b), n_resamples, confidence)
    rng = np.random.default_rng(seed)

    def difference(true: Any, first: Any, second: Any) -> float:
        return float(statistic(true, first)) - float(statistic(true, second))

    observed = difference(truth, a, b)
    drawn, larger, exchanges = [], 0, 0
    for _ in range(n_resamples):
        chosen = rng.integers(0, n, n)
        drawn.append(difference(*(_take(part, chosen) for part in (truth, a, b))))
        exchanged = rng.random(n) < 0.5
        swapped = difference(truth, _mix(a, b, exchanged), _mix(b, a, exchanged))
        if not math.isnan(swapped):
            exchanges += 1
            # The margin keeps equal differences, summed in another order, equal.
            larger += abs(swapped) >= abs(observed) - 1e-12
    low, high, _ = _percentiles(drawn, confidence)
    # A difference and its opposite are defined together, so the exchanges that are still form a fair lottery.
    p_value = math.nan if math.isnan(observed) else (larger + 1) / (exchanges + 1)
    return Comparison(observed, low, high, p_value, float(confidence), n_resamples)


def _check(clips: Sequence[Any], n_resamples: int, confidence: float) -> int:
    check_integer(n_resamples, "n_resamples", low=1)
    check_number(confidence, "confidence", low=0, high=1, exclude_low=True, exclude_high=True)
    sizes = [len(part) for part in clips]
    if not sizes or min(sizes) == 0:
        raise ParameterError("clips must hold at least one clip to draw from")
    if len(set(sizes)) > 1:
        raise ParameterError(
            f"every argument needs one entry a clip, got {', '.join(map(str, sizes))} entries"
        )
    return sizes[0]


def _take(part: Any, chosen: npt.NDArray[np.int64]) -> Any:
    return part[chosen] if isinstance(part, np.ndarray) else [part[i] for i in chosen]


def _mix(kept: Any, other: Any, exchanged: npt.NDArray[np.bool_]) -> Any:
    if isinstance(kept, np.ndarray) and isinstance(other, np.ndarray):
        return np.where(exchanged.reshape(-1, *[1] * (kept.ndim - 1)), other, kept)
    return [theirs if swap else ours for ours, theirs, swap in zip(kept, other, exchanged, strict=True)]


def _percentiles(drawn: list[float], confidence: float) -> tuple[float, float, int]:
    values = np.array(drawn)
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan"), 0
    values.sort()
    low = _quantile(values, (1 - confidence) / 2, upper=False)
    return low, _quantile(values, (1 + confidence) / 2, upper=True), len(values)


def _quantile(values: npt.NDArray[np.float64], share: float, *, upper: bool) -> float:
    """Return a quantile of sorted values, between two neighbours by interpolation if both are finite.

    Nothing lies between a finite and an infinite number: the nearer neighbour is taken, or where both are
    equally near, the outer one of an interval.
    """
    place = share * (len(values) - 1)
    if np.isfinite(values[[math.floor(place), math.ceil(place)]]).all():
        return float(np.quantile(values, share))
    return float(values[math.floor(place + 0.5) if upper else math.ceil(place - 0.5)])
