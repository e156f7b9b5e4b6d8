"""From a checked batch to kernel calls, several clips a call."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._simd import aligned
from ctctag._threads import run_tasks
from ctctag.ctc import _lanes, _rows, _tiles, _viterbi
from ctctag.ctc._inputs import Scores, Targets

__all__ = ["ROOM", "log_normalisers", "run_batch", "run_greedy", "run_lattice", "run_viterbi"]

# Bytes of lattice that a clip may keep; beyond, it is computed in blocks (see `_tiles.block_of_frames`).
ROOM = 1 << 20

# A target of so few labels, over so few frames times labels, is computed beside others (see `_lanes`). Only
# the clip itself decides: it gets the same numbers in any batch.
_SHORT, _SMALL = 7, 1 << 15

# Larger arrays come fresh from the system, which has cleared them already.
_FRESH = 1 << 25

# Work of about this size, in lattice cells and scores, is one task: enough to be worth handing to a thread.
_GRAIN = 100_000


def run_batch(
    scores: Scores, targets: Targets, weights: npt.NDArray[np.float64] | None, room: int = ROOM
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any] | None]:
    """Return the losses, shape (N,), and the gradient of their sum weighted by `weights`, if not None."""
    x, lengths, sizes = scores.x, scores.lengths, targets.sizes
    N, T, C = x.shape
    losses, bad = np.empty(N), np.empty(N, dtype=np.int64)
    with_grad = weights is not None
    # Kernels write a softmax everywhere, but a gradient of other kinds only where it is not zero.
    new = np.zeros if scores.kind and x.nbytes > _FRESH else np.empty
    grad = new(x.size if with_grad else 0, x.dtype)
    if scores.kind and new is np.empty:
        grad[:] = 0
    scales = np.ones(N) if weights is None else weights
    scored = x.reshape(-1), T, C, lengths, scores.kind, scores.tolerance
    batch = *scored, targets.labels, targets.ends, scores.blank, scales
    result = with_grad, grad, losses, bad

    def run(task: tuple[bool, npt.NDArray[np.int64]]) -> None:
        side_by_side, clips = task
        memory = _rows.row_memory(x.dtype)
        if side_by_side:
            size = _lanes.group_memory(int(lengths[clips].max()), int(sizes[clips].max()), with_grad)
            _lanes.group_losses(*batch, clips, *_work(size, np.float64), memory, *result)
            return
        lanes = 64 // x.itemsize
        blocks = np.ones(N, dtype=np.int64)
        size = 0
        for n in clips.tolist():
            shape = int(lengths[n]), int(sizes[n]), lanes
            blocks[n] = block = _tiles.block_of_frames(*shape, room)
            size = max(size, _tiles.tile_memory(*shape, block, with_grad))
        places = np.empty(int(sizes[clips].max()) + lanes, dtype=np.int64)
        _tiles.clip_losses(*batch, clips, blocks, *_work(size, x.dtype), places, memory, *result)

    short = (sizes <= _SHORT) & (lengths * (sizes + 1) <= _SMALL)
    if N == 1:
        run((bool(short[0]), np.zeros(1, dtype=np.int64)))
    else:
        cost = lengths * (sizes * 4 + C + 60)
        tasks = [(True, clips) for clips in _groups(np.flatnonzero(short), lengths, sizes, cost)]
        tasks += [(False, clips) for clips in _cut(np.flatnonzero(~short), cost)]
        if cost.sum() > 2 * _GRAIN:
            run_tasks(run, tasks)
        else:
            for task in tasks:
                run(task)
    if bad.max() >= 0:
        clip = int(np.flatnonzero(bad >= 0)[0])
        scores.explain_frame(clip, int(bad[clip]))
    if scores.kind == 0 or scores.tolerance < np.inf:
        np.maximum(losses, 0.0, out=losses)  # a loss below zero is rounding
    return losses, grad.reshape(x.shape) if with_grad else None


def _groups(
    clips: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    cost: npt.NDArray[np.int64],
) -> list[npt.NDArray[np.int64]]:
    """Cut clips of short targets into tasks of a few whole groups of like lengths, the longest first."""
    clips = clips[np.lexsort((-sizes[clips], -lengths[clips]))]
    many = max(1, 4 * _GRAIN // int(cost[clips].sum() * _lanes.GROUP // max(clips.size, 1) + 1))
    step = many * _lanes.GROUP
    return [clips[start : start + step] for start in range(0, clips.size, step)]


def _cut(clips: npt.NDArray[np.int64], cost: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Cut clips of long targets into tasks of some size, the dearest first."""
    if not clips.size:
        return []
    clips = clips[np.argsort(-cost[clips], kind="stable")]
    task = np.cumsum(cost[clips]) // _GRAIN
    return np.split(clips, np.flatnonzero(np.diff(task)) + 1)


