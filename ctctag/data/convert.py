"""From strong labels to sequential ones, and from those to weak ones: each step forgets something."""

import math
import numbers
from collections.abc import Mapping, Sequence

from ctctag._checks import check_choice
from ctctag.data.labels import Event
from ctctag.data.tsv import quoted, shown
from ctctag.exceptions import DataError

__all__ = ["TieError", "onset_groups", "sequential_to_weak", "strong_to_sequential", "strong_to_weak"]


_TIE_SECONDS = 1e-6  # onsets closer than this are equal: 0.1 + 0.2 is 0.3
_ROUNDING = 1e-12  # and times written as a microsecond apart are not


class TieError(DataError):
    """Two different events of a clip begin at the same time, so that their order is not known."""


def strong_to_sequential(
    labels: Mapping[str, Sequence[Event]], *, ties: str = "raise"
) -> dict[str, list[str]]:
    """Return the labels of each clip in order of onset.

    Parameters
    ----------
    labels : dict of str to list of Event
        Strong labels, e.g. from `read_strong`; events may be in any order.
    ties : {"raise", "alphabetical", "drop"}
        What to do with a clip in which two *different* labels have onsets closer than a microsecond, which is
        the same time but for rounding: raise, put the tied ones in alphabetical order (arbitrary: say so
        where you publish it), or leave the clip out. Equal labels at one onset are no tie: either order reads
        the same.

    Returns
    -------
    dict of str to list of str
        Sequential labels, clips in the same order.

    Raises
    ------
    TieError
        If there is a tie and `ties` is ``"raise"``; the message names the clip, the labels and the onset, and
        how many further clips have ties.
    DataError
        If a label is no text, or an onset no number.

    Examples
    --------
    >>> strong = {"a.wav": [Event("speech", 2.0, 3.0), Event("knock", 0.5, 1.0)]}
    >>> strong_to_sequential(strong)
    {'a.wav': ['knock', 'speech']}
    >>> tied = {"b.wav": [Event("speech", 1.0, 3.0), Event("knock", 1.0, 1.5)]}
    >>> strong_to_sequential(tied)
    Traceback (most recent call last):
    ...
    ctctag.data.convert.TieError: b.wav: knock, speech begin together at 1 s, so their order is unknown ...
    >>> strong_to_sequential(tied, ties="alphabetical")
    {'b.wav': ['knock', 'speech']}
    """
    check_choice(ties, "ties", ("raise", "alphabetical", "drop"))
    sequences = {}
    tied = []
    for filename, events in labels.items():
        _check_events(filename, events)
        groups = onset_groups(events)
        if any(len(set(group)) > 1 for _, group in groups):
            tied.append((filename, groups))
            if ties == "drop":
                continue
        sequences[filename] = [label for _, group in groups for label in group]
    if tied and ties == "raise":
        filename, groups = tied[0]
        onset, group = next((onset, group) for onset, group in groups if len(set(group)) > 1)
        more = f"; {len(tied) - 1} further clips have ties" if len(tied) > 1 else ""
        raise TieError(
            f"{shown(filename)}: {shown(', '.join(sorted(set(group))))} begin together at {onset:g} s, so "
            f"their order is unknown (ties='alphabetical' or ties='drop' settles it{more})"
        )
    return sequences


def onset_groups(events: Sequence[Event]) -> list[tuple[float, list[str]]]:
    """Return the onsets in order, each with the labels that begin there, alphabetically.

    Onsets closer than a microsecond are one, and so are those that a chain of such onsets joins.
    """
    groups: list[tuple[float, list[str]]] = []
    last = float("-inf")
    for event in sorted(events, key=lambda event: event.onset):
        if event.onset - last < _TIE_SECONDS - _ROUNDING:
            groups[-1][1].append(event.label)
        else:
            groups.append((event.onset, [event.label]))
        last = event.onset
    return [(onset, sorted(labels)) for onset, labels in groups]


def sequential_to_weak(labels: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return which labels each clip has, sorted, each once.

    Parameters
    ----------
    labels : dict of str to list of str
        Sequential labels, e.g. from `read_sequential`.

    Returns
    -------
    dict of str to list of str
        Weak labels, clips in the same order.

    Examples
    --------
    >>> sequential_to_weak({"a.wav": ["knock", "speech", "knock"], "b.wav": []})
    {'a.wav': ['knock', 'speech'], 'b.wav': []}
    """
    for filename, sequence in labels.items():
        _check_texts(filename, sequence)
    return {filename: sorted(set(sequence)) for filename, sequence in labels.items()}


def strong_to_weak(labels: Mapping[str, Sequence[Event]]) -> dict[str, list[str]]:
    """Return which labels each clip has, sorted, each once; ties of onsets do not matter here.

    Parameters
    ----------
    labels : dict of str to list of Event
        Strong labels.

    Returns
    -------
    dict of str to list of str
        Weak labels, clips in the same order.
    """
    for filename, events in labels.items():
        _check_events(filename, events)
    return {filename: sorted({event.label for event in events}) for filename, events in labels.items()}


def _check_events(filename: str, events: Sequence[Event]) -> None:
    for event in events:
        if not isinstance(event, Event):
            raise DataError(f"{shown(filename)}: expected events, got {quoted(event)} (wrap it in Event)")
        if not isinstance(event.onset, numbers.Real) or math.isnan(event.onset):
            raise DataError(
                f"{shown(filename)}: onset must be a number of seconds, got {quoted(event.onset)}"
            )
    _check_texts(filename, [event.label for event in events])


def _check_texts(filename: str, labels: Sequence[str]) -> None:
    if isinstance(labels, str):
        raise DataError(f"{shown(filename)}: expected a list of labels, got {quoted(labels)}")
    for label in labels:
        if not isinstance(label, str):
            raise DataError(
                f"{shown(filename)}: label {quoted(label)} is no text but {type(label).__name__} "
                "(str() first)"
            )
