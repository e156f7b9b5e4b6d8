r"""The CTC of short targets: a group of clips side by side, one clip in each lane of a vector.

Where a target has a handful of labels there is little to vectorise within a clip, but a batch has many clips.
Here lane n of every vector belongs to clip n of the group, so the recursion is written once, state by state,
as in the textbook, and no lane looks at another: a clip's numbers are the same to the bit in any company.

Both variables are kept *without* the emission of their own frame, so P is the sum over states of
alpha · y · beta at any frame, the occupancy is one term of it divided by P, and its derivative by y is that
term without y: right even where y is 0, and nothing is divided by y.

A clip that has ended, and a lane without a clip, go on with frames in which the blank is certain: that adds
exact zeros and multiplies by exact ones, so the probability of the target waits in the state of its last
blank until the longest clip of the group has ended.

The trellis is kept in float64 whatever the scores are: it is the smaller part of the work here, and float32
would add up long silences with a bias, each of thousands of equal terms being rounded the same way.
"""

import numpy as np

from ctctag._jit import jit
from ctctag._simd import address, choose, lanes, larger, load, pick, spread, store
from ctctag.ctc._numbers import LN2, add, clear, emission, impossible, power, tidy
from ctctag.ctc._rows import multiply, normalise

__all__ = ["GROUP", "group_losses", "group_memory", "share_of_path"]


GROUP = 8  # clips at a time: a vector of float64


def group_memory(longest: int, width: int, with_grad: bool) -> int:
    """Return how many floats, and how many integers, a group of clips takes (see `group_losses`)."""
    rows, states = longest if with_grad else 0, 2 * (width + 1)
    return GROUP * ((rows + 2) * states + (rows + 3) * (width + 1) + 6)


@jit(forceinline=True)
def _advance(Am, Ae, old, new, Em, Ee, now, skip, width):
    """Write alpha's row at place `new`, one frame after that at `old`, whose emissions are at place `now`.

    u = blank i + label i-1 goes to blank i, and label i + u to label i (label i + blank i, where skipping the
    blank is forbidden). The two rows may be the same one.
    """
    w = lanes(Am)
    blank_m, blank_e = load(Em, now + width * w), load(Ee, now + width * w)
    from_m, from_e = spread(Am, 1.0), spread(Ae, impossible(Am))
    for i in range(width + 1):
        at = 2 * i * w
        bm, be = load(Am, old + at) * blank_m, load(Ae, old + at) + blank_e
        um, ue = add(bm, be, from_m, from_e)
        if i < width:
            lm = load(Am, old + at + w) * load(Em, now + i * w)
            le = load(Ae, old + at + w) + load(Ee, now + i * w)
            may = load(skip, i * w)
            vm, ve = add(choose(may, um, bm), choose(may, ue, be), lm, le)
            vm, ve = tidy(vm, ve)
            store(Am, new + at + w, vm)
            store(Ae, new + at + w, ve)
            from_m, from_e = lm, le
        um, ue = tidy(um, ue)
        store(Am, new + at, um)
        store(Ae, new + at, ue)


@jit(forceinline=True)
def share_of_path(am, ae, bm, be, scale_m, scale_e, with_y):
    """Return alpha · beta / P as a float, 1 / P being scale_m 2^scale_e.

    With y it is at most 1. Without, it is an occupancy divided by y, which may be beyond the largest power of
    two, and even inf: there the power is taken in two steps.
    """
    e = (ae + be) + scale_e
    most = spread(ae, 126 if lanes(ae) == 16 else 1022)
    share = (am * bm * scale_m) * power(pick(most, e, e, most))
    if with_y:
        return share
    more = larger(e - most, spread(e, 0))
    most = spread(ae, 128 if lanes(ae) == 16 else 1024)
    return share * power(pick(most, more, more, most))


