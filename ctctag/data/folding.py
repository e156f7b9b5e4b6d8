"""Folds that never divide a source recording, balanced by class."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from ctctag._checks import check_integer
from ctctag.exceptions import DataError

__all__ = ["assign_folds"]


def assign_folds(
    source_ids: Sequence[str],
    labels: Sequence[str],
    folds: int,
    *,
    seed: int = 0,
    given: Sequence[int | None] | None = None,
    where: str = "recordings",
) -> list[int]:
    """Return the fold, 1 … `folds`, of each recording; those of one source recording share it.

    Parameters
    ----------
    source_ids : sequence of str
        For each recording, what it was cut from.
    labels : sequence of str
        For each recording, its class.
    folds : int
        How many folds, at least 2.
    seed : int
        Settles ties at random.
    given : sequence of int or None, optional
        Folds from a manifest. They are used if each recording has one and they run from 1 to `folds`.
    where : str
        Named in messages.

    Returns
    -------
    list of int
        A fold for each recording.

    Raises
    ------
    DataError
        If a class has fewer source recordings than there are folds, or the given folds divide a source
        recording or leave a class out.

    Notes
    -----
    Greedy: source recordings with the most pieces first, each to the fold that has the fewest recordings of
    its classes so far, then the fewest of all.

    Examples
    --------
    >>> assign_folds(["r1", "r1", "r2", "r3", "r4"], ["cough"] * 5, 2)[:2] in ([1, 1], [2, 2])
    True
    """
    check_integer(folds, "folds", low=2)
    if given is not None and {fold for fold in given} == set(range(1, folds + 1)):
        numbers = [fold for fold in given if fold is not None]
        _check_whole(source_ids, labels, numbers, folds, where)
        return numbers

    pieces: dict[str, list[int]] = defaultdict(list)
    for index, source_id in enumerate(source_ids):
        pieces[source_id].append(index)
    sources: dict[str, set[str]] = defaultdict(set)
    for source_id, label in zip(source_ids, labels, strict=True):
        sources[label].add(source_id)
    for label, found in sorted(sources.items()):
        if len(found) < folds:
            raise DataError(
                f"{where}: {_named(label)} has {len(found)} source recordings, but {folds} folds need at "
                f"least {folds} (use fewer folds, or leave it out)"
            )

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pieces))
    ids = [sorted(pieces)[i] for i in order]
    ids.sort(key=lambda source_id: -len(pieces[source_id]))  # stable: equals stay shuffled
    counts = [Counter[str]() for _ in range(folds)]
    fold_of = {}
    for source_id in ids:
        own = [labels[index] for index in pieces[source_id]]
        best = min(
            rng.permutation(folds).tolist(),
            key=lambda fold: (sum(counts[fold][label] for label in set(own)), counts[fold].total()),
        )
        counts[best].update(own)
        fold_of[source_id] = best + 1
    numbers = [fold_of[source_id] for source_id in source_ids]
    _check_whole(source_ids, labels, numbers, folds, where)
    return numbers


def _check_whole(
    source_ids: Sequence[str], labels: Sequence[str], numbers: Sequence[int], folds: int, where: str
) -> None:
    fold_of: dict[str, int] = {}
    present: dict[str, set[int]] = defaultdict(set)
    for source_id, label, fold in zip(source_ids, labels, numbers, strict=True):
        if fold_of.setdefault(source_id, fold) != fold:
            raise DataError(
                f"{where}: the manifest puts source recording {source_id!r} into folds {fold_of[source_id]} "
                f"and {fold}, but all its pieces must share one"
            )
        present[label].add(fold)
    for label, found in sorted(present.items()):
        missing = sorted(set(range(1, folds + 1)) - found)
        if missing:
            raise DataError(f"{where}: {_named(label)} has no recording in fold {missing[0]} of {folds}")


def _named(label: str) -> str:
    return f"class {label!r}" if label else "the folder"
