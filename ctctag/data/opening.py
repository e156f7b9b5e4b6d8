"""What lies in a data set's folder: its tables, its classes, its audio, and whether they agree."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctctag.data.convert import onset_groups, sequential_to_weak, strong_to_weak
from ctctag.data.label_writers import check_label
from ctctag.data.labels import Event, nearest_match
from ctctag.data.tsv import quoted, shown
from ctctag.exceptions import DataError, ParameterError

__all__ = [
    "check_agreement",
    "check_chosen",
    "check_same_clips",
    "classes_of",
    "find_audio",
    "find_table",
]


def classes_of(settings: Mapping[str, Any], path: Path) -> list[str] | None:
    """Return the classes that ``dataset.toml`` names, if it does."""
    classes = settings.get("classes")
    if classes is None:
        return None
    if not (isinstance(classes, list) and classes and all(isinstance(label, str) for label in classes)):
        raise DataError(f"{path}: classes must be a list of strings, got {quoted(classes)}")
    for label in classes:
        check_label(label, f"{path}: classes")
    if len(set(classes)) != len(classes):
        raise DataError(f"{path}: classes lists a class twice")
    return classes


def check_chosen(classes: Sequence[str]) -> None:
    """Raise a `ParameterError` if classes given by the caller are no sequence of different texts."""
    if isinstance(classes, str) or not all(isinstance(label, str) for label in classes):
        raise ParameterError(f"classes must be a sequence of strings, got {quoted(classes)}")
    if len(set(classes)) != len(classes):
        raise ParameterError(f"classes must be different, got {quoted(classes)}")


def find_table(root: Path, name: str) -> Path | None:
    """Return the table of that name, tab-separated or a spreadsheet's ``.csv``, if there is one."""
    there = [path for path in (root / f"{name}.tsv", root / f"{name}.csv") if path.is_file()]
    if len(there) > 1:
        raise DataError(f"{root}: has both {name}.tsv and {name}.csv; remove the one that is not meant")
    return there[0] if there else None


def check_same_clips(tables: Mapping[Path, Mapping[str, Any]]) -> None:
    """Raise a `DataError` if two tables do not list the same clips."""
    first, *others = tables
    for other in others:
        for path, missing_in in ((first, other), (other, first)):
            missing = next((clip for clip in tables[path] if clip not in tables[missing_in]), None)
            if missing is not None:
                slip = nearest_match(
                    missing, [clip for clip in tables[missing_in] if clip not in tables[path]]
                )
                raise DataError(
                    f"{missing_in}: has no row for {quoted(missing)}, which {path.name} lists{slip}"
                )


def check_agreement(root: Path, tables: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raise a `DataError` if two tables say different things of a clip.

    Parameters
    ----------
    root : Path
        The data set.
    tables : dict
        What was read, by ``"strong"``, ``"sequential"`` and ``"weak"``.
    names : dict of str to str
        The name of the file of each.
    """
    strong, sequences, tags = (tables.get(name) for name in ("strong", "sequential", "weak"))
    if strong is not None and sequences is not None:
        for clip, events in strong.items():
            if not _in_order(sequences[clip], events):
                ordered = [event.label for event in events]
                _disagree(root, clip, names["sequential"], sequences[clip], names["strong"], ordered)
    if tags is not None:
        for other, derived in (
            ("sequential", sequences and sequential_to_weak(sequences)),
            ("strong", strong and strong_to_weak(strong)),
        ):
            for clip, labels in (derived or {}).items():
                if list(tags[clip]) != labels:
                    _disagree(root, clip, names["weak"], tags[clip], names[other], labels)


def _in_order(sequence: Sequence[str], events: Sequence[Event]) -> bool:
    """Return whether a sequence is the labels in order of onset; tied ones may stand in any order."""
    rest = list(sequence)
    for _, group in onset_groups(events):
        if sorted(rest[: len(group)]) != group:
            return False
        del rest[: len(group)]
    return not rest


def _disagree(
    root: Path, clip: str, one: str, says: Sequence[str], other: str, says_other: Sequence[str]
) -> None:
    def listed(labels: Sequence[str]) -> str:
        return shown(",".join(labels)) or "no events"

    raise DataError(
        f"{root}: labels of {quoted(clip)} disagree: {one} says {listed(says)}, {other} says "
        f"{listed(says_other)}"
    )


def find_audio(root: Path, filenames: Sequence[str], table: Path) -> dict[str, Path]:
    """Return the audio file of each clip that `table` lists."""
    paths = {}
    for name in filenames:
        for path in (root / "audio" / name, root / name):
            if os.path.isfile(path):  # unlike Path.is_file, false where a name is too long
                paths[name] = path
                break
        else:
            there = [path.name for folder in (root / "audio", root) for path in sorted(folder.glob("*"))]
            raise DataError(
                f"{table}: lists {quoted(name)}, but there is no such file in {root / 'audio'} or "
                f"{root}{nearest_match(name, there)}"
            )
    return paths
