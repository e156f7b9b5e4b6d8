"""Decoding an audio file by libsndfile, and holding what it gives against what the file promises.

libsndfile is lenient. A WAV file that a full disk cut in half opens as a shorter recording, an Ogg file with
a damaged page skips it, an MP3 file gives fewer frames than it promised, and all of these without an error.
Its parse log tells, so it is read here; and what a file promises is held against what it gives. Where the
header promises nothing, or nothing true, `mpeg` and `unfinished` find out what is there.
"""

import contextlib
import os
import re
import stat
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.audio.mpeg import MpegPart, counted_stream, mpeg_parts
from ctctag.audio.resampling import HIGHEST_RATE
from ctctag.audio.samples import MOST_SAMPLES
from ctctag.audio.unfinished import finished_flac, finished_wav
from ctctag.exceptions import AudioError, AudioWarning, CtctagError

__all__ = ["decode", "describe", "load_soundfile", "naming"]

PathLike = str | os.PathLike[str]

_BLOCK = 1 << 20  # samples decoded at once, of all channels together
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's "the header does not say" is 2**63 - 1
_MOST_HEADER = 4096  # bytes of a file that really has no samples
_CODEC_DELAY = 4608  # samples that encoder and decoder add, which a decoder may take off again: four frames
_CANCELLED = 0.1  # power of the mean of the channels, against that of channels with nothing in common

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


@contextlib.contextmanager
def naming(path: PathLike) -> Iterator[None]:
    """Let every error inside be an `AudioError` that names the file."""
    try:
        yield
    except (CtctagError, Warning):
        raise
    except MemoryError:
        raise AudioError(f"{path}: there is not enough memory for its samples") from None
    except Exception as error:  # whatever a damaged file brings about in libraries
        raise AudioError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error


def decode(path: PathLike) -> tuple[npt.NDArray[np.float32], int]:
    """Return the mean of the channels, all of it, and the sample rate."""
    with _open(path) as file:
        rate = file.samplerate
        mean = _Mean(path)
        if file.format == "MP3" and (parts := _parts(path)) is not None:
            data, ranges = parts
            for part in ranges:
                _read_part(path, data, part, rate, mean)
        elif file.frames >= _UNKNOWN_FRAMES:
            finished = finished_flac(Path(path).read_bytes()) if file.format == "FLAC" else None
            if finished is None:
                raise AudioError(
                    f"{path}: the header does not say how long the audio is, so a missing end would go "
                    "unseen (was it written to a pipe? convert it once more, from file to file)"
                )
            with load_soundfile().SoundFile(BytesIO(finished)) as whole:
                _read(path, whole, whole.frames, mean)
        elif not file.frames and file.format in ("WAV", "WAVEX"):
            finished = finished_wav(Path(path).read_bytes())
            with load_soundfile().SoundFile(BytesIO(finished)) if finished else file as whole:
                _read(path, whole, whole.frames, mean)
        else:
            _read(path, file, file.frames, mean)
    return mean.samples(), rate


def describe(path: PathLike) -> tuple[Any, int | None]:
    """Return an open file's header (closed), and its frames as far as the header itself says."""
    with _open(path) as file:
        frames = file.frames if file.frames < _UNKNOWN_FRAMES else None
        if file.format == "MP3":
            parts = _parts(path)
            if parts is None or len(parts[1]) != 1 or parts[1][0].counted is None:
                frames = None  # a guess from the first bit rate, or the first part of several
        elif not frames and file.format in ("WAV", "WAVEX") and finished_wav(Path(path).read_bytes()):
            frames = None
        return file, frames


def load_soundfile() -> ModuleType:
    """Return the module soundfile, or say how to mend it."""
    try:
        import soundfile
    except OSError as error:
        raise AudioError(
            f"libsndfile cannot be loaded: {error} (reinstall it with `pip install --force-reinstall "
            "soundfile`)"
        ) from None
    return soundfile


def _library() -> str:
    return f"libsndfile {load_soundfile().__libsndfile_version__}"


def _reason(error: Any) -> str:
    return str(error.error_string).removeprefix("Error : ").rstrip(". ")


def _open(path: PathLike) -> Any:
    """Open an audio file, after the mistakes that libsndfile reports as something else."""
    soundfile = load_soundfile()
    plain = Path(path)
    try:
        mode = plain.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{path}: is a folder, but one audio file was expected")
        if not stat.S_ISREG(mode):  # opening a pipe would wait for its writer
            raise AudioError(
                f"{path}: is a pipe or a device, but audio is read from files (write it to a file first, and "
                "name that)"
            )
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
        # bytes where the system has bytes: soundfile cannot encode names that are not UTF-8
        opened = soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else os.fspath(path))
        if opened.samplerate > HIGHEST_RATE:
            opened.close()
            raise AudioError(
                f"{path}: its header gives a sample rate of {opened.samplerate} Hz, but at most "
                f"{HIGHEST_RATE} are read (is the header damaged?)"
            )
        return opened
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


