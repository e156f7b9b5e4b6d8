"""Variations of an event: speed and spectral tilt by one pair of Fourier transforms, and polarity."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft

from ctctag._checks import check_integer, check_number
from ctctag.exceptions import ParameterError

__all__ = ["Augment", "Variation", "vary"]

Samples = npt.NDArray[np.float32]

LOWEST_HZ = 50.0
PAD_SECONDS = 0.01
MOST_GAIN_DB = 100.0
MOST_SNR_DB = 200.0  # either way: beyond, float32 holds nothing of the softer


@dataclass(frozen=True)
class Variation:
    """One variation, as `Augment.draw` chose it and as a recipe records it; the default changes nothing."""

    speed: float = 1.0
    tilt_db: tuple[float, ...] = ()
    sign: int = 1


@dataclass(frozen=True)
class Augment:
    """How far each event of a training mixture may be varied.

    Parameters
    ----------
    speed : (float, float)
        Least and greatest speed, by resampling, so that pitch and length change together. Drawn evenly on a
        logarithmic scale.
    tilt_db : float
        Standard deviation of the gain at each of `tilt_points` frequencies, in dB.
    tilt_points : int
        How many frequencies, equally spaced in log frequency from 50 Hz to half the sample rate.
    sign : bool
        Reverse the polarity of every other event, at random.
    crop : bool
        Cut a long event at a random place, rather than keep its beginning.
    layered : float
        Probability that a second recording of the class is laid over an event, varied by itself and up to
        10 dB softer: pairs of recordings are many more than recordings.
    snr_db : (float, float), optional
        Signal-to-noise ratio drawn evenly from this range, in place of the mixer's.

    Raises
    ------
    ParameterError
        If a range is empty or a speed not in [0.5, 2].

    Examples
    --------
    >>> Augment(speed=(0.9, 1.1)).draw(np.random.default_rng(0)).sign in (-1, 1)
    True
    """

    speed: tuple[float, float] = (0.85, 1.18)
    tilt_db: float = 4.0
    tilt_points: int = 5
    sign: bool = True
    crop: bool = True
    layered: float = 0.5
    snr_db: tuple[float, float] | None = (10.0, 25.0)

    def __post_init__(self) -> None:
        low, high = check_range(self.speed, "speed")
        check_number(low, "speed[0]", low=0.5)
        check_number(high, "speed[1]", high=2.0)
        check_number(self.tilt_db, "tilt_db", low=0)
        check_number(self.tilt_db, "tilt_db", high=MOST_GAIN_DB)
        check_integer(self.tilt_points, "tilt_points", low=2)
        check_number(self.layered, "layered", low=0, high=1)
        if self.snr_db is not None:
            check_snr(self.snr_db)

    def draw(self, rng: np.random.Generator) -> Variation:
        """Return a random variation within the bounds."""
        low, high = self.speed
        speed = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        tilt = rng.normal(0.0, self.tilt_db, self.tilt_points) if self.tilt_db else np.empty(0)
        sign = -1 if self.sign and rng.random() < 0.5 else 1
        return Variation(round(speed, 6), tuple(round(float(gain), 4) for gain in tilt), sign)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)


def vary(samples: Samples, sr: int, variation: Variation) -> Samples:
    """Return the event played faster or slower, its spectrum tilted, its polarity perhaps reversed.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,), float32
        The event.
    sr : int
        Its sample rate in Hz.
    variation : Variation
        What to do.

    Returns
    -------
    ndarray, float32
        About ``n_samples / speed`` samples; `samples` itself if nothing is to be done.

    Notes
    -----
    The spectrum of n samples, cut or filled with zeros to that of m samples, is the same sound at n/m times
    the speed, without aliasing. n and m are lengths whose transforms are fast, so the speed is met to
    within a percent; silence is put behind the event so that its end does not ring into
    its beginning.

    Examples
    --------
    >>> tone = np.sin(np.arange(16000) / 16000 * 2 * np.pi * 440).astype(np.float32)
    >>> abs(vary(tone, 16000, Variation(speed=1.1)).size - 16000 / 1.1) < 200
    True
    """
    if variation.speed == 1.0 and not variation.tilt_db:
        return samples if variation.sign > 0 else -samples
    size = next_fast_len(samples.size + round(PAD_SECONDS * sr))
    new_size = next_fast_len(round(size / variation.speed))
    spectrum = rfft(samples, size)[: new_size // 2 + 1]
    spectrum *= np.float32(variation.sign * new_size / size)
    if variation.tilt_db:
        # in float32, in which log and exp are several times as fast
        frequency = np.arange(spectrum.size, dtype=np.float32) * np.float32(sr / new_size)
        log_frequency = np.log(np.maximum(frequency, np.float32(LOWEST_HZ)))
        points = np.linspace(np.log(LOWEST_HZ), np.log(sr / 2), len(variation.tilt_db))
        nepers = np.interp(log_frequency, points, np.array(variation.tilt_db) * (np.log(10) / 20))
        spectrum *= np.exp(nepers.astype(np.float32))
    varied = irfft(spectrum, new_size)
    return varied[: max(1, round(samples.size * new_size / size))]


def check_range(value: Any, name: str) -> tuple[float, float]:
    """Return a pair of finite numbers, the first at most the second; one number stands for both."""
    if np.ndim(value) == 0:
        value = (value, value)
    if len(value) != 2:
        raise ParameterError(f"{name} must be a number or a pair (low, high), got {value!r}")
    low, high = (check_number(end, f"{name}[{index}]") for index, end in enumerate(value))
    if low > high:
        raise ParameterError(f"{name} must be a pair (low, high), got {value!r} (swapped?)")
    return low, high


def check_snr(value: Any) -> tuple[float, float]:
    """Return a range of signal-to-noise ratios in dB that can be mixed."""
    low, high = check_range(value, "snr_db")
    check_number(low, "snr_db", low=-MOST_SNR_DB)
    check_number(high, "snr_db", high=MOST_SNR_DB)
    return low, high
