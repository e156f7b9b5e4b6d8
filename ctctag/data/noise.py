"""Background noise for mixtures: white, or loops of recordings."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctctag._files import hash_file
from ctctag._threads import run_tasks
from ctctag.audio import read_audio
from ctctag.data.folders import find_recordings
from ctctag.data.folding import assign_folds
from ctctag.data.sources import Recording
from ctctag.data.tsv import quoted
from ctctag.exceptions import DataError

__all__ = ["NoiseSource", "RecordedNoise", "WhiteNoise", "open_noise", "seamless_loop"]

Samples = npt.NDArray[np.float32]

CROSSFADE_SECONDS = 0.25


class NoiseSource(ABC):
    """A supply of background noise; the mixer needs to know no more than this."""

    name: str

    @abstractmethod
    def draw(
        self, rng: np.random.Generator, sr: int, folds: Collection[int] | None = None
    ) -> tuple[str, int]:
        """Return the key of a random noise, of one of the `folds` if given, and a random first sample."""

    @abstractmethod
    def render(self, key: str, start: int, n_samples: int, sr: int, seed: list[int]) -> Samples:
        """Return `n_samples` of noise of power about one; the same arguments give the same bits."""

    @abstractmethod
    def source_id(self, key: str) -> str:
        """Return which recording a noise was cut from."""

    @abstractmethod
    def with_folds(self, folds: int, seed: int) -> "NoiseSource":
        """Return the same noise with its recordings divided into folds 1 … `folds`."""

    def preload(self, sr: int) -> None:  # noqa: B027 (optional)
        """Decode everything now, so that a broken file is found before the work begins."""

    def fingerprint(self) -> str:
        """Return a hash of what the source holds, or an empty string if it needs none."""
        return ""

    def division(self) -> dict[str, tuple[str, int | None]]:
        """Return source recording and fold of each recording, by key; empty if sounds are made anew."""
        return {}


class WhiteNoise(NoiseSource):
    """Gaussian white noise, new for each clip."""

    name = "white"

    def draw(
        self, rng: np.random.Generator, sr: int, folds: Collection[int] | None = None
    ) -> tuple[str, int]:
        """Return ``("white", 0)``: all that is random comes from the clip's seed."""
        return self.name, 0

    def render(self, key: str, start: int, n_samples: int, sr: int, seed: list[int]) -> Samples:
        """Return `n_samples` of standard normal noise, from a generator seeded by the clip's seed."""
        rng = np.random.default_rng([*seed, int.from_bytes(b"white", "big")])
        return rng.standard_normal(n_samples, dtype=np.float32)

    def source_id(self, key: str) -> str:
        """Return ``"white"``: it is made anew for each clip and belongs to no recording."""
        return self.name

    def with_folds(self, folds: int, seed: int) -> "WhiteNoise":
        """Return itself: no two clips share a sample of it."""
        return self


