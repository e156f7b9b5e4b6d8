"""A data set on disk: audio files, labels of one or more kinds, folds; mixed or written by hand."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_choice, check_integer
from ctctag._files import hash_file
from ctctag._threads import run_tasks
from ctctag.audio import audio_info, read_audio
from ctctag.data.convert import sequential_to_weak, strong_to_sequential
from ctctag.data.labels import Event, read_folds, read_sequential, read_strong, read_weak
from ctctag.data.opening import (
    check_agreement,
    check_chosen,
    check_same_clips,
    classes_of,
    find_audio,
    find_table,
)
from ctctag.data.toml import read_toml
from ctctag.exceptions import DataError, ParameterError

__all__ = ["Dataset"]


class Dataset:
    r"""Clips with their labels and folds, in a fixed order.

    Made by `Dataset.open` or `mix_dataset`.

    Attributes
    ----------
    path : Path
        The folder.
    filenames : list of str
        The clips, in the order of the label file.
    classes : tuple of str
        The labels; sequences and tags count in this order.
    strong : dict of str to list of Event, or None
        The events of each clip in order of onset, if there are strong labels.
    sequences : list of list of int, or None
        Class indices 0 … n_classes − 1 of each clip in order of onset; None if only weak labels are known.
    tags : ndarray, shape (N, n_classes), bool
        Which classes each clip has.
    folds : ndarray, shape (N,), int, or None
        The fold of each clip, counted from 1; None if there is no ``folds.tsv``.
    settings : dict
        What ``dataset.toml`` says; empty without one.

    Examples
    --------
    >>> import tempfile
    >>> from ctctag.audio import write_audio
    >>> root = Path(tempfile.mkdtemp())
    >>> write_audio(root / "a.wav", np.zeros(16000, np.float32), 16000)
    >>> _ = (root / "sequential.tsv").write_text("filename\tevent_sequence\na.wav\tknock,speech\n")
    >>> dataset = Dataset.open(root)
    >>> dataset.classes, dataset.sequences, dataset.tags.tolist()
    (('knock', 'speech'), [[0, 1]], [[True, True]])
    """

    def __init__(
        self,
        path: Path,
        paths: Mapping[str, Path],
        classes: Sequence[str],
        tags: Mapping[str, Sequence[str]],
        *,
        sequences: Mapping[str, Sequence[str]] | None = None,
        strong: Mapping[str, Sequence[Event]] | None = None,
        folds: Mapping[str, int] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.filenames = list(tags)
        self.classes = tuple(classes)
        self.settings = dict(settings or {})
        self._paths = {name: paths[name] for name in self.filenames}
        index = {label: number for number, label in enumerate(self.classes)}
        self.tags = np.zeros((len(self.filenames), len(self.classes)), dtype=bool)
        for row, name in enumerate(self.filenames):
            self.tags[row, [index[label] for label in tags[name]]] = True
        self.sequences = (
            None
            if sequences is None
            else [[index[label] for label in sequences[name]] for name in self.filenames]
        )
        self.strong = None if strong is None else {name: list(strong[name]) for name in self.filenames}
        self.folds: npt.NDArray[np.int64] | None = (
            None if folds is None else np.array([folds[name] for name in self.filenames], dtype=np.int64)
        )

    @classmethod
    def open(
        cls, path: str | Path, classes: Sequence[str] | None = None, *, ties: str = "raise"
    ) -> "Dataset":
        """Open a data set folder.

        Parameters
        ----------
        path : path-like
            A folder with any of ``strong.tsv``, ``sequential.tsv`` and ``weak.tsv``, audio files in it or in
            its subfolder ``audio``, and optionally ``folds.tsv`` and ``dataset.toml``. A table may be a
            ``.csv`` as well. What is not there is derived: sequential from strong labels, weak from
            sequential ones.
        classes : sequence of str, optional
            The classes in their order; by default those of ``dataset.toml``, or else all labels, sorted.
        ties : {"raise", "alphabetical", "drop"}
            What to do where strong labels alone give no order (see `strong_to_sequential`).

        Returns
        -------
        Dataset
            The clips in the order of the label file.

        Raises
        ------
        DataError
            If there are no labels, a file is malformed, a clip's audio is missing, or two files disagree; the
            message names path and clip.
        TieError
            If the order of two events is unknown and `ties` is ``"raise"``.
        ParameterError
            If `classes` is no sequence of different labels.
        """
        check_choice(ties, "ties", ("raise", "alphabetical", "drop"))
        root = Path(path)
        if not root.is_dir():
            raise DataError(
                f"{root}: {'is a file' if root.exists() else 'no such folder'}; expected a data set"
            )
        settings = read_toml(root / "dataset.toml") if (root / "dataset.toml").is_file() else {}
        if classes is None:
            classes = classes_of(settings, root / "dataset.toml")
        else:
            check_chosen(classes)
        readers = {"sequential": read_sequential, "strong": read_strong, "weak": read_weak}
        paths = {name: found for name in readers if (found := find_table(root, name)) is not None}
        tables: dict[str, Any] = {name: readers[name](at, classes) for name, at in paths.items()}
        if not tables:
            raise DataError(f"{root}: has no labels; expected strong.tsv, sequential.tsv or weak.tsv")
        first = next(iter(paths.values()))
        strong, sequences, tags = (tables.get(name) for name in ("strong", "sequential", "weak"))
        folds = None
        if (found := find_table(root, "folds")) is not None:
            folds = read_folds(found)
            paths, tables = {**paths, "folds": found}, {**tables, "folds": folds}
        check_same_clips({paths[name]: table for name, table in tables.items()})
        check_agreement(root, tables, {name: at.name for name, at in paths.items()})
        if sequences is None and strong is not None:
            sequences = strong_to_sequential(strong, ties=ties)
        if sequences is not None:
            tags = sequential_to_weak(sequences)
        if not tags:
            raise DataError(f"{first}: lists no clip")
        if classes is None:
            classes = sorted({label for labels in tags.values() for label in labels})
        audio = find_audio(root, list(tags), first)
        return cls(
            root, audio, classes, tags, sequences=sequences, strong=strong, folds=folds, settings=settings
        )

    def __len__(self) -> int:
        return len(self.filenames)

    def __repr__(self) -> str:
        folds = "no" if self.folds is None else len(set(self.folds.tolist()))
        return f"<Dataset {self.path}: {len(self)} clips, {len(self.classes)} classes, {folds} folds>"

    @property
    def has_order(self) -> bool:
        """Whether the order of events is known, so that CTC can be trained."""
        return self.sequences is not None

    @cached_property
    def sample_rate(self) -> int:
        """Sample rate in Hz, from ``dataset.toml`` or else of the first clip.

        Raises
        ------
        DataError
            If ``dataset.toml`` says anything but a whole number above 0.
        """
        if "sample_rate" in self.settings:
            try:
                return check_integer(self.settings["sample_rate"], "sample_rate", low=1)
            except ParameterError as error:
                raise DataError(f"{self.path / 'dataset.toml'}: {error}") from None
        return audio_info(self.path_of(0)).sr

    def path_of(self, index: int) -> Path:
        """Return the audio file of clip number `index`."""
        return self._paths[self.filenames[index]]

    def duration(self, index: int) -> float:
        """Return the length of clip number `index` in seconds, from its header if that says it.

        Raises
        ------
        AudioError
            If the file cannot be read.
        """
        seconds = audio_info(self.path_of(index)).duration
        if seconds is None:
            samples, sr = read_audio(self.path_of(index))
            return len(samples) / sr
        return seconds

    def label_sets_or_sequences(self) -> list[list[int]]:
        """Return what a network learns: class indices of each clip, in order of onset if that is known."""
        if self.sequences is not None:
            return [list(sequence) for sequence in self.sequences]
        return [np.flatnonzero(row).tolist() for row in self.tags]

    def split(self, fold: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the indices of the training clips and of the test clips when `fold` is left out.

        Raises
        ------
        DataError
            If the data set has no folds.
        ParameterError
            If there is no such fold.
        """
        if self.folds is None:
            raise DataError(f"{self.path}: has no folds.tsv, so there is no fold to test on")
        known = sorted(set(self.folds.tolist()))
        if fold not in known:
            raise ParameterError(f"fold must be one of {', '.join(map(str, known))}, got {fold!r}")
        return np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)

    def subset(self, indices: npt.ArrayLike) -> "Dataset":
        """Return the data set of some clips only, in the order of `indices`, with the same classes.

        Raises
        ------
        ParameterError
            If an index is out of range or there twice.
        """
        chosen = [
            check_integer(i, "indices", low=0, high=len(self) - 1) for i in np.asarray(indices).tolist()
        ]
        if len(set(chosen)) != len(chosen):
            raise ParameterError("indices must be different, but one is there twice")
        names = [self.filenames[i] for i in chosen]

        def labels(index: int) -> list[str]:
            assert self.sequences is not None
            return [self.classes[number] for number in self.sequences[index]]

        return Dataset(
            self.path,
            self._paths,
            self.classes,
            {name: self.tag_names(i) for name, i in zip(names, chosen, strict=True)},
            sequences=None if self.sequences is None else {self.filenames[i]: labels(i) for i in chosen},
            strong=self.strong,
            folds=None if self.folds is None else {self.filenames[i]: int(self.folds[i]) for i in chosen},
            settings=self.settings,
        )

    def tag_names(self, index: int) -> list[str]:
        """Return the classes of clip number `index`, in the order of ``classes``."""
        return [self.classes[number] for number in np.flatnonzero(self.tags[index])]

    def audio_hashes(self) -> list[bytes]:
        """Return a hash of the bytes of each audio file, in order."""
        hashes = [b""] * len(self)

        def hash_one(index: int) -> None:
            hashes[index] = hash_file(self.path_of(index))

        run_tasks(hash_one, range(len(self)))
        return hashes

    def fingerprint(self) -> str:
        """Return a hash of the contents: file names, audio bytes, classes, labels and folds, in order."""
        total = hashlib.blake2b(digest_size=16)
        total.update(repr((self.filenames, self.classes, self.sequences, self.strong)).encode())
        total.update(self.tags.tobytes())
        total.update(b"" if self.folds is None else self.folds.tobytes())
        for digest in self.audio_hashes():
            total.update(digest)
        return total.hexdigest()
