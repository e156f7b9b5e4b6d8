"""What a finished cell must be when it is read back: reports take its values as they are."""

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["check_cell"]

_KINDS: dict[str, type] = {
    "system": str, "preset": str, "protocol": str, "fold": int, "classes": list, "scores": dict,
    "filenames": list, "targets": list, "sequences": list, "times": list, "onsets": list, "history": list,
    "epochs": int, "seconds": float, "config": dict, "versions": dict, "data": dict, "machine": str,
}  # fmt: skip


def check_cell(values: Mapping[str, Any]) -> None:
    """Raise `ValueError`, `KeyError` or `TypeError` where a value is not what a cell is saved with.

    Parameters
    ----------
    values : mapping
        The attributes of a `Cell`, ``tag_probs`` as an array.
    """
    for name, kind in _KINDS.items():
        if not isinstance(values[name], kind) or isinstance(values[name], bool):
            raise ValueError(f"{name} is {str(values[name])[:40]}, but must be of type {kind.__name__}")
    if not all(isinstance(name, str) for name in (*values["classes"], *values["filenames"])):
        raise ValueError("classes and filenames must be strings")
    if not isinstance(values["data"]["fingerprint"], str):
        raise ValueError("the fingerprint of the clips is no string")
    _check_clips(values, len(values["filenames"]), len(values["classes"]))
    for scores in (values["scores"], values["best_path"] or {}):
        _check_scores(scores, len(values["classes"]))
    values["scores"]["classes_auc"], values["scores"]["classes_auc_binary"]  # of which tables are made
    if values["epochs"] != len(values["history"]):
        raise ValueError(f"epochs is {values['epochs']}, but history has {len(values['history'])}")
    for record in values["history"]:
        _check_scores(record, 0)
        record["epoch"], record["loss"], record["validation_loss"], record["validation_auc"]


def _check_clips(values: Mapping[str, Any], clips: int, classes: int) -> None:
    probs = values["tag_probs"]
    if probs.shape != (clips, classes):
        raise ValueError(
            f"tag_probs has shape {probs.shape}, but there are {clips} clips of {classes} classes"
        )
    if not np.logical_and(probs >= 0, probs <= 1).all():
        raise ValueError("tag_probs must be probabilities")
    for name in ("targets", "sequences", "times", "onsets"):
        if len(values[name]) != clips or not all(isinstance(of_clip, list) for of_clip in values[name]):
            raise ValueError(f"{name} must be {clips} lists, one a clip")
    for clip in range(clips):
        truth, predicted = values["targets"][clip], values["sequences"][clip]
        if not all(type(label) is int and 0 <= label < classes for label in (*truth, *predicted)):
            raise ValueError(f"targets[{clip}] and sequences[{clip}] must be indices of classes")
        pairs, peaks = values["onsets"][clip], values["times"][clip]
        if len(pairs) != len(truth) or not all(len(pair) == 2 and _are_numbers(pair) for pair in pairs):
            raise ValueError(f"onsets[{clip}] must be a pair of numbers for each target")
        if len(peaks) != len(predicted) or not _are_numbers(peaks):
            raise ValueError(f"times[{clip}] must be a number or null for each predicted tag")


def _check_scores(scores: Mapping[str, Any], classes: int) -> None:
    for name, value in scores.items():
        of_each = isinstance(value, list) and name != "classes" and len(value) == classes
        if name.startswith("classes_") and not of_each:
            raise ValueError(f"{name} must be {classes} numbers")
        if name != "classes" and not _are_numbers(value if of_each else [value]):
            raise ValueError(f"{name} is {str(value)[:40]}, but must be a number, or one for each class")


def _are_numbers(values: list[Any]) -> bool:
    """Return whether all are numbers or None, which stands for what is undefined."""
    return all(value is None or type(value) in (int, float) for value in values)
