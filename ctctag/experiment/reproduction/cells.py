"""One cell of the experiment: a system trained on all folds but one, and measured on that one."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctctag._files import atomic_path, clear_leftovers
from ctctag._locks import locked
from ctctag._reading import read_json, reading
from ctctag._threads import set_num_threads
from ctctag.data import Dataset
from ctctag.exceptions import DataError
from ctctag.experiment.evaluation import evaluate_model
from ctctag.experiment.machine import machine
from ctctag.experiment.reproduction.checks import check_cell
from ctctag.experiment.reproduction.plan import Plan
from ctctag.models import DECODERS
from ctctag.models.files import versions
from ctctag.training import RunFolder, TrainingConfig, train_on_dataset

__all__ = ["Cell", "cell_folder", "finished_cell", "origin", "run_cell"]

_FILE = "cell.json"
_AGAIN = "remove it to measure it again"
# Settings that have no part in the systems that know no order.
_OF_ORDER = {f"training.{name}" for name in ("tag_weight", "consistency", "blank_penalty", "decoder")}


@dataclass
class Cell:
    """What a finished cell found.

    Attributes
    ----------
    system, preset : str
        What was trained.
    protocol : str
        ``"paper"`` or ``"honest"``.
    fold : int
        The fold it was measured on.
    classes : list of str
        Names of the classes.
    scores : dict
        See `ctctag.training.score_predictions`.
    filenames : list of str
        The test clips.
    targets, sequences : list of list of int
        True and heard class indices of each test clip; those of systems without order are sets.
    times : list of list of float or None
        Peak of each class heard, in seconds; None from a system without frames.
    onsets : list of list of (float, float)
        Onset and offset of each true event in seconds, as `targets`.
    tag_probs : ndarray, shape (N, n_classes)
        Probability of each class in each test clip.
    history : list of dict
        The log of training (see `ctctag.training.Trainer`).
    epochs : int
        How many were trained; the best of them was kept.
    seconds : float
        What training took.
    config, versions, data : dict
        Settings of the training, versions of the software, and of the clips their number, fingerprint, and
        whether ``events`` and ``noise`` are recordings or made by the computer.
    machine : str
        Processor and threads.
    best_path : dict or None
        The scores of the best path of one listening, where `scores` are of another decoder.
    features : dict or None
        Settings of the features; None in a cell of a version that did not note them.
    """

    system: str
    preset: str
    protocol: str
    fold: int
    classes: list[str]
    scores: dict[str, Any]
    filenames: list[str]
    targets: list[list[int]]
    sequences: list[list[int]]
    times: list[list[float | None]]
    onsets: list[list[tuple[float, float]]]
    tag_probs: Any
    history: list[dict[str, Any]]
    epochs: int
    seconds: float
    config: dict[str, Any]
    versions: dict[str, str]
    data: dict[str, Any]
    machine: str
    best_path: dict[str, Any] | None = None
    features: dict[str, Any] | None = None

    def save(self, folder: Path) -> None:
        """Write ``cell.json``, whole or not at all."""
        # The shortest decimals that tell float32 apart: rounded ones would tie, and give another AUC.
        probs = [[float(str(value)) for value in row] for row in np.asarray(self.tag_probs, np.float32)]
        values = asdict(self) | {"tag_probs": probs}
        with atomic_path(folder / _FILE) as temporary:
            temporary.write_text(json.dumps(values, separators=(",", ":")) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Cell | None":
        """Return the finished cell of a folder, or None.

        Raises
        ------
        DataError
            If ``cell.json`` is there and cannot be read.
        """
        path = folder / _FILE
        broken = f"not a finished cell ({{}}); {_AGAIN}"
        try:
            values = read_json(path, DataError, broken)
        except FileNotFoundError:
            return None
        with reading(path, DataError, broken):
            cell = cls(**values | {"tag_probs": np.array(values["tag_probs"], np.float64)})
            check_cell(vars(cell))
            return cell


def cell_folder(folder: Path, system: str, fold: int) -> Path:
    """Return the folder of a cell: a training run, and ``cell.json`` when it is finished."""
    return folder / "cells" / f"{system}-fold{fold}"


def origin(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return of ``events`` and ``noise`` whether they are recordings or made, from a ``dataset.toml``."""
    mix = settings.get("mix", {})
    made = {name: mix.get(name) for name in ("events", "noise")}
    return {name: of if of in ("synthetic", "white", "none") else "recordings" for name, of in made.items()}