def _parts(path: PathLike) -> tuple[bytes, list[MpegPart]] | None:
    """Return the bytes of an MP3 file and its parts, or ``None`` if its frames cannot be followed."""
    data = Path(path).read_bytes()
    parts = mpeg_parts(data)
    return None if parts is None else (data, parts)


def _read_part(path: PathLike, data: bytes, part: MpegPart, rate: int, mean: "_Mean") -> None:
    """Decode a part of an MP3 file, and see that it is whole."""
    if part.foreign:
        raise AudioError(
            f"{path}: damaged: {part.foreign} bytes between its {part.frames} frames are no audio"
        )
    if part.missing or (part.counted is not None and part.frames < part.counted - 1):
        promised = "" if part.counted is None else f" of {part.counted}"
        raise AudioError(
            f"{path}: is cut off: after {part.frames - bool(part.missing)} frames{promised} there is no "
            "whole one (was a download or copy broken off?)"
        )
    try:
        with load_soundfile().SoundFile(BytesIO(counted_stream(data, part))) as file:
            if file.samplerate != rate:
                raise AudioError(
                    f"{path}: is joined from MP3 files of {rate} and {file.samplerate} Hz (resample them "
                    "first, and join them again)"
                )
            have = mean.take(file)
    except load_soundfile().LibsndfileError:  # whose message speaks of the bytes as a file
        raise AudioError(
            f"{path}: damaged: its {part.frames} frames from byte {part.begin} on cannot be decoded "
            f"[{_library()}]"
        ) from None
    expected = part.frames * part.frame_samples
    if have < expected - _CODEC_DELAY:
        raise AudioError(
            f"{path}: damaged: its {part.frames} frames hold about {expected} samples, {have} could be "
            f"decoded [{_library()}]"
        )


def _read(path: PathLike, file: Any, promised: int, mean: "_Mean") -> None:
    """Decode a file whose header says how long it is, and see that it is whole."""
    if promised > MOST_SAMPLES:
        raise AudioError(
            f"{path}: its header promises {promised} samples, but at most {MOST_SAMPLES} are read at once "
            "(is the header damaged? if not, cut the file into pieces)"
        )
    log = file.extra_info
    try:
        have = mean.take(file)
    except load_soundfile().LibsndfileError as error:
        raise AudioError(
            f"{path}: its {promised} samples cannot all be decoded: {_reason(error)} (is the file cut "
            f"off or damaged?) [{_library()}]"
        ) from None
    _check_whole(path, have, promised, log)


class _Mean:
    """The mean of the channels, block by block, and whether it is much weaker than they are."""

    def __init__(self, path: PathLike) -> None:
        self.path = path
        self.count = 0
        self.blocks: list[npt.NDArray[np.float32]] = []
        self.power = 0.0  # of the mean, summed over the samples
        self.channels_power = 0.0  # what that would be, if the channels had nothing in common

    def take(self, file: Any) -> int:
        """Take in all that is left of an open file; return how many samples a channel that was."""
        before = self.count
        rows = max(1, _BLOCK // file.channels)
        while len(block := file.read(rows, dtype="float32", always_2d=True)):
            self.count += len(block)
            if self.count > MOST_SAMPLES:
                raise AudioError(
                    f"{self.path}: has more than {MOST_SAMPLES} samples, which are too many to be read at "
                    "once (cut the file into pieces)"
                )
            if block.shape[1] == 1:
                self.blocks.append(block[:, 0])
                continue
            mean = block.mean(axis=1)
            self.blocks.append(mean)
            self.power += float(np.vdot(mean, mean))
            self.channels_power += float(np.vdot(block, block)) / block.shape[1] ** 2
        return self.count - before

    def samples(self) -> npt.NDArray[np.float32]:
        """Return the mean of the channels; warn if they cancel."""
        if self.power < _CANCELLED * self.channels_power:
            weaker = f"{10 * np.log10(self.channels_power / self.power):.0f} dB" if self.power else "silence"
            warnings.warn(
                f"{self.path}: its channels cancel: their mean is {weaker}"
                f"{' weaker than channels with nothing in common' if self.power else ''} (is one of them in "
                "opposite phase? invert it, or keep one channel)",
                AudioWarning,
                stacklevel=4,  # who called read_audio
            )
        if len(self.blocks) == 1:
            return np.ascontiguousarray(self.blocks[0])
        return np.concatenate([np.empty(0, np.float32), *self.blocks])


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
            f"{path}: is cut off: the header promises {promised} samples, {have} could be "
            f"decoded [{_library()}]"
        )
    if not have:
        size = Path(path).stat().st_size
        if size > _MOST_HEADER:
            raise AudioError(
                f"{path}: its header promises no samples, but the file has {size} bytes (was the recording "
                "never finished? its header has to be mended first)"
            )
        raise AudioError(f"{path}: holds no samples, only a header (was the recording stopped at once?)")
