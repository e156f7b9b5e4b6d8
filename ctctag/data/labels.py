"""Strong, sequential and weak labels: one file format each, and the way down from one to the next.

======================  ==========================================  ==========================
file                    columns                                     in Python
======================  ==========================================  ==========================
``strong.tsv``          ``filename onset offset event_label``       ``{filename: [Event, ...]}``
``sequential.tsv``      ``filename event_sequence``                 ``{filename: [label, ...]}``
``weak.tsv``            ``filename event_labels``                   ``{filename: [label, ...]}``
``folds.tsv``           ``filename fold``                           ``{filename: fold}``
======================  ==========================================  ==========================

Strong labels know when each event sounds, sequential labels only the order of the onsets, weak labels only
which events there are. Labels are joined by commas (``;`` is read as well), an empty field is a clip without
events. What else a table may look like, `ctctag.data.tsv` says.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from ctctag.data.tsv import naming, quoted, read_table
from ctctag.exceptions import DataError

__all__ = [
    "Event",
    "nearest_match",
    "parse_fold",
    "read_folds",
    "read_sequential",
    "read_strong",
    "read_weak",
]

STRONG = ("filename", "onset", "offset", "event_label")
SEQUENTIAL = ("filename", "event_sequence")
WEAK = ("filename", "event_labels")
FOLDS = ("filename", "fold")
_MOST_FOLDS = 10**6

Value = TypeVar("Value")


class Event(NamedTuple):
    """One sound event of a clip: what, and from when to when, in seconds."""

    label: str
    onset: float
    offset: float


def read_strong(path: str | Path, classes: Sequence[str] | None = None) -> dict[str, list[Event]]:
    """Read strong labels: ``filename onset offset event_label``, times in seconds.

    A clip without events has one row whose other fields are empty. The same row twice is one event.

    Parameters
    ----------
    path : path-like
        The table.
    classes : sequence of str, optional
        If given, any other label is an error.

    Returns
    -------
    dict of str to list of Event
        The events of each clip in order of onset, clips in the order of the file.

    Raises
    ------
    DataError
        If the table is malformed, a time is no number, negative, or an onset after its offset, a label is
        unknown or several, or a clip has both events and a row without one. The message names path and line.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from ctctag.data import write_strong
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "strong.tsv"
    >>> write_strong(path, {"a.wav": [Event("cough", 0.5, 1.25)], "b.wav": []})
    >>> print(path.read_text(), end="")  # doctest: +NORMALIZE_WHITESPACE
    filename    onset   offset  event_label
    a.wav       0.5     1.25    cough
    b.wav
    >>> read_strong(path)
    {'a.wav': [Event(label='cough', onset=0.5, offset=1.25)], 'b.wav': []}
    """
    labels: dict[str, dict[Event, None]] = {}  # an ordered set of events for each clip
    empty: dict[str, int] = {}
    for number, row in read_table(path, STRONG):
        where = f"{path}, line {number}"
        with naming(where):
            filename = _filename(row, where)
            events = labels.setdefault(filename, {})
            if not (row["onset"] or row["offset"] or row["event_label"]):
                empty.setdefault(filename, number)
            else:
                events[_event(row, where, classes)] = None
            if events and filename in empty:
                raise DataError(
                    f"{where}: {quoted(filename)} has events, but also a row without any "
                    f"(line {empty[filename]})"
                )
    return {name: sorted(events, key=lambda event: event.onset) for name, events in labels.items()}


def read_sequential(path: str | Path, classes: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Read sequential labels: ``filename event_sequence``, joined by commas or semicolons in order of onset.

    Parameters
    ----------
    path : path-like
        The table.
    classes : sequence of str, optional
        If given, any other label is an error.

    Returns
    -------
    dict of str to list of str
        The labels of each clip in order; an empty list is a clip without events.

    Raises
    ------
    DataError
        If the table is malformed, a filename is missing or there twice, or a label is unknown or empty.
    """
    return _read_one_row_a_clip(path, SEQUENTIAL, lambda text, where: _split(text, where, classes))