def finished_cell(plan: Plan, folder: Path, system: str, fold: int) -> Cell | None:
    """Return the finished cell of a system and a fold, or None.

    Raises
    ------
    DataError
        If it cannot be read, or was trained or measured by other settings than the plan's; the message names
        the first that differs.
    """
    place = cell_folder(folder, system, fold)
    cell = Cell.read(place)
    if cell is None:
        return None
    try:
        then = {"system": cell.system, "fold": cell.fold, "protocol": cell.protocol}
        then |= {"clips": cell.data["clips"], "features": cell.features}
        # with what an older version did not know
        then |= {f"training.{name}": v for name, v in TrainingConfig.from_dict(cell.config).to_dict().items()}
    except Exception as error:  # whatever stands there in place of settings
        raise DataError(f"{place / _FILE}: not a finished cell ({error}); {_AGAIN}") from error
    now = {"system": system, "fold": fold, "protocol": plan.protocol, "clips": plan.clips}
    now |= {"features": cell.features and plan.log_mel().to_dict()}
    now |= {f"training.{name}": value for name, value in plan.config(system).to_dict().items()}
    for name in now:
        if then[name] != now[name] and not (name in _OF_ORDER and system != "crnn-ctc"):
            raise DataError(
                f"{place}: was made by other settings than {folder / 'experiment.json'} says: {name} was "
                f"{then[name]!r} and is now {now[name]!r}; {_AGAIN}"
            )
    return cell


def run_cell(folder: str | Path, system: str, fold: int, threads: int | None = None) -> None:
    """Train and measure one cell of the experiment in `folder`; go on where it was; do nothing if finished.

    It reads the plan and the clips from `folder` and writes to the cell's own folder only, so cells may run
    side by side, in other processes, or on other machines that share the folder.

    Parameters
    ----------
    folder : str or Path
        The experiment.
    system : str
        One of the four.
    fold : int
        The fold to measure on.
    threads : int, optional
        At most so many threads.
    """
    folder = Path(folder)
    place = cell_folder(folder, system, fold)
    plan = Plan.read(folder)
    if finished_cell(plan, folder, system, fold) is not None:
        return
    if threads is not None:
        set_num_threads(threads)
    place.mkdir(parents=True, exist_ok=True)
    busy = f"{place}: another process is at work on this cell"
    with locked(place / ".cell.lock", busy, wait=True):  # of a cluster, a worker may only seem to be dead
        if Cell.read(place) is None:
            clear_leftovers(place / _FILE)
            _run(plan, folder, place, system, fold)


def _run(plan: Plan, folder: Path, place: Path, system: str, fold: int) -> None:
    config = plan.config(system)
    dataset = Dataset.open(folder / "clips")
    run = train_on_dataset(dataset, place, config, fold=fold, log_mel=plan.log_mel(), resume=True)
    found = evaluate_model(run.model, dataset, fold=fold)
    best_path = None
    if config.decoder != DECODERS[0] and run.model.network.head.blank is not None:
        best_path = evaluate_model(run.model, dataset, fold=fold, decoder=DECODERS[0], shifts=1).scores
    predictions = found.predictions
    peaks = [event.peak for events in predictions.events for event in events if event.peak is not None]
    seconds_of = run.model.log_mel.frame_times(max(peaks, default=0) + 1).round(4).tolist()
    names = [clip.filename for clip in found.clips]
    strong = dataset.strong or {}
    Cell(
        system=system,
        preset=config.preset,
        protocol=plan.protocol,
        fold=fold,
        classes=list(dataset.classes),
        scores=found.scores,
        filenames=names,
        targets=predictions.targets,
        sequences=predictions.sequences,
        times=[
            [None if event.peak is None else seconds_of[event.peak] for event in events]
            for events in predictions.events
        ],
        onsets=[[(event.onset, event.offset) for event in strong[name]] for name in names],
        tag_probs=predictions.tag_probs,
        history=run.history,
        epochs=len(run.history),
        seconds=sum(record["seconds"] for record in run.history),
        config=config.to_dict(),
        versions=versions(),
        data={"clips": len(dataset), "fingerprint": found.data["fingerprint"], **origin(dataset.settings)},
        machine=machine(),
        best_path=best_path,
        features=run.model.log_mel.to_dict(),
    ).save(place)
    RunFolder(place).checkpoint_path.unlink(missing_ok=True)  # the model and the log remain