@jit(forceinline=True)
def _retreat(Am, Ae, row, Bm, Be, Em, Ee, now, skip, width, scale_m, scale_e, shares, with_y):
    """Form the shares of P at one frame from alpha's row and beta, then take beta one frame back, in place.

    The mirror of `_advance`: u = blank i + label i comes to blank i; label i + (u of i+1, or blank i+1 where
    skipping it is forbidden) to label i. Shares are written one vector a label, then one of all blanks; they
    are alpha y beta / P, or alpha beta / P if not `with_y`. Their sum is returned.
    """
    w = lanes(Am)
    blank_m, blank_e = load(Em, now + width * w), load(Ee, now + width * w)
    onward_m, onward_e = spread(Am, 1.0), spread(Ae, impossible(Am))
    blanks, labels = spread(Am, 0.0), spread(Am, 0.0)
    for i in range(width, -1, -1):
        at = 2 * i * w
        m, e = load(Bm, at), load(Be, at)
        bm, be = m * blank_m, e + blank_e
        if with_y:
            m, e = bm, be
        am, ae = load(Am, row + at), load(Ae, row + at)
        blanks = blanks + share_of_path(am, ae, m, e, scale_m, scale_e, with_y)
        um, ue = bm, be
        if i < width:
            m, e = load(Bm, at + w), load(Be, at + w)
            lm, le = m * load(Em, now + i * w), e + load(Ee, now + i * w)
            if with_y:
                m, e = lm, le
            here = row + at + w
            share = share_of_path(load(Am, here), load(Ae, here), m, e, scale_m, scale_e, with_y)
            store(shares, i * w, share)
            labels = labels + share
            um, ue = add(bm, be, lm, le)
            vm, ve = add(onward_m, onward_e, lm, le)
            vm, ve = tidy(vm, ve)
            store(Bm, at + w, vm)
            store(Be, at + w, ve)
        may = load(skip, i * w)
        onward_m, onward_e = choose(may, um, bm), choose(may, ue, be)
        um, ue = tidy(um, ue)
        store(Bm, at, um)
        store(Be, at, ue)
    store(shares, width * w, blanks)
    return blanks + labels


@jit
def _group(
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
    work,
    whole,
    memory,
    with_grad,
    grad,
    losses,
    bad,
):
    """Do one group, of at most as many clips as a vector has lanes; see `group_losses`."""
    w = lanes(work)
    longest, width = 0, 0
    for n in clips:
        longest, width = max(longest, lengths[n]), max(width, ends[n + 1] - ends[n])
    states, line = 2 * (width + 1) * w, (width + 1) * w
    rows = longest if with_grad else 0
    a_size, e_size = (rows + 1) * states, (rows + 1) * line
    alpha_m, alpha_e = work[:a_size], whole[:a_size]
    beta_m, beta_e = work[a_size : a_size + states], whole[a_size : a_size + states]
    start = a_size + states
    emission_m, emission_e = work[start : start + e_size], whole[start : start + e_size]
    start += e_size
    raw, skip = work[start : start + line], whole[start : start + line]
    start += line
    shares = work[start : start + line]
    start += line
    peaks, scale_m = work[start : start + w], work[start + w : start + 2 * w]
    scale, scale_e = work[start + 2 * w : start + 3 * w], whole[start : start + w]
    product, offset = work[start + 3 * w : start + 4 * w], work[start + 4 * w : start + 5 * w]
    left, shift = whole[start + w : start + 2 * w], whole[start + 2 * w : start + 3 * w]
    first_frame, first_label = whole[start + 3 * w : start + 4 * w], whole[start + 4 * w : start + 5 * w]
    size = whole[start + 5 * w : start + 6 * w]
    at_x, at_grad, own = address(x), address(grad), address(memory)
    at_raw, at_peaks = address(raw), address(peaks)
    Am, Ae, Bm, Be = address(alpha_m), address(alpha_e), address(beta_m), address(beta_e)
    Em, Ee, at_skip, at_shares = address(emission_m), address(emission_e), address(skip), address(shares)

    left[:], first_frame[:], first_label[:], size[:] = 0, 0, 0, 0  # frames left to each lane's clip, ...
    product[:], shift[:], offset[:] = 1, 0, 0
    nothing, certain = (0.0, 1.0) if kind == 2 else (-np.inf, 0.0)
    raw[:], raw[width * w :], peaks[:], skip[:] = nothing, certain, 0, 0
    for lane in range(clips.size):
        n = clips[lane]
        bad[n] = -1
        left[lane], first_frame[lane] = lengths[n], n * frames * C
        first_label[lane], size[lane] = ends[n], ends[n + 1] - ends[n]
        for i in range(1, ends[n + 1] - ends[n]):
            skip[i * w + lane] = labels[ends[n] + i] != labels[ends[n] + i - 1]

    # Forward. A path may begin at blank 0 or at label 0.
    clear(Am, Ae, 0, states)
    alpha_e[: 2 * w] = 0
    at_labels, at_left = address(labels), address(left)
    at_start, at_size, at_end = address(first_frame), address(size), address(first_label)
    at_product, at_shift, at_offset = address(product), address(shift), address(offset)
    for t in range(longest):
        for lane in range(clips.size):
            if t < at_left[lane]:
                at = at_start[lane] + t * C
                keep = with_grad and kind == 0
                peak, total, good = normalise(at_x, at, C, kind, tolerance, own, at_grad, at, keep)
                if good:
                    at_peaks[lane] = peak
                    at_offset[lane] += peak
                    many = at_product[lane] * total
                    if many > 1e200:
                        many *= 2.0**-600
                        at_shift[lane] += 600
                    at_product[lane] = many
                    label, L = at_end[lane], at_size[lane]
                    for i in range(L):
                        at_raw[i * w + lane] = at_x[at + at_labels[label + i]]
                    at_raw[width * w + lane] = at_x[at + blank]
                    if keep:
                        multiply(at_grad, at, C, scales[clips[lane]] / total)
                    continue
                bad[clips[lane]], at_left[lane] = t, t
            if t == at_left[lane]:  # ended: from now on the blank is certain
                for i in range(width):
                    raw[i * w + lane] = nothing
                raw[width * w + lane], peaks[lane] = certain, 0
        now = t * line if with_grad else 0
        for i in range(0, line, w):
            m, e = emission(kind, load(at_raw, i), load(at_peaks, 0))
            store(Em, now + i, m)
            store(Ee, now + i, e)
        old, new = (t * states, (t + 1) * states) if with_grad else (0, 0)
        _advance(Am, Ae, old, new, Em, Ee, now, at_skip, width)

    scale[:], scale_m[:], scale_e[:] = 0, 1, 0
    for lane in range(clips.size):
        n = clips[lane]
        at = rows * states + 2 * (ends[n + 1] - ends[n]) * w + lane
        m, e = alpha_m[at], alpha_e[at]
        if e < impossible(work) // 2:
            losses[n], left[lane] = np.inf, 0
            continue
        losses[n] = np.log(product[lane] / m) + (shift[lane] - e) * LN2
        if kind == 1:
            losses[n] -= offset[lane]
        scale[lane], scale_m[lane], scale_e[lane] = scales[n], 1 / m, -e
    if not with_grad:
        return

    # Backward. A path may end at the last blank or at the last label.
    clear(Bm, Be, 0, states)
    for lane in range(clips.size):
        at = 2 * (ends[clips[lane] + 1] - ends[clips[lane]]) * w + lane
        beta_e[at] = 0
        if at >= w:
            beta_e[at - w] = 0
    zero, wanted = spread(work, 0.0), load(address(scale), 0)
    inverse_m, inverse_e = load(address(scale_m), 0), load(address(scale_e), 0)
    for t in range(longest - 1, -1, -1):
        trellis = (
            Am,
            Ae,
            t * states,
            Bm,
            Be,
            Em,
            Ee,
            t * line,
            at_skip,
            width,
            inverse_m,
            inverse_e,
            at_shares,
        )
        if kind < 2:  # the shares of a frame sum to 1: what they miss is rounding common to them all
            total = _retreat(*trellis, True)
            factor = pick(total, zero, wanted / total, zero)
        else:
            _retreat(*trellis, False)
            factor = wanted
        for i in range(0, line, w):
            store(at_shares, i, load(at_shares, i) * factor)
        for lane in range(clips.size):
            if t < at_left[lane]:
                at, label, L = at_start[lane] + t * C, at_end[lane], at_size[lane]
                for i in range(L):
                    at_grad[at + at_labels[label + i]] -= at_shares[i * w + lane]
                at_grad[at + blank] -= at_shares[width * w + lane]
    for lane in range(clips.size):
        n = clips[lane]
        grad[(n * frames + left[lane]) * C : (n + 1) * frames * C] = 0