def read_weak(path: str | Path, classes: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Read weak labels: ``filename event_labels``, joined by commas or semicolons, in no order.

    Parameters
    ----------
    path : path-like
        The table.
    classes : sequence of str, optional
        If given, any other label is an error.

    Returns
    -------
    dict of str to list of str
        The labels of each clip, sorted, each once.

    Raises
    ------
    DataError
        If the table is malformed, a filename is missing or there twice, or a label is unknown or empty.
    """
    return _read_one_row_a_clip(path, WEAK, lambda text, where: sorted(set(_split(text, where, classes))))


def read_folds(path: str | Path) -> dict[str, int]:
    """Read the fold of each clip: ``filename fold``, folds counted from 1.

    Parameters
    ----------
    path : path-like
        The table.

    Returns
    -------
    dict of str to int
        The fold of each clip.

    Raises
    ------
    DataError
        If the table is malformed, a filename is missing or there twice, or a fold is no whole
        number from 1 to a million.
    """
    return _read_one_row_a_clip(path, FOLDS, parse_fold)


def parse_fold(text: str, where: str) -> int:
    """Return the number of a fold as it stands in a table.

    Raises
    ------
    DataError
        If it is no whole number from 1 to a million.
    """
    if not text.isdecimal() or not text.strip("0"):
        raise DataError(f"{where}: fold must be a whole number of at least 1, got {quoted(text)}")
    if len(text) > 20 or int(text) > _MOST_FOLDS:
        raise DataError(f"{where}: fold must be a whole number of at most {_MOST_FOLDS}, got {quoted(text)}")
    return int(text)


def nearest_match(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'speech'?)"`` for the known name nearest to `name`, or an empty string."""
    close = difflib.get_close_matches(name[:200].lower(), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _read_one_row_a_clip(
    path: str | Path, columns: tuple[str, str], parse: Callable[[str, str], Value]
) -> dict[str, Value]:
    values: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for number, row in read_table(path, columns):
        where = f"{path}, line {number}"
        with naming(where):
            filename = _filename(row, where)
            if filename in values:
                raise DataError(
                    f"{where}: filename {quoted(filename)} is there twice (first in line {lines[filename]})"
                )
            lines[filename] = number
            values[filename] = parse(row[columns[1]], where)
    return values


def _filename(row: Mapping[str, str], where: str) -> str:
    if not row["filename"]:
        raise DataError(f"{where}: the filename is missing")
    return row["filename"]


def _event(row: Mapping[str, str], where: str, classes: Sequence[str] | None) -> Event:
    onset, offset = (_seconds(row[name], name, where) for name in ("onset", "offset"))
    if onset > offset:
        raise DataError(
            f"{where}: onset {onset:g} s is after offset {offset:g} s (columns swapped, or a duration in "
            "place of the offset?)"
        )
    if re.search("[,;]", row["event_label"]):
        raise DataError(
            f"{where}: an event has one label, got {quoted(row['event_label'])}; write a row for each event "
            "(a label holds no comma or semicolon)"
        )
    return Event(_label(row["event_label"], where, classes), onset, offset)


def _split(text: str, where: str, classes: Sequence[str] | None) -> list[str]:
    if not text:
        return []
    return [_label(part.strip(), where, classes) for part in re.split("[,;]", text)]


def _label(label: str, where: str, classes: Sequence[str] | None) -> str:
    if not label:
        raise DataError(f"{where}: a label is empty (a comma too many?)")
    if classes is not None and label not in classes:
        raise DataError(
            f"{where}: label {quoted(label)} is not one of the {len(classes)} classes"
            f"{nearest_match(label, classes)}"
        )
    return label


def _seconds(text: str, name: str, where: str) -> float:
    try:
        value = float(text.replace("_", "?"))  # Python's 1_000 is no number in a table
    except ValueError:
        slip = " (a decimal comma?)" if "," in text else ""
        raise DataError(f"{where}: {name} must be a number of seconds, got {quoted(text)}{slip}") from None
    if not math.isfinite(value) or value < 0:
        raise DataError(f"{where}: {name} must be a number of seconds of at least 0, got {quoted(text)}")
    return value
