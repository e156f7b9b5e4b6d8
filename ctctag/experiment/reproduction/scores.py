"""Scores over folds: the numbers behind every table, and ``results.json``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag import metrics
from ctctag.exceptions import ParameterError
from ctctag.experiment.reproduction.cells import Cell
from ctctag.experiment.reproduction.paper_figures import NAMES
from ctctag.models.heads import multi_hot

__all__ = ["Results", "fold_mean"]

Array = npt.NDArray[Any]
_COLUMNS = {
    "auc": "auc", "auc_binary": "auc_binary", "precision": "precision", "recall": "recall", "f": "f",
    "ser": "sequence_error_rate",
}  # fmt: skip


class Results:
    """The finished cells of one experiment, by system and fold.

    Parameters
    ----------
    cells : sequence of Cell
        Finished cells, of one protocol and one list of classes.
    wanted : sequence of (str, int), optional
        System and fold of every cell that was planned; by default of those that are there.
    caution : str
        Why the paper's figures do not compare, where they do not.

    Raises
    ------
    ParameterError
        If there is no cell, one comes twice, or they differ in protocol or classes.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        wanted: Sequence[tuple[str, int]] | None = None,
        caution: str = "",
    ) -> None:
        if not cells:
            raise ParameterError("cells must hold at least one finished cell, got none")
        self.protocol, self.classes = cells[0].protocol, tuple(cells[0].classes)
        self.caution = caution
        self.cells: dict[tuple[str, int], Cell] = {}
        for number, cell in enumerate(cells):
            if cell.protocol != self.protocol or tuple(cell.classes) != self.classes:
                raise ParameterError(
                    f"cells[{number}] has another protocol or other classes than cells[0] "
                    "(two experiments in one report?)"
                )
            if (cell.system, cell.fold) in self.cells:
                raise ParameterError(f"cells[{number}] is {cell.system}, fold {cell.fold}, a second time")
            self.cells[cell.system, cell.fold] = cell
        self.missing = [place for place in wanted or () if place not in self.cells]
        self.folds = sorted({fold for _, fold in (*self.cells, *self.missing)})
        self.systems = [system for system in NAMES if any(system == other for other, _ in self.cells)]

    def of(self, system: str) -> list[Cell]:
        """Return the finished cells of a system, by fold."""
        return [self.cells[system, fold] for fold in self.folds if (system, fold) in self.cells]

    def values(self, system: str, score: str) -> Array:
        """Return a score in each finished fold, NaN where undefined."""
        found = [cell.scores.get(score) for cell in self.of(system)]
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)

    def class_means(self, system: str, score: str) -> Array:
        """Return the mean over folds of each class, shape ``(n_classes,)``; NaN where no fold defines it."""
        rows = np.array([cell.scores[f"classes_{score}"] for cell in self.of(system)], dtype=np.float64)
        counts = (~np.isnan(rows)).sum(axis=0)
        return np.where(counts > 0, np.nansum(rows, axis=0) / np.maximum(counts, 1), np.nan)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``results.json``: one value a fold, null for a missing cell."""
        systems: dict[str, Any] = {}
        for system in self.systems:
            entry: dict[str, Any] = {}
            for name, score in _COLUMNS.items():
                entry[name] = [
                    self.cells[system, fold].scores.get(score) if (system, fold) in self.cells else None
                    for fold in self.folds
                ]
            if all(value is None for value in entry["ser"]):
                entry["ser"] = None
            entry["seconds"] = [
                float(self.cells[system, fold].seconds) if (system, fold) in self.cells else None
                for fold in self.folds
            ]
            systems[system] = entry
        result: dict[str, Any] = {"protocol": self.protocol, "clips": self.n_clips, "systems": systems}
        return result | ({"caution": self.caution} if self.caution else {})

    @property
    def n_clips(self) -> int:
        """How many different clips were measured on."""
        return len({name for cell in self.cells.values() for name in cell.filenames})

    def pooled(self, systems: Sequence[str]) -> tuple[Array, dict[str, tuple[Array, Array]]]:
        """Return truth and answers on the folds that all `systems` have finished.

        Returns
        -------
        truth : ndarray, shape (N, n_classes + 1), int
            True tags, and the fold in the last column.
        answers : dict of str to (ndarray, ndarray), each shape (N, n_classes)
            Probabilities and decoded tags of each system.
        """
        count = len(self.classes)
        folds = [fold for fold in self.folds if all((s, fold) in self.cells for s in systems)]
        truth: list[Array] = [np.zeros((0, count + 1), np.int64)]
        answers: dict[str, tuple[list[Array], list[Array]]] = {s: ([], []) for s in systems}
        for fold in folds:
            first = self.cells[systems[0], fold]
            tags = multi_hot(first.targets, count, np.int64)
            truth.append(np.c_[tags, np.full(len(tags), fold)])
            for system in systems:
                cell = self.cells[system, fold]
                if list(cell.filenames) != list(first.filenames):
                    raise ParameterError(f"{system} and {systems[0]} have other clips in fold {fold}")
                answers[system][0].append(np.asarray(cell.tag_probs, np.float64))
                answers[system][1].append(multi_hot(cell.sequences, count, np.int64))
        empty = np.zeros((0, count))
        return np.concatenate(truth), {
            s: (np.concatenate([empty, *probs]), np.concatenate([empty.astype(np.int64), *tags]))
            for s, (probs, tags) in answers.items()
        }


def fold_mean(score: str) -> Callable[[Array, Array], float]:
    """Return a statistic for `ctctag.metrics`: the mean over folds (last column of the truth) of a score.

    Examples
    --------
    >>> truth, tags = np.array([[1, 1], [0, 1], [1, 2], [0, 2]]), np.array([[1], [0], [0], [0]])
    >>> fold_mean("auc_binary")(truth, tags)
    0.75
    """

    def statistic(truth: Array, answers: Array) -> float:
        values = []
        for fold in np.unique(truth[:, -1]):
            of_fold = truth[:, -1] == fold
            true, answer = truth[of_fold, :-1], answers[of_fold]
            if score == "f":
                values.append(metrics.precision_recall_f(true, answer, average="macro").f)
            else:
                values.append(metrics.auc(true, answer).mean)  # of scores, or of decoded tags
        return float(np.mean(values))

    return statistic
