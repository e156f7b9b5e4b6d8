"""From a checked batch to kernel calls, several clips a call."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._simd import aligned
from ctctag._threads import run_tasks
from ctctag.ctc import _lanes, _rows, _tiles
from ctctag.ctc._inputs import Scores, Targets

__all__ = ["ROOM", "log_normalisers", "run_batch", "run_lattice"]

# Bytes of lattice that a clip may keep; beyond, it is computed in blocks (see `_tiles.block_of_frames`).
ROOM = 1 << 20

# A target of so few labels, over so few frames times labels, is computed beside others (see `_lanes`). Only
# the clip itself decides: it gets the same numbers in any batch.
_SHORT, _SMALL = 7, 1 << 15

# Work of about this size, in lattice cells and scores, is one task: enough to be worth handing to a thread.
_GRAIN = 100_000


def run_batch(
    scores: Scores, targets: Targets, weights: npt.NDArray[np.float64] | None, room: int = ROOM
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any] | None]:
    """Return the losses, shape (N,), and the gradient of their sum weighted by `weights`, if not None."""
    x = scores.x
    N, T, C = x.shape
    losses = np.empty(N)
    bad = np.empty(N, dtype=np.int64)
    with_grad = weights is not None
    grad = np.empty(x.size if with_grad else 0, x.dtype)
    scales = np.ones(N) if weights is None else weights
    sizes = np.diff(targets.ends)
    lanes = 64 // x.itemsize
    short = (sizes <= _SHORT) & (scores.lengths * (sizes + 1) <= _SMALL)
    batch = (
        x.reshape(-1),
        T,
        C,
        scores.lengths,
        scores.kind,
        scores.tolerance,
        targets.labels,
        targets.ends,
        scores.blank,
        scales,
    )
    result = with_grad, grad, losses, bad

    def run_group(clips: npt.NDArray[np.int64]) -> None:
        longest, width = int(scores.lengths[clips].max()), int(sizes[clips].max())
        size = _lanes.group_memory(longest, width, with_grad)
        memory = _rows.row_memory(x.dtype)
        _lanes.group_losses(*batch, clips, *_work(size, np.float64), memory, *result)

    def run_each(clips: npt.NDArray[np.int64]) -> None:
        shapes = [(int(scores.lengths[n]), int(sizes[n])) for n in clips]
        blocks = np.ones(N, dtype=np.int64)
        for n, (frames, labels) in zip(clips, shapes, strict=True):
            blocks[n] = _tiles.block_of_frames(frames, labels, lanes, room) if with_grad else frames
        size = max(
            _tiles.tile_memory(frames, labels, lanes, int(blocks[n]), with_grad)
            for n, (frames, labels) in zip(clips, shapes, strict=True)
        )
        work, whole = _work(size, x.dtype)
        places = np.empty(max(labels for _, labels in shapes) + lanes, dtype=np.int64)
        memory = _rows.row_memory(x.dtype)
        _tiles.clip_losses(*batch, clips, blocks, work, whole, places, memory, *result)

    tasks = [(run_group, clips) for clips in _groups(scores.lengths, sizes, short)]
    cost = scores.lengths * (sizes * 4 + C + 60)
    tasks += [(run_each, clips) for clips in _cut(cost, ~short)]
    if cost.sum() > 2 * _GRAIN:
        run_tasks(lambda task: task[0](task[1]), tasks)
    else:
        for run, clips in tasks:
            run(clips)
    if bad.max() >= 0:
        clip = int(np.flatnonzero(bad >= 0)[0])
        scores.explain_frame(clip, int(bad[clip]))
    if scores.kind == 0 or scores.tolerance < np.inf:
        np.maximum(losses, 0.0, out=losses)  # a loss below zero is rounding
    return losses, grad.reshape(x.shape) if with_grad else None


def _groups(
    lengths: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], short: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.int64]]:
    """Cut the clips of short targets into groups of clips of like lengths, the longest first."""
    clips = np.flatnonzero(short)
    if clips.size > _lanes.GROUP:
        clips = clips[np.lexsort((-sizes[clips], -lengths[clips]))]
    return [clips[start : start + _lanes.GROUP] for start in range(0, clips.size, _lanes.GROUP)]


def _cut(cost: npt.NDArray[np.int64], long: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Cut the clips of long targets into tasks of some size, the dearest clips first."""
    clips = np.flatnonzero(long)
    if clips.size < 2:
        return [clips] if clips.size else []
    clips = clips[np.argsort(-cost[clips], kind="stable")]
    task = np.cumsum(cost[clips]) // _GRAIN
    return np.split(clips, np.flatnonzero(np.diff(task)) + 1)


def _work(size: int, dtype: npt.DTypeLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return working memory: floats, and as many integers of the same width."""
    return aligned(size, dtype), aligned(size, np.int32 if dtype == np.float32 else np.int64)


def log_normalisers(scores: Scores) -> npt.NDArray[np.float64]:
    """Check the values; return what to subtract from each frame's scores to get log-probabilities."""
    N, T, C = scores.x.shape
    shifts = np.zeros((N, T))
    bad = np.empty(N, dtype=np.int64)

    def run(n: int) -> None:
        bad[n] = _rows.log_normalisers(
            scores.x[n].reshape(-1),
            scores.lengths[n],
            C,
            scores.kind,
            scores.tolerance,
            _rows.row_memory(scores.x.dtype),
            shifts[n],
        )

    run_tasks(run, range(N))
    for n in np.flatnonzero(bad >= 0):
        scores.explain_frame(int(n), int(bad[n]))
    return shifts


def run_lattice(
    scores: Scores, labels: npt.NDArray[np.int64]
) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return loss, log alpha and log beta of one clip."""
    T, C = scores.x.shape[1:]
    alpha = np.empty((T, 2 * len(labels) + 1))
    beta = np.empty_like(alpha)
    lanes = 64 // scores.x.itemsize
    tiles = len(labels) // lanes + 1
    work, whole = _work(lanes * (T * (5 * tiles + 1) + tiles), scores.x.dtype)
    places = np.empty(tiles * lanes, dtype=np.int64)
    bad = _tiles.log_lattice(
        scores.x[0].reshape(-1),
        T,
        C,
        scores.kind,
        scores.tolerance,
        labels,
        scores.blank,
        work,
        whole,
        places,
        _rows.row_memory(scores.x.dtype),
        alpha,
        beta,
    )
    if bad >= 0:
        scores.explain_frame(0, bad)
    return -float(np.logaddexp.reduce(alpha[-1, -2:])), alpha, beta
