"""The same clip with its frames lying elsewhere: a network that listens several times is surer."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_float_array, check_integer

__all__ = ["shift_samples", "shifts_of"]


def shifts_of(count: int, hop_length: int) -> list[int]:
    """Return so many shifts, a quarter of a hop apart and as many to one side as to the other.

    Parameters
    ----------
    count : int
        How many, at least 1.
    hop_length : int
        Samples from frame to frame.

    Returns
    -------
    list of int
        In samples. Five reach half a hop to either side; more of them would meet the neighbouring frame.

    Raises
    ------
    ParameterError
        If `count` is less than 1.

    Examples
    --------
    >>> shifts_of(3, 664), shifts_of(1, 664)
    ([-166, 0, 166], [0])
    """
    check_integer(count, "count", low=1)
    return [round((index - (count - 1) / 2) * hop_length / 4) for index in range(count)]


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

    Examples
    --------
    >>> shift_samples([1.0, 2.0, 3.0], 1)
    array([2., 3., 0.])
    """
    x = check_float_array(samples, "samples", ("n_samples",))
    size = min(abs(shift), x.size)
    if not size:
        return x
    silence = np.zeros(size, x.dtype)
    return np.concatenate([x[size:], silence] if shift > 0 else [silence, x[: x.size - size]])
