"""Learning rates as functions of the number of steps taken: ``rate = one_cycle(3e-3, 1000); rate(0)``."""

import math
from collections.abc import Callable

from ctctag._checks import check_integer, check_number

__all__ = ["constant", "cosine", "one_cycle", "step_decay", "warm_up"]

Schedule = Callable[[int], float]


def constant(lr: float) -> Schedule:
    """Return a schedule that is `lr` at every step.

    Examples
    --------
    >>> constant(0.1)(5)
    0.1
    """
    rate = check_number(lr, "lr", low=0)
    return lambda step: rate


def cosine(lr: float, steps: int, final: float = 0.0) -> Schedule:
    """Return half a cosine wave from `lr` at step 0 to `final` at step `steps` and after.

    Parameters
    ----------
    lr, final : float
        First and last rate, at least 0.
    steps : int
        At least 1.

    Examples
    --------
    >>> rate = cosine(1.0, 10)
    >>> [round(rate(step), 3) for step in (0, 5, 10, 99)]
    [1.0, 0.5, 0.0, 0.0]
    """
    steps = check_integer(steps, "steps", low=1)
    lr, final = check_number(lr, "lr", low=0), check_number(final, "final", low=0)
    return lambda step: _wave(lr, final, step / steps)


def one_cycle(
    lr: float, steps: int, *, warm: float = 0.3, start_factor: float = 25.0, final_factor: float = 1e4
) -> Schedule:
    """Return a rise by half a cosine wave to `lr`, and a longer fall to almost nothing.

    Parameters
    ----------
    lr : float
        The highest rate.
    steps : int
        Steps of the whole cycle, at least 2.
    warm : float
        Share of the steps that the rise takes, in (0, 1).
    start_factor : float
        The first rate is `lr` divided by this.
    final_factor : float
        The last rate is the first divided by this.

    References
    ----------
    Smith and Topin, "Super-convergence", 2018; the defaults and the shape are PyTorch's ``OneCycleLR``.

    Examples
    --------
    >>> rate = one_cycle(1.0, 101)
    >>> [round(rate(step), 4) for step in (0, 29, 30, 100)]
    [0.04, 0.9998, 0.9998, 0.0]
    """
    lr = check_number(lr, "lr", low=0)
    steps = check_integer(steps, "steps", low=2)
    warm = check_number(warm, "warm", low=0, high=1, exclude_low=True, exclude_high=True)
    first = lr / check_number(start_factor, "start_factor", low=1)
    last = first / check_number(final_factor, "final_factor", low=1)
    top = warm * steps - 1  # the highest rate is reached here, often between two steps

    def rate(step: int) -> float:
        if step < top:
            return _wave(first, lr, step / top)
        return _wave(lr, last, (step - top) / (steps - 1 - top))

    return rate


def step_decay(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """Return a schedule that multiplies `lr` by `factor` after every `every` steps.

    Examples
    --------
    >>> rate = step_decay(1.0, 10, 0.5)
    >>> [rate(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """
    lr = check_number(lr, "lr", low=0)
    every = check_integer(every, "every", low=1)
    factor = check_number(factor, "factor", low=0, high=1, exclude_low=True)
    return lambda step: lr * factor ** (step // every)


def warm_up(schedule: Schedule, steps: int) -> Schedule:
    """Return `schedule` with its first `steps` steps rising on a straight line from nothing.

    Examples
    --------
    >>> rate = warm_up(constant(1.0), 4)
    >>> [rate(step) for step in (0, 1, 3, 4)]
    [0.25, 0.5, 1.0, 1.0]
    """
    steps = check_integer(steps, "steps", low=1)
    return lambda step: schedule(step) * min(1.0, (step + 1) / steps)


def _wave(first: float, last: float, share: float) -> float:
    """Return the place on half a cosine wave from `first` to `last`."""
    share = min(max(share, 0.0), 1.0)
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
