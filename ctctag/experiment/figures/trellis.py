"""The paper's figure 1.3: CTC's trellis, with alpha, beta, occupancy and the likeliest path."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_float_array
from ctctag.exceptions import ParameterError
from ctctag.experiment.figures import _style

__all__ = ["likeliest_path", "plot_trellis"]

Array = npt.NDArray[Any]

_MOST_CIRCLES = 260  # more nodes than this are a texture, not a drawing
_DEPTH = 15.0  # nats below the frame's largest value that the colours of alpha and beta reach


def plot_trellis(
    lattice: Any,
    classes: Sequence[str] | None = None,
    *,
    alignment: Any = None,
    frame_times: npt.ArrayLike | None = None,
    title: str = "",
) -> Any:
    """Draw the lattice of one clip: where its paths may go, and where they do go.

    A short clip begins with the drawing of the paper (labels black, blanks white, arrows for the transitions
    that some path uses). Then log alpha, log beta and the occupancy in colours, the likeliest path over the
    occupancy. Alpha and beta are shown relative to the largest of their frame.

    Parameters
    ----------
    lattice : Lattice
        From `ctctag.ctc.lattice`: ``alpha`` and ``beta``, shape (T, S), natural logarithms, of which alpha
        contains the emission of its frame; ``occupancy``, shape (T, S), probabilities; ``states``, shape
        (S,), the extended target.
    classes : sequence of str, optional
        Names of all classes, the blank's among them (it is drawn as ``–`` all the same); class numbers
        without.
    alignment : Alignment, optional
        From `ctctag.ctc.align`, drawn as the path; by default the likeliest path is found from alpha.
    frame_times : array_like, shape (T,), float, optional
        Centre of each frame in seconds; frames are numbered without.
    title : str
        Written above.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels, four if the clip is short.

    Raises
    ------
    ParameterError
        If shapes disagree, or no path is possible.
    CtctagError
        If matplotlib is not installed.

    References
    ----------
    Hou, Kong, Li, "Audio Tagging With Connectionist Temporal Classification Model Using Sequential Labelled
    Data", 2018, figure 1.3; Graves et al., "Connectionist Temporal Classification", 2006, figure 3.

    Examples
    --------
    >>> from ctctag.ctc import lattice
    >>> figure = plot_trellis(lattice(np.zeros((6, 4)), [3, 1, 2]), ["-", "A", "T", "C"])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['–', 'C', '–', 'A', '–', 'T', '–']
    """
    alpha, beta, occupancy, states = _check_lattice(lattice)
    frames, count = alpha.shape
    names = _state_names(states, classes)
    route = likeliest_path(alpha, states) if alignment is None else _states_of(alignment, frames, count)
    times = None if frame_times is None else _style.check_frame_times(frame_times, frames, "lattice")

    circles = frames * count <= _MOST_CIRCLES
    height = min(max(0.16 * count, 1.2), 2.6)
    heights = [min(0.3 * count, 4.0)] * circles + [height] * 3
    figure = _style.new_figure(sum(heights) + 0.42 * len(heights) + 0.5)
    if title:
        figure.suptitle(title, fontsize=_style.FONT_SIZE + 1)
    panels = list(figure.subplots(len(heights), 1, height_ratios=heights, sharex=not circles))
    if circles:
        _draw_circles(panels[0], states, occupancy, route)
        _style.finish_axes(panels[0], xlabel="frame", title="trellis: the paths that spell the labels")
        panels[0].spines[:].set_visible(False)
        panels[0].tick_params(length=0)
        _name_states(panels[0], names)
    values = (
        ("log α, relative to the largest of its frame (nats)", _relative(alpha), -_DEPTH, 0.0),
        ("log β, relative to the largest of its frame (nats)", _relative(beta), -_DEPTH, 0.0),
        ("occupancy γ, and the likeliest path", occupancy, 0.0, 1.0),
    )
    left, right = (-0.5, frames - 0.5) if times is None else _style.frame_edges(times)
    for axes, (heading, array, low, high) in zip(panels[-3:], values, strict=True):
        image = axes.imshow(
            array.T, origin="upper", aspect="auto", extent=(left, right, count - 0.5, -0.5),
            cmap="viridis", vmin=low, vmax=high, interpolation="nearest",
        )  # fmt: skip
        _style.finish_axes(axes, title=heading)
        _name_states(axes, names)
        figure.colorbar(image, ax=axes, pad=0.01, aspect=12).ax.tick_params(labelsize=_style.FONT_SIZE - 2)
    x = np.arange(frames) if times is None else times
    panels[-1].step(x, route, where="mid", color="white", linewidth=2.4)
    panels[-1].step(x, route, where="mid", color="#D55E00", linewidth=1.2)
    panels[-1].set_xlabel("frame" if times is None else "time (s)", fontsize=_style.FONT_SIZE)
    return figure


def likeliest_path(alpha: npt.ArrayLike, states: npt.ArrayLike) -> Array:
    """Return the state at each frame of the single most probable path (Viterbi), from alpha alone.

    Parameters
    ----------
    alpha : array_like, shape (T, S), float
        Log of the forward variable, the emission of each frame contained.
    states : array_like, shape (S,), int
        The extended target.

    Returns
    -------
    ndarray, shape (T,), int64
        State indices, from 0 or 1 to S − 2 or S − 1.

    Raises
    ------
    ParameterError
        If no path is possible.

    Notes
    -----
    Alpha is what arrives in a state times the emission there, so the emission of every state that can be
    reached is alpha divided by what arrives; with the emissions, the sum over arrivals becomes a maximum.

    Examples
    --------
    >>> likeliest_path(np.log([[0.5, 0.5, 1e-9], [0.05, 0.9, 0.05]]), [0, 1, 0])
    array([1, 1])
    """
    alpha = check_float_array(alpha, "alpha", ("T", "S")).astype(np.float64)
    states = np.asarray(states)
    frames, count = alpha.shape
    skip = np.zeros(count, dtype=bool)
    skip[2:] = states[2:] != states[:-2]
    start = np.full(count, -np.inf)
    start[:2] = 0.0

    best = np.where(np.isfinite(start), alpha[0], -np.inf)
    back = np.zeros((frames, count), dtype=np.int64)
    for t in range(1, frames):
        arriving = _arrivals(alpha[t - 1], skip)
        total = np.logaddexp.reduce(arriving, axis=0)
        with np.errstate(invalid="ignore"):
            emission = np.where(np.isfinite(alpha[t]) & np.isfinite(total), alpha[t] - total, -np.inf)
        candidates = _arrivals(best, skip)
        back[t] = candidates.argmax(axis=0)
        best = candidates.max(axis=0) + emission
    state = count - 1 if count < 2 or best[-1] >= best[-2] else count - 2
    if not np.isfinite(best[state]):
        raise ParameterError("alpha allows no path: the labels need more frames than there are")
    path = np.empty(frames, dtype=np.int64)
    for t in range(frames - 1, -1, -1):
        path[t] = state
        state -= back[t, state]
    return path


def _arrivals(row: Array, skip: Array) -> Array:
    """Return the values from which each state can be reached: itself, one before, two before."""
    arriving = np.full((3, len(row)), -np.inf)
    arriving[0] = row
    arriving[1, 1:] = row[:-1]
    arriving[2, 2:] = np.where(skip[2:], row[:-2], -np.inf)
    return arriving


def _check_lattice(lattice: Any) -> tuple[Array, Array, Array, Array]:
    alpha = check_float_array(lattice.alpha, "lattice.alpha", ("T", "S"))
    beta = check_float_array(lattice.beta, "lattice.beta", alpha.shape)
    occupancy = check_float_array(lattice.occupancy, "lattice.occupancy", alpha.shape)
    states = np.asarray(lattice.states)
    if states.shape != alpha.shape[1:]:
        raise ParameterError(f"lattice.states must have shape ({alpha.shape[1]},), got {states.shape}")
    return alpha, beta, occupancy, states


def _states_of(alignment: Any, frames: int, count: int) -> Array:
    """Return the state at each frame: label i is state 2 i + 1, the blanks lie between."""
    spans = np.asarray(alignment.spans).reshape(-1, 2)
    if 2 * len(spans) + 1 != count or len(alignment.path) != frames:
        raise ParameterError(
            f"alignment has {len(spans)} labels in {len(alignment.path)} frames, but the lattice has "
            f"{count // 2} in {frames} (of another clip?)"
        )
    t = np.arange(frames)[:, np.newaxis]
    return ((spans[:, 0] <= t).astype(np.int64) + (spans[:, 1] < t)).sum(axis=1)


def _state_names(states: Array, classes: Sequence[str] | None) -> list[str]:
    if classes is not None and len(classes) <= states.max():
        raise ParameterError(
            f"classes has {len(classes)} names, but the lattice uses class {states.max()} (must the blank be "
            "among them?)"
        )
    return [
        "–" if s % 2 == 0 else str(states[s]) if classes is None else classes[states[s]]
        for s in range(len(states))
    ]


def _name_states(axes: Any, names: list[str]) -> None:
    # The blanks' ticks go first where room is short, then every other label's.
    step = 1 if len(names) <= 21 else 2
    shown = range(0 if step == 1 else 1, len(names), step)
    axes.set_yticks(list(shown), [names[s] for s in shown])
    axes.tick_params(axis="y", labelsize=_style.FONT_SIZE - 2 if len(names) > 9 else _style.FONT_SIZE - 1)


def _relative(log_values: Array) -> Array:
    peak = log_values.max(axis=1, keepdims=True)
    return np.maximum(log_values - np.where(np.isfinite(peak), peak, 0.0), -1e3)


def _draw_circles(axes: Any, states: Array, occupancy: Array, route: Array) -> None:
    frames, count = occupancy.shape
    skip = [s >= 2 and states[s] != states[s - 2] for s in range(count)]
    used = occupancy > 0
    starts, moves = [], []
    for t in range(1, frames):
        for s in range(count):
            for step in (0, 1, 2) if skip[s] else (0, 1):
                if s >= step and used[t, s] and used[t - 1, s - step]:
                    starts.append((t - 1, s - step))
                    moves.append((1, step))
    on_path = [
        route[t] == s and route[t + 1] == s + move[1] for (t, s), move in zip(starts, moves, strict=True)
    ]
    for chosen, colour, width in ((False, "#b4b4b4", 0.0016), (True, "#D55E00", 0.0042)):
        # Shortened at both ends, so that arrows run from rim to rim of the circles.
        arrows = [
            (t + 0.17 * dt, s + 0.17 * ds, 0.66 * dt, 0.66 * ds)
            for (t, s), (dt, ds), taken in zip(starts, moves, on_path, strict=True)
            if taken == chosen
        ]
        if arrows:
            axes.quiver(
                *np.transpose(arrows), angles="xy", scale_units="xy", scale=1, width=width, color=colour,
                headwidth=5 if chosen else 8, headlength=6 if chosen else 9, zorder=3 if chosen else 1,
            )  # fmt: skip
    size = min(130.0, 16000 / (frames * count))
    for s in range(count):
        for kind in (True, False):
            at = np.flatnonzero(used[:, s] == kind)
            fill = "white" if s % 2 == 0 else _style.INK
            colour = _style.INK if kind else "#d0d0d0"
            axes.scatter(
                at, np.full(len(at), s), s=size, zorder=2, edgecolors=colour, linewidths=0.9,
                facecolors=fill if kind or s % 2 == 0 else "#d0d0d0",
            )  # fmt: skip
    axes.set(
        xlim=(-0.5, frames - 0.5), ylim=(count - 0.4, -0.6), xticks=range(0, frames, 1 if frames <= 24 else 5)
    )
