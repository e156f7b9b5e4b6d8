"""Measure a trained system on clips it has not seen."""

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ctctag._files import atomic_path
from ctctag.audio import shifts_of
from ctctag.data import Dataset, Features
from ctctag.exceptions import DataError, ModelError, ParameterError
from ctctag.experiment.tables import Table
from ctctag.models import DECODERS, TrainedModel, load_model
from ctctag.training import Clips, Predictions, RunFolder, predict, score_predictions

__all__ = [
    "ClipResult",
    "Evaluation",
    "arrows",
    "class_table",
    "evaluate_model",
    "evaluate_run",
    "summary_lines",
]


def arrows(labels: Sequence[str], between: str = " → ") -> str:
    """Return a label sequence in words."""
    return between.join(labels) or "(nothing)"


@dataclass(frozen=True)
class ClipResult:
    """What is true and what was heard in one clip, by names."""

    filename: str
    truth: tuple[str, ...]
    heard: tuple[str, ...]


@dataclass
class Evaluation:
    """The scores of one system on one set of clips.

    Attributes
    ----------
    system, preset : str
        What was measured.
    fold : int or None
        The fold measured on; ``None`` for all clips.
    scores : dict
        See `ctctag.training.score_predictions`.
    clips : list of ClipResult
        Truth and what was heard, clip by clip.
    predictions : Predictions
        Probabilities and events, for figures and tests of significance.
    data : dict
        Path and fingerprint of the data set.
    decoder : str
        How CRNN-CTC's scores were read: ``"best-path"``, ``"beam"`` or ``"rescored"``.
    shifts : int
        How often the model listened to each clip.
    trained_on : bool
        Whether clips that the network was trained on are among these.
    """

    system: str
    preset: str
    fold: int | None
    scores: dict[str, Any]
    clips: list[ClipResult]
    predictions: Predictions = field(repr=False)
    data: dict[str, Any] = field(default_factory=dict)
    decoder: str = DECODERS[0]
    shifts: int = 1
    trained_on: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return system, scores and clips as plain JSON values."""
        return {
            "system": self.system,
            "preset": self.preset,
            "fold": self.fold,
            "decoder": self.decoder,
            "shifts": self.shifts,
            "data": self.data,
            "trained_on": self.trained_on,
            "scores": self.scores,
            "clips": [asdict(clip) for clip in self.clips],
        }


def evaluate_model(
    model: TrainedModel,
    dataset: Dataset,
    *,
    fold: int | None = None,
    decoder: str | None = None,
    shifts: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure a model on one fold of a data set, or on all of it.

    Parameters
    ----------
    model : TrainedModel
        The model.
    dataset : Dataset
        The clips.
    fold : int, optional
        The fold; ``None`` takes every clip.
    decoder : {"best-path", "beam", "rescored"}, optional
        How CRNN-CTC's scores are read, in place of the model's own way.
    shifts : int, optional
        How often the model listens to each clip, in place of its own number.
    progress : callable, optional
        Called with (clips done, clips in all).

    Returns
    -------
    Evaluation
        Scores and clips.

    Raises
    ------
    DataError
        If the data set's classes are not the model's.
    """
    if tuple(dataset.classes) != tuple(model.classes):
        missing = sorted(set(model.classes) ^ set(dataset.classes))
        raise DataError(
            f"{dataset.path}: its classes are not the model's"
            + (f" (only one of the two has {', '.join(missing[:4])})" if missing else " (the order differs)")
        )
    indices = np.arange(len(dataset)) if fold is None else dataset.split(fold)[1]
    targets = dataset.label_sets_or_sequences()
    shifts = model.shifts if shifts is None else shifts
    views = []
    for shift in shifts_of(shifts, model.log_mel.hop_length):
        features = Features.build(dataset, model.log_mel, shift=shift, progress=progress)
        views.append(Clips(features, targets, model.standardiser, indices))
    decoder = decoder or model.decoder
    predictions = predict(model.network, views, decoder=decoder, progress=progress)
    if not dataset.has_order:
        predictions.ordered = False  # nothing to hold the order against

    def names(labels: list[int]) -> tuple[str, ...]:
        return tuple(model.classes[label] for label in labels)

    results = [
        ClipResult(dataset.filenames[index], names(truth), names(heard))
        for index, truth, heard in zip(indices, predictions.targets, predictions.sequences, strict=True)
    ]
    scores = score_predictions(predictions, model.classes)
    data = {"path": str(dataset.path), "fingerprint": dataset.fingerprint()}
    return Evaluation(
        model.network.system, model.network.preset, fold, scores, results, predictions, data, decoder, shifts
    )