@jit
def group_losses(
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
    work,
    whole,
    memory,
    with_grad,
    grad,
    losses,
    bad,
):
    """Compute losses of clips of short targets, a group at a time, and their scaled gradients.

    Parameters
    ----------
    x : ndarray, shape (N * frames * C,)
        Scores of the whole batch.
    frames, C : int
        Frames of a clip, padding included, and classes.
    lengths : ndarray, shape (N,), int64
    kind, tolerance
        See `normalise`.
    labels, ends : ndarray, int64
        The labels of clip n are ``labels[ends[n] : ends[n + 1]]``, each in [0, C) and not `blank`.
    blank : int
    scales : ndarray, shape (N,), float64
        What each clip's gradient is multiplied by.
    clips : ndarray, int64
        Numbers of the clips, those of like lengths next to each other.
    work, whole : ndarray, float64 and int64
        Working memory: as many numbers as `group_memory` says of the longest clip and target.
    memory : ndarray
        What `row_memory` gave.
    with_grad : bool
    grad : ndarray, the shape of x
        Written in place, if `with_grad`: zero beyond the lengths and for clips without a path. Unless `kind`
        is 0 it must hold zeros on entry.
    losses : ndarray, shape (N,), float64
        Written in place; ``inf`` if there is no path.
    bad : ndarray, shape (N,), int64
        Written in place: the first frame whose scores are not what `kind` says, or -1. If there is one, the
        rest of that clip is undefined.
    """
    w = lanes(work)
    for start in range(0, clips.size, w):
        _group(
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
            clips[start : start + w],
            work,
            whole,
            memory,
            with_grad,
            grad,
            losses,
            bad,
        )
