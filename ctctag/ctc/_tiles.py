r"""The CTC of long targets: one clip at a time, vectorised over the states of the trellis.

The states of a clip lie in tiles of as many pairs, blank i and label i, as a vector has lanes: first a vector
of blanks, then one of labels; their mantissas in one array and their exponents in another. What flows from
one pair to the next slides by one lane. Only tiles whose states the start can have reached and that can
still reach the end are computed. As in `_lanes`, both variables are kept without the emission of their frame.
"""

import numpy as np

from ctctag._jit import jit
from ctctag._simd import (
    address,
    choose,
    gather,
    lanes,
    load,
    slide_back,
    slide_in,
    spread,
    store,
    sum_lanes,
)
from ctctag.ctc._lanes import share_of_path
from ctctag.ctc._numbers import LN2, add, clear, emission, impossible, tidy
from ctctag.ctc._rows import multiply, normalise

__all__ = ["block_of_frames", "clip_losses", "log_lattice", "tile_memory"]


def block_of_frames(frames: int, labels: int, lanes: int, room: int) -> int:
    """Return how many frames' rows are kept at a time, if they may take `room` bytes: all, or a block.

    If the rows of all frames exceed `room`, the frames are taken in blocks: on the way forward only the row
    at each block's start is kept, on the way back each block's rows are computed anew from it. The numbers
    are the same to the bit; it costs one more forward pass, and memory grows with the square root of T.
    """
    row = 3 * (labels // lanes + 1) * 2 * 64
    if frames * row <= room:
        return frames
    return min(frames, max(room // row, int(np.sqrt(frames)) // 2, 2))


def tile_memory(frames: int, labels: int, lanes: int, block: int, with_grad: bool) -> int:
    """Return how many floats, and how many integers, a clip takes (see `clip_losses`)."""
    tiles = labels // lanes + 1
    rows = block if with_grad else 0
    saved = -(-frames // block) if with_grad and block < frames else 0
    return lanes * ((rows + 2 + saved) * 2 * tiles + (rows + 1) * (tiles + 1) + 2 * tiles) + frames


@jit(forceinline=True)
def _first_tile(t, T, L, w):
    """Return the first tile whose states can still reach the end from frame t."""
    return max(0, L - T + t) // w


@jit(forceinline=True)
def _last_tile(t, L, w):
    """Return one past the last tile whose states can have been reached by frame t."""
    return min(L, t) // w + 1


@jit(forceinline=True)
def _emit(x, at, blank, peak, kind, which, tiles, first, last, Em, Ee, now):
    """Write a frame's emissions at place `now`: of some tiles, and of the blank in all lanes."""
    w = lanes(x)
    peaks = spread(x, peak)
    for j in range(first * w, last * w, w):
        m, e = emission(kind, gather(x, x, at, which, j), peaks)
        store(Em, now + j, m)
        store(Ee, now + j, e)
    m, e = emission(kind, spread(x, x[at + blank]), peaks)
    store(Em, now + tiles * w, m)
    store(Ee, now + tiles * w, e)


@jit(forceinline=True)
def _advance(Am, Ae, old, new, Em, Ee, now, skip, tiles, first, last):
    """Write alpha's row at place `new`, one frame after that at `old`, whose emissions are at place `now`.

    u = blank i + label i-1 goes to blank i, and label i + u to label i (label i + blank i, where skipping the
    blank is forbidden). The two rows may be the same one.
    """
    w = lanes(Am)
    blank_m, blank_e = load(Em, now + tiles * w), load(Ee, now + tiles * w)
    before_m, before_e = spread(Am, 1.0), spread(Ae, impossible(Am))
    for j in range(first * w, last * w, w):
        bm, be = load(Am, old + 2 * j) * blank_m, load(Ae, old + 2 * j) + blank_e
        lm = load(Am, old + 2 * j + w) * load(Em, now + j)
        le = load(Ae, old + 2 * j + w) + load(Ee, now + j)
        um, ue = add(bm, be, slide_in(before_m, lm), slide_in(before_e, le))
        may = load(skip, j)
        vm, ve = add(choose(may, um, bm), choose(may, ue, be), lm, le)
        um, ue = tidy(um, ue)
        store(Am, new + 2 * j, um)
        store(Ae, new + 2 * j, ue)
        vm, ve = tidy(vm, ve)
        store(Am, new + 2 * j + w, vm)
        store(Ae, new + 2 * j + w, ve)
        before_m, before_e = lm, le


@jit(forceinline=True)
def _retreat(Bm, Be, old, new, Em, Ee, now, skip, tiles, first, last):
    """Write beta's row at place `new`, one frame before that at `old`, whose emissions are at place `now`.

    The mirror of `_advance`: u = blank i + label i comes to blank i; label i + (u of i+1, or blank i+1 where
    skipping it is forbidden) to label i.
    """
    w = lanes(Bm)
    blank_m, blank_e = load(Em, now + tiles * w), load(Ee, now + tiles * w)
    after_m, after_e = spread(Bm, 1.0), spread(Be, impossible(Bm))
    for j in range((last - 1) * w, (first - 1) * w, -w):
        bm, be = load(Bm, old + 2 * j) * blank_m, load(Be, old + 2 * j) + blank_e
        lm = load(Bm, old + 2 * j + w) * load(Em, now + j)
        le = load(Be, old + 2 * j + w) + load(Ee, now + j)
        um, ue = add(bm, be, lm, le)
        may = load(skip, j)
        onward_m, onward_e = choose(may, um, bm), choose(may, ue, be)
        vm, ve = add(slide_back(onward_m, after_m), slide_back(onward_e, after_e), lm, le)
        um, ue = tidy(um, ue)
        store(Bm, new + 2 * j, um)
        store(Be, new + 2 * j, ue)
        vm, ve = tidy(vm, ve)
        store(Bm, new + 2 * j + w, vm)
        store(Be, new + 2 * j + w, ve)
        after_m, after_e = onward_m, onward_e


@jit(forceinline=True)
def _occupy(Am, Ae, row, Bm, Be, Em, Ee, now, tiles, first, last, scale_m, scale_e, shares, with_y):
    """Write each label's share of P at one frame, and return those of all blanks and of all labels.

    A share is alpha y beta / P, or alpha beta / P if not `with_y`; 1 / P is scale_m 2^scale_e.
    """
    w = lanes(Am)
    y_m, y_e = load(Em, now + tiles * w), load(Ee, now + tiles * w)
    inverse_m, inverse_e = spread(Am, scale_m), spread(Ae, scale_e)
    blanks, labels = spread(Am, 0.0), spread(Am, 0.0)
    for j in range(first * w, last * w, w):
        bm, be = load(Bm, 2 * j), load(Be, 2 * j)
        lm, le = load(Bm, 2 * j + w), load(Be, 2 * j + w)
        if with_y:
            bm, be = bm * y_m, be + y_e
            lm, le = lm * load(Em, now + j), le + load(Ee, now + j)
        here = row + 2 * j
        blanks = blanks + share_of_path(load(Am, here), load(Ae, here), bm, be, inverse_m, inverse_e, with_y)
        share = share_of_path(load(Am, here + w), load(Ae, here + w), lm, le, inverse_m, inverse_e, with_y)
        store(shares, j, share)
        labels = labels + share
    return sum_lanes(blanks), sum_lanes(labels)


@jit(forceinline=True)
def _place(state, w):
    """Return where a state of the trellis lies in a row: even ones are blanks, odd ones labels."""
    return (state // 2 // w * 2 + state % 2) * w + state // 2 % w


@jit
def _clip_loss(
    x, start, T, C, kind, tolerance, labels, blank, scale, block, work, whole, places, memory, with_grad, grad
):
    """Compute one clip's loss, whose scores begin at ``x[start]``, and its gradient; see `clip_losses`."""
    w, L = lanes(x), labels.size
    tiles = L // w + 1
    states, line = 2 * tiles * w, (tiles + 1) * w
    rows = min(block, T) if with_grad else 0
    blocks = (T + block - 1) // block if with_grad else 1
    keep = with_grad and blocks == 1
    step_a, step_e = (states, line) if keep else (0, 0)
    end = (rows + 1) * states
    alpha_m, alpha_e = work[:end], whole[:end]
    beta_m, beta_e = work[end : end + states], whole[end : end + states]
    end += states
    saved_m, saved_e = work[end : end + blocks * states], whole[end : end + blocks * states]
    if blocks > 1:
        end += blocks * states
    emission_m, emission_e = work[end : end + (rows + 1) * line], whole[end : end + (rows + 1) * line]
    end += (rows + 1) * line
    shares, skip = work[end : end + tiles * w], whole[end : end + tiles * w]
    peaks = work[end + tiles * w : end + tiles * w + T]  # scores themselves, so exact in the dtype of x
    which = places[: tiles * w]
    at_x, at_grad, own = address(x), address(grad), address(memory)
    Am, Ae, Bm, Be = address(alpha_m), address(alpha_e), address(beta_m), address(beta_e)
    Em, Ee, at_skip, at_shares = address(emission_m), address(emission_e), address(skip), address(shares)
    at_which = address(which)

    which[L:], skip[:] = blank, 0  # no path to the end goes through states beyond the last blank
    which[:L] = labels
    for i in range(1, L):
        skip[i] = labels[i] != labels[i - 1]
    fits = L <= T

    # Forward. A path may begin at blank 0 or at label 0.
    product, shift, offset = 1.0, 0, 0.0  # softmax denominators, as product * 2**shift; sum of the peaks
    clear(Am, Ae, 0, states)
    alpha_e[0] = 0
    if L > 0:
        alpha_e[w] = 0
    for t in range(T):
        at = start + t * C
        with_softmax = with_grad and kind == 0
        peak, total, good = normalise(at_x, at, C, kind, tolerance, own, at_grad, at, with_softmax)
        if not good:
            return np.inf, t
        peaks[t] = peak
        offset += peak
        product *= total
        if product > 1e200:
            product *= 2.0**-600
            shift += 600
        if with_softmax:
            multiply(at_grad, at, C, scale / total)
        if not fits:
            continue
        if blocks > 1 and t % block == 0:
            saved_m[t // block * states : (t // block + 1) * states] = alpha_m[:states]
            saved_e[t // block * states : (t // block + 1) * states] = alpha_e[:states]
        first, last = _first_tile(t, T, L, w), _last_tile(t + 1, L, w)
        old, now = t * step_a, t * step_e
        clear(Am, Ae, old + 2 * _last_tile(t, L, w) * w, old + 2 * last * w)
        _emit(at_x, at, blank, peak, kind, at_which, tiles, _first_tile(t - 1, T, L, w), last, Em, Ee, now)
        _advance(Am, Ae, old, old + step_a, Em, Ee, now, at_skip, tiles, first, last)

    at = T * step_a + _place(2 * L, w)
    m, e = alpha_m[at], alpha_e[at]
    if not fits or e < impossible(x) // 2:
        if with_grad:
            grad[start : start + T * C] = 0
        return np.inf, -1
    loss = np.log(product / m) + (shift - e) * LN2
    if kind == 1:
        loss -= offset
    if not with_grad:
        return loss, -1

    # Backward, block by block. A path may end at the last blank or at the last label.
    clear(Bm, Be, 0, states)
    beta_e[_place(2 * L, w)] = 0
    if L > 0:
        beta_e[_place(2 * L - 1, w)] = 0
    scale_m, scale_e = x.dtype.type(1 / m), -e
    factor = x.dtype.type(scale)
    for begin in range((blocks - 1) * block if blocks > 1 else 0, -1, -block):
        stop = min(begin + block, T)
        if not keep:
            alpha_m[:states] = saved_m[begin // block * states : (begin // block + 1) * states]
            alpha_e[:states] = saved_e[begin // block * states : (begin // block + 1) * states]
            for t in range(begin, stop):
                old, now = (t - begin) * states, (t - begin) * line
                first, last = _first_tile(t, T, L, w), _last_tile(t + 1, L, w)
                lowest = _first_tile(t - 1, T, L, w)
                clear(Am, Ae, old + 2 * _last_tile(t, L, w) * w, old + 2 * last * w)
                _emit(at_x, start + t * C, blank, peaks[t], kind, at_which, tiles, lowest, last, Em, Ee, now)
                _advance(Am, Ae, old, old + states, Em, Ee, now, at_skip, tiles, first, last)
        for t in range(stop - 1, begin - 1, -1):
            row, now, at = (t - begin) * states, (t - begin) * line, start + t * C
            first, last = _first_tile(t, T, L, w), _last_tile(t, L, w)
            trellis = Am, Ae, row, Bm, Be, Em, Ee, now, tiles, first, last, scale_m, scale_e, at_shares
            # `with_y` is a constant for the compiler, so that no loop asks for it.
            blanks, others = _occupy(*trellis, True) if kind < 2 else _occupy(*trellis, False)
            if kind < 2:  # the shares of a frame sum to 1: what they miss is rounding common to them all
                factor = x.dtype.type(scale / (np.float64(blanks) + np.float64(others)))
            grad[at + blank] -= factor * blanks
            for i in range(first * w, min(L, last * w)):
                grad[at + which[i]] -= factor * shares[i]
            lowest = _first_tile(t - 1, T, L, w)
            _retreat(Bm, Be, 0, 0, Em, Ee, now, at_skip, tiles, lowest, last)
    return loss, -1


@jit
def clip_losses(
    x,
    frames,
    C,
    lengths,
    kind,
    tolerance,
    labels,
    ends,
    blank,
    scales,
    clips,
    blocks,
    work,
    whole,
    places,
    memory,
    with_grad,
    grad,
    losses,
    bad,
):
    """Compute the losses of some clips, and their scaled gradients.

    Parameters
    ----------
    x, frames, C, lengths, kind, tolerance, labels, ends, blank, scales, clips
        See `ctctag.ctc._lanes.group_losses`.
    blocks : ndarray, shape (N,), int64
        Of each clip what `block_of_frames` says.
    work, whole : ndarray
        Working memory: floats, and integers of the same width, as many as `tile_memory` says of any clip.
    places : ndarray, int64
        Working memory: as many as the states of the longest target, in full tiles.
    memory, with_grad, grad, losses, bad
        See `ctctag.ctc._lanes.group_losses`.
    """
    for n in clips:
        start, T = n * frames * C, lengths[n]
        target = labels[ends[n] : ends[n + 1]]
        losses[n], bad[n] = _clip_loss(
            x,
            start,
            T,
            C,
            kind,
            tolerance,
            target,
            blank,
            scales[n],
            blocks[n],
            work,
            whole,
            places,
            memory,
            with_grad,
            grad,
        )
        if with_grad:
            grad[start + T * C : (n + 1) * frames * C] = 0


@jit
def log_lattice(x, T, C, kind, tolerance, labels, blank, work, whole, places, memory, alpha, beta):
    """Write log alpha (with the frame's emission) and log beta of one clip; return the first bad frame or -1.

    Every state is computed here, also those that no path to the end goes through. `work` and `whole`, float64
    and int64, hold T rows of alpha and of beta, of two vectors a tile, of emissions, of one a tile and one
    more, and then one value a frame or a vector a tile, whichever is more.
    """
    w, L = lanes(x), labels.size
    tiles = L // w + 1
    states, line = 2 * tiles * w, (tiles + 1) * w
    alpha_m, alpha_e = work[: T * states], whole[: T * states]
    beta_m, beta_e = work[T * states : 2 * T * states], whole[T * states : 2 * T * states]
    end = 2 * T * states + T * line
    emission_m, emission_e = work[2 * T * states : end], whole[2 * T * states : end]
    skip, which = whole[end : end + tiles * w], places[: tiles * w]
    totals = work[end : end + T]
    at_x, own, at_which, at_skip = address(x), address(memory), address(which), address(skip)
    Am, Ae, Bm, Be = address(alpha_m), address(alpha_e), address(beta_m), address(beta_e)
    Em, Ee = address(emission_m), address(emission_e)
    which[L:], skip[:] = blank, 0
    which[:L] = labels
    for i in range(1, L):
        skip[i] = labels[i] != labels[i - 1]
    for t in range(T):
        peak, total, good = normalise(at_x, t * C, C, kind, tolerance, own, own, 0, False)
        if not good:
            return t
        totals[t] = np.log(total) - (peak if kind == 1 else 0.0)
        _emit(at_x, t * C, blank, peak, kind, at_which, tiles, 0, tiles, Em, Ee, t * line)
    clear(Am, Ae, 0, states)
    clear(Bm, Be, (T - 1) * states, T * states)
    alpha_e[0] = 0
    beta_e[(T - 1) * states + _place(2 * L, w)] = 0
    if L > 0:
        alpha_e[w] = 0
        beta_e[(T - 1) * states + _place(2 * L - 1, w)] = 0
    for t in range(T - 1):
        _advance(Am, Ae, t * states, (t + 1) * states, Em, Ee, t * line, at_skip, tiles, 0, tiles)
    for t in range(T - 1, 0, -1):
        _retreat(Bm, Be, t * states, (t - 1) * states, Em, Ee, t * line, at_skip, tiles, 0, tiles)
    before, after = 0.0, totals.sum()
    for t in range(T):
        before += totals[t]
        after -= totals[t]
        for s in range(2 * L + 1):
            at = t * states + _place(s, w)
            y = t * line + (s // 2 if s % 2 else tiles * w)
            m, e = alpha_m[at] * emission_m[y], int(alpha_e[at]) + int(emission_e[y])
            alpha[t, s] = _log(m, e, w) - before
            beta[t, s] = _log(beta_m[at], int(beta_e[at]), w) - after
    return -1


@jit(forceinline=True)
def _log(m, e, w):
    return -np.inf if e < -(1 << (28 if w == 16 else 49)) else np.log(m) + e * LN2
