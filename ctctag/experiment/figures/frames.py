"""The paper's figure 1.4: what each system says at each frame, under the spectrogram."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_float_array, check_integer, check_number
from ctctag.exceptions import ParameterError
from ctctag.experiment.figures import _style

__all__ = ["Peak", "find_peaks", "plot_frame_predictions", "plot_tagging"]

Array = npt.NDArray[Any]
Peak = tuple[int, int, float]  # class index, frame, probability


def plot_frame_predictions(
    log_mel: npt.ArrayLike,
    frame_times: npt.ArrayLike,
    systems: Mapping[str, npt.ArrayLike],
    classes: Sequence[str],
    blank: int = 0,
    strong_events: Iterable[Sequence[Any]] | None = None,
    *,
    threshold: float = 0.5,
    mel_frequencies: npt.ArrayLike | None = None,
    title: str = "",
) -> Any:
    """Draw the spectrogram of a clip and, below it, each system's frame probabilities with peaks named.

    Classes that take part (they sound in the clip, or a system finds them) have a colour, the same in every
    panel; the others are thin and grey. The bands behind the curves show where each event truly sounds.

    Parameters
    ----------
    log_mel : array_like, shape (T, n_mels), float
        Log-mel spectrogram.
    frame_times : array_like, shape (T,), float
        Centre of each frame in seconds.
    systems : dict of str to array_like, shape (T, n_classes) or (T, n_classes + 1)
        Probabilities by system. With one column more than there are classes, column `blank` is the blank.
    classes : sequence of str, length n_classes
        Names of the classes.
    blank : int
        Column of the blank where there is one; negative counts from the end.
    strong_events : iterable of (label, onset, offset), optional
        What truly sounds when, in seconds.
    threshold : float
        A class counts as found where its probability reaches this, in (0, 1).
    mel_frequencies : array_like, shape (n_mels,), float, optional
        Centre of each band in Hz (`band_centres`); without it the axis numbers the bands.
    title : str
        Written above.

    Returns
    -------
    matplotlib.figure.Figure
        One panel for the spectrogram and one for each system.

    Raises
    ------
    ParameterError
        If shapes disagree, a probability is outside [0, 1], or a label is unknown.
    CtctagError
        If matplotlib is not installed.

    References
    ----------
    Hou, Kong, Li, "Audio Tagging With Connectionist Temporal Classification Model Using Sequential Labelled
    Data", 2018, figure 1.4.

    Examples
    --------
    >>> times = np.arange(10) / 10
    >>> probs = np.zeros((10, 3))
    >>> probs[:, 0] = 1.0
    >>> probs[4] = [0.1, 0.0, 0.9]
    >>> figure = plot_frame_predictions(
    ...     np.zeros((10, 8)), times, {"CRNN-CTC": probs}, ["cough", "keys"]
    ... )
    >>> [text.get_text() for text in figure.axes[1].texts]
    ['blank', 'keys']
    """
    mel = _style.check_log_mel(log_mel)
    times = _style.check_frame_times(frame_times, len(mel))
    classes = list(classes)
    events = _style.check_events(strong_events, classes)
    threshold = check_number(threshold, "threshold", low=0, high=1, exclude_low=True, exclude_high=True)
    if not systems:
        raise ParameterError("systems must hold the probabilities of at least one system, got none")
    split = {name: _split_blank(probs, name, len(mel), classes, blank) for name, probs in systems.items()}
    peaks = {name: find_peaks(probs, threshold=threshold) for name, (probs, _) in split.items()}
    styles = _style.class_styles(
        [label for label, _, _ in events] + [classes[k] for found in peaks.values() for k, _, _ in found]
    )

    figure = _style.new_figure(1.7 + 1.45 * len(split))
    panels = figure.subplots(1 + len(split), 1, sharex=True, height_ratios=[1.2] + [1.0] * len(split))
    _style.draw_spectrogram(panels[0], mel, times, mel_frequencies)
    truth = " → ".join(label for label, _, _ in events)
    panels[0].set_title(
        title or (f"log-mel spectrogram (truth: {truth})" if truth else "log-mel spectrogram"),
        fontsize=_style.FONT_SIZE,
        loc="left",
    )
    for axes, (name, (probs, blanks)) in zip(panels[1:], split.items(), strict=True):
        _style.shade_events(axes, events, styles)
        _draw_probs(axes, times, probs, blanks, classes, styles)
        _name_peaks(axes, times, peaks[name], classes, styles, threshold)
        _style.finish_axes(axes, ylabel="probability", title=name)
    panels[-1].set_xlabel("time (s)", fontsize=_style.FONT_SIZE)
    panels[-1].set_xlim(*_style.time_limits(times))
    return figure


def plot_tagging(
    log_mel: npt.ArrayLike,
    tagging: Any,
    classes: Sequence[str],
    blank: int = 0,
    *,
    mel_frequencies: npt.ArrayLike | None = None,
    title: str = "",
) -> Any:
    """Draw what was heard in a clip: spectrogram, frame probabilities, and the tags at their peaks.

    Parameters
    ----------
    log_mel : array_like, shape (T, n_mels), float
        Log-mel spectrogram.
    tagging : Tagging
        From `ctctag.Tagger.tag`. From a system without frames, the probabilities of the clip are drawn.
    classes : sequence of str, length n_classes
        Names of the classes.
    blank : int
        Column of the blank, if the frame probabilities have one column more than there are classes.
    mel_frequencies : array_like, shape (n_mels,), float, optional
        Centre of each band in Hz (`band_centres`); without it the axis numbers the bands.
    title : str
        Written above, usually the name of the file.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels.

    Raises
    ------
    ParameterError
        If shapes disagree, a probability is outside [0, 1], or a label is unknown.
    CtctagError
        If matplotlib is not installed.
    """
    mel = _style.check_log_mel(log_mel)
    classes = list(classes)
    for tag in tagging.tags:
        if tag.label not in classes:
            raise ParameterError(f"tag {tag.label!r} is not one of the {len(classes)} classes")
    styles = _style.class_styles(tag.label for tag in tagging.tags)
    heard = (" → " if tagging.ordered else ", ").join(
        f"{tag.label} ({tag.probability:.2f})" for tag in tagging.tags
    )
    heading = f"heard: {heard}" if heard else "no tag heard"
    framewise = len(tagging.frame_times) > 0
    if framewise:
        times = _style.check_frame_times(tagging.frame_times, len(mel))
        probs, blanks = _split_blank(tagging.frame_probs, "frame_probs", len(mel), classes, blank)
    else:
        times = (np.arange(len(mel)) + 0.5) * tagging.duration / len(mel)

    figure = _style.new_figure(3.6)
    above, below = figure.subplots(2, 1, sharex=framewise, height_ratios=[1.2, 1.0])
    _style.draw_spectrogram(above, mel, times, mel_frequencies)
    above.set_title(title or "log-mel spectrogram", fontsize=_style.FONT_SIZE, loc="left")
    if not framewise:
        _draw_bars(below, [tagging.probabilities[label] for label in classes], classes, styles)
        above.set_xlabel("time (s)", fontsize=_style.FONT_SIZE)
        _style.finish_axes(below, ylabel="probability", title=heading)
        return figure
    _draw_probs(below, times, probs, blanks, classes, styles)
    peaks = [
        (classes.index(tag.label), int(np.abs(times - tag.time).argmin()))
        for tag in tagging.tags
        if tag.time is not None
    ]
    found = [(k, frame, float(probs[frame, k])) for k, frame in peaks]
    _name_peaks(below, times, found, classes, styles, None)
    _style.finish_axes(below, xlabel="time (s)", ylabel="probability", title=heading)
    below.set_xlim(*_style.time_limits(times))
    return figure


def find_peaks(probs: npt.ArrayLike, *, threshold: float = 0.5, gap: int = 8) -> list[Peak]:
    """Return the highest frame of every stretch where a class reaches the threshold.

    Parameters
    ----------
    probs : array_like, shape (T, n_classes), float
        Probabilities, without a blank.
    threshold : float
        What a stretch reaches throughout.
    gap : int
        Stretches of one class with fewer frames than this between them count as one.

    Returns
    -------
    list of (class index, frame, probability)
        In order of the frames.

    Examples
    --------
    >>> find_peaks([[0.1, 0.6], [0.2, 0.9], [0.7, 0.4]])
    [(1, 1, 0.9), (0, 2, 0.7)]
    """
    array = check_float_array(probs, "probs", ("T", "C"))
    peaks = []
    for k, column in enumerate(array.T):
        merged: list[list[int]] = []
        for start, stop in _style.runs(column >= threshold):
            if merged and start - merged[-1][1] < gap:
                merged[-1][1] = stop
            else:
                merged.append([start, stop])
        for start, stop in merged:
            frame = start + int(column[start:stop].argmax())
            peaks.append((k, frame, float(column[frame])))
    return sorted(peaks, key=lambda peak: peak[1])


def _split_blank(
    probs: npt.ArrayLike, name: str, frames: int, classes: list[str], blank: int
) -> tuple[Array, Array | None]:
    array = check_float_array(probs, name, ("T", "C"))
    count = len(classes)
    if array.shape[0] != frames or array.shape[1] not in (count, count + 1):
        raise ParameterError(
            f"{name} must have shape ({frames}, {count}), or ({frames}, {count + 1}) with a blank, to fit "
            f"log_mel and classes, got {array.shape}"
        )
    if not ((array >= -1e-6) & (array <= 1 + 1e-6)).all():
        raise ParameterError(
            f"{name} must hold probabilities, got values from {array.min():g} to {array.max():g} "
            "(logits or log-probabilities?)"
        )
    if array.shape[1] == count:
        return array, None
    blank = check_integer(blank, "blank", low=-count - 1, high=count) % (count + 1)
    return np.delete(array, blank, axis=1), array[:, blank]


def _draw_probs(
    axes: Any,
    times: Array,
    probs: Array,
    blanks: Array | None,
    classes: list[str],
    styles: dict[str, dict[str, Any]],
) -> None:
    if blanks is not None:
        axes.plot(times, blanks, **_style.BLANK_STYLE)
        axes.annotate(
            "blank", (1.005, blanks[-1]), xycoords=("axes fraction", "data"), va="center",
            fontsize=_style.FONT_SIZE - 1, color=_style.GREY,
        )  # fmt: skip
    for k, label in enumerate(classes):
        if label in styles:
            axes.plot(times, probs[:, k], linewidth=1.5, zorder=3, **styles[label])
        else:
            axes.plot(times, probs[:, k], linewidth=0.6, color="#c4c4c4", zorder=1)


def _draw_bars(
    axes: Any, probs: Sequence[float], classes: list[str], styles: dict[str, dict[str, Any]]
) -> None:
    colours = [styles[label]["color"] if label in styles else "#c4c4c4" for label in classes]
    axes.bar(range(len(classes)), probs, color=colours, width=0.7)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set(ylim=(0, 1.03), yticks=[0, 0.5, 1])


def _name_peaks(
    axes: Any,
    times: Array,
    peaks: list[Peak],
    classes: list[str],
    styles: dict[str, dict[str, Any]],
    threshold: float | None,
) -> None:
    left, right = _style.time_limits(times)
    widths = [_style.text_width(classes[k], 0.86 * _style.WIDTH, right - left) for k, _, _ in peaks]
    places = _style.stack_texts([float(times[frame]) for _, frame, _ in peaks], widths, (left, right))
    # High texts first: where a line crosses a lower text, that text's ground covers it.
    for (k, frame, probability), (centre, level) in sorted(
        zip(peaks, places, strict=True), key=lambda pair: -pair[1][1]
    ):
        axes.annotate(
            classes[k],
            (times[frame], probability),
            xytext=(centre, 1.12 + 0.2 * level),
            ha="center",
            va="bottom",
            fontsize=_style.FONT_SIZE - 1,
            color=_style.INK,  # some class colours are too light to read
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            arrowprops={
                "arrowstyle": "-",
                "color": styles[classes[k]]["color"],
                "linewidth": 0.8,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
        axes.plot(times[frame], probability, "o", markersize=3.5, color=styles[classes[k]]["color"], zorder=4)
    if threshold is not None:
        axes.axhline(threshold, color=_style.GREY, linewidth=0.5, linestyle=":", zorder=0)
        if not peaks:
            axes.text(
                (left + right) / 2, 1.12, f"(no class reaches {threshold:g})", ha="center", va="bottom",
                fontsize=_style.FONT_SIZE - 1, color=_style.GREY,
            )  # fmt: skip
    axes.set_ylim(-0.03, 1.36 + 0.2 * max((level for _, level in places), default=0))
    axes.set_yticks([0, 0.5, 1])
