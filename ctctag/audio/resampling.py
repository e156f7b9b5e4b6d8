"""Changing the sample rate by a polyphase filter."""

from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer
from ctctag.audio.samples import MOST_SAMPLES, check_samples
from ctctag.exceptions import ParameterError

__all__ = ["HIGHEST_RATE", "resample"]

HIGHEST_RATE = 768_000  # Hz, of the fastest converters; a larger number in a header is damage

_ZERO_CROSSINGS = 16  # of the sinc, on each side
_KAISER_BETA = 7.0  # about 70 dB between pass band and stop band
_CUTOFF = 0.93  # of the lower Nyquist frequency: the middle of the transition, which is 0.27 wide


def resample(samples: npt.ArrayLike, sr_in: int, sr_out: int) -> npt.NDArray[Any]:
    """Return `samples` at another rate: band-limited interpolation by a windowed sinc.

    Parameters
    ----------
    samples : array_like, shape (n_samples,), float
        One channel, full scale at 1. float32 and float64 are kept.
    sr_in, sr_out : int
        Rate of `samples` and wanted rate in Hz; only their ratio counts.

    Returns
    -------
    ndarray, shape (ceil(n_samples * sr_out / sr_in),)
        The audio at `sr_out`. It may overshoot a full-scale input by a little.

    Raises
    ------
    ParameterError
        If `samples` is not one channel of finite floats with full scale at 1 (integers are refused), a rate
        is not a positive integer, the ratio in lowest terms has a number above 768000, or the result would
        have more than 2**30 samples.

    Notes
    -----
    `scipy.signal.resample_poly` with a Kaiser-windowed sinc of 16 zero crossings a side. With f the lower of
    the two Nyquist frequencies: the level stays within 0.01 dB up to 0.79 f, and above 1.07 f everything is
    at least 70 dB down, so that aliases, if any, stay in the top 7 % of the band.

    Examples
    --------
    >>> resample(np.ones(8), 4, 2).shape
    (4,)
    """
    x = check_samples(samples)
    sr_in = check_integer(sr_in, "sr_in", low=1)
    sr_out = check_integer(sr_out, "sr_out", low=1)
    common = gcd(sr_in, sr_out)
    up, down = sr_out // common, sr_in // common
    if up == down:
        return x.copy()
    if max(up, down) > HIGHEST_RATE:  # the filter has 32 times as many taps
        raise ParameterError(
            f"sr_in / sr_out is {down} / {up} in lowest terms, but neither may be above {HIGHEST_RATE} (are "
            "the rates in Hz?)"
        )
    if x.size * up // down > MOST_SAMPLES:
        raise ParameterError(
            f"samples would become {x.size * up // down} at sr_out={sr_out}, but a clip has at most "
            f"{MOST_SAMPLES} (is sr_in={sr_in} right?)"
        )
    from scipy.signal import resample_poly

    return resample_poly(x, up, down, window=_lowpass(up, down).astype(x.dtype))


@lru_cache(maxsize=64)
def _lowpass(up: int, down: int) -> npt.NDArray[np.float64]:
    """Return the filter at the common rate, of unit gain (`resample_poly` makes up for the zeros between)."""
    from scipy.signal import firwin

    widest = max(up, down)
    taps = firwin(2 * _ZERO_CROSSINGS * widest + 1, _CUTOFF / widest, window=("kaiser", _KAISER_BETA))
    taps.flags.writeable = False
    return taps
