"""The tables of the report; each is also written as CSV."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ctctag import metrics
from ctctag.experiment.reproduction.paper_figures import CLASSES, NAMES, TABLE_1_1, TABLE_1_2
from ctctag.experiment.reproduction.peaks import inside, peak_positions
from ctctag.experiment.reproduction.scores import Results, fold_mean
from ctctag.experiment.tables import Table
from ctctag.models import DECODERS

__all__ = ["TABLES", "average_table"]

_SCORES = {"precision": "precision", "recall": "recall", "f": "F", "auc_binary": "auc_binary", "auc": "auc"}


def _class_table(results: Results, score: str) -> Table:
    beside = score == "auc_binary"
    headers, columns = ["class"], []
    for system in results.systems:
        values, average = TABLE_1_1[system]
        printed = dict(zip(CLASSES, values, strict=True))
        headers.append(NAMES[system])
        columns.append([*results.class_means(system, score), _mean(results.values(system, score))])
        if beside:
            headers.append("paper")
            columns.append([*(printed.get(label) for label in results.classes), average])
    labels = [*results.classes, "average"]
    rows = [[label, *row] for label, row in zip(labels, zip(*columns, strict=True), strict=True)]
    caption = (
        "Table 1.1: AUC of decoded tags (auc_binary), mean over folds, and beside it the paper's."
        if beside
        else "AUC of the clip's scores (auc), mean over folds. The paper has no such figures."
    )
    if beside:
        caption = f"{caption} {_note(results)}".rstrip()
    return Table(headers, rows, [None, *[".3f"] * len(columns)], caption=caption)


def _note(results: Results) -> str:
    """Return in a sentence why the paper's figures do not compare, where they do not."""
    sentence, dot, _ = results.caution.partition(". ")
    return sentence + dot.rstrip()


def _mean(values: Any) -> float:
    """Return the mean of what is defined; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _spread(values: Any) -> str:
    """Return mean ± sample standard deviation; a single fold has no spread."""
    if np.isnan(values).any():
        return "n/a"
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")


def average_table(results: Results) -> Table:
    """Return table 1.2: means over the classes, each with its spread over folds, beside the paper's."""
    headers = ["system", "precision", "paper", "recall", "paper", "F", "paper", "auc_binary", "paper", "auc"]
    rows = []
    for system in results.systems:
        row: list[Any] = [NAMES[system]]
        for score in _SCORES:
            row.append(_spread(results.values(system, score)))
            if score != "auc":
                row.append(TABLE_1_2[system]["auc" if score == "auc_binary" else score])
        rows.append(row)
    several = len(results.folds) > 1
    caption = "Table 1.2: means over the classes" + (
        "; mean ± standard deviation over folds." if several else "; one fold, so no spread."
    )
    caption = f"{caption} {_note(results)}".rstrip()
    return Table(headers, rows, [None, *[None, ".3f"] * 4, None], caption=caption)


def _interval_table(results: Results, resamples: int) -> Table:
    rows = []
    for system in results.systems:
        truth, answers = results.pooled([system])
        probs, tags = answers[system]
        for score, answer in (("f", tags), ("auc_binary", tags), ("auc", probs)):
            interval = metrics.bootstrap_interval(fold_mean(score), truth, answer, n_resamples=resamples)
            rows.append([NAMES[system], _SCORES[score], interval.value, interval.low, interval.high])
    caption = f"95 % bootstrap intervals over clips ({resamples} draws) of the mean over folds."
    return Table(
        ["system", "score", "value", "low", "high"], rows, [None, None, *[".3f"] * 3], caption=caption
    )


def _comparison_table(results: Results, resamples: int) -> Table:
    rows = []
    for system in results.systems:
        if system == "crnn-ctc" or "crnn-ctc" not in results.systems:
            continue
        truth, answers = results.pooled(["crnn-ctc", system])
        for kind, score in ((1, "f"), (1, "auc_binary"), (0, "auc")):
            if len(truth):
                ours, theirs = answers["crnn-ctc"][kind], answers[system][kind]
                found = metrics.compare_systems(fold_mean(score), truth, ours, theirs, n_resamples=resamples)
                name = f"CRNN-CTC less {NAMES[system]}"
                rows.append([name, _SCORES[score], found.difference, found.low, found.high, found.p_value])
    caption = (
        f"Differences on the same clips: 95 % bootstrap interval, and p of the paired permutation test "
        f"({resamples} exchanges; folds that both have finished)."
    )
    headers = ["systems", "score", "difference", "low", "high", "p"]
    return Table(headers, rows, [None, None, *["+.3f"] * 3, ".4f"], caption=caption)


def _order_table(results: Results) -> Table:
    columns = {
        "F": "f", "auc_binary": "auc_binary", "seq. error rate": "sequence_error_rate", "S": "substitutions",
        "D": "deletions", "I": "insertions", "labels": "reference_labels", "exact": "exact_sequence_rate",
        "pairs in order": "order_accuracy",
    }  # fmt: skip
    rows = []
    for system in results.systems:
        for cell in results.of(system):
            if cell.scores.get("sequence_error_rate") is None:
                continue
            within = inside(peak_positions(cell.targets, cell.sequences, cell.times, cell.onsets))
            decoder = cell.config.get("decoder", DECODERS[0])
            read: list[tuple[str, dict[str, Any], float | None]] = [(decoder, cell.scores, within)]
            if cell.best_path is not None:
                read.append((DECODERS[0], cell.best_path, None))
            for name, scores, peaks in read:
                row = [NAMES[system], name.replace("-", " "), str(cell.fold)]
                rows.append([*row, *(scores[score] for score in columns.values()), peaks])
    caption = (
        "Sequence error rate with substitutions, deletions and insertions; share of clips exactly right; "
        "share of pairs in the right order; share of recognised events whose peak lies inside the event. The "
        "best path is the likeliest class of each frame, of one listening; the beam finds the likeliest "
        "labelling, of as many listenings as the settings say; rescored, the one of its labellings that "
        "outputs for the tags find likeliest, too."
    )
    formats = [None, None, None, ".3f", ".3f", ".3f", "d", "d", "d", "d", ".3f", ".3f", ".3f"]
    headers = ["system", "decoder", "fold", *columns, "peak inside"]
    return Table(headers, rows, formats, caption=caption, missing="-")


def _cell_table(results: Results) -> Table:
    cells = [cell for system in results.systems for cell in results.of(system)]
    rows = [
        [NAMES[cell.system], str(cell.fold), cell.preset, cell.epochs, cell.seconds / 60] for cell in cells
    ]
    total = sum(cell.seconds for cell in cells) / 60
    caption = (
        f"What the training of each cell took by the clock, {total:.0f} minutes in all if it were one after "
        "the other; how many threads each had, and on what, stands below."
    )
    formats = [None, None, None, "d", ".1f"]
    return Table(["system", "fold", "preset", "epochs", "minutes"], rows, formats, caption=caption)


# What a page shows: file name, section, and how it is made from results and the number of resamples.
TABLES: dict[str, tuple[str, Callable[[Results, int], Table]]] = {
    "table_1_2": ("Tags", lambda results, _: average_table(results)),
    "table_1_1": ("Tags", lambda results, _: _class_table(results, "auc_binary")),
    "class_auc": ("Tags", lambda results, _: _class_table(results, "auc")),
    "intervals": ("How sure", _interval_table),
    "comparisons": ("How sure", _comparison_table),
    "order": ("Order", lambda results, _: _order_table(results)),
    "cells": ("Time", lambda results, _: _cell_table(results)),
}
