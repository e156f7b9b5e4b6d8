"""What a data set needs to be trained on: `train_on_dataset` insists on it, `ctctag doctor` looks for it."""

import numpy as np
import numpy.typing as npt

from ctctag import ctc
from ctctag.audio import LogMel
from ctctag.data import Dataset
from ctctag.data.tsv import shown
from ctctag.exceptions import DataError, ParameterError
from ctctag.training.config import TrainingConfig

__all__ = ["check_events", "check_frames", "check_spans", "divide", "hold_out", "longest_seconds"]

Indices = npt.NDArray[np.int64]


def check_events(dataset: Dataset, system: str) -> None:
    """Raise a `DataError` if there is nothing to learn, or for CRNN-CTC no order to learn."""
    if system == "crnn-ctc" and not dataset.has_order:
        raise DataError(
            f"{dataset.path}: crnn-ctc learns from the order of events, but there are only weak labels "
            "(sequential.tsv or strong.tsv would do; crmp, crap and baseline need no order)"
        )
    if not dataset.tags.any():
        raise DataError(
            f"{dataset.path}: no clip has an event, so there is nothing to learn (are the fields of labels "
            "empty?)"
        )


def divide(
    dataset: Dataset, config: TrainingConfig, fold: int | None, validation_fold: int | None = None
) -> tuple[Indices, Indices]:
    """Return the clips to learn from and those held out for early stopping.

    Parameters
    ----------
    dataset : Dataset
        The clips.
    config : TrainingConfig
        Says which fraction is held out, and by which seed.
    fold : int or None
        The fold kept for testing; ``None`` keeps none.
    validation_fold : int, optional
        Another fold to hold out, in place of a fraction of the rest.

    Raises
    ------
    DataError
        If the data set has no folds, or too few clips.
    ParameterError
        If there is no such fold, or no fold is left to learn from.
    """
    if fold is not None and dataset.folds is None:
        raise DataError(
            f"{dataset.path}: has no folds.tsv, so no fold can be kept for testing; train on every clip with "
            "--fold 0 (fold=None), or add folds.tsv"
        )
    rest = np.arange(len(dataset)) if fold is None else dataset.split(fold)[0]
    if validation_fold is None:
        return hold_out(rest, config.validation, config.seed)
    if validation_fold == fold:
        raise ParameterError(f"validation_fold must be another than the fold kept for testing, got {fold}")
    held = dataset.split(validation_fold)[1]
    learned = np.setdiff1d(rest, held)
    if not learned.size:
        raise ParameterError(
            f"{dataset.path}: folds {fold} and {validation_fold} are all there is, and leave no clip to "
            "learn from; validation_fold needs a third"
        )
    return learned, held


def hold_out(indices: npt.ArrayLike, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split clips at random into those to learn from and those held out, at least one each.

    Raises
    ------
    DataError
        If there are fewer than two clips.
    """
    indices = np.asarray(indices)
    if len(indices) < 2:
        raise DataError(f"training needs at least 2 clips (one is held out), got {len(indices)}")
    shuffled = np.random.default_rng([seed, 0xC11]).permutation(indices)
    held = min(max(1, round(fraction * len(indices))), len(indices) - 1)
    return np.sort(shuffled[held:]), np.sort(shuffled[:held])


def check_frames(dataset: Dataset, frames: npt.ArrayLike) -> None:
    """Raise a `DataError` if a label sequence does not fit into the frames of its clip, so that CTC cannot.

    Parameters
    ----------
    dataset : Dataset
        The clips; without an order there is nothing to check.
    frames : array_like, shape (N,), int
        Frames of each clip.
    """
    for index, (sequence, count) in enumerate(zip(dataset.sequences or (), np.asarray(frames), strict=False)):
        needed = ctc.required_frames(sequence)
        if count < needed:
            raise DataError(
                f"{dataset.path}: {shown(dataset.filenames[index])} has {count} frames, but its "
                f"{len(sequence)} labels need {needed} (between repeats comes a blank); is its row another "
                "clip's?"
            )


def check_spans(dataset: Dataset, seconds: npt.ArrayLike) -> None:
    """Raise a `DataError` if an event begins after the end of its clip.

    Parameters
    ----------
    dataset : Dataset
        The clips; without strong labels there is nothing to check.
    seconds : array_like, shape (N,), float
        Length of each clip.
    """
    if dataset.strong is None:
        return
    for name, length in zip(dataset.filenames, np.asarray(seconds, np.float64), strict=True):
        for event in dataset.strong[name]:
            if event.onset >= length:
                raise DataError(
                    f"{dataset.path}: {shown(event.label)} begins at {event.onset:g} s in {shown(name)}, "
                    f"which lasts {length:.3f} s (milliseconds or samples for seconds, or another clip's "
                    "row?)"
                )


def longest_seconds(log_mel: LogMel, frames: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return how long clips of so many frames can be: a last frame that was not filled is none."""
    return (log_mel.n_fft + log_mel.hop_length * np.asarray(frames, np.float64)) / log_mel.sr
