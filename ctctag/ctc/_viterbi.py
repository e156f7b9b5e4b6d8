"""The most probable path that spells a target: the trellis with a maximum where the loss has a sum.

States lie in tiles as in `_tiles`, in float64 whatever the scores are, so that a path is chosen alike. Only
the choices are kept: three bits a pair of blank and label. The readable twin is
`ctctag.reference.ctc_viterbi`.
"""

import numpy as np

from ctctag._jit import jit
from ctctag._simd import address, choose, gather, lanes, lanes_above, load, pick, slide_in, spread, store
from ctctag.ctc._rows import normalise

__all__ = ["LANES", "best_paths"]

LANES = 8  # of float64


@jit(forceinline=True)
def _step(best, raw, at_blank, may, moves, here, first, last):
    """Take the best scores of some tiles one frame on, in place, and write three bytes of moves a tile.

    `best` holds a vector of blanks and one of labels a tile. Among equals, staying wins over moving on, and
    moving from the blank over skipping it.
    """
    w = lanes(best)
    blank_score, never = spread(best, at_blank), spread(best, -np.inf)
    before = never
    for j in range(first * w, last * w, w):
        blank, label = load(best, 2 * j), load(best, 2 * j + w)
        earlier = slide_in(before, label)
        moves[here + 3 * (j // w)] = lanes_above(earlier, blank)
        store(best, 2 * j, pick(earlier, blank, earlier, blank) + blank_score)
        moves[here + 3 * (j // w) + 1] = lanes_above(blank, label)
        top = pick(blank, label, blank, label)
        skipped = choose(load(may, j), earlier, never)
        moves[here + 3 * (j // w) + 2] = lanes_above(skipped, top)
        store(best, 2 * j + w, pick(skipped, top, skipped, top) + load(raw, j))
        before = label


@jit(forceinline=True)
def _trace(moves, T, L, tiles, at_label, labels, start, blank, path, spans, first_span):
    """Follow the moves back from the last frame; write the class of each frame and the span of each label."""
    i = L
    if at_label:
        i -= 1
        spans[first_span + i, 1] = T - 1
    for t in range(T - 1, -1, -1):
        byte, bit = 3 * (t * tiles + i // LANES), i % LANES
        if at_label:
            path[t] = labels[start + i]
            spans[first_span + i, 0] = t
            if moves[byte + 2] >> bit & 1:
                i -= 1
                spans[first_span + i, 1] = t - 1
            elif moves[byte + 1] >> bit & 1:
                at_label = False
        else:
            path[t] = blank
            if moves[byte] >> bit & 1:
                at_label = True
                i -= 1
                spans[first_span + i, 1] = t - 1


@jit
def best_paths(
    x,
    frames,
    C,
    lengths,
    kind,
    tolerance,
    labels,
    ends,
    blank,
    clips,
    work,
    whole,
    places,
    moves,
    memory,
    paths,
    spans,
    scores,
    bad,
):
    """Find the best paths of some clips.

    Parameters
    ----------
    x, frames, C, lengths, kind, tolerance, labels, ends, blank, clips, memory, bad
        See `ctctag.ctc._lanes.group_losses`.
    work, whole, places : ndarray, float64, int64, int64
        Working memory: 3, 1 and 1 values a state of the longest target, in full tiles.
    moves : ndarray, uint8
        Working memory: three bytes a frame and tile of the dearest clip.
    paths : ndarray, shape (N, frames), int64
        Written in place: the class of each frame.
    spans : ndarray, shape (sum of labels, 2), int64
        Written in place: first and last frame of each label.
    scores : ndarray, shape (N,), float64
        Written in place: the log-probability of the path, or -inf if there is none.
    """
    at_x, own, at_moves = address(x), address(memory), address(moves)
    at_which, at_may, at_labels = address(places), address(whole), address(labels)
    for n in clips:
        T, L = lengths[n], ends[n + 1] - ends[n]
        tiles = L // LANES + 1
        size = tiles * LANES
        best, raw = work[: 2 * size], work[2 * size : 3 * size]
        at_best, at_raw = address(best), address(raw)
        best[:] = -np.inf
        best[0] = 0.0  # a blank before the first frame: it may stay, or move to the first label
        for i in range(size):
            places[i] = labels[ends[n] + i] if i < L else blank
            whole[i] = 0 < i < L and labels[ends[n] + i] != labels[ends[n] + i - 1]
        scores[n], bad[n] = -np.inf, -1
        product, shift = 1.0, 0  # of the softmax denominators: product * 2**shift
        for t in range(T):
            at = (n * frames + t) * C
            peak, total, good = normalise(at_x, at, C, kind, tolerance, own, own, 0, False)
            if not good:
                bad[n] = t
                break
            if kind == 1:
                peak = 0.0  # log-probabilities add up to the score as they are
            product *= total
            if product > 1e200:
                product *= 2.0**-600
                shift += 600
            # Tiles that the start can have reached by now, and from which the end could still be reached a
            # frame ago: a state's predecessor may lie one tile before the first that is still of use.
            first, last = max(0, L - T + t - 1) // LANES, min(L, t + 1) // LANES + 1
            at_blank = np.float64(x[at + blank]) - peak
            if kind == 2:
                at_blank = np.log(at_blank) if at_blank > 0.0 else -np.inf
                for i in range(first * LANES, min(L, last * LANES)):
                    y = np.float64(x[at + labels[ends[n] + i]])
                    raw[i] = np.log(y) if y > 0.0 else -np.inf
            else:
                peaks = spread(work, peak)
                for i in range(first * LANES, last * LANES, LANES):
                    store(at_raw, i, gather(work, at_x, at, at_which, i) - peaks)
            _step(at_best, at_raw, at_blank, at_may, at_moves, 3 * t * tiles, first, last)
        if bad[n] >= 0:
            continue
        # The last blank and the last label lie at places L and L - 1 of their rows.
        score = best[2 * (L - L % LANES) + L % LANES]
        at_label = False
        if L > 0:
            i = L - 1
            last_label = best[2 * (i - i % LANES) + LANES + i % LANES]
            at_label = last_label > score
            score = max(score, last_label)
        if score == -np.inf:
            continue
        scores[n] = score - np.log(product) - shift * 0.6931471805599453
        _trace(at_moves, T, L, tiles, at_label, at_labels, ends[n], blank, paths[n], spans, ends[n])
