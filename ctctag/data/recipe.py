"""Recipes: every choice that went into a mixture, so that the audio can be mixed again bit for bit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeVar

from ctctag.data.tsv import naming, quoted, read_table, write_table
from ctctag.exceptions import DataError

__all__ = ["Part", "read_recipe", "write_recipe"]

_COLUMNS = (
    "filename",
    "source",
    "event_label",
    "onset",
    "offset",
    "gain_db",
    "seed",
    "start",
    "speed",
    "tilt_db",
    "sign",
)

_MOST_SECONDS = 1e6
_MOST_DB = 400  # either way: what float32 can hold

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Part:
    """One sound in a mixture: which, when, how loud, and how it was changed.

    Attributes
    ----------
    source : str
        Key of the event within its source, or of the noise.
    label : str
        Class of the event; empty for the background noise.
    onset, offset : float
        When it sounds, in seconds from the beginning of the clip.
    gain_db : float
        What its samples are multiplied by, in dB, normalisation included.
    seed : tuple of int
        The clip's seed: all its parts have the same.
    start : int
        First sample taken, at the clip's sample rate (after the change of speed).
    speed : float
        Played so much faster.
    tilt_db : tuple of float
        Gains at frequencies equally spaced in log frequency; empty for none.
    sign : int
        1, or -1 for reversed polarity.
    """

    source: str
    label: str
    onset: float
    offset: float
    gain_db: float
    seed: tuple[int, ...]
    start: int = 0
    speed: float = 1.0
    tilt_db: tuple[float, ...] = ()
    sign: int = 1


def write_recipe(path: str | Path, recipes: Mapping[str, Sequence[Part]]) -> None:
    """Write the recipe of each clip, whole or not at all; the noise has a row without a label.

    Parameters
    ----------
    path : path-like
        The table; replaced if it exists.
    recipes : dict of str to list of Part
        The parts of each clip, by filename.
    """
    rows = [
        (
            filename,
            part.source,
            part.label,
            repr(float(part.onset)),
            repr(float(part.offset)),
            repr(float(part.gain_db)),
            ",".join(map(str, part.seed)),
            str(part.start),
            repr(float(part.speed)),
            ",".join(map(repr, part.tilt_db)),
            str(part.sign),
        )
        for filename, parts in recipes.items()
        for part in parts
    ]
    write_table(path, _COLUMNS, rows)


def read_recipe(path: str | Path) -> dict[str, list[Part]]:
    """Read the recipe of each clip; the counterpart of `write_recipe`.

    Parameters
    ----------
    path : path-like
        The table.

    Returns
    -------
    dict of str to list of Part
        The parts of each clip, by filename.

    Raises
    ------
    DataError
        If the table is malformed; the message names path and line.
    """
    recipes: dict[str, list[Part]] = {}
    for number, row in read_table(path, _COLUMNS):
        where = f"{path}, line {number}"
        with naming(where):
            filename, part = _filename(row["filename"], where), _part(row, where)
        parts = recipes.setdefault(filename, [])
        if part in parts:
            raise DataError(f"{where}: the same sound of {quoted(filename)} is there twice")
        parts.append(part)
    return recipes


def _filename(name: str, where: str) -> str:
    """Return the name of a clip, if it names a file that may be written: one in the data set's folder."""
    path = PurePath(name)
    if not name or path.is_absolute() or len(path.parts) != 1 or name in (".", "..") or "\\" in name:
        raise DataError(f"{where}: filename must be the name of a file without folders, got {quoted(name)}")
    return name


def _part(row: Mapping[str, str], where: str) -> Part:
    try:
        part = Part(
            source=row["source"],
            label=row["event_label"],
            onset=float(row["onset"]),
            offset=float(row["offset"]),
            gain_db=float(row["gain_db"]),
            seed=_numbers(row["seed"], int),
            start=int(row["start"]),
            speed=float(row["speed"]),
            tilt_db=_numbers(row["tilt_db"], float),
            sign=int(row["sign"]),
        )
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    numbers = (part.onset, part.offset, part.gain_db, part.speed, *part.tilt_db)
    if not (
        part.source
        and all(map(math.isfinite, numbers))
        and 0 <= part.onset < part.offset <= _MOST_SECONDS
        and all(abs(gain_db) <= _MOST_DB for gain_db in (part.gain_db, *part.tilt_db))
        and all(seed >= 0 for seed in part.seed)
        and part.start >= 0
        and 0.1 <= part.speed <= 10
        and part.sign in (-1, 1)
    ):
        raise DataError(
            f"{where}: is no part of a mixture (expected a filename and a source, 0 <= onset < offset, "
            f"start >= 0, speed in [0.1, 10], sign 1 or -1, seeds of at least 0, gains within {_MOST_DB} dB)"
        )
    return part


def _numbers(text: str, kind: type[Number]) -> tuple[Number, ...]:
    return tuple(kind(number) for number in text.split(",")) if text else ()
