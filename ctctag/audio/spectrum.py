r"""The short-time Fourier transform: windowed frames, one row of frequencies each.

Without centring, as the paper's authors had it, frame t covers samples ``t * hop_length`` to
``t * hop_length + n_fft - 1`` and nothing is padded: a frame never mixes sound with invented silence, and a
clip of 10 s at 16 kHz gives 240 frames of 1024 samples at a hop of 664. With ``center=True``, frame t is
centred on sample ``t * hop_length`` and ``n_fft // 2`` zeros are put on both sides.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_choice, check_integer
from ctctag._threads import run_tasks
from ctctag.audio.samples import OVERSHOT, check_samples
from ctctag.exceptions import ParameterError

__all__ = ["WINDOWS", "frame_count", "stft"]

WINDOWS = ("hamming", "hann", "boxcar")

TILE = 32  # frames transformed at once: window, frames and spectrum of a tile stay in the second-level cache


def stft(
    samples: npt.ArrayLike,
    *,
    n_fft: int = 1024,
    hop_length: int = 664,
    window: str = "hamming",
    center: bool = False,
) -> npt.NDArray[Any]:
    r"""Return the short-time Fourier transform, frames by frequencies.

    .. math:: X_t(k) = \sum_{n=0}^{N-1} w_n \, x_{tH + n} \, e^{-2 \pi i k n / N}, \qquad k = 0, \dots, N/2

    Parameters
    ----------
    samples : array_like, shape (n_samples,), float
        One channel. float64 is transformed in float64, everything else in float32.
    n_fft : int
        N, samples a frame (the window has as many).
    hop_length : int
        H, samples from one frame to the next.
    window : str
        ``"hamming"``, ``"hann"`` or ``"boxcar"``, in its periodic form.
    center : bool
        Centre frame t on sample ``t * hop_length`` by padding with zeros.

    Returns
    -------
    ndarray, shape (T, n_fft // 2 + 1), complex64 or complex128
        T is `frame_count`; row k of the second axis is the frequency ``k * sr / n_fft``.

    Raises
    ------
    ParameterError
        If `samples` is not one channel of finite floats with full scale at 1 (integers are refused), is
        shorter than a frame, or a parameter is out of range.

    See Also
    --------
    ctctag.reference.stft : the sum as it reads above.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    >>> spectrum = stft(tone, n_fft=512, hop_length=256)
    >>> spectrum.shape, int(np.abs(spectrum[0]).argmax()) * 16000 / 512
    ((61, 257), 1000.0)
    """
    n_fft, hop_length, window = check_framing(n_fft, hop_length, window)
    x = check_clip(samples, n_fft, center=center)
    frames = framed(x, n_fft, hop_length, center=center)
    weights = window_samples(window, n_fft, x.dtype.char)
    out = np.empty((len(frames), n_fft // 2 + 1), np.result_type(x.dtype, np.complex64))

    def transform(begin: int) -> None:
        out[begin : begin + TILE] = tile_spectrum(frames[begin : begin + TILE], weights)

    run_tasks(transform, range(0, len(frames), TILE))
    return out


def frame_count(n_samples: int, n_fft: int, hop_length: int, *, center: bool = False) -> int:
    """Return how many frames `n_samples` give; without centring, 0 where they do not fill one.

    Examples
    --------
    >>> frame_count(160000, 1024, 664)
    240
    >>> frame_count(1023, 1024, 664)
    0
    """
    if center:
        n_samples += 2 * (n_fft // 2)
    return 1 + (n_samples - n_fft) // hop_length if n_samples >= n_fft else 0


def check_framing(n_fft: Any, hop_length: Any, window: Any) -> tuple[int, int, str]:
    """Return the checked parameters of a transform."""
    return (
        check_integer(n_fft, "n_fft", low=2),
        check_integer(hop_length, "hop_length", low=1),
        check_choice(window, "window", WINDOWS),
    )


def check_clip(samples: npt.ArrayLike, n_fft: int, *, center: bool) -> npt.NDArray[Any]:
    """Return `samples` as a contiguous float32 or float64 array that fills at least one frame."""
    x = np.ascontiguousarray(check_samples(samples, loudest=OVERSHOT))
    if frame_count(len(x), n_fft, 1, center=center) < 1:
        raise ParameterError(
            f"samples must fill at least one frame of n_fft={n_fft} samples, got {len(x)} (append zeros if "
            "the clip is really that short)"
        )
    return x


def framed(x: npt.NDArray[Any], n_fft: int, hop_length: int, *, center: bool) -> npt.NDArray[Any]:
    """Return the frames, shape (T, n_fft), as a read-only view: overlapping samples are not copied."""
    if center:
        x = np.pad(x, n_fft // 2)
    return np.lib.stride_tricks.sliding_window_view(x, n_fft)[::hop_length]


@lru_cache(maxsize=32)
def window_samples(window: str, n_fft: int, char: str) -> npt.NDArray[Any]:
    """Return the periodic window, shape (n_fft,): a_0 - (1 - a_0) cos(2 pi n / N)."""
    a0 = {"hamming": 0.54, "hann": 0.5, "boxcar": 1.0}[window]
    weights = (a0 - (1 - a0) * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(char)
    weights.flags.writeable = False
    return weights


def tile_spectrum(frames: npt.NDArray[Any], weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the spectrum of a few frames, in their precision."""
    from scipy.fft import rfft

    return rfft(frames * weights, axis=1, overwrite_x=True)
