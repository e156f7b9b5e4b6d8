"""The bricks of the synthesiser: envelopes, coloured noise, struck bodies, voices; all 1-D float64.

Everything random is drawn from the generator passed in, everything else is a plain formula, so that a
sound is a function of its seed.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

__all__ = ["add", "burst", "formants", "glottis", "modes", "noise_band", "swell", "times"]

Array = npt.NDArray[np.float64]


def times(seconds: float, sr: int) -> Array:
    """Return the time of each sample, in seconds: shape (seconds · sr,), at least one sample."""
    return np.arange(max(1, round(seconds * sr))) / sr


def burst(seconds: float, sr: int, decay: float, attack: float = 0.001) -> Array:
    r"""Return a blow's envelope: a linear attack, then :math:`e^{-t / \text{decay}}`; all in seconds."""
    t = times(seconds, sr)
    return np.minimum(1.0, t / attack) * np.exp(-t / decay)


def swell(seconds: float, sr: int, peak: float = 0.4, power: float = 1.0) -> Array:
    """Return an arch from 0 to 0, 1 at the fraction `peak` of its length; `power` above 1 makes it narrow."""
    u = times(seconds, sr) / seconds
    bent = np.where(u < peak, 0.5 * u / peak, 0.5 + 0.5 * (u - peak) / (1 - peak))
    return np.sin(np.pi * np.clip(bent, 0, 1)) ** power


def noise_band(rng: np.random.Generator, seconds: float, sr: int, low: float, high: float) -> Array:
    """Return noise of power one between `low` and `high` Hz, its edges rounded off by 12 dB an octave."""
    n = times(seconds, sr).size
    size = next_fast_len(n, real=True)
    frequency = np.fft.rfftfreq(size, 1 / sr) + 1e-3
    gain = 1 / ((1 + (low / frequency) ** 4) * (1 + (frequency / high) ** 4)) ** 0.5
    noise = irfft(rfft(rng.standard_normal(size)) * gain, size)[:n]
    return noise / (np.sqrt(np.mean(noise**2)) + 1e-12)


def modes(
    rng: np.random.Generator,
    seconds: float,
    sr: int,
    frequencies: Sequence[float] | Array,
    decays: Sequence[float] | Array,
) -> Array:
    r"""Return a struck body: damped sinusoids of random strength and phase, those above sr/2 left out.

    One mode, :math:`a\, r^n \sin(\omega n + \varphi)`, is what a filter with two poles answers to a blow.
    """
    body = np.zeros(times(seconds, sr).size)
    strengths = rng.uniform(0.3, 1.0, len(frequencies))
    phases = rng.uniform(0, 2 * np.pi, len(frequencies))
    for frequency, decay, strength, phase in zip(frequencies, decays, strengths, phases, strict=True):
        if frequency < 0.48 * sr:
            blow = np.zeros(min(body.size, round(14 * decay * sr) + 1))  # then it is 120 dB down
            blow[0] = strength
            omega, radius = 2 * np.pi * frequency / sr, np.exp(-1 / (decay * sr))
            zeros = [np.sin(phase), radius * np.sin(omega - phase)]
            body[: blow.size] += lfilter(zeros, [1.0, -2 * radius * np.cos(omega), radius**2], blow)
    return body


def glottis(pitch: Array, sr: int, rng: np.random.Generator, roughness: float = 0.02) -> Array:
    """Return the buzz of vocal folds: one soft pulse each period of the contour `pitch` (Hz, one a sample).

    `roughness` jitters the pitch slowly and at random, by that fraction.
    """
    knots = rng.standard_normal(pitch.size // (sr // 100) + 2)
    jitter = np.interp(np.arange(pitch.size), np.arange(knots.size) * (sr // 100), knots)
    phase = np.cumsum(pitch * (1 + roughness * jitter)) / sr
    saw = 2 * (phase % 1.0) - 1
    return lfilter([0.3], [1, -0.7], saw)  # a softer spectrum than the saw's


def formants(source: Array, sr: int, frequencies: Sequence[float], widths: Sequence[float]) -> Array:
    """Return `source` through resonances in parallel, each of peak gain near one, higher ones softer."""
    voice = np.zeros_like(source)
    for rank, (frequency, width) in enumerate(zip(frequencies, widths, strict=True)):
        if frequency < 0.48 * sr:
            radius = np.exp(-np.pi * width / sr)
            turn = 2 * np.pi * frequency / sr
            poles = [1.0, -2 * radius * np.cos(turn), radius**2]
            voice += 0.7**rank * lfilter([(1 - radius) * 2 * np.sin(turn)], poles, source)
    return voice


def add(total: Array, start: float, sound: Array, sr: int) -> None:
    """Add `sound` into `total` from `start` seconds on, cutting off what hangs over; in place."""
    first = max(0, round(start * sr))
    part = sound[: max(0, total.size - first)]
    total[first : first + part.size] += part
