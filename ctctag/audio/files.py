"""Reading and writing audio files: whole, or an error that names the file, the cause and the likely slip.

libsndfile is lenient. A WAV file that a full disk cut in half opens as a shorter recording, an Ogg file with
a damaged page skips it, an MP3 file gives fewer frames than it promised, and all of these without an error.
Its parse log tells, so it is read here; and what a file promises is held against what it gives.
"""

import contextlib
import itertools
import os
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_finite, check_float_array, check_integer
from ctctag.audio.resampling import resample
from ctctag.exceptions import AudioError, ParameterError

__all__ = ["AudioInfo", "audio_info", "read_audio", "write_audio"]

PathLike = str | os.PathLike[str]

_BLOCK = 1 << 20  # frames decoded at once: bounds the memory that many channels take
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's "the header does not say" is 2**63 - 1
_WRITABLE = {".flac": "FLAC", ".wav": "WAV"}

# How files that are not audio for libsndfile begin, and what has usually happened.
_LOOKALIKES = (
    (rb"version https://git-lfs", "it is a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (rb"\s*<(!doctype|html|\?xml)", "it is a web page: did the download fail?"),
    (rb".{4}ftyp", "it looks like MP4/M4A, which libsndfile does not read: convert it to FLAC or WAV"),
    (
        rb"\x1aE\xdf\xa3",
        "it looks like WebM/Matroska, which libsndfile does not read: convert it to FLAC or WAV",
    ),
    (
        rb"0&\xb2u\x8ef\xcf\x11",
        "it looks like WMA, which libsndfile does not read: convert it to FLAC or WAV",
    ),
    (
        rb"\xff[\xf0\xf1\xf8\xf9][\x00-\x7f]",
        "it looks like raw AAC, which libsndfile does not read: convert it",
    ),
    (rb"PK\x03\x04|\x1f\x8b", "it is an archive: unpack it first"),
    (rb"fLaC", "it begins as FLAC does: is the file cut off, or without samples?"),
    (rb"(RIFF|RF64|OggS|FORM|ID3|caff)", "it begins as audio does: is the file cut off?"),
    (rb"[\t\n\r\x20-\x7e]+\Z", "it looks like text"),
    (rb"\x00+\Z", "it begins with zeros: was the disk full, or the copy broken off?"),
)

# Lines of libsndfile's parse log that mean "parts of this file are missing".
_DAMAGE = re.compile(
    r"^\s*(?:(?P<chunk>data|SSND|BODY|riff|Data Size)\s*:\s*(?P<said>\d+) \(should be (?P<have>\d+)\)"
    r"|Ogg\s*: (?:File ended unexpectedly|Skipped \d+ bytes|Warning, libogg reports a hole).*"
    r"|Ogg\s*: (?:Junk after the last page|Last page lacks).*"
    r"|\*\*\* (?:Calculated frame count|File seems to be truncated).*"
    r"|\*\*\* Warning : short read.*)\s*$",
    re.MULTILINE,
)
_STREAMED = 0x7FFF0000  # writers to a pipe leave a size of 2**31 or 2**32, about, that nobody corrects later


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
        Samples a channel; ``None`` where the header does not say (audio written to a pipe).
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
        If the file is missing, a folder, not readable, not audio, cut off, damaged, without samples, or
        holds NaN or infinite samples. The message begins with the path.
    ParameterError
        If `sr` is not a positive integer.

    Notes
    -----
    WAV, FLAC, Ogg, MP3, AIFF, AU, W64, RF64 and SVX files that are cut off are told from whole ones.
    libsndfile takes VOC and NIST files as long as it finds them, and does not miss the last few bytes of a
    CAF file.

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
    soundfile = _soundfile()
    with _open(path) as file:
        promised, native = file.frames, file.samplerate
        if promised >= _UNKNOWN_FRAMES:
            raise AudioError(
                f"{path}: the header does not say how long the audio is, so a missing end would go unseen "
                "(was it written to a pipe? convert it once more, from file to file)"
            )
        log = file.extra_info
        blocks = []
        try:
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{path}: its {promised} samples cannot all be decoded: {_reason(error)} (is the file cut "
                f"off or damaged?) [{_library()}]"
            ) from None
    samples = blocks[0] if len(blocks) == 1 else np.concatenate([np.empty(0, np.float32), *blocks])
    _check_whole(path, len(samples), promised, log)
    finite = np.isfinite(samples)
    if not finite.all():
        first = int(np.argmin(finite))
        raise AudioError(
            f"{path}: sample {first} of {len(samples)} is {samples[first]}, and {int((~finite).sum())} in "
            "all are not finite (did the program that wrote this float file divide by zero?)"
        )
    if sr is not None and sr != native:
        return resample(samples, native, sr), sr
    return np.ascontiguousarray(samples), native


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
    with _open(path) as file:
        frames = file.frames if file.frames < _UNKNOWN_FRAMES else None
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
        raise ParameterError(f"samples must be floats in [-1, 1], got {np.asarray(samples).dtype}")
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
    _soundfile().write(encoded, integers, sr, format=form, subtype="PCM_16")
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


def _soundfile() -> ModuleType:
    try:
        import soundfile
    except OSError as error:
        raise AudioError(
            f"libsndfile cannot be loaded: {error} (reinstall it with `pip install --force-reinstall "
            "soundfile`)"
        ) from None
    return soundfile


def _library() -> str:
    return f"libsndfile {_soundfile().__libsndfile_version__}"


def _reason(error: Any) -> str:
    return str(error.error_string).removeprefix("Error : ").rstrip(". ")


def _open(path: PathLike) -> Any:
    """Open an audio file, after the mistakes that libsndfile reports as something else."""
    soundfile = _soundfile()
    plain = Path(path)
    try:
        if plain.is_dir():
            raise AudioError(f"{path}: is a folder, but one audio file was expected")
        with plain.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        known = plain.parent.is_dir()
        hint = "is the name spelled right?" if known else f"there is no folder {os.fspath(plain.parent)!r}"
        raise AudioError(f"{path}: there is no such file ({hint})") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened: {error.strerror}") from None
    if not head:
        raise AudioError(f"{path}: the file is empty, 0 bytes (was the disk full when it was written?)")
    try:
        return soundfile.SoundFile(os.fspath(path))
    except soundfile.LibsndfileError:
        pass
    except TypeError:  # soundfile wants a format for the suffix .raw
        raise AudioError(f"{path}: headerless audio has no sample rate: convert it to FLAC or WAV") from None
    likely = next(
        (hint for start, hint in _LOOKALIKES if re.match(start, head, re.DOTALL | re.IGNORECASE)), None
    )
    raise AudioError(
        f"{path}: is not audio that {_library()} reads"
        + (f" ({likely})" if likely else f" (the file begins with the bytes {head[:8].hex(' ')})")
    )


def _check_whole(path: PathLike, have: int, promised: int, log: str) -> None:
    for damage in _DAMAGE.finditer(log):
        if damage["said"] is None:
            raise AudioError(f"{path}: damaged or cut off; {_library()} says: {damage[0].strip()}")
        if int(damage["said"]) < _STREAMED:
            raise AudioError(
                f"{path}: is cut off: the header promises {damage['said']} bytes of audio, the file holds "
                f"{damage['have']} (was a download or copy broken off?)"
            )
    if have != promised:
        raise AudioError(
            f"{path}: is cut off: the header promises {promised} samples, {have} could be decoded "
            f"[{_library()}]"
        )
    if not have:
        raise AudioError(f"{path}: holds no samples, only a header (was the recording stopped at once?)")
