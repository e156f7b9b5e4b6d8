"""Curves over thresholds and over epochs: ROC for each class, and how training went."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag import metrics
from ctctag._checks import check_float_array
from ctctag.exceptions import ParameterError
from ctctag.experiment.figures import _style

__all__ = ["plot_roc", "plot_training"]


def plot_roc(
    true_tags: npt.ArrayLike,
    systems: Mapping[str, npt.ArrayLike],
    classes: Sequence[str],
    *,
    columns: int = 4,
    title: str = "",
) -> Any:
    """Draw a ROC curve for each class, the systems side by side, with the area under each.

    Parameters
    ----------
    true_tags : array_like, shape (N, n_classes), bool or 0/1
        Which class occurs in which clip.
    systems : dict of str to array_like, shape (N, n_classes)
        Scores by system; higher is more certain.
    classes : sequence of str, length n_classes
        Names of the classes.
    columns : int
        Panels in a row.
    title : str
        Written above.

    Returns
    -------
    matplotlib.figure.Figure
        One small panel a class; a class with no positive or no negative clip has no curve, and says so.

    Raises
    ------
    ParameterError
        If shapes disagree or a true tag is neither 0 nor 1.
    CtctagError
        If matplotlib is not installed.

    Examples
    --------
    >>> truth = np.array([[1, 0], [0, 0], [1, 0]])
    >>> figure = plot_roc(truth, {"CRMP": [[0.9, 0.1], [0.2, 0.1], [0.7, 0.3]]}, ["cough", "keys"])
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['cough', 'keys']
    """
    classes = list(classes)
    truth = check_float_array(true_tags, "true_tags", ("N", len(classes)))
    if not np.isin(truth, (0, 1)).all():
        raise ParameterError("true_tags must hold only 0 and 1 (scores and tags swapped?)")
    if not systems:
        raise ParameterError("systems must hold the scores of at least one system, got none")
    scores = {name: check_float_array(array, name, truth.shape) for name, array in systems.items()}
    styles = _style.class_styles(systems)

    columns = min(columns, len(classes))
    rows = -(-len(classes) // columns)
    figure = _style.new_figure(0.5 + 1.95 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(classes) :]:
        panel.remove()
    for k, (axes, label) in enumerate(zip(panels.flat, classes, strict=False)):
        axes.plot([0, 1], [0, 1], color="#c4c4c4", linewidth=0.7, linestyle=":")
        if truth[:, k].min(initial=1) == truth[:, k].max(initial=0):
            reason = "never occurs" if not truth[:, k].any() else "always occurs"
            axes.text(0.5, 0.5, f"n/a\n({reason})", ha="center", va="center", fontsize=_style.FONT_SIZE - 1)
        else:
            _draw_roc(axes, truth[:, k], {name: array[:, k] for name, array in scores.items()}, styles)
        last_row = k + columns >= len(classes)
        axes.tick_params(labelbottom=last_row)
        axes.set(
            xlim=(-0.02, 1.02), ylim=(-0.02, 1.05), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], aspect="equal"
        )
        _style.finish_axes(axes, title=label)
    figure.supxlabel("false positive rate", fontsize=_style.FONT_SIZE)
    figure.supylabel("true positive rate", fontsize=_style.FONT_SIZE)
    handles = [figure.axes[0].plot([], [], linewidth=1.5, label=name, **styles[name])[0] for name in systems]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(systems), 4), frameon=False,
        fontsize=_style.FONT_SIZE, title=title or None, title_fontsize=_style.FONT_SIZE + 1,
    )  # fmt: skip
    return figure


def _draw_roc(
    axes: Any,
    truth: npt.NDArray[Any],
    scores: Mapping[str, npt.NDArray[Any]],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    lines = []
    for name, column in scores.items():
        false_rate, true_rate, _ = metrics.roc_curve(truth, column)
        axes.plot(false_rate, true_rate, linewidth=1.3, **styles[name])
        lines.append((f"{np.trapezoid(true_rate, false_rate):.3f}", styles[name]["color"]))
    for row, (text, colour) in enumerate(reversed(lines)):
        axes.text(
            0.98, 0.04 + 0.13 * row, f"{text}", ha="right", va="bottom", fontsize=_style.FONT_SIZE - 2,
            color=_style.INK,
        )  # fmt: skip
        axes.plot([0.58, 0.66], [0.09 + 0.13 * row] * 2, color=colour, linewidth=2.5)


# Panels of the training figure: title, then key and line style of each curve.
_PANELS = (
    ("loss", (("loss", "-"), ("validation_loss", "--"))),
    ("validation AUC", (("validation_auc", "-"),)),
    ("sequence error rate and blank mass", (("sequence_error_rate", "-"), ("blank_mass", ":"))),
)
_MEANING = {
    "loss": "training",
    "validation_loss": "validation",
    "sequence_error_rate": "error rate",
    "blank_mass": "blank mass",
}


def plot_training(
    history: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Mapping[str, Any]]], *, title: str = ""
) -> Any:
    """Draw the log of one training run, or of several, epoch by epoch.

    Parameters
    ----------
    history : list of dict, or dict of str to list of dict
        One record an epoch, as `ctctag.training` writes them (``epoch``, ``loss``, ``validation_loss``,
        ``validation_auc``, and of CRNN-CTC ``sequence_error_rate`` and ``blank_mass``), or such a list for
        each system. What a record lacks is not drawn.
    title : str
        Written above.

    Returns
    -------
    matplotlib.figure.Figure
        Panels for losses, for AUC and, where there is one, for the sequence error rate with the blank mass.

    Raises
    ------
    ParameterError
        If there is no epoch, or a record has neither ``epoch`` nor ``loss``.
    CtctagError
        If matplotlib is not installed.

    Examples
    --------
    >>> log = [{"epoch": 1, "loss": 3.0, "validation_loss": 3.1}, {"epoch": 2, "loss": 2.0}]
    >>> len(plot_training(log).axes)
    1
    """
    runs = dict(history) if isinstance(history, Mapping) else {"": list(history)}
    if not any(runs.values()):
        raise ParameterError("history must hold at least one epoch, got none")
    for name, records in runs.items():
        for number, record in enumerate(records):
            if not {"epoch", "loss"} <= record.keys():
                where = f"history[{name!r}][{number}]" if name else f"history[{number}]"
                raise ParameterError(f"{where} must have 'epoch' and 'loss', got only {sorted(record)}")
    panels = [
        (heading, curves)
        for heading, curves in _PANELS
        if any(key in record for records in runs.values() for record in records for key, _ in curves)
    ]
    from matplotlib.ticker import LogLocator, NullLocator

    styles = _style.class_styles(runs)
    figure = _style.new_figure(0.8 + 1.7 * len(panels))
    if title:
        figure.suptitle(title, fontsize=_style.FONT_SIZE + 1)
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (heading, curves) in zip(grid, panels, strict=True):
        for name, records in runs.items():
            for key, line in curves:
                _draw_epochs(axes, records, key, line, name, styles[name]["color"])
        _style.finish_axes(axes, title=heading)
        if heading == "loss" and min(axes.dataLim.minpos) < np.inf:  # the first epoch's dwarfs the others
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.02)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        if len(axes.lines) > 1:
            axes.legend(
                fontsize=_style.FONT_SIZE - 1, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5)
            )
    grid[-1].set_xlabel("epoch", fontsize=_style.FONT_SIZE)
    grid[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure


def _draw_epochs(
    axes: Any, records: Sequence[Mapping[str, Any]], key: str, line: str, name: str, colour: str
) -> None:
    points = [(record["epoch"], record[key]) for record in records if record.get(key) is not None]
    if not points:
        return
    meaning = _MEANING.get(key, "")
    label = ", ".join(part for part in (name, meaning) if part) or "_"
    axes.plot(
        *zip(*points, strict=True), color=colour, linestyle=line, linewidth=1.4, label=label,
        marker="o" if len(points) == 1 else None, markersize=3,
    )  # fmt: skip
