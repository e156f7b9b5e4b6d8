r"""Which tags a clip has: precision, recall, F-score, ROC, AUC and average precision, class by class.

Conventions: clips are rows and classes are columns, tags are 0 or 1, a higher score means "more likely
there". With TP, FP and FN the true positives, false positives and false negatives of a class,

.. math:: P = \frac{TP}{TP + FP}, \qquad R = \frac{TP}{TP + FN}, \qquad F = \frac{2 P R}{P + R} = \frac{2
TP}{2 TP + FP + FN}.

A class that never occurs, or always, has no ROC curve. It is NaN in class-wise results and does not enter the
mean, and the result says how many classes did.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_choice
from ctctag.exceptions import ParameterError
from ctctag.metrics._inputs import check_pair

__all__ = [
    "ClassScores",
    "PrecisionRecallF",
    "auc",
    "auc_binary",
    "average_precision",
    "precision_recall_f",
    "roc_curve",
]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ClassScores:
    """One number a class, and their mean.

    Attributes
    ----------
    values : ndarray, shape (C,), float64
        NaN where a class has no such number.
    mean : float
        Mean of the defined values (macro average); NaN if there are none.
    n_defined : int
        How many classes entered the mean.
    """

    values: npt.NDArray[np.float64]
    mean: float
    n_defined: int

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> "ClassScores":
        """Return the class-wise values with their mean."""
        defined = values[~np.isnan(values)]
        return cls(values, float(defined.mean()) if len(defined) else float("nan"), len(defined))


@dataclass(frozen=True, eq=False)
class PrecisionRecallF:
    """Precision, recall and F-score: one number a class where not averaged, else one number.

    Attributes
    ----------
    precision, recall, f : float or ndarray, shape (C,), float64
        The scores.
    support : int or ndarray, shape (C,), int64
        Clips that truly have the tag; their sum where averaged.
    """

    precision: Any
    recall: Any
    f: Any
    support: Any


def precision_recall_f(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    average: str | None = None,
    zero_division: float = 0.0,
) -> PrecisionRecallF:
    """Return precision, recall and F-score of tags.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (N, C), bool or 0 and 1
        True and predicted tags.
    average : str or None
        ``None``: each class on its own. ``"macro"``: the mean of the classes, each counting the same.
        ``"micro"``: from the counts of all classes together.
    zero_division : float
        0, 1 or NaN: what 0 / 0 is (precision where nothing was predicted, recall where nothing is true, F
        where both). Macro averages leave NaN out.

    Returns
    -------
    PrecisionRecallF
        The scores and the support.

    Raises
    ------
    ParameterError
        If shapes differ, there is no clip, or a tag is neither 0 nor 1.

    Notes
    -----
    The macro F-score is the mean of the classes' F-scores, as in scikit-learn. The F-scores that the paper's
    table 1.2 prints are 2 P R / (P + R) of the printed averages, which is another number in general.

    References
    ----------
    Hou, Kong, Li 2018, section 1.5.1.

    Examples
    --------
    Three clips, two classes. The first class is heard once rightly and missed once; the second is heard once
    rightly and once wrongly.

    >>> y_true = [[1, 0], [1, 1], [0, 0]]
    >>> y_pred = [[1, 0], [0, 1], [0, 1]]
    >>> scores = precision_recall_f(y_true, y_pred)
    >>> scores.precision, scores.recall, scores.f.round(3), scores.support
    (array([1. , 0.5]), array([0.5, 1. ]), array([0.667, 0.667]), array([2, 1]))
    >>> precision_recall_f(y_true, y_pred, average="macro").precision
    0.75
    """
    if average is not None:
        check_choice(average, "average", ("macro", "micro"))
    if zero_division not in (0, 1) and zero_division == zero_division:  # NaN differs from itself
        raise ParameterError(f"zero_division must be 0, 1 or nan, got {zero_division!r}")
    truth, predicted = check_pair(y_true, y_pred, "y_pred", ("N", "C"), binary=True)
    tp = (truth & predicted).sum(axis=0)
    n_predicted, support = predicted.sum(axis=0), truth.sum(axis=0)
    if average == "micro":
        tp, n_predicted, support = tp.sum(), n_predicted.sum(), support.sum()
    precision = _ratio(tp, n_predicted, zero_division)
    recall = _ratio(tp, support, zero_division)
    f = _ratio(2 * tp, n_predicted + support, zero_division)
    if average is None:
        return PrecisionRecallF(precision, recall, f, support)
    return PrecisionRecallF(_mean(precision), _mean(recall), _mean(f), int(support.sum()))


def _mean(values: npt.NDArray[np.float64]) -> float:
    return ClassScores.of(np.atleast_1d(values)).mean


def _ratio(part: Array, whole: Array, zero_division: float) -> npt.NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), float(zero_division))


def roc_curve(y_true: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Return the receiver operating characteristic of one class.

    Parameters
    ----------
    y_true : array_like, shape (N,), bool or 0 and 1
        Which clips have the tag.
    scores : array_like, shape (N,), float
        Score of each clip.

    Returns
    -------
    false_positive_rate, true_positive_rate : ndarray, shape (K + 1,), float64
        From (0, 0) to (1, 1), with one point for each of the K distinct scores. The first is NaN where every
        clip has the tag, the second where none has.
    thresholds : ndarray, shape (K + 1,), float
        Clips with a score of at least ``thresholds[i]`` are taken as tagged at point i; the first is
        infinite.

    Raises
    ------
    ParameterError
        If shapes differ, there is no clip, a tag is neither 0 nor 1, or a score is NaN.

    Examples
    --------
    >>> roc_curve([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.9])
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]), array([inf, 0.9, 0.4, 0.1]))
    """
    truth, values = check_pair(y_true, scores, "scores", ("N",), binary=False)
    true_positives, false_positives, thresholds = _counts(truth, values)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is promised
        return (
            np.r_[0, false_positives] / (~truth).sum(),
            np.r_[0, true_positives] / truth.sum(),
            np.r_[np.inf, thresholds],
        )


