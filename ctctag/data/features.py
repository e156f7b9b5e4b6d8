"""Log-mel features of a data set: computed once, kept on disk, memory-mapped, found again by content."""

import contextlib
import errno
import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

import ctctag
from ctctag._checks import check_integer
from ctctag._files import staged_folder
from ctctag._reading import read_json, reading
from ctctag._threads import run_tasks
from ctctag.audio import LogMel, read_audio, resample, shift_samples
from ctctag.data._counter import Counter, Progress
from ctctag.data.dataset import Dataset
from ctctag.exceptions import DataError, ParameterError

__all__ = ["Features", "clip_samples"]

_BLOCK = 64  # clips whose features are held in memory before they are written
_FRAMES, _INDEX = "frames.f32", "index.json"


class Features:
    """Feature matrices of clips of any length, one behind the other in a memory-mapped file.

    Made by `Features.build`. ``features[i]`` is clip number i, shape (T_i, F), read-only.

    Attributes
    ----------
    frames : ndarray, shape (all frames, F), float32
        The file.
    lengths : ndarray, shape (N,), int
        Frames of each clip.
    log_mel : LogMel
        The settings they were computed with.
    path : Path
        The cache folder; where none could be written, what it would have been.
    """

    def __init__(
        self, path: Path, log_mel: LogMel, offsets: Sequence[int], stream: IO[bytes] | None = None
    ) -> None:
        self.path = path
        self.log_mel = log_mel
        self._offsets = np.asarray(offsets, dtype=np.int64)
        self.lengths = np.diff(self._offsets)
        shape = (int(self._offsets[-1]), log_mel.n_mels)
        file: Any = path / _FRAMES if stream is None else stream
        self.frames: npt.NDArray[np.float32] = np.memmap(file, "<f4", mode="r", shape=shape)

    @classmethod
    def build(
        cls,
        dataset: Dataset,
        log_mel: LogMel | None = None,
        *,
        shift: int = 0,
        cache_dir: str | Path | None = None,
        progress: Progress | None = None,
    ) -> "Features":
        """Return the features of a data set, from the cache if they are there.

        Parameters
        ----------
        dataset : Dataset
            The clips. Files of a higher sample rate are resampled to the features'.
        log_mel : LogMel, optional
            The features; by default ``LogMel()``, the paper's.
        shift : int
            Every frame lies so many samples later (see `ctctag.audio.shift_samples`).
        cache_dir : path-like, optional
            Where features are kept, each in a folder of its own; by default ``features`` in the data set. It
            may be removed at any time.
        progress : callable, optional
            Called with (clips done, clips), if anything has to be computed.

        Returns
        -------
        Features
            One matrix a clip, in the order of the data set.

        Raises
        ------
        AudioError
            If a file cannot be read.
        DataError
            If a file's sample rate is too low for the highest band, a clip is shorter than a frame, or the
            cache cannot be written (`cache_dir` is not writable, or the disk is full).

        Warns
        -----
        UserWarning
            If the data set's own folder is not writable, such as a CD or another's share. Its features are
            then kept in a nameless temporary file, and computed anew by the next process.

        Notes
        -----
        The folder is named by a hash of the bytes of all audio files and of the settings: change either, and
        the features are computed anew. It appears complete or not at all; if two processes want the same
        features at once, one computes them, and the other waits for its result.

        Examples
        --------
        >>> import tempfile
        >>> from ctctag.data import mix_dataset
        >>> dataset = mix_dataset("synthetic", tempfile.mkdtemp() + "/mixed", clips=2, folds=2)
        >>> features = Features.build(dataset)
        >>> features[0].shape
        (240, 64)
        >>> x, lengths = features.batch([1, 0])
        >>> x.shape, lengths
        ((2, 240, 64), array([240, 240]))
        """
        log_mel = LogMel() if log_mel is None else log_mel
        folder = Path(cache_dir) if cache_dir is not None else dataset.path / "features"
        path = folder / _key(dataset, log_mel, shift)
        was_there = path.exists()
        found = _open(path, log_mel)
        if found is not None:
            return found
        if was_there:  # and was whole from its first moment: it is of another format, or was cut off since
            shutil.rmtree(path, ignore_errors=True)
        counter = Counter(len(dataset), progress)
        try:
            with staged_folder(path, wait=True) as staged:
                _compute(dataset, log_mel, shift, staged, counter)
        except DataError as error:
            found = _open(path, log_mel)  # another process was faster
            if found is not None:
                return found
            if cache_dir is None and _refused(error):
                warnings.warn(
                    f"{error}; the features are kept until this process ends, and computed anew by the next "
                    "(a copy of the data set on a disk that can be written keeps them)",
                    stacklevel=2,
                )
                return _unkept(dataset, log_mel, shift, path, counter)
            raise
        found = _open(path, log_mel)
        if found is None:
            raise DataError(f"{path}: features were written, but cannot be read back")
        return found

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> npt.NDArray[np.float32]:
        index = check_integer(index, "index", low=-len(self), high=len(self) - 1) % len(self)
        return self.frames[self._offsets[index] : self._offsets[index + 1]]

    def batch(self, indices: npt.ArrayLike) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return some clips, padded with zeros to the longest of them.

        Parameters
        ----------
        indices : array_like, shape (B,), int
            Which clips; at least one.

        Returns
        -------
        x : ndarray, shape (B, T, F), float32
            A copy.
        lengths : ndarray, shape (B,), int64
            Frames of each clip.
        """
        clips = [self[int(index)] for index in np.asarray(indices)]
        if not clips:
            raise ParameterError("indices is empty, but a batch needs at least one clip")
        lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
        x = np.zeros((len(clips), int(lengths.max()), self.frames.shape[1]), dtype=np.float32)
        for row, clip in zip(x, clips, strict=True):
            row[: len(clip)] = clip
        return x, lengths


def _key(dataset: Dataset, log_mel: LogMel, shift: int) -> str:
    total = hashlib.blake2b(digest_size=16)
    settings = log_mel.to_dict() | ({"shift": shift} if shift else {})
    total.update(json.dumps([ctctag.__version__, settings], sort_keys=True).encode())
    for digest in dataset.audio_hashes():
        total.update(digest)
    return total.hexdigest()


def _open(path: Path, log_mel: LogMel) -> Features | None:
    """Return the features in a cache folder, or None if they are not there whole."""
    with contextlib.suppress(FileNotFoundError, DataError):
        offsets = read_json(path / _INDEX, DataError, "not an index of features ({})").get("offsets")
        with reading(path, DataError, "not features ({})"):
            array = np.array(offsets, dtype=np.int64)
            whole = len(array) > 0 and array[0] == 0 and bool((np.diff(array) > 0).all())
            if whole and (path / _FRAMES).stat().st_size == 4 * int(array[-1]) * log_mel.n_mels:
                return Features(path, log_mel, array.tolist())
    return None


def _refused(error: DataError) -> bool:
    """Return whether a disk or a folder takes no files at all: one that is only full does."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.EROFS, errno.EACCES, errno.EPERM)


