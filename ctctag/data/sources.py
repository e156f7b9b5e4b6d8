"""Where isolated sound events come from: recordings in folders, or the built-in synthesiser."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctctag._files import hash_file
from ctctag._forks import Lock
from ctctag._threads import run_tasks
from ctctag.audio import read_audio
from ctctag.data._counter import Counter, Progress
from ctctag.data.folding import assign_folds
from ctctag.data.labels import nearest_match
from ctctag.data.tsv import quoted, shown
from ctctag.exceptions import DataError, ParameterError

__all__ = ["EventSource", "RecordedSource", "Recording", "trim_silence"]

Samples = npt.NDArray[np.float32]

FRAME_SECONDS = 0.01
KEPT_SECONDS = 0.02


@dataclass(frozen=True)
class Recording:
    """One isolated sound event, or one piece of background noise, in a file.

    `key` names it within its source (the path below the source's folder), and `source_id` the recording it
    was cut from: pieces of one recording must never be on both sides of a split.
    """

    key: str
    label: str
    path: Path
    source_id: str
    fold: int | None = None
    license: str = ""


class EventSource(ABC):
    """A supply of isolated events by class; the mixer needs to know no more than this.

    Attributes
    ----------
    name : str
        Written into the data set: ``"synthetic"`` or the folder.
    classes : tuple of str
        The labels, sorted.
    """

    name: str
    classes: tuple[str, ...]

    @abstractmethod
    def draw(self, label: str, rng: np.random.Generator, folds: Collection[int] | None = None) -> str:
        """Return the key of a random event of class `label`, of one of the `folds` if given."""

    @abstractmethod
    def load(self, key: str, sr: int) -> Samples:
        """Return the samples of an event at `sr` Hz: float32, shape (n_samples,), not to be written to."""

    @abstractmethod
    def source_id(self, key: str) -> str:
        """Return which recording an event was cut from."""

    @abstractmethod
    def with_folds(self, folds: int, seed: int) -> "EventSource":
        """Return the same source with its recordings divided into folds 1 … `folds`."""

    def preload(self, sr: int, progress: Progress | None = None) -> None:  # noqa: B027 (optional)
        """Decode everything now, so that a broken file is found before the work begins."""

    def fingerprint(self) -> str:
        """Return a hash of what the source holds, or an empty string if it needs none."""
        return ""

    def division(self) -> dict[str, tuple[str, int | None]]:
        """Return source recording and fold of each recording, by key; empty if sounds are made anew."""
        return {}


class RecordedSource(EventSource):
    """Recordings on disk, decoded once, resampled, trimmed of silence and kept in memory.

    Parameters
    ----------
    root : Path
        The folder that was opened.
    recordings : sequence of Recording
        What there is; every class needs at least one.
    classes : sequence of str, optional
        Keep only these.

    Raises
    ------
    DataError
        If a wanted class has no recording.
    """

    def __init__(
        self, root: Path, recordings: Sequence[Recording], classes: Sequence[str] | None = None
    ) -> None:
        found = sorted({recording.label for recording in recordings})
        for label in classes or ():
            if label not in found:
                raise DataError(
                    f"{root}: class {label!r} has no usable file{nearest_match(label, found)}; "
                    f"classes found: {shown(', '.join(found))}"
                )
        self.root = root
        self.name = str(root)
        self.classes = tuple(sorted(set(classes))) if classes else tuple(found)
        self.recordings = {
            recording.key: recording for recording in recordings if recording.label in self.classes
        }
        self._pools: dict[tuple[str, frozenset[int] | None], list[str]] = {}
        self._samples: dict[tuple[str, int], Samples] = {}
        self._lock = Lock()

    def draw(self, label: str, rng: np.random.Generator, folds: Collection[int] | None = None) -> str:
        """Return the key of a random event of class `label`, of one of the `folds` if given."""
        pool = self.pool(label, folds)
        return pool[int(rng.integers(len(pool)))]

    def pool(self, label: str, folds: Collection[int] | None = None) -> list[str]:
        """Return the keys of all events of class `label`, of the `folds` if given.

        Raises
        ------
        DataError
            If there is none.
        """
        place = (label, None if folds is None else frozenset(folds))
        if place not in self._pools:
            keys = [
                recording.key
                for recording in self.recordings.values()
                if recording.label == label and (folds is None or recording.fold in folds)
            ]
            if not keys:
                if label not in self.classes:
                    raise ParameterError(
                        f"label {label!r} is not a class of {self.name}{nearest_match(label, self.classes)}"
                    )
                wanted = ", ".join(str(fold) for fold in sorted(folds or ()))
                raise DataError(f"{self.name}: class {label!r} has no recording in fold {wanted}")
            self._pools[place] = keys
        return self._pools[place]

    def load(self, key: str, sr: int) -> Samples:
        """Return the samples of an event at `sr` Hz, trimmed of silence: float32, read-only.

        Raises
        ------
        AudioError
            If the file cannot be read.
        DataError
            If the key is unknown or the recording silent.
        """
        samples = self._samples.get((key, sr))
        if samples is None:
            if key not in self.recordings:
                raise DataError(
                    f"{self.name}: there is no recording {quoted(key)} (is it the folder mixed from?)"
                )
            path = self.recordings[key].path
            raw, _ = read_audio(path, sr=sr)
            samples = trim_silence(raw, sr)
            if not samples.size:
                raise DataError(f"{path}: is silent from beginning to end; remove it or record it again")
            samples.flags.writeable = False
            with self._lock:
                samples = self._samples.setdefault((key, sr), samples)
        return samples

    def source_id(self, key: str) -> str:
        """Return which recording an event was cut from."""
        return self.recordings[key].source_id

    def with_folds(self, folds: int, seed: int) -> "RecordedSource":
        """Return the same source with its recordings divided into folds 1 … `folds`, by `source_id`."""
        recordings = list(self.recordings.values())
        numbers = assign_folds(
            [recording.source_id for recording in recordings],
            [recording.label for recording in recordings],
            folds,
            seed=seed,
            given=[recording.fold for recording in recordings],
            where=self.name,
        )
        folded = [replace(recording, fold=fold) for recording, fold in zip(recordings, numbers, strict=True)]
        return RecordedSource(self.root, folded, self.classes)

    def preload(self, sr: int, progress: Progress | None = None) -> None:
        """Decode every recording now, so that a broken file is found before the work begins."""
        counter = Counter(len(self.recordings), progress)

        def load(key: str) -> None:
            self.load(key, sr)
            counter.step()

        run_tasks(load, list(self.recordings))

    def fingerprint(self) -> str:
        """Return a hash of all keys and file contents."""
        digests: dict[str, bytes] = {}

        def digest(key: str) -> None:
            digests[key] = hash_file(self.recordings[key].path)

        run_tasks(digest, list(self.recordings))
        total = hashlib.blake2b(digest_size=16)
        for key in sorted(digests):
            total.update(key.encode() + b"\0" + digests[key])
        return total.hexdigest()

    def division(self) -> dict[str, tuple[str, int | None]]:
        """Return source recording and fold of each recording, by key."""
        return {key: (recording.source_id, recording.fold) for key, recording in self.recordings.items()}


def trim_silence(samples: Samples, sr: int, top_db: float = 50.0) -> Samples:
    """Return the samples between the first and the last frame that is not silent, 20 ms kept around.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,), float32
        The recording.
    sr : int
        Its sample rate in Hz.
    top_db : float
        A frame of 10 ms is silent if its power is more than this far below the loudest frame's, in dB.

    Returns
    -------
    ndarray, float32
        A copy; empty if everything is zero.

    Examples
    --------
    >>> import numpy as np
    >>> samples = np.zeros(16000, np.float32)
    >>> samples[8000:8800] = 0.5
    >>> trim_silence(samples, 16000).size / 16000  # 50 ms of sound, 20 ms on either side
    0.09
    """
    frame = max(1, round(FRAME_SECONDS * sr))
    starts = np.arange(0, samples.size, frame)
    if not samples.size:
        return samples.copy()
    power = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    loud = np.flatnonzero(power > power.max() * 10 ** (-top_db / 10))
    if not loud.size:
        return samples[:0].copy()
    kept = round(KEPT_SECONDS * sr)
    first = max(0, loud[0] * frame - kept)
    last = min(samples.size, (loud[-1] + 1) * frame + kept)
    return samples[first:last].copy()
