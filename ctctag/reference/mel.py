r"""The log-mel spectrogram as its equations read: a Fourier sum, and a triangle for each band.

.. math::

    X_t(k) = \sum_{n=0}^{N-1} w_n \, x_{tH + n} \, e^{-2 \pi i k n / N}
    \qquad
    Y_t(m) = \log\!\Big(\epsilon + \sum_k W_m(k) \, |X_t(k)|\Big)

Plain Python floats, one frame, one bin, one band after the other: some 126 million steps for ten seconds, so
for short examples only. The fast twin is `ctctag.audio`.
"""

import cmath
import math
from collections.abc import Sequence

__all__ = ["hamming", "hz_to_mel", "log_mel", "mel_filterbank", "mel_to_hz", "stft"]


def hamming(n_fft: int) -> list[float]:
    """Return the periodic Hamming window, 0.54 - 0.46 cos(2 pi n / N).

    Examples
    --------
    >>> [round(w, 2) for w in hamming(4)]
    [0.08, 0.54, 1.0, 0.54]
    """
    return [0.54 - 0.46 * math.cos(2 * math.pi * n / n_fft) for n in range(n_fft)]


def stft(samples: Sequence[float], n_fft: int, hop_length: int) -> list[list[complex]]:
    """Return the Fourier sum of every Hamming-windowed frame that fits, for k = 0 ... N / 2.

    Parameters
    ----------
    samples : sequence of float
        One channel.
    n_fft : int
        N, samples a frame.
    hop_length : int
        H, samples from one frame to the next.

    Returns
    -------
    list of list of complex
        T frames of ``n_fft // 2 + 1`` numbers; no frame reaches beyond the samples.

    Examples
    --------
    >>> [[round(abs(x), 3) for x in frame] for frame in stft([1.0, 0.0, -1.0, 0.0, 1.0], 4, 1)]
    [[0.92, 1.08, 0.92], [0.0, 1.08, 0.0]]
    """
    window = hamming(n_fft)
    return [
        [
            sum(
                window[n] * float(samples[start + n]) * cmath.exp(-2j * math.pi * k * n / n_fft)
                for n in range(n_fft)
            )
            for k in range(n_fft // 2 + 1)
        ]
        for start in range(0, len(samples) - n_fft + 1, hop_length)
    ]


def hz_to_mel(frequency: float, scale: str = "slaney") -> float:
    """Return mel for Hz: HTK's logarithm, or Slaney's line that turns logarithmic at 1000 Hz.

    Examples
    --------
    >>> hz_to_mel(1000.0), round(hz_to_mel(1000.0, "htk"), 2)
    (15.0, 999.99)
    """
    if scale == "htk":
        return 2595 * math.log10(1 + frequency / 700)
    if frequency < 1000:
        return 3 * frequency / 200
    return 15 + 27 * math.log(frequency / 1000) / math.log(6.4)


def mel_to_hz(mel: float, scale: str = "slaney") -> float:
    """Return Hz for mel: the formulas of `hz_to_mel`, solved for the frequency.

    Examples
    --------
    >>> mel_to_hz(15.0), round(mel_to_hz(42.0), 6)
    (1000.0, 6400.0)
    """
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    if mel < 15:
        return 200 * mel / 3
    return 1000 * 6.4 ** ((mel - 15) / 27)


def mel_filterbank(
    sr: int,
    n_fft: int,
    n_mels: int,
    fmin: float,
    fmax: float,
    scale: str = "slaney",
    norm: str | None = "slaney",
) -> list[list[float]]:
    """Return the weight of each of the ``n_fft // 2 + 1`` bins in each band.

    Band m rises from corner m to corner m + 1 and falls to corner m + 2; the corners are equally spaced in
    mel. With ``norm="slaney"`` each triangle is divided by its area, half its base in Hz.

    Examples
    --------
    >>> mel_filterbank(8, 8, 1, 0.0, 4.0, norm=None)
    [[0.0, 0.5, 1.0, 0.5, 0.0]]
    """
    low, high = hz_to_mel(fmin, scale), hz_to_mel(fmax, scale)
    corners = [mel_to_hz(low + (high - low) * i / (n_mels + 1), scale) for i in range(n_mels + 2)]
    bank = []
    for left, peak, right in zip(corners, corners[1:], corners[2:], strict=False):
        band = []
        for k in range(n_fft // 2 + 1):
            f = k * sr / n_fft
            weight = max(0.0, min((f - left) / (peak - left), (right - f) / (right - peak)))
            band.append(weight / ((right - left) / 2) if norm == "slaney" else weight)
        bank.append(band)
    return bank


def log_mel(
    samples: Sequence[float],
    sr: int,
    n_fft: int,
    hop_length: int,
    n_mels: int,
    fmin: float,
    fmax: float,
    floor: float = 1e-8,
) -> list[list[float]]:
    """Return log(floor + sum over k of weight times magnitude) for each frame and band.

    Examples
    --------
    >>> [round(y, 3) for y in log_mel([1.0, 0.0, -1.0, 0.0], 8, 4, 1, 1, 0.0, 4.0)[0]]
    [-0.616]
    """
    bank = mel_filterbank(sr, n_fft, n_mels, fmin, fmax)
    return [
        [math.log(floor + sum(w * abs(x) for w, x in zip(band, frame, strict=True))) for band in bank]
        for frame in stft(samples, n_fft, hop_length)
    ]