def _unkept(dataset: Dataset, log_mel: LogMel, shift: int, path: Path, counter: Counter) -> Features:
    """Return features in a temporary file that has no name, and is gone with the last who maps it."""
    try:
        with tempfile.TemporaryFile() as stream:
            offsets = _write_frames(dataset, log_mel, shift, stream, counter)
            stream.flush()
            return Features(path, log_mel, offsets, stream)
    except OSError as error:
        raise DataError(
            f"{tempfile.gettempdir()}: features cannot be written ({error.strerror or error}); TMPDIR names "
            "another folder for temporary files"
        ) from error


def _compute(dataset: Dataset, log_mel: LogMel, shift: int, folder: Path, counter: Counter) -> None:
    with (folder / _FRAMES).open("wb") as stream:
        offsets = _write_frames(dataset, log_mel, shift, stream, counter)
    contents = {"ctctag": ctctag.__version__, "log_mel": log_mel.to_dict(), "offsets": offsets}
    (folder / _INDEX).write_text(json.dumps(contents) + "\n", encoding="utf-8")


def _write_frames(
    dataset: Dataset, log_mel: LogMel, shift: int, stream: IO[bytes], counter: Counter
) -> list[int]:
    """Write the frames of all clips; return where each clip begins, and the last ends."""
    offsets = [0]
    for start in range(0, len(dataset), _BLOCK):
        block: dict[int, npt.NDArray[Any]] = {}

        def compute(index: int, block: dict[int, npt.NDArray[Any]] = block) -> None:
            block[index] = _features(dataset.path_of(index), log_mel, shift)
            counter.step()

        indices = range(start, min(start + _BLOCK, len(dataset)))
        run_tasks(compute, indices)
        for index in indices:
            stream.write(np.ascontiguousarray(block[index], dtype="<f4").data)
            offsets.append(offsets[-1] + len(block[index]))
    return offsets


def _features(path: Path, log_mel: LogMel, shift: int) -> npt.NDArray[np.float32]:
    samples = clip_samples(path, log_mel)
    with _naming(path):
        return log_mel(shift_samples(samples, shift))


def clip_samples(path: Path, log_mel: LogMel) -> npt.NDArray[np.float32]:
    """Return a clip at the sample rate of the features.

    Raises
    ------
    AudioError
        If the file cannot be read.
    DataError
        If its sample rate is too low for the highest band, or it is shorter than a frame.
    """
    samples, sr = read_audio(path)
    if sr < log_mel.sr and sr < 2 * log_mel.fmax:
        raise DataError(
            f"{path}: is sampled at {sr} Hz, but the features are of {log_mel.sr} Hz and reach "
            f"{log_mel.fmax:g} Hz (features of another sample rate?)"
        )
    with _naming(path):
        if sr != log_mel.sr:
            samples = resample(samples, sr, log_mel.sr)
        if not log_mel.n_frames(samples.size):
            raise DataError(
                f"{path}: lasts {samples.size / log_mel.sr:.3f} s, less than one frame of "
                f"{log_mel.n_fft / log_mel.sr:.3f} s"
            )
    return samples


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in errors of what knows samples only."""
    try:
        yield
    except ParameterError as error:
        raise DataError(f"{path}: {error}") from None
