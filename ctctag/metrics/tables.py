"""All tagging scores of one evaluation in one dictionary, ready for JSON."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.exceptions import ParameterError
from ctctag.metrics.tagging import ClassScores, auc, auc_binary, average_precision, precision_recall_f

__all__ = ["evaluate_tags"]

VERSION = 1  # of the definitions; a result file that says so stays comparable


def evaluate_tags(y_true: npt.ArrayLike, scores: npt.ArrayLike, decoded: npt.ArrayLike) -> dict[str, Any]:
    """Return precision, recall, F and AUC of a system, class by class and averaged.

    Parameters
    ----------
    y_true : array_like, shape (N, C), bool or 0 and 1
        True tags.
    scores : array_like, shape (N, C), float
        Clip-level scores.
    decoded : array_like, shape (N, C), bool or 0 and 1
        Decoded tags.

    Returns
    -------
    dict
        Plain JSON values; what is undefined is ``None``.

        - ``precision``, ``recall``, ``f``, ``auc``, ``auc_binary``, ``average_precision``: means over the
          classes (0 / 0 counts as 0 in the first three, undefined classes are left out of the others);
        - ``precision_micro``, ``recall_micro``, ``f_micro``: over all classes together;
        - ``classes_precision``, ``classes_recall``, ...: lists with one number a class;
        - ``support``: clips that have each tag; ``auc_classes``: how many classes entered ``auc``;
        - ``metrics_version``: version of these definitions.

    Raises
    ------
    ParameterError
        If shapes differ, there is no clip, a tag is neither 0 nor 1, or a score is NaN.

    Examples
    --------
    >>> result = evaluate_tags([[1, 0], [0, 0]], [[0.9, 0.2], [0.3, 0.1]], [[1, 0], [1, 0]])
    >>> result["precision"], result["classes_precision"], result["support"]
    (0.25, [0.5, 0.0], [1, 0])
    >>> result["auc"], result["classes_auc"], result["auc_classes"]
    (1.0, [1.0, None], 1)
    """
    if np.shape(scores) != np.shape(decoded):
        raise ParameterError(
            f"scores and decoded must have one shape, got {np.shape(scores)} and {np.shape(decoded)}"
        )
    by_score, by_tag = auc(y_true, scores), auc_binary(y_true, decoded)
    classes = precision_recall_f(y_true, decoded)
    micro = precision_recall_f(y_true, decoded, average="micro")
    columns = {
        "precision": ClassScores.of(classes.precision),
        "recall": ClassScores.of(classes.recall),
        "f": ClassScores.of(classes.f),
        "auc": by_score,
        "auc_binary": by_tag,
        "average_precision": average_precision(y_true, scores),
    }
    return {
        **{name: _plain(column.mean) for name, column in columns.items()},
        "precision_micro": micro.precision,
        "recall_micro": micro.recall,
        "f_micro": micro.f,
        **{f"classes_{name}": [_plain(value) for value in column.values] for name, column in columns.items()},
        "support": [int(count) for count in classes.support],
        "auc_classes": by_score.n_defined,
        "metrics_version": VERSION,
    }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
