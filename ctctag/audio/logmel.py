"""Log-mel spectrograms, the input of every network here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer, check_number
from ctctag._threads import run_tasks
from ctctag.audio._kernels import LANES, _mel_product
from ctctag.audio.mel import mel_filterbank, sparse_bank
from ctctag.audio.spectrum import (
    TILE,
    check_clip,
    check_framing,
    frame_count,
    framed,
    tile_spectrum,
    window_samples,
)
from ctctag.exceptions import ParameterError

__all__ = ["LogMel"]

_TASK = 16 * TILE  # frames a thread takes at a time: 20 s or so; shorter clips are not worth a hand-over


@dataclass(frozen=True)
class LogMel:
    r"""Settings of a log-mel spectrogram; calling it computes one.

    .. math:: Y_t(m) = \log\!\Big(\epsilon + \sum_k W_m(k) \, |X_t(k)|^p\Big)

    with X the `stft` and W the `mel_filterbank`. The defaults are those of the paper's authors: 64 bands of
    the magnitude of 1024 samples at 16 kHz, every 664 samples: 240 frames for 10 s.

    Parameters
    ----------
    sr : int
        Sample rate in Hz that samples must have.
    n_fft : int
        Samples a frame.
    hop_length : int
        Samples from one frame to the next.
    window : str
        ``"hamming"``, ``"hann"`` or ``"boxcar"``.
    n_mels : int
        Bands.
    fmin, fmax : float
        Ends of the lowest and the highest band in Hz; at most ``sr / 2``.
    scale : str
        Mel scale, ``"slaney"`` or ``"htk"``.
    norm : str or None
        ``"slaney"`` divides each band by its width, ``None`` does not.
    power : int
        p: 1 for the magnitude, 2 for the power.
    floor : float
        Epsilon, above 0, added before the logarithm. It is in the units of the weighted sum.
    center : bool
        Centre frames and pad with zeros, see `stft`.

    Raises
    ------
    ParameterError
        If a setting is out of range, or a band would hold none of the Fourier bins.

    See Also
    --------
    ctctag.reference.log_mel : its readable twin.

    Notes
    -----
    Everything is computed in float32 on tiles of a few frames that stay in the cache. Results are
    bit-identical for any number of threads.

    Examples
    --------
    >>> log_mel = LogMel()
    >>> log_mel.n_frames(160000)
    240
    >>> features = log_mel(np.sin(2 * np.pi * 440 * np.arange(16000) / 16000))
    >>> features.shape, features.dtype
    ((23, 64), dtype('float32'))
    >>> log_mel.frame_times(3)
    array([0.032 , 0.0735, 0.115 ])
    >>> LogMel.from_dict(log_mel.to_dict()) == log_mel
    True
    """

    sr: int = 16000
    n_fft: int = 1024
    hop_length: int = 664
    window: str = "hamming"
    n_mels: int = 64
    fmin: float = 50.0
    fmax: float = 8000.0
    scale: str = "slaney"
    norm: str | None = "slaney"
    power: int = 1
    floor: float = 1e-8
    center: bool = False

    def __post_init__(self) -> None:
        check_framing(self.n_fft, self.hop_length, self.window)
        check_integer(self.power, "power", low=1, high=2)
        check_number(self.floor, "floor", low=0, exclude_low=True)
        if not isinstance(self.center, bool):
            raise ParameterError(f"center must be True or False, got {self.center!r}")
        mel_filterbank(*self._bank[:5], scale=self.scale, norm=self.norm)  # checks the rest

    @property
    def _bank(self) -> tuple[int, int, int, float, float, str, str | None]:
        return self.sr, self.n_fft, self.n_mels, self.fmin, self.fmax, self.scale, self.norm

    def __call__(self, samples: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the log-mel spectrogram of one clip.

        Parameters
        ----------
        samples : array_like, shape (n_samples,), float
            One channel at ``sr``, full scale at 1.

        Returns
        -------
        ndarray, shape (T, n_mels), float32
            T is ``n_frames(n_samples)``.

        Raises
        ------
        ParameterError
            If `samples` is not one channel of finite floats with full scale at 1 (integers are refused, and
            peaks above 64), or is shorter than a frame.
        """
        x = check_clip(samples, self.n_fft, center=self.center).astype(np.float32, copy=False)
        frames = framed(x, self.n_fft, self.hop_length, center=self.center)
        weights = window_samples(self.window, self.n_fft, "f")
        bank = sparse_bank(*self._bank)
        out = np.empty((len(frames), self.n_mels), np.float32)

        def compute(task: int) -> None:
            magnitude = np.zeros((self.n_fft // 2 + 1, LANES), np.float32)
            total = np.empty(LANES, np.float32)
            for begin in range(task, min(task + _TASK, len(frames)), TILE):
                spectrum = tile_spectrum(frames[begin : begin + TILE], weights)
                rows = out[begin : begin + TILE]
                _mel_product(spectrum.view(np.float32), *bank, self.power, magnitude, total, rows)
                rows += np.float32(self.floor)
                np.log(rows, out=rows)

        run_tasks(compute, range(0, len(frames), _TASK))
        return out

    def n_frames(self, n_samples: int) -> int:
        """Return T for a clip of `n_samples`; 0 where they do not fill a frame."""
        return frame_count(
            check_integer(n_samples, "n_samples", low=0), self.n_fft, self.hop_length, center=self.center
        )

    def frame_times(self, n_frames: int) -> npt.NDArray[np.float64]:
        """Return the centre of each frame in s, shape (n_frames,)."""
        middle = 0 if self.center else self.n_fft / 2
        return (np.arange(check_integer(n_frames, "n_frames", low=0)) * self.hop_length + middle) / self.sr

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain numbers and strings, for JSON or TOML."""
        return asdict(self)

    @classmethod
    def at_rate(cls, sr: int, **settings: Any) -> Self:
        """Return the paper's frames at another sample rate: as long and as often, bands up to half the rate.

        Parameters
        ----------
        sr : int
            Sample rate in Hz.
        **settings
            Others, such as ``n_mels``.

        Raises
        ------
        ParameterError
            If a setting is out of range.

        Examples
        --------
        >>> wide = LogMel.at_rate(32000)
        >>> wide.n_fft, wide.hop_length, wide.fmax, wide.n_frames(320000)
        (2048, 1328, 16000.0, 240)
        """
        check_integer(sr, "sr", low=1)
        times = sr / cls.sr
        frames = {"n_fft": round(times * cls.n_fft), "hop_length": round(times * cls.hop_length)}
        return cls(**{"sr": sr, "fmax": sr / 2, **frames, **settings})

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Return the `LogMel` of these settings; those that are missing keep their defaults.

        Raises
        ------
        ParameterError
            If a name is unknown, or a setting is out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise ParameterError(
                f"settings has the unknown name {unknown[0]!r}, but may have {', '.join(known)}"
            )
        return cls(**settings)
