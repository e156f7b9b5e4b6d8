"""Experiments: measuring, tables, figures, reports, the demonstration."""

from ctctag.experiment.demo import Demo, run_demo, system_table
from ctctag.experiment.doctor import Finding, examine_data, examine_installation
from ctctag.experiment.evaluation import (
    ClipResult,
    Evaluation,
    class_table,
    evaluate_model,
    evaluate_run,
    summary_lines,
)
from ctctag.experiment.report import Report
from ctctag.experiment.tables import Table

__all__ = [
    "ClipResult",
    "Demo",
    "Evaluation",
    "Finding",
    "Report",
    "Table",
    "class_table",
    "evaluate_model",
    "evaluate_run",
    "examine_data",
    "examine_installation",
    "run_demo",
    "summary_lines",
    "system_table",
]
