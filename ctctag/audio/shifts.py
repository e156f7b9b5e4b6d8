"""The same clip with its frames lying elsewhere: a network that listens several times is surer."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer
from ctctag.audio.samples import OVERSHOT, check_samples
from ctctag.exceptions import ParameterError

__all__ = ["MOST_SHIFTS", "check_shifts", "shift_samples", "shifts_of"]

MOST_SHIFTS = 9  # the outermost are a whole hop away, and more of them would be frames that are there already


def shifts_of(count: int, hop_length: int) -> list[int]:
    """Return so many shifts, a quarter of a hop apart and as many to one side as to the other.

    Parameters
    ----------
    count : int
        How many, 1 to 9.
    hop_length : int
        Samples from frame to frame.

    Returns
    -------
    list of int
        In samples. Five reach half a hop to either side, nine a whole hop.

    Raises
    ------
    ParameterError
        If `count` is less than 1, or so large that shifts would pass a whole hop.

    Examples
    --------
    >>> shifts_of(3, 664), shifts_of(1, 664)
    ([-166, 0, 166], [0])
    """
    check_shifts(count, "count")
    return [round((index - (count - 1) / 2) * hop_length / 4) for index in range(count)]


def check_shifts(count: Any, name: str) -> int:
    """Return a number of shifts as an int, if so many are of use."""
    number = check_integer(count, name)
    if not 1 <= number <= MOST_SHIFTS:
        raise ParameterError(
            f"{name} must be at least 1 and at most {MOST_SHIFTS}, got {number}: shifts are a quarter of a "
            f"hop apart, and {MOST_SHIFTS} of them reach a whole hop to either side"
        )
    return number


def shift_samples(samples: npt.ArrayLike, shift: int) -> npt.NDArray[Any]:
    """Return as many samples, `shift` of them later in the recording, with silence where it has none.

    Parameters
    ----------
    samples : array_like, shape (n_samples,), float
        One channel.
    shift : int
        May be negative.

    Returns
    -------
    ndarray, shape (n_samples,)
        ``samples[shift:]`` and zeros, or zeros and ``samples[:shift]``; `samples` itself for no shift.

    Raises
    ------
    ParameterError
        If `samples` is not one channel of finite floats with full scale at 1.

    Examples
    --------
    >>> shift_samples([1.0, 2.0, 3.0], 1)
    array([2., 3., 0.])
    """
    x = check_samples(samples, loudest=OVERSHOT)
    size = min(abs(shift), x.size)
    if not size:
        return x
    silence = np.zeros(size, x.dtype)
    return np.concatenate([x[size:], silence] if shift > 0 else [silence, x[: x.size - size]])
