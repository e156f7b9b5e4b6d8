"""The paper's figure 1.1: a clip, its spectrogram, and the three kinds of labels."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_float_array, check_number
from ctctag.exceptions import ParameterError
from ctctag.experiment.figures import _style

__all__ = ["plot_labels"]

_PIECES = 2000  # the waveform is drawn as the extremes of this many pieces: what an eye can tell apart


def plot_labels(
    samples: npt.ArrayLike,
    sr: float,
    log_mel: npt.ArrayLike,
    frame_times: npt.ArrayLike,
    strong_events: Iterable[Sequence[Any]],
    classes: Sequence[str] | None = None,
    *,
    mel_frequencies: npt.ArrayLike | None = None,
    title: str = "",
) -> Any:
    """Draw waveform, log-mel spectrogram, and strong, sequential and weak labels of one clip.

    Parameters
    ----------
    samples : array_like, shape (n_samples,), float
        The waveform.
    sr : float
        Sample rate in Hz.
    log_mel : array_like, shape (T, n_mels), float
        Its log-mel spectrogram.
    frame_times : array_like, shape (T,), float
        Centre of each frame in seconds.
    strong_events : iterable of (label, onset, offset)
        What sounds when, in seconds; `ctctag.data.Event` is such a triple.
    classes : sequence of str, optional
        If given, any other label is an error.
    mel_frequencies : array_like, shape (n_mels,), float, optional
        Centre of each band in Hz (`band_centres`); without it the axis numbers the bands.
    title : str
        Written above.

    Returns
    -------
    matplotlib.figure.Figure
        Belongs to no window; see `to_svg`, `to_png` and `save_figure`.

    Raises
    ------
    ParameterError
        If shapes disagree, a time is impossible or a label unknown.
    CtctagError
        If matplotlib is not installed.

    References
    ----------
    Hou, Kong, Li, "Audio Tagging With Connectionist Temporal Classification Model Using Sequential Labelled
    Data", 2018, figure 1.1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> figure = plot_labels(
    ...     rng.standard_normal(1600), 16000, rng.standard_normal((10, 8)), np.linspace(0.005, 0.095, 10),
    ...     [("cough", 0.01, 0.04), ("keys", 0.05, 0.08)],
    ... )
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['waveform', 'log-mel spectrogram', 'labels']
    """
    wave = check_float_array(samples, "samples", ("n_samples",))
    if not wave.size:
        raise ParameterError("samples must hold at least one sample, got none")
    sr = check_number(sr, "sr", low=0, exclude_low=True)
    mel = _style.check_log_mel(log_mel)
    times = _style.check_frame_times(frame_times, len(mel))
    events = _style.check_events(strong_events, classes)
    duration = max(len(wave) / sr, times[-1], *(event[2] for event in events), 0.0)

    figure = _style.new_figure(5.4)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[1, 1.5, 1.25])
    if title:
        figure.suptitle(title, fontsize=_style.FONT_SIZE + 1, color=_style.INK)

    _draw_waveform(top, wave, sr)
    _style.finish_axes(top, ylabel="amplitude", title="waveform")
    _style.draw_spectrogram(middle, mel, times, mel_frequencies)
    middle.set_title("log-mel spectrogram", fontsize=_style.FONT_SIZE, loc="left", color=_style.INK)
    _draw_labels(bottom, events, duration)
    bottom.set_xlim(0, duration)
    return figure


def _draw_waveform(axes: Any, wave: npt.NDArray[Any], sr: float) -> None:
    piece = -(-len(wave) // _PIECES)
    starts = np.arange(0, len(wave), piece)
    low, high = np.minimum.reduceat(wave, starts), np.maximum.reduceat(wave, starts)
    axes.fill_between((starts + piece / 2) / sr, low, high, color=_style.INK, linewidth=0.4)
    limit = float(np.abs(wave[np.isfinite(wave)]).max(initial=0.0)) or 1.0
    axes.set_ylim(-1.05 * limit, 1.05 * limit)


def _draw_labels(axes: Any, events: list[tuple[str, float, float]], duration: float) -> None:
    styles = _style.class_styles(label for label, _, _ in events)
    for label, onset, offset in events:
        axes.barh(
            2, max(offset - onset, duration / 400), left=onset, height=0.62, color=styles[label]["color"]
        )
    widths = [_style.text_width(label, 0.86 * _style.WIDTH, duration) for label, _, _ in events]
    centres = [(onset + offset) / 2 for _, onset, offset in events]
    places = _style.stack_texts(centres, widths, (0.0, duration))
    for (label, _, _), (centre, level) in zip(events, places, strict=True):
        axes.text(centre, 2.36 + 0.42 * level, label, ha="center", va="bottom", fontsize=_style.FONT_SIZE - 1)

    # Sequential labels keep the order and drop the times; weak labels drop the order too.
    sequence = " → ".join(label for label, _, _ in events) or "(no event)"
    tags = "{" + ", ".join(sorted({label for label, _, _ in events})) + "}"
    for row, text in ((1, sequence), (0, tags)):
        axes.text(duration / 2, row, text, ha="center", va="center", fontsize=_style.FONT_SIZE, wrap=True)
    levels = max((level for _, level in places), default=0)
    axes.set_ylim(-0.5, 2.95 + 0.42 * levels)
    axes.set_yticks([2, 1, 0], ["strong", "sequential", "weak"])
    _style.finish_axes(axes, xlabel="time (s)", title="labels")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
