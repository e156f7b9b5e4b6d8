"""Checks that the metrics share: tags are 0 or 1, scores are numbers, both have one row a clip."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_float_array
from ctctag.exceptions import ParameterError

Array = npt.NDArray[Any]


def check_tags(value: npt.ArrayLike, name: str, shape: Sequence[int | str]) -> npt.NDArray[np.bool_]:
    """Return `value` as bool, if it holds nothing but 0 and 1."""
    tags = check_float_array(value, name, shape)
    wrong = (tags != 0) & (tags != 1)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ParameterError(
            f"{name}[{', '.join(map(str, index))}] is {tags[index]:g}, but a tag is 0 or 1 (are these "
            "scores?)"
        )
    return tags.astype(bool)


def check_scores(value: npt.ArrayLike, name: str, shape: Sequence[int | str]) -> Array:
    """Return `value` as floats without NaN."""
    scores = check_float_array(value, name, shape)
    missing = np.isnan(scores)
    if missing.any():
        index = ", ".join(str(int(i)) for i in np.argwhere(missing)[0])
        raise ParameterError(f"{name}[{index}] is nan, but every clip needs a score (did training diverge?)")
    return scores


def check_pair(
    y_true: npt.ArrayLike, other: npt.ArrayLike, name: str, axes: Sequence[str], *, binary: bool
) -> tuple[npt.NDArray[np.bool_], Array]:
    """Return true tags and predictions of one shape, with at least one clip."""
    truth = check_tags(y_true, "y_true", axes)
    check = check_tags if binary else check_scores
    predicted = check(other, name, axes)
    if truth.shape != predicted.shape:
        raise ParameterError(
            f"y_true and {name} must have one shape, got {truth.shape} and {predicted.shape} (is one of them "
            "transposed, or of another fold?)"
        )
    if not len(truth):
        raise ParameterError("y_true is empty, but a metric needs at least one clip")
    return truth, predicted


def check_sequences(
    references: Sequence[Sequence[Hashable]], hypotheses: Sequence[Sequence[Hashable]]
) -> tuple[list[list[Hashable]], list[list[Hashable]]]:
    """Return both lists of label sequences as lists of lists, if they are of one length."""
    checked = []
    for name, sequences in (("references", references), ("hypotheses", hypotheses)):
        for index, sequence in enumerate(sequences):
            if isinstance(sequence, str | bytes) or not hasattr(sequence, "__iter__"):
                raise ParameterError(
                    f"{name}[{index}] must be a sequence of labels, got {sequence!r} (split a text at its "
                    "commas first)"
                )
        checked.append([list(sequence) for sequence in sequences])
    if len(checked[0]) != len(checked[1]):
        raise ParameterError(
            f"references and hypotheses must have one sequence a clip, got {len(checked[0])} and "
            f"{len(checked[1])}"
        )
    return checked[0], checked[1]