def _work(size: int, dtype: npt.DTypeLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return working memory: floats, and as many integers of the same width."""
    return aligned(size, dtype), aligned(size, np.int32 if dtype == np.float32 else np.int64)


def run_greedy(
    scores: Scores,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the labels of each clip's best path, in rows of T places, their spans, and their number."""
    x, lengths = scores.x, scores.lengths
    N, T, C = x.shape
    labels, spans = np.empty((N, T), dtype=np.int64), np.empty((N, T, 2), dtype=np.int64)
    found = np.empty(N, dtype=np.int64)
    flat = x.reshape(-1)

    def run(clips: npt.NDArray[np.int64]) -> None:
        memory = _rows.row_memory(x.dtype)
        _rows.greedy(flat, T, C, lengths, scores.blank, clips, memory, labels, spans, found)

    if x.size > 2 * _GRAIN:
        run_tasks(run, _cut(np.arange(N), lengths * C))
    else:
        run(np.arange(N))
    return labels, spans, found


def run_viterbi(
    scores: Scores, targets: Targets
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the log-probability of each clip's best path, the paths, and the spans of all labels."""
    x, lengths, sizes = scores.x, scores.lengths, targets.sizes
    N, T, C = x.shape
    found, bad = np.empty(N), np.empty(N, dtype=np.int64)
    paths = np.empty((N, T), dtype=np.int64)
    spans = np.empty((len(targets.labels), 2), dtype=np.int64)
    scored = x.reshape(-1), T, C, lengths, scores.kind, scores.tolerance
    tiles = sizes // _viterbi.LANES + 1

    def run(clips: npt.NDArray[np.int64]) -> None:
        size = int(tiles[clips].max()) * _viterbi.LANES
        work, whole = aligned(3 * size, np.float64), aligned(size, np.int64)
        moves = np.empty(3 * int((lengths[clips] * tiles[clips]).max()), dtype=np.uint8)
        places, memory = np.empty(size, dtype=np.int64), _rows.row_memory(x.dtype)
        room = work, whole, places, moves, memory
        given = *scored, targets.labels, targets.ends, scores.blank, clips
        _viterbi.best_paths(*given, *room, paths, spans, found, bad)

    cost = lengths * (sizes * 2 + C + 60)
    if cost.sum() > 2 * _GRAIN:
        run_tasks(run, _cut(np.arange(N), cost))
    else:
        run(np.arange(N))
    if bad.max() >= 0:
        clip = int(np.flatnonzero(bad >= 0)[0])
        scores.explain_frame(clip, int(bad[clip]))
    return found, paths, spans


def log_normalisers(scores: Scores) -> npt.NDArray[np.float64]:
    """Check the values; return what to subtract from each frame's scores to get log-probabilities."""
    N, T, C = scores.x.shape
    shifts, bad = np.zeros((N, T)), np.empty(N, dtype=np.int64)
    checked = scores.kind, scores.tolerance

    def run(n: int) -> None:
        memory = _rows.row_memory(scores.x.dtype)
        flat = scores.x[n].reshape(-1)
        bad[n] = _rows.log_normalisers(flat, scores.lengths[n], C, *checked, memory, shifts[n])

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
    work, whole = _work(lanes * (T * (5 * tiles + 1) + tiles) + T, scores.x.dtype)
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
