"""Scores: which tags a clip has, in which order they come, and how sure the scores are."""

from ctctag.metrics.order import (
    SequenceErrors,
    edit_counts,
    exact_sequence_rate,
    order_accuracy,
    sequence_error_rate,
)
from ctctag.metrics.tables import evaluate_tags
from ctctag.metrics.tagging import (
    ClassScores,
    PrecisionRecallF,
    auc,
    auc_binary,
    average_precision,
    precision_recall_f,
    roc_curve,
)
from ctctag.metrics.uncertainty import Comparison, Interval, bootstrap_interval, compare_systems

__all__ = [
    "ClassScores",
    "Comparison",
    "Interval",
    "PrecisionRecallF",
    "SequenceErrors",
    "auc",
    "auc_binary",
    "average_precision",
    "bootstrap_interval",
    "compare_systems",
    "edit_counts",
    "evaluate_tags",
    "exact_sequence_rate",
    "order_accuracy",
    "precision_recall_f",
    "roc_curve",
    "sequence_error_rate",
]
