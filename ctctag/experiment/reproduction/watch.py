"""A live line for each cell that is being trained, read from the logs: wherever the cells run."""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ctctag._progress import say
from ctctag._reading import reading
from ctctag.exceptions import DataError
from ctctag.experiment.reproduction.cells import Cell, cell_folder
from ctctag.experiment.reproduction.plan import Plan
from ctctag.training import RunFolder

__all__ = ["watching"]

_LOOK_EVERY = 1.0  # seconds


@contextlib.contextmanager
def watching(
    plan: Plan, folder: Path, cells: Sequence[tuple[str, int]], *, quiet: bool = False
) -> Iterator[None]:
    """Show how far `cells` are while the body runs.

    On a terminal with tqdm each cell in training has a bar; elsewhere a line is printed for every tenth of
    a cell. All of it goes to standard error.
    """
    if quiet or not cells:
        yield
        return
    lines = [_Line(plan, folder, system, fold) for system, fold in cells]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_EVERY):
            for line in lines:
                line.look()

    thread = threading.Thread(target=look, name="ctctag-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for line in lines:
            line.look()
            line.close()


class _Line:
    """What is shown of one cell."""

    def __init__(self, plan: Plan, folder: Path, system: str, fold: int) -> None:
        self.name = f"{system} fold {fold}"
        self.folder = cell_folder(folder, system, fold)
        self.epochs = plan.config(system).epochs
        self.step = max(1, self.epochs // 10)
        self.shown = len(_records(self.folder))  # an earlier session's
        self.finished = False
        self.bar: Any = None

    def look(self) -> None:
        """Show what is new."""
        if self.finished:
            return
        records = _records(self.folder)
        if len(records) > self.shown:
            self._advance(records)
        cell = Cell.read(self.folder)
        if cell is not None:
            self.finished = True
            self.close()
            say(
                f"{self.name}: finished, {_scores(cell)}, {cell.epochs} epochs in {cell.seconds / 60:.1f} min"
            )

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _advance(self, records: list[dict[str, Any]]) -> None:
        tqdm = _tqdm()
        last = records[-1]
        if tqdm is not None:
            if self.bar is None:
                self.bar = tqdm(
                    total=self.epochs, initial=self.shown, desc=self.name, unit=" epochs", leave=False,
                    dynamic_ncols=True, file=sys.stderr,
                )  # fmt: skip
            self.bar.set_postfix_str(_words(last), refresh=False)
            self.bar.update(len(records) - self.bar.n)
        elif len(records) // self.step > self.shown // self.step or not self.shown:
            say(f"{self.name}: epoch {len(records)} of {self.epochs}, {_words(last)}")
        self.shown = len(records)


def _tqdm() -> Any:
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


def _records(folder: Path) -> list[dict[str, Any]]:
    path = RunFolder(folder).log_path
    with contextlib.suppress(DataError), reading(path, DataError, "not a log of epochs ({})"):
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for record in records:
            _words(record)
        return records
    return []  # not there yet, or damaged: nothing to show, and training goes by the checkpoint


def _words(record: dict[str, Any]) -> str:
    words = [f"loss {record['loss']:.3f}"]
    if record["validation_auc"] is not None:
        words.append(f"auc {record['validation_auc']:.3f}")
    if "sequence_error_rate" in record:
        words.append(f"seq. errors {record['sequence_error_rate']:.3f}")
    return ", ".join([*words, f"{record['clips_per_second']:.0f} clips/s"])


def _scores(cell: Cell) -> str:
    names = {"auc": "auc", "f": "F", "sequence_error_rate": "seq. errors"}
    found = ((word, cell.scores.get(name)) for name, word in names.items())
    return ", ".join(f"{word} {value:.3f}" for word, value in found if value is not None)
