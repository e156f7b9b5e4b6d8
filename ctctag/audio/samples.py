"""The one check of samples: a channel of finite floats whose full scale is 1.

Sound comes in two scales, and mixing them up is 90 dB: 16-bit integers reach 32767, floats 1. Integers are
refused with the divisor to use, rather than scaled: an array of dtype int64 does not say what its full scale
was. Floats above 1 are legal (resampling overshoots, a mix may be too hot), but not far above: a peak of
`LOUDEST` is 30 dB over full scale, and no recording of integers that is audible at all stays under it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_finite, check_float_array
from ctctag.exceptions import ParameterError

__all__ = ["LOUDEST", "MOST_SAMPLES", "OVERSHOT", "check_samples", "integer_hint"]

LOUDEST = 32.0  # of samples taken: 30 dB over full scale
OVERSHOT = 2 * LOUDEST  # of the same after resampling
MOST_SAMPLES = 1 << 30  # of one clip: 18 hours at 16 kHz, 4 GiB of float32

_DIVISORS = {"int16": "divide by 32768", "int32": "divide by 2147483648", "int8": "divide by 128"}
_DIVISORS["uint8"] = "subtract 128, then divide by 128"


def integer_hint(dtype: np.dtype[Any]) -> str:
    """Return how samples of an integer dtype become floats with full scale at 1."""
    return _DIVISORS.get(dtype.name, "divide by the full scale that they had, 32768 for 16 bits")


def check_samples(samples: Any, name: str = "samples", loudest: float = LOUDEST) -> npt.NDArray[Any]:
    """Return `samples` as an array of floats, shape (n_samples,), not empty.

    Parameters
    ----------
    samples : array_like, shape (n_samples,), float
        One channel, full scale at 1.
    name : str
        How messages call it.
    loudest : float
        The highest peak that is taken for floats with full scale at 1.

    Returns
    -------
    ndarray, shape (n_samples,)
        float64 if `samples` is, everything else as float32; a copy only where the dtype changes.

    Raises
    ------
    ParameterError
        If `samples` is not one channel, is empty or a masked array, holds anything but real floats, NaN or
        infinity, or reaches beyond `loudest`.

    Examples
    --------
    >>> check_samples(np.array([0, 16384], np.int16))
    Traceback (most recent call last):
    ...
    ctctag.exceptions.ParameterError: samples must be floats with full scale at 1, got int16 (divide by 32768)
    """
    if isinstance(samples, np.ma.MaskedArray):
        raise ParameterError(
            f"{name} is a masked array, but masks are not heeded (fill it first, with .filled(0))"
        )
    try:
        given = np.asarray(samples)
    except ValueError:
        given = samples  # of rows that differ in length; the check below says so
    if isinstance(given, np.ndarray) and given.dtype.kind in "iub" and given.size:
        raise ParameterError(
            f"{name} must be floats with full scale at 1, got {given.dtype} ({integer_hint(given.dtype)})"
        )
    x = check_float_array(given, name, ("n_samples",))
    if not x.size:
        raise ParameterError(f"{name} is empty, but at least one sample is needed")
    if x.dtype != np.float64:
        x = x.astype(np.float32, copy=False)
    _check_peak(x, name, loudest)
    return x


def _check_peak(x: npt.NDArray[Any], name: str, loudest: float) -> None:
    """Raise unless every sample is finite and none beyond `loudest`."""
    if x.min() >= -loudest and x.max() <= loudest:  # false for NaN, too
        return
    check_finite(x, name)
    first = int(np.argmax(np.abs(x) > loudest))
    raise ParameterError(
        f"{name}[{first}] is {x[first]:g}, but full scale is 1 (integers as floats? divide 16-bit ones "
        "by 32768)"
    )
