"""Which recordings a data set was mixed from, and in which folds: noted when mixing, compared later.

``dataset.toml`` keeps two hashes of the events and two of the backgrounds: one of what the recordings hold
and, where clips were mixed fold by fold (protocol ``honest``), one of how they were divided. A recording that
changes its fold later would be in training and in test, without any other sign of it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctctag.data.labels import read_folds
from ctctag.data.mixer import Mixer
from ctctag.data.noise import NoiseSource
from ctctag.data.recipe import read_recipe
from ctctag.data.sources import EventSource
from ctctag.data.tsv import shown
from ctctag.exceptions import DataError

__all__ = ["check_contents", "check_folds", "hashes"]

Division = Mapping[str, tuple[str, int | None]]  # of each recording, by key: source recording and fold

_WAY_OUT = "put the folds back as they were, or mix the data set again"


def hashes(mixer: Mixer) -> dict[str, str]:
    """Return what ``dataset.toml`` is to remember of a mixer's recordings; nothing of what is made anew."""
    found = {}
    for name, _, source in _sources(mixer):
        if contents := source.fingerprint():
            found[f"{name}_hash"] = contents
        if mixer.folds and (division := source.division()):
            found[f"{name}_folds_hash"] = _hash(division)
    return found


def check_contents(mixer: Mixer, mix: Mapping[str, Any], root: Path) -> None:
    """Raise a `DataError` if the recordings do not hold what those hold that `root` was mixed from."""
    for name, kind, source in _sources(mixer):
        if source.fingerprint() != mix.get(f"{name}_hash", ""):
            raise DataError(
                f"{source.name}: the {kind} are not those that {root} was mixed from (their contents differ)"
            )


def check_folds(mixer: Mixer, mix: Mapping[str, Any], root: Path) -> None:
    """Raise a `DataError` if a recording or a clip is in another fold than when `root` was mixed.

    The recipe names the recordings of each clip, and so those that moved. The hash also knows recordings that
    no clip has. Data sets from before there was one have the recipe alone; without either there is nothing
    that the folds could be held against.
    """
    recorded = _recorded_parts(root)
    for name, kind, source in _sources(mixer):
        division = source.division()
        if not division:
            continue
        known = mix.get(f"{name}_folds_hash")
        unmoved = known == _hash(division)
        for key, clip, fold in (recorded or {}).get(name, ()):
            now = division[key][1] if key in division else None
            if now != fold:
                if unmoved:
                    what = f"{root}: {shown(clip)} is in fold {fold} now, but was mixed in fold {now}"
                else:
                    what = (
                        f"{source.name}: {shown(key)} is in fold {now} now, but was in fold {fold} when "
                        f"{root} was mixed (it is in {shown(clip)})"
                    )
                raise DataError(f"{what}, so training would use what is tested on; {_WAY_OUT}")
        if known is None and recorded is None:
            raise DataError(
                f"{root}: does not say in which folds the {kind} were when it was mixed (no recipe.tsv with "
                f"folds.tsv, no {name}_folds_hash in dataset.toml); mix the data set again"
            )
        if known is not None and not unmoved:
            raise DataError(
                f"{source.name}: the folds or source recordings of the {kind} are not those that {root} was "
                f"mixed with (no clip of it has the one that was moved); {_WAY_OUT}"
            )


def _sources(mixer: Mixer) -> Iterator[tuple[str, str, EventSource | NoiseSource]]:
    yield "events", "events", mixer.source
    if mixer.noise is not None:
        yield "noise", "backgrounds", mixer.noise


def _hash(division: Division) -> str:
    total = hashlib.blake2b(digest_size=16)
    for key, (source_id, fold) in sorted(division.items()):
        total.update(repr((key, source_id, fold)).encode())
    return total.hexdigest()


def _recorded_parts(root: Path) -> dict[str, list[tuple[str, str, int]]] | None:
    """Return key, clip and fold of the clip for each recording in a clip, or None if there is no recipe."""
    if not ((root / "recipe.tsv").is_file() and (root / "folds.tsv").is_file()):
        return None
    folds = read_folds(root / "folds.tsv")
    found: dict[str, list[tuple[str, str, int]]] = {"events": [], "noise": []}
    for clip, parts in read_recipe(root / "recipe.tsv").items():
        if clip not in folds:
            raise DataError(f"{root / 'folds.tsv'}: has no row for {clip!r}, which recipe.tsv lists")
        for part in parts:
            found["events" if part.label else "noise"].append((part.source, clip, folds[clip]))
    return found
