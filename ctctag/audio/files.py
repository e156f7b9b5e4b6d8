"""Reading and writing audio files: whole, or an error that names the file, the cause and the likely slip."""

import contextlib
import itertools
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_finite, check_float_array, check_integer
from ctctag.audio.decoding import decode, describe, load_soundfile, naming
from ctctag.audio.resampling import resample
from ctctag.audio.samples import LOUDEST, integer_hint
from ctctag.exceptions import AudioError, ParameterError

__all__ = ["AudioInfo", "audio_info", "read_audio", "write_audio"]

PathLike = str | os.PathLike[str]

_WRITABLE = {".flac": "FLAC", ".wav": "WAV"}


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says; only `read_audio` proves that the samples are there.

    Attributes
    ----------
    path : str
        The file.
    sr : int
        Sample rate in Hz.
    channels : int
        Number of channels.
    frames : int or None
        Samples a channel; ``None`` where the header does not say: audio written to a pipe, a WAV file that
        was never finished, MP3 without a Xing or Info frame, or several MP3 files joined. `read_audio` tells.
    duration : float or None
        Length in s.
    format, subtype : str
        libsndfile's names of container and encoding, e.g. ``"FLAC"`` and ``"PCM_16"``.
    """

    path: str
    sr: int
    channels: int
    frames: int | None
    duration: float | None
    format: str
    subtype: str


def read_audio(path: PathLike, sr: int | None = None) -> tuple[npt.NDArray[np.float32], int]:
    """Read a whole audio file as one channel of float32 samples.

    Parameters
    ----------
    path : str or path-like
        Any file that libsndfile reads: WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF and more.
    sr : int, optional
        Wanted sample rate in Hz; the audio is resampled to it. By default the file's own is kept.

    Returns
    -------
    samples : ndarray, shape (n_samples,), float32
        The mean of the channels; full scale is 1.
    sr : int
        Sample rate of `samples` in Hz.

    Raises
    ------
    AudioError
        If the file is missing, a folder or a pipe, not readable, not audio, cut off, damaged, without
        samples, has a sample rate above 768 kHz or more than 2**30 samples, or holds samples that are NaN,
        infinite or beyond 32 times full scale. The message begins with the path.
    ParameterError
        If `sr` is not a positive integer.

    Warns
    -----
    AudioWarning
        If the channels cancel, as two in opposite phase do: their mean is then much weaker than they are.

    Notes
    -----
    WAV, FLAC, Ogg, MP3, AIFF, AU, W64, RF64 and SVX files that are cut off are told from whole ones.
    libsndfile takes VOC and NIST files as long as it finds them, and does not miss the last few bytes of a
    CAF file. Where the header does not say how long the audio is (see `AudioInfo`), everything that is there
    is read; that such a file was cut off shows only if the cut is not between two frames.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_audio(f"{folder}/tone.wav", np.sin(np.arange(1600) / 3), 16000)
    ...     samples, sr = read_audio(f"{folder}/tone.wav", sr=8000)
    >>> samples.shape, samples.dtype, sr
    ((800,), dtype('float32'), 8000)
    """
    if sr is not None:
        sr = check_integer(sr, "sr", low=1)
    with naming(path):
        samples, native = decode(path)
        _check_levels(path, samples)
        if sr is None or sr == native:
            return samples, native
        try:
            return resample(samples, native, sr), sr
        except ParameterError as error:
            raise AudioError(f"{path}: cannot be resampled from {native} to {sr} Hz: {error}") from None


def _check_levels(path: PathLike, samples: npt.NDArray[np.float32]) -> None:
    low, high = samples.min(), samples.max()
    if low >= -LOUDEST and high <= LOUDEST:  # false for NaN, too
        return
    finite = np.isfinite(samples)
    if not finite.all():
        first = int(np.argmin(finite))
        raise AudioError(
            f"{path}: sample {first} of {len(samples)} is {samples[first]}, and {int((~finite).sum())} in "
            "all are not finite (did the program that wrote this float file divide by zero?)"
        )
    raise AudioError(
        f"{path}: its samples reach {max(-low, high):g}, but full scale is 1 (were integers written as "
        "floats? divide 16-bit ones by 32768)"
    )


def audio_info(path: PathLike) -> AudioInfo:
    """Return what the header of an audio file says, without decoding it.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    AudioInfo
        Sample rate, channels, frames, duration, format and subtype.

    Raises
    ------
    AudioError
        If the file is missing, a folder, not readable, or not audio.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_audio(f"{folder}/click.flac", [0.0, 1.0, 0.0, 0.0], 16000)
    ...     info = audio_info(f"{folder}/click.flac")
    >>> info.sr, info.frames, info.duration, info.format
    (16000, 4, 0.00025, 'FLAC')
    """
    with naming(path):
        file, frames = describe(path)
        return AudioInfo(
            path=os.fspath(path),
            sr=file.samplerate,
            channels=file.channels,
            frames=frames,
            duration=None if frames is None else frames / file.samplerate,
            format=file.format,
            subtype=file.subtype,
        )


_serial = itertools.count()


def write_audio(path: PathLike, samples: npt.ArrayLike, sr: int) -> None:
    """Write one channel of samples as 16-bit FLAC or WAV; the file appears whole or not at all.

    A sample x is stored as the integer nearest to 32768 x, and `read_audio` divides by 32768, so what has
    been read once is written and read again without any change. (+1 itself is stored as 32767.)

    Parameters
    ----------
    path : str or path-like
        Ends in ``.flac`` or ``.wav``. An existing file is replaced. The folder must exist.
    samples : array_like, shape (n_samples,), float
        In [-1, 1]. Louder samples are refused, not clipped.
    sr : int
        Sample rate in Hz, 1 to 655350 (FLAC's limit).

    Raises
    ------
    ParameterError
        If the samples are not one channel of finite floats in [-1, 1], or the suffix or `sr` is wrong.
    AudioError
        If the file cannot be written.

    Examples
    --------
    >>> write_audio("loud.wav", [0.0, 1.5], 16000)
    Traceback (most recent call last):
    ...
    ctctag.exceptions.ParameterError: samples[1] is 1.5, but 16-bit audio holds -1 to 1 (scale it down first)
    """
    path = Path(path)
    form = _WRITABLE.get(path.suffix.lower())
    if form is None:
        raise ParameterError(f"path must end in .flac or .wav, got {os.fspath(path)!r}")
    sr = check_integer(sr, "sr", low=1, high=655350)
    given = check_float_array(samples, "samples", ("n_samples",))
    if np.asarray(samples).dtype.kind in "iu":
        dtype = np.asarray(samples).dtype
        raise ParameterError(f"samples must be floats in [-1, 1], got {dtype} ({integer_hint(dtype)})")
    if not given.size:
        raise ParameterError("samples is empty, but an audio file needs at least one sample")
    check_finite(given, "samples")
    if np.abs(given).max() > 1:
        first = int(np.argmax(np.abs(given) > 1))
        raise ParameterError(
            f"samples[{first}] is {given[first]:g}, but 16-bit audio holds -1 to 1 (scale it down first)"
        )
    integers = np.minimum(np.rint(given * 32768.0), 32767).astype(np.int16)
    encoded = BytesIO()  # encoded in memory, so that a full disk shows as Python's own error
    load_soundfile().write(encoded, integers, sr, format=form, subtype="PCM_16")
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_serial)}.tmp")
    try:
        temporary.write_bytes(encoded.getbuffer())
        temporary.replace(path)
    except OSError as error:
        hint = "" if path.parent.is_dir() else f" (there is no folder {os.fspath(path.parent)!r})"
        raise AudioError(f"{path}: cannot be written: {error.strerror}{hint}") from None
    finally:
        with contextlib.suppress(OSError):  # gone already, unless something failed
            temporary.unlink()
