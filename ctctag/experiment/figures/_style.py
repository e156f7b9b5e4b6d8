"""What every figure shares: matplotlib itself, colours, checks, and the spectrogram panel."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_float_array
from ctctag.exceptions import CtctagError, ParameterError

__all__ = [
    "BLANK_STYLE",
    "GREY",
    "INK",
    "band_centres",
    "check_events",
    "check_frame_times",
    "check_log_mel",
    "class_styles",
    "draw_spectrogram",
    "finish_axes",
    "frame_edges",
    "new_figure",
    "runs",
    "shade_events",
    "stack_texts",
    "text_width",
    "time_limits",
]

Array = npt.NDArray[Any]
Times = tuple[str, float, float]  # label, onset, offset in seconds

# Okabe and Ito's colours, which people with any kind of colour vision tell apart, without black (ink) and
# yellow (too faint on white). The line style changes when the colours begin again: 18 pairs.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", ":")
INK = "#222222"
GREY = "#8a8a8a"
BLANK_STYLE = {"color": GREY, "linestyle": (0, (1, 1)), "linewidth": 1.0}
WIDTH = 8.0  # inches: the text width of a page, with the letters below at their natural size
FONT_SIZE = 9.0


def new_figure(height: float, width: float = WIDTH) -> Any:
    """Return an empty figure that belongs to no window and no global list (so it needs no closing)."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CtctagError(
            "figures need matplotlib, which is not installed: pip install 'ctctag[plot]'"
        ) from error
    with rc_context({"font.size": FONT_SIZE}):
        return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def finish_axes(axes: Any, *, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Give one panel the look of the house: two spines, small ticks, a title on the left."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT_SIZE - 1, colors=INK)
    axes.set_xlabel(xlabel, fontsize=FONT_SIZE, color=INK)
    axes.set_ylabel(ylabel, fontsize=FONT_SIZE, color=INK)
    axes.set_title(title, fontsize=FONT_SIZE, loc="left", color=INK)


def class_styles(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return colour and line style for each label, in order of first appearance."""
    unique = list(dict.fromkeys(labels))
    return {
        label: {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": LINES[number // len(COLOURS) % len(LINES)],
        }
        for number, label in enumerate(unique)
    }


# -- checks ------------------------------------------------------------------------------------------------


def check_log_mel(log_mel: npt.ArrayLike) -> Array:
    """Return the spectrogram of one clip, shape ``(T, n_mels)``, both at least 1."""
    array = check_float_array(log_mel, "log_mel", ("T", "n_mels"))
    if not array.size:
        raise ParameterError(f"log_mel must have at least one frame and one band, got shape {array.shape}")
    return array


def check_frame_times(frame_times: npt.ArrayLike, frames: int, of: str = "log_mel") -> Array:
    """Return the times of the frames in seconds, increasing, as many as there are frames."""
    times = check_float_array(frame_times, "frame_times", ("T",))
    if len(times) != frames:
        raise ParameterError(
            f"frame_times has {len(times)} times, but {of} has {frames} frames (of another clip or hop?)"
        )
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ParameterError("frame_times must be finite and increasing")
    return times


def check_events(events: Iterable[Sequence[Any]] | None, classes: Sequence[str] | None) -> list[Times]:
    """Return events as ``(label, onset, offset)``, in order of onset, each label one of `classes`."""
    checked: list[Times] = []
    for number, event in enumerate(events or ()):
        try:
            label, onset, offset = event
            times = float(onset), float(offset)
        except (TypeError, ValueError):
            raise ParameterError(
                f"strong_events[{number}] is {event!r}, but must be (label, onset, offset), times in seconds"
            ) from None
        if not 0 <= times[0] <= times[1] < np.inf:
            raise ParameterError(
                f"strong_events[{number}] lasts from {times[0]:g} s to {times[1]:g} s, but onset and offset "
                "must be finite, not negative, and in this order"
            )
        if classes is not None and label not in classes:
            raise ParameterError(
                f"strong_events[{number}] is a {label!r}, which is not one of the {len(classes)} classes"
            )
        checked.append((str(label), *times))
    return sorted(checked, key=lambda event: event[1])


# -- panels ------------------------------------------------------------------------------------------------


def frame_edges(times: Array) -> tuple[float, float]:
    """Return where the first frame begins and the last one ends, given the centres."""
    half = float(np.median(np.diff(times))) / 2 if len(times) > 1 else 0.5
    return float(times[0]) - half, float(times[-1]) + half


def band_centres(log_mel: Any) -> Array:
    """Return the centre of each mel band in Hz, for the frequency axis of a spectrogram.

    Parameters
    ----------
    log_mel : LogMel
        Settings of the features, see `ctctag.audio.LogMel`.

    Returns
    -------
    ndarray, shape (n_mels,)
        Equally spaced on the mel scale, between ``fmin`` and ``fmax``.

    Examples
    --------
    >>> from ctctag.audio import LogMel
    >>> band_centres(LogMel(n_mels=3)).round()
    array([ 792., 1733., 3723.])
    """
    from ctctag.audio import hz_to_mel, mel_to_hz

    low, high = hz_to_mel([log_mel.fmin, log_mel.fmax], scale=log_mel.scale)
    return np.asarray(mel_to_hz(np.linspace(low, high, log_mel.n_mels + 2)[1:-1], scale=log_mel.scale))


def time_limits(times: Array) -> tuple[float, float]:
    """Return what the time axis shows: all frames, and from 0 s on if the first begins near it."""
    left, right = frame_edges(times)
    return (0.0 if 0 < left < 0.05 * (right - left) else left), right


def draw_spectrogram(axes: Any, log_mel: Array, times: Array, mel_frequencies: npt.ArrayLike | None) -> Any:
    """Draw a log-mel spectrogram; bands are numbered, or in kHz if their centre frequencies are given."""
    left, right = frame_edges(times)
    n_mels = log_mel.shape[1]
    finite = log_mel[np.isfinite(log_mel)]
    low, high = np.percentile(finite, [2, 99.8]) if finite.size else (0.0, 1.0)
    image = axes.imshow(
        log_mel.T,
        origin="lower",
        aspect="auto",
        extent=(left, right, -0.5, n_mels - 0.5),
        cmap="magma",
        vmin=low,
        vmax=max(high, low + 1e-6),
        interpolation="nearest",
    )
    if mel_frequencies is None:
        finish_axes(axes, ylabel="mel band")
        return image
    centres = check_float_array(mel_frequencies, "mel_frequencies", (n_mels,))
    wanted = np.array([0.1, 0.25, 0.5, 1, 2, 4, 8, 16])
    wanted = wanted[(wanted * 1000 >= centres[0]) & (wanted * 1000 <= centres[-1] * 1.05)]
    bands = np.interp(wanted * 1000, centres, np.arange(n_mels))
    # Low bands lie close together: keep a tick only where its number has room.
    keep = [0] if len(bands) else []
    for index in range(1, len(bands)):
        if bands[index] - bands[keep[-1]] >= n_mels / 8:
            keep.append(index)
    axes.set_yticks(bands[keep], [f"{wanted[index]:g}" for index in keep])
    finish_axes(axes, ylabel="frequency (kHz)")
    return image


def shade_events(axes: Any, events: Sequence[Times], styles: dict[str, dict[str, Any]]) -> None:
    """Lay a faint band of the class's colour where each event truly sounds."""
    for label, onset, offset in events:
        axes.axvspan(onset, offset, color=styles[label]["color"], alpha=0.13, linewidth=0, zorder=0)


def text_width(text: str, axes_inches: float, span: float, size: float = FONT_SIZE - 1) -> float:
    """Estimate how wide `text` is, in the units of an axis that shows `span` on `axes_inches`."""
    return (0.62 * len(text) + 0.8) * size / 72 / axes_inches * span


def stack_texts(centres: Sequence[float], widths: Sequence[float], limits: tuple[float, float]) -> Any:
    """Place texts side by side, and one level higher where they would touch.

    Returns
    -------
    list of (float, int)
        Centre (moved inside `limits`) and level of each text, in the order given.
    """
    placed: list[tuple[float, int]] = [(0.0, 0)] * len(centres)
    ends: list[float] = []  # right end of the last text at each level
    for index in sorted(range(len(centres)), key=lambda index: centres[index]):
        half = widths[index] / 2
        centre = min(max(centres[index], limits[0] + half), limits[1] - half)
        level = next((n for n, end in enumerate(ends) if end <= centre - half), len(ends))
        ends[level : level + 1] = [centre + half]
        placed[index] = centre, level
    return placed


def runs(mask: Array) -> list[tuple[int, int]]:
    """Return the first and one past the last index of each run of true values."""
    padded = np.concatenate([[False], mask, [False]])
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(start), int(stop)) for start, stop in pairwise(changes)][::2]