def evaluate_run(
    run: str | Path,
    data: str | Path | None = None,
    *,
    fold: int | None = None,
    decoder: str | None = None,
    shifts: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure the model of a run's folder; of its own test clips it leaves ``evaluation.json`` there.

    Parameters
    ----------
    run : str or Path
        The folder of a training run, or a model file.
    data : str or Path, optional
        A data set; by default the one that the run was trained on.
    fold : int, optional
        The fold to measure on; 0 takes every clip. By default the fold that the run kept for testing when
        measured on its own data, and every clip of other data.
    decoder : {"best-path", "beam", "rescored"}, optional
        How CRNN-CTC's scores are read, in place of the model's own way.
    shifts : int, optional
        How often the model listens to each clip, in place of its own number.
    progress : callable, optional
        Called with (clips done, clips in all).

    Returns
    -------
    Evaluation
        Scores and clips.

    Raises
    ------
    ModelError, DataError
        If the run or the data cannot be used, or the run's data has changed since.
    """
    path = Path(run)
    folder = RunFolder(path) if path.is_dir() else None
    model = load_model(folder.model_path if folder else path)
    trained_on = model.info.get("data", {})
    if data is None:
        if "path" not in trained_on:
            raise ModelError(f"{path}: does not say on which data it was trained; name the data set")
        data = trained_on["path"]
    dataset = Dataset.open(data)
    own = dataset.fingerprint() == trained_on.get("fingerprint")
    if Path(data).resolve() == Path(trained_on.get("path", "")) and not own:
        raise DataError(
            f"{dataset.path}: has changed since {path} was trained on it; test clips may be known"
        )
    if fold is None:
        fold = model.info.get("fold") if own else 0
        if fold is None:
            raise ParameterError(
                f"{path} was trained on every clip of {dataset.path}: it has no test fold. Name other data"
            )
    result = evaluate_model(
        model, dataset, fold=fold or None, decoder=decoder, shifts=shifts, progress=progress
    )
    result.trained_on = own and result.fold != model.info.get("fold")
    if folder and own and not result.trained_on:
        try:
            with atomic_path(folder.path / "evaluation.json") as temporary:
                temporary.write_text(json.dumps(result.to_dict(), indent=1) + "\n", encoding="utf-8")
        except DataError as error:  # a read-only or a full disk: the scores are there all the same
            warnings.warn(f"{error}; the scores are not kept there", stacklevel=2)
    return result


def class_table(result: Evaluation) -> Table:
    """Return precision, recall, F and both AUCs a class, and their means."""
    scores = result.scores
    columns = ("precision", "recall", "f", "auc", "auc_binary")
    rows = [
        [name, *(scores["classes_" + column][index] for column in columns), scores["support"][index]]
        for index, name in enumerate(scores["classes"])
    ]
    rows.append(["mean", *(scores[column] for column in columns), sum(scores["support"])])
    return Table(
        ["class", "precision", "recall", "F", "auc", "auc_binary", "clips"],
        rows,
        formats=[None, *[".3f"] * 5, "d"],
    )


def summary_lines(result: Evaluation) -> list[str]:
    """Return what the table does not say, in words."""
    scores = result.scores
    where = "all clips" if result.fold is None else f"fold {result.fold}"
    lines = [f"{result.system} ({result.preset}), {scores['clips']} clips ({where})"]
    if result.shifts > 1:
        lines[0] += f", heard {result.shifts} times"
    if result.trained_on:
        lines.append("NOTE: the network was trained on some of these clips")
    if "sequence_error_rate" in scores:
        counts = {name: scores[name] for name in ("substitutions", "deletions", "insertions")}
        lines += [
            f"sequence error rate {scores['sequence_error_rate']:.3f} ("
            + ", ".join(f"{count} {name}" for name, count in counts.items())
            + f" in {scores['reference_labels']} labels)",
            f"exact sequences {scores['exact_sequence_rate']:.3f}, order of pairs "
            + ("n/a" if scores["order_accuracy"] is None else f"{scores['order_accuracy']:.3f}"),
        ]
        if result.decoder == DECODERS[0]:
            lines.append("(best path; the likeliest labelling, --decoder beam, may differ)")
        else:
            lines.append("(the likeliest labelling that a beam search finds)")
    return lines