def _counts(truth: npt.NDArray[np.bool_], scores: Array) -> tuple[Array, Array, Array]:
    """Return true and false positives at each distinct score, highest first, and those scores."""
    order = np.argsort(-scores)
    ordered = scores[order]
    last = np.r_[np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1]  # of each run of equal scores
    true_positives = truth[order].cumsum()[last]
    return true_positives, last + 1 - true_positives, ordered[last]


def auc(y_true: npt.ArrayLike, scores: npt.ArrayLike) -> ClassScores:
    r"""Return the area under the ROC curve of each class, and the mean.

    It is the probability that a random clip with the tag scores higher than a random one without, ties
    counting half. Clips with equal scores share a point of the curve, and the trapezoids between points

    .. math:: A = \frac{1}{n_1 n_0} \sum_k \tfrac{1}{2} (TP_k + TP_{k-1}) (FP_k - FP_{k-1})

    give just that half.

    Parameters
    ----------
    y_true : array_like, shape (N, C), bool or 0 and 1
        True tags.
    scores : array_like, shape (N, C), float
        Clip-level scores. Decoded tags will do as well, see `auc_binary`.

    Returns
    -------
    ClassScores
        NaN for a class that all clips have, or none.

    Raises
    ------
    ParameterError
        If shapes differ, there is no clip, a tag is neither 0 nor 1, or a score is NaN.

    References
    ----------
    J. A. Hanley, B. J. McNeil, "The meaning and use of the area under a receiver operating characteristic
    (ROC) curve", Radiology 143, 1982.

    Examples
    --------
    Of the first class, three of the four pairs (with, without) are in the right order; the second has no
    clip.

    >>> result = auc([[1, 0], [0, 0], [1, 0], [0, 0]], [[0.9, 0.1], [0.8, 0.2], [0.4, 0.3], [0.1, 0.4]])
    >>> result.values, result.mean, result.n_defined
    (array([0.75,  nan]), 0.75, 1)
    """
    truth, values = check_pair(y_true, scores, "scores", ("N", "C"), binary=False)
    result = np.full(truth.shape[1], np.nan)
    for k in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)):
        tp, fp, _ = _counts(truth[:, k], values[:, k])
        result[k] = np.trapezoid(np.r_[0, tp], np.r_[0, fp]) / (tp[-1] * fp[-1])
    return ClassScores.of(result)


def auc_binary(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> ClassScores:
    """Return the AUC of decoded tags, each class and the mean.

    The curve has one corner, so it is (true positive rate + true negative rate) / 2.
    This is the paper's AUC, whose authors computed it after decoding. It says nothing about scores: use `auc`
    where there are any.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (N, C), bool or 0 and 1
        True and decoded tags.

    Returns
    -------
    ClassScores
        NaN for a class that all clips have, or none.

    Raises
    ------
    ParameterError
        If shapes differ, there is no clip, or a tag is neither 0 nor 1.

    Examples
    --------
    >>> auc_binary([[1], [1], [0], [0]], [[1], [0], [0], [0]]).mean
    0.75
    """
    truth, predicted = check_pair(y_true, y_pred, "y_pred", ("N", "C"), binary=True)
    return auc(truth, predicted)


def average_precision(y_true: npt.ArrayLike, scores: npt.ArrayLike) -> ClassScores:
    r"""Return the average precision of each class, and the mean.

    .. math:: AP = \sum_k (R_k - R_{k-1}) P_k

    over the distinct scores, highest first, without interpolation.

    Parameters
    ----------
    y_true : array_like, shape (N, C), bool or 0 and 1
        True tags.
    scores : array_like, shape (N, C), float
        Clip-level scores.

    Returns
    -------
    ClassScores
        NaN for a class that no clip has.

    Raises
    ------
    ParameterError
        If shapes differ, there is no clip, a tag is neither 0 nor 1, or a score is NaN.

    Examples
    --------
    >>> round(average_precision([[1], [0], [1], [0]], [[0.9], [0.8], [0.4], [0.1]]).mean, 4)
    0.8333
    """
    truth, values = check_pair(y_true, scores, "scores", ("N", "C"), binary=False)
    result = np.full(truth.shape[1], np.nan)
    for k in np.flatnonzero(truth.any(axis=0)):
        tp, fp, _ = _counts(truth[:, k], values[:, k])
        result[k] = (np.diff(tp, prepend=0) / tp[-1] * (tp / (tp + fp))).sum()
    return ClassScores.of(result)
