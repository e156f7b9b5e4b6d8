"""Writing label tables: what `ctctag.data.labels` could not read back is refused."""

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ctctag.data.labels import FOLDS, SEQUENTIAL, STRONG, WEAK, Event, parse_fold
from ctctag.data.tsv import quoted, write_table
from ctctag.exceptions import DataError

__all__ = ["check_label", "write_folds", "write_sequential", "write_strong", "write_weak"]


def write_strong(path: str | Path, labels: Mapping[str, Sequence[Event]]) -> None:
    """Write strong labels, whole or not at all; the counterpart of `read_strong`.

    Raises
    ------
    DataError
        If something could not be read back: a label or a filename that is no text or that a table cannot
        hold, a time that is no number of seconds, an onset after its offset. So do all that write tables.
    """
    rows = []
    for filename, events in labels.items():
        for label, onset, offset in dict.fromkeys(events):
            what = f"{path}: {quoted(filename)}"
            begin, end = (_written_seconds(time, what) for time in (onset, offset))
            if begin > end:
                raise DataError(f"{what}: onset {begin:g} s is after offset {end:g} s")
            rows.append((filename, repr(begin), repr(end), _joined([label], path)))
        if not events:
            rows.append((filename, "", "", ""))
    write_table(path, STRONG, rows)


def write_sequential(path: str | Path, labels: Mapping[str, Sequence[str]]) -> None:
    """Write sequential labels, whole or not at all; the counterpart of `read_sequential`."""
    write_table(path, SEQUENTIAL, ((name, _joined(events, path)) for name, events in labels.items()))


def write_weak(path: str | Path, labels: Mapping[str, Iterable[str]]) -> None:
    """Write weak labels, sorted, whole or not at all; the counterpart of `read_weak`."""
    write_table(path, WEAK, ((name, _joined(tags, path, ordered=False)) for name, tags in labels.items()))


def write_folds(path: str | Path, folds: Mapping[str, int]) -> None:
    """Write the fold of each clip, whole or not at all; the counterpart of `read_folds`."""
    rows = []
    for name, fold in folds.items():
        where = f"{path}: {quoted(name)}"
        try:
            rows.append((name, str(parse_fold(str(operator.index(fold)), where))))
        except TypeError:
            raise DataError(f"{where}: fold must be a whole number, got {quoted(fold)}") from None
    write_table(path, FOLDS, rows)


def check_label(label: object, where: str) -> str:
    """Return a label that a table can hold.

    Raises
    ------
    DataError
        If it is no text, empty, or holds what separates labels.
    """
    if not isinstance(label, str):
        raise DataError(f"{where}: label {quoted(label)} is no text but {type(label).__name__} (str() first)")
    if not label or re.search("[,;]", label) or label != label.strip():
        raise DataError(
            f"{where}: label {quoted(label)} cannot be written (it is empty, holds a comma or semicolon, or "
            "begins or ends with a space)"
        )
    return label


def _written_seconds(value: object, where: str) -> float:
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise DataError(f"{where}: a time must be a number of seconds of at least 0, got {quoted(value)}")
    return seconds


def _joined(labels: Iterable[str], path: str | Path, *, ordered: bool = True) -> str:
    if isinstance(labels, str | bytes):
        raise DataError(f"{path}: labels of a clip must be a list of labels, got {quoted(labels)}")
    checked = [check_label(label, str(path)) for label in labels]
    return ",".join(checked if ordered else sorted(set(checked)))