class RecordedNoise(NoiseSource):
    """A folder of background recordings, each made a seamless loop of power one.

    Parameters
    ----------
    root : path-like
        The folder, searched with its subfolders; a ``manifest.csv`` in it or above it may name the source
        recording and the fold of each file (see `open_source`).
    recordings : sequence of Recording, optional
        Which of them to use, such as those of a licence; by default all.

    Raises
    ------
    DataError
        If the folder is missing or holds no recording.
    """

    def __init__(self, root: str | Path, recordings: Sequence[Recording] | None = None) -> None:
        self.root = Path(root)
        self.name = str(root)
        if recordings is None:
            recordings = find_recordings(self.root)
        self.recordings = {recording.key: recording for recording in recordings}
        if not self.recordings:
            raise DataError(f"{root}: recordings is empty, but noise needs at least one")
        self._folds = {key: recording.fold for key, recording in self.recordings.items()}
        self._loops: dict[tuple[str, int], Samples] = {}
        self._pools: dict[frozenset[int] | None, list[str]] = {}

    def draw(
        self, rng: np.random.Generator, sr: int, folds: Collection[int] | None = None
    ) -> tuple[str, int]:
        """Return a random recording, of one of the `folds` if given, and where in its loop to begin."""
        place = None if folds is None else frozenset(folds)
        if place not in self._pools:
            pool = [key for key, fold in self._folds.items() if folds is None or fold in folds]
            if not pool:
                raise DataError(
                    f"{self.name}: has no recording in fold {', '.join(map(str, sorted(folds or ())))}"
                )
            self._pools[place] = pool
        pool = self._pools[place]
        key = pool[int(rng.integers(len(pool)))]
        return key, int(rng.integers(self.loop(key, sr).size))

    def loop(self, key: str, sr: int) -> Samples:
        """Return a recording at `sr` Hz as a seamless loop of power one.

        Raises
        ------
        AudioError
            If the file cannot be read.
        DataError
            If it is silent, or there is no such recording.
        """
        loop = self._loops.get((key, sr))
        if loop is None:
            if key not in self.recordings:
                raise DataError(
                    f"{self.name}: there is no recording {quoted(key)} (is it the folder mixed from?)"
                )
            path = self.recordings[key].path
            samples, _ = read_audio(path, sr=sr)
            samples = samples - samples.mean(dtype=np.float64).astype(np.float32)
            loop = seamless_loop(samples, round(CROSSFADE_SECONDS * sr))
            power = float(np.mean(np.square(loop, dtype=np.float64))) if loop.size else 0.0
            if power == 0.0:
                raise DataError(f"{path}: is silent, so it cannot be scaled to a signal-to-noise ratio")
            loop = (loop / np.sqrt(power)).astype(np.float32)
            loop.flags.writeable = False
            self._loops[key, sr] = loop
        return loop

    def render(self, key: str, start: int, n_samples: int, sr: int, seed: list[int]) -> Samples:
        """Return `n_samples` of the loop from sample `start` on; read-only where they are a piece of it."""
        loop = self.loop(key, sr)
        if start >= loop.size:
            raise DataError(
                f"{self.recordings[key].path}: the recipe begins at sample {start}, but the loop has "
                f"{loop.size} (has the recording changed?)"
            )
        rounds, end = divmod(start + n_samples, loop.size)
        if not rounds:
            return loop[start:end]
        return np.concatenate([loop[start:], *[loop] * (rounds - 1), loop[:end]])

    def source_id(self, key: str) -> str:
        """Return which recording a noise was cut from."""
        return self.recordings[key].source_id

    def with_folds(self, folds: int, seed: int) -> "RecordedNoise":
        """Return the same noise with its recordings divided into folds 1 … `folds`, by ``source_id``."""
        recordings = list(self.recordings.values())
        numbers = assign_folds(
            [recording.source_id for recording in recordings],
            [""] * len(recordings),  # which kinds of noise a fold has does not matter
            folds,
            seed=seed,
            given=[recording.fold for recording in recordings],
            where=self.name,
        )
        folded = RecordedNoise(self.root, recordings)
        folded._folds = dict(zip(self.recordings, numbers, strict=True))
        folded._loops = self._loops
        return folded

    def preload(self, sr: int) -> None:
        """Decode every recording now, so that a broken file is found before the work begins."""
        run_tasks(lambda key: self.loop(key, sr), list(self.recordings))

    def fingerprint(self) -> str:
        """Return a hash of all keys and file contents."""
        total = hashlib.blake2b(digest_size=16)
        for key in sorted(self.recordings):
            total.update(key.encode() + b"\0" + hash_file(self.recordings[key].path))
        return total.hexdigest()

    def division(self) -> dict[str, tuple[str, int | None]]:
        """Return source recording and fold of each recording, by key."""
        return {key: (self.recordings[key].source_id, fold) for key, fold in self._folds.items()}


def open_noise(noise: str | Path | NoiseSource) -> NoiseSource:
    """Open background noise: ``"white"``, a folder of recordings, or what is open already.

    Examples
    --------
    >>> open_noise("white").name
    'white'
    """
    if isinstance(noise, NoiseSource):
        return noise
    return WhiteNoise() if str(noise) == WhiteNoise.name else RecordedNoise(noise)


def seamless_loop(samples: Samples, crossfade: int) -> Samples:
    """Return a shorter recording that can be played round and round without a click.

    The last `crossfade` samples are faded out over the first ones, with gains whose squares sum to one: noise
    keeps its power.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,), float32
        The recording.
    crossfade : int
        Samples of overlap; at most half the recording is used.

    Returns
    -------
    ndarray, shape (n_samples - crossfade,), float32
        The loop.

    Examples
    --------
    >>> seamless_loop(np.ones(100, np.float32), 20).size
    80
    """
    crossfade = min(crossfade, samples.size // 2)
    if crossfade < 1:
        return samples.copy()
    angle = (np.arange(crossfade, dtype=np.float32) + np.float32(0.5)) * np.float32(np.pi / 2 / crossfade)
    loop = samples[:-crossfade].copy()
    loop[:crossfade] = loop[:crossfade] * np.sin(angle) + samples[-crossfade:] * np.cos(angle)
    return loop
