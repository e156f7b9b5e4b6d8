r"""Mel filter banks: triangles that are equally wide on a scale of perceived pitch.

Two scales are in use. HTK's is logarithmic throughout,

.. math:: m(f) = 2595 \log_{10}(1 + f / 700),

Slaney's (Auditory Toolbox) is linear below 1000 Hz, 15 mel there, and logarithmic above:

.. math:: m(f) = 3 f / 200 \;\; (f < 1000), \qquad 15 + 27 \, \ln(f / 1000) / \ln 6.4 \;\; (f \ge 1000).
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_choice, check_float_array, check_integer, check_number
from ctctag.exceptions import ParameterError

__all__ = ["SCALES", "hz_to_mel", "mel_filterbank", "mel_to_hz"]

SCALES = ("slaney", "htk")


def hz_to_mel(frequencies: npt.ArrayLike, *, scale: str = "slaney") -> npt.NDArray[np.float64]:
    """Return the pitch in mel.

    Parameters
    ----------
    frequencies : array_like, float
        In Hz, at least 0.
    scale : str
        ``"slaney"`` or ``"htk"``.

    Returns
    -------
    ndarray, float64
        In mel, the shape of `frequencies`.

    Examples
    --------
    >>> hz_to_mel([200.0, 1000.0, 6400.0])
    array([ 3., 15., 42.])
    """
    check_choice(scale, "scale", SCALES)
    hz = check_float_array(frequencies, "frequencies").astype(np.float64)
    if not (hz >= 0).all():
        raise ParameterError("frequencies must be at least 0 Hz")
    if scale == "htk":
        return 2595 * np.log10(1 + hz / 700)
    return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def mel_to_hz(mels: npt.ArrayLike, *, scale: str = "slaney") -> npt.NDArray[np.float64]:
    """Return the frequency in Hz; the inverse of `hz_to_mel`.

    Parameters
    ----------
    mels : array_like, float
        In mel.
    scale : str
        ``"slaney"`` or ``"htk"``.

    Returns
    -------
    ndarray, float64
        In Hz, the shape of `mels`.

    Examples
    --------
    >>> mel_to_hz([3.0, 15.0, 42.0])
    array([ 200., 1000., 6400.])
    """
    check_choice(scale, "scale", SCALES)
    mel = check_float_array(mels, "mels").astype(np.float64)
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp((np.maximum(mel, 15) - 15) * np.log(6.4) / 27))


def mel_filterbank(
    sr: int,
    n_fft: int,
    n_mels: int,
    fmin: float = 0.0,
    fmax: float | None = None,
    *,
    scale: str = "slaney",
    norm: str | None = "slaney",
) -> npt.NDArray[np.float64]:
    r"""Return the weight of every Fourier bin in every mel band.

    With corners :math:`c_0 \dots c_{M+1}` equally spaced in mel from `fmin` to `fmax`, band m is the triangle

    .. math:: W_m(f) = \max\!\left(0, \min\!\left(
        \frac{f - c_m}{c_{m+1} - c_m}, \frac{c_{m+2} - f}{c_{m+2} - c_{m+1}} \right)\right).

    Parameters
    ----------
    sr : int
        Sample rate in Hz.
    n_fft : int
        Samples a frame.
    n_mels : int
        M, the number of bands.
    fmin, fmax : float
        Ends of the lowest and the highest band in Hz; `fmax` is ``sr / 2`` by default and at most.
    scale : str
        ``"slaney"`` or ``"htk"``.
    norm : str or None
        ``"slaney"`` divides each triangle by its area in Hz, :math:`(c_{m+2} - c_m) / 2`; ``None`` leaves
        peaks of 1.

    Returns
    -------
    ndarray, shape (n_mels, n_fft // 2 + 1), float64
        The bank.

    Raises
    ------
    ParameterError
        If a parameter is out of range, or a band lies between two bins and would always be empty.

    References
    ----------
    S. Young et al., The HTK Book, 2006, section 5.4; M. Slaney, Auditory Toolbox, technical report 1998-010.

    Examples
    --------
    >>> mel_filterbank(8, 8, 2, norm=None, scale="htk").round(3)
    array([[0.   , 0.751, 0.498, 0.   , 0.   ],
           [0.   , 0.   , 0.502, 0.749, 0.   ]])
    """
    sr = check_integer(sr, "sr", low=1)
    n_fft = check_integer(n_fft, "n_fft", low=2)
    n_mels = check_integer(n_mels, "n_mels", low=1)
    fmax = sr / 2 if fmax is None else check_number(fmax, "fmax", low=0, exclude_low=True)
    if fmax > sr / 2:
        raise ParameterError(f"fmax must be at most sr / 2 = {sr / 2:g} Hz, got {fmax:g} (is sr right?)")
    fmin = check_number(fmin, "fmin", low=0, high=fmax, exclude_high=True)
    check_choice(scale, "scale", SCALES)
    if norm is not None:
        check_choice(norm, "norm", ("slaney",))
    ends = hz_to_mel([fmin, fmax], scale=scale)
    corners = mel_to_hz(np.linspace(ends[0], ends[1], n_mels + 2), scale=scale)
    bins = np.arange(n_fft // 2 + 1) * (sr / n_fft)  # (K,)
    left, peak, right = (corners[i : i + n_mels, None] for i in range(3))  # (M, 1)
    bank = np.maximum(0, np.minimum((bins - left) / (peak - left), (right - bins) / (right - peak)))
    if norm == "slaney":
        bank *= 2 / (right - left)
    empty = np.flatnonzero(~bank.any(axis=1))
    if empty.size:
        m = int(empty[0])
        raise ParameterError(
            f"band {m} of {n_mels} ({corners[m]:.1f} to {corners[m + 2]:.1f} Hz) holds none of the bins, "
            f"which are {sr / n_fft:g} Hz apart (use fewer bands, a larger n_fft, or another fmin)"
        )
    return bank


@lru_cache(maxsize=16)
def sparse_bank(
    sr: int, n_fft: int, n_mels: int, fmin: float, fmax: float, scale: str, norm: str | None
) -> tuple[npt.NDArray[Any], ...]:
    """Return the bank without its zeros: first bin and first weight of each band, and all weights in a row.

    Returns
    -------
    first : ndarray, shape (n_mels,), int64
        The first bin with a weight.
    begin : ndarray, shape (n_mels + 1,), int64
        Band m has ``weights[begin[m]:begin[m + 1]]``, for bins from ``first[m]`` on.
    weights : ndarray, float32
        About ``n_fft`` of them, where the full bank has ``n_mels * n_fft / 2``.
    """
    bank = mel_filterbank(sr, n_fft, n_mels, fmin, fmax, scale=scale, norm=norm)
    first = np.array([np.flatnonzero(band)[0] for band in bank])
    rows = [band[np.flatnonzero(band)[0] : np.flatnonzero(band)[-1] + 1] for band in bank]
    begin = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    arrays = first.astype(np.int64), begin.astype(np.int64), np.concatenate(rows).astype(np.float32)
    for array in arrays:
        array.flags.writeable = False
    return arrays
