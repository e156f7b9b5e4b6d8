r"""The fast CTC: one clip's loss and gradient, vectorised over the states of the trellis.

It is the recursion of `ctctag.reference.ctc_recursion` in another number format. A probability is kept as
:math:`m \cdot 2^e` with m of the clip's float type and e an integer of the same width, both per state: the
range of a logarithm with the relative precision of a plain float, and no exp or log on the way. Adding two
such numbers takes shifts and a multiply-add, all of which LLVM vectorises. "Impossible" is e = `never`, far
below anything real, so neither zero nor infinity nor NaN ever enters the arithmetic.

Both variables are kept *without* the emission of their own frame, so P is the sum over states of
alpha · y · beta at any frame, the occupancy is one term of it divided by P, and its derivative by y is that
term without y: right even where y is 0, and nothing is divided by y.

Layout: state 2i is blank i, state 2i + 1 is label i. A row of the lattice is cut into tiles of 16 such pairs,
each holding four lines of 16: blank m, blank e, label m, label e (integers as bits in the float array). With
everything of a tile at constant offsets from one address the compiler needs no checks for overlap and no
remainder loops. Rows of beta run backwards, pair i at place R - 1 - i, so that both recursions walk upwards.
"""

import numpy as np

from ctctag._jit import jit
from ctctag.ctc._numbers import (
    LN2_HIGH,
    LN2_LOW,
    LOG2E,
    ROUND64,
    bits,
    exp,
    exponent,
    fma,
    mantissa,
    never,
    order,
    plus,
    power,
    real,
    small_exp,
    whole,
)

__all__ = ["clip_loss", "greedy", "log_normalisers", "noisy_or"]


@jit(fastmath={"reassoc"})
def _total(values, count):
    total = 0.0  # in float64: next to a peak of 1, float32 would round the rest away, always the same way
    for i in range(count):
        total += float(values[i])
    return total


@jit
def _normalise(x, t, kind, tolerance, exps):
    """Write exponentials or probabilities of frame t into `exps`; return peak, total and whether it is good.

    For logits (kind 0) they are e ** (x - peak), and the total is their sum, at least 1. Log-probabilities
    (1) and probabilities (2) must add up to 1 within the tolerance; the total returned is 1, and the peak of
    probabilities 0. Emissions are relative to the peak, so that a certain class counts exactly 1.
    """
    C = x.shape[1]
    top = order(bits(x[t, 0]))
    for k in range(C):  # a maximum of integers: no rules for NaN in its way, and NaN comes out above inf
        top = max(top, order(bits(x[t, k])))
    peak = real(order(top))
    one, zero = exps.dtype.type(1), exps.dtype.type(0)
    if not peak < np.inf or (kind == 0 and peak == -np.inf):
        return 0.0, 1.0, False
    if kind == 0:
        for k in range(C):
            exps[k] = exp(x[t, k] - peak)
        total = float(_total(exps, C))
        return float(peak), total, total > 0.0  # not so if NaN
    wrong = 0
    if kind == 1:
        for k in range(C):
            exps[k] = exp(one if x[t, k] > one else x[t, k])
    else:
        for k in range(C):
            exps[k] = x[t, k]
            wrong += not x[t, k] >= zero
    total = float(_total(exps, C))
    if kind == 2 or peak == -np.inf:
        peak = zero
    return float(peak), 1.0, wrong == 0 and abs(total - 1.0) <= tolerance


@jit
def _split(x, t, kind, peak, classes, raw, mantissas, exponents):
    """Write e ** (x - peak) as m 2^e for the classes of the target; `exponents` holds bits of integers."""
    like = mantissas.dtype.type(1)
    for d in range(classes.size):
        raw[d] = x[t, classes[d]]
    if kind == 2:
        for d in range(classes.size):
            p = raw[d]
            if (
                p > 0.0
            ):  # in float64, where the least float32 is an ordinary number, but not the least float64
                tiny = p < 1e-300
                v = bits(p * 1.8014398509481984e16 if tiny else p)  # 2**54
                mantissas[d] = mantissa(v)
                e = exponent(v) - (54 if tiny else 0)
                exponents[d] = real(whole(e, like))
            else:
                mantissas[d] = like
                exponents[d] = real(never(like))
        return
    low = never(like) * 0.6931471805599453
    high = -low
    for d in range(classes.size):
        z = raw[d] - peak
        z = low if z < low else z
        z = high if z > high else z
        k = fma(z, LOG2E, ROUND64) - ROUND64
        f = fma(k, -LN2_LOW, fma(k, -LN2_HIGH, z))
        mantissas[d] = small_exp(mantissas.dtype.type(f))
        exponents[d] = real(whole(k, like))


@jit
def _spread(which, mantissas, exponents, E, row, first, last):
    """Write the emission of each label's state into row `row` of E, for the tiles from `first` to `last`."""
    for j in range(first, last):
        for i in range(16):
            d = which[j, i]
            E[row, j, i] = mantissas[d]
            E[row, j, 16 + i] = exponents[d]


@jit
def _advance(old, new, E, blank_m, blank_e, skip, first, last):
    """Write alpha's row `new`, one frame after row `old`, whose emission is E; each of shape (R, 64 or 32).

    u = blank i + label i-1 goes to blank i, and label i + u to label i (label i + blank i, where skipping the
    blank is forbidden).
    """
    carry_m = old.dtype.type(1)
    floor = never(carry_m)
    carry_e = floor
    for j in range(first, last):
        for i in range(16):
            bm = old[j, i] * blank_m
            be = plus(bits(old[j, 16 + i]), blank_e)
            lm = old[j, 32 + i] * E[j, i]
            le = plus(bits(old[j, 48 + i]), bits(E[j, 16 + i]))
            e = max(be, carry_e)
            u = fma(bm, power(plus(be, -e)), carry_m * power(plus(carry_e, -e)))
            carry_m, carry_e = lm, le
            v = bits(u)
            new[j, i] = mantissa(v)
            new[j, 16 + i] = real(max(plus(e, exponent(v)), floor))
            wm = u if skip[j, i] else bm
            we = e if skip[j, i] else be
            e = max(we, le)
            v = bits(fma(wm, power(plus(we, -e)), lm * power(plus(le, -e))))
            new[j, 32 + i] = mantissa(v)
            new[j, 48 + i] = real(max(plus(e, exponent(v)), floor))


@jit
def _retreat(old, new, E, blank_m, blank_e, skip, first, last):
    """Write beta's row `new`, one frame before row `old`, whose emission is E.

    The mirror of `_advance`: u = blank i + label i comes to blank i; label i + (u of i+1, or blank i+1 where
    skipping it is forbidden) to label i. `first` and `last` count tiles of beta, which run backwards.
    """
    carry_m = old.dtype.type(1)
    floor = never(carry_m)
    carry_e = floor
    R = skip.shape[0] - 1
    for j in range(first, last):
        for i in range(16):
            bm = old[j, i] * blank_m
            be = plus(bits(old[j, 16 + i]), blank_e)
            lm = old[j, 32 + i] * E[R - j, 15 - i]
            le = plus(bits(old[j, 48 + i]), bits(E[R - j, 31 - i]))
            e = max(be, le)
            u = fma(bm, power(plus(be, -e)), lm * power(plus(le, -e)))
            v = bits(u)
            new[j, i] = mantissa(v)
            new[j, 16 + i] = real(max(plus(e, exponent(v)), floor))
            onward_m = u if skip[R - j, 15 - i] else bm
            onward_e = e if skip[R - j, 15 - i] else be
            e = max(carry_e, le)
            v = bits(fma(carry_m, power(plus(carry_e, -e)), lm * power(plus(le, -e))))
            # The compiler can carry a value to the next lane only if it is made before the last one is used.
            carry_m, carry_e = onward_m, onward_e
            new[j, 32 + i] = mantissa(v)
            new[j, 48 + i] = real(max(plus(e, exponent(v)), floor))


@jit
def _occupy(A, a, B, b, E, row, blank_m, blank_e, with_y, scale_m, scale_e, first, last, occupied):
    """Write each label's share of P at one frame into occupied[0], and return that of all blanks.

    A share is alpha y beta / P, or alpha beta / P if not `with_y`; 1 / P is scale_m 2^scale_e. The blanks are
    summed lane by lane in occupied[1].
    """
    R = A.shape[1] - 1
    one = A.dtype.type(1)
    none = exponent(bits(one))  # 0, of the right type
    most = plus(none, 126)
    if not with_y:
        blank_m, blank_e = one, none
    blank_m *= scale_m
    blank_e = plus(blank_e, scale_e)
    for i in range(16):
        occupied[1, 0, i] = 0
    for j in range(first, last):
        for i in range(16):
            e = plus(plus(bits(A[a, j, 16 + i]), bits(B[b, R - j, 31 - i])), blank_e)
            m = A[a, j, i] * B[b, R - j, 15 - i] * blank_m
            occupied[1, 0, i] += m * power(min(e, most))
    if with_y:
        for j in range(first, last):
            for i in range(16):
                e = plus(bits(A[a, j, 48 + i]), bits(B[b, R - j, 63 - i]))
                e = plus(plus(e, bits(E[row, j, 16 + i])), scale_e)
                m = A[a, j, 32 + i] * B[b, R - j, 47 - i] * scale_m * E[row, j, i]
                occupied[0, j, i] = m * power(min(e, most))
    else:
        for j in range(first, last):
            for i in range(16):
                e = plus(plus(bits(A[a, j, 48 + i]), bits(B[b, R - j, 63 - i])), scale_e)
                m = A[a, j, 32 + i] * B[b, R - j, 47 - i] * scale_m
                occupied[0, j, i] = m * power(min(e, most))
    return _total(occupied[1, 0], 16)


@jit
def _first_tile(t, T, L):
    """Return the first tile whose states can still reach the end from frame t."""
    return max(0, L - T + t) >> 4


@jit
def _last_tile(t, L):
    """Return one past the last tile whose states can have been reached by frame t."""
    return (min(L, t) >> 4) + 1


@jit
def _clear(rows, row, first, last):
    """Set the states of some tiles to impossible."""
    one = rows.dtype.type(1)
    floor = real(never(one))
    for j in range(first, last):
        for i in range(16):
            rows[row, j, i] = one
            rows[row, j, 16 + i] = floor
            rows[row, j, 32 + i] = one
            rows[row, j, 48 + i] = floor


@jit
def _copy(source, a, target, b):
    for j in range(source.shape[1]):
        for i in range(source.shape[2]):
            target[b, j, i] = source[a, j, i]


@jit
def _aligned(shape, like):
    """Return a new array of three axes that starts at a whole cache line: a split one costs twice."""
    size = shape[0] * shape[1] * shape[2]
    memory = np.empty(size + 64 // like.itemsize, like.dtype)
    start = (-(memory.ctypes.data // like.itemsize)) % (64 // like.itemsize)
    return memory[start : start + size].reshape(shape)


@jit
def _tabulate(labels, blank, places, classes, which, skip):
    """Find the distinct classes of a target; return how many there are, the blank included, as the last.

    Parameters
    ----------
    places : ndarray, shape (C,), int64
        All -1 on entry and on return; used in between to find a class again.
    classes : ndarray, shape (at least L + 1,), uint64
        Written in place: the distinct labels, then the blank. (Unsigned, so that Numba need not look for
        negative indices.)
    which : ndarray, shape (R, 16), uint64
        Written in place: for each state's label its place in `classes`; beyond the last label the place after
        the blank, whose emission is impossible.
    skip : ndarray, shape (R, 16), bool
        Written in place: whether blank i may be skipped on the way from label i-1 to label i.
    """
    count = 0
    L = labels.size
    for i in range(L):
        if places[labels[i]] < 0:
            places[labels[i]] = count
            classes[count] = labels[i]
            count += 1
        which[i >> 4, i & 15] = places[labels[i]]
        skip[i >> 4, i & 15] = i > 0 and labels[i] != labels[i - 1]
    for i in range(L):
        places[labels[i]] = -1
    classes[count] = blank
    for i in range(L, 16 * which.shape[0]):
        which[i >> 4, i & 15] = count + 1
        skip[i >> 4, i & 15] = False
    return count + 1


@jit
def _start(A, row, L):
    """Set alpha before the first emission: a path may begin at blank 0 or at label 0."""
    one = A.dtype.type(1)
    _clear(A, row, 0, A.shape[1])
    zero = real(exponent(bits(one)))
    A[row, 0, 16] = zero
    if L > 0:
        A[row, 0, 48] = zero


@jit
def _finish(B, row, L):
    """Set beta after the last emission: a path may end at blank L or at label L-1."""
    one = B.dtype.type(1)
    R = B.shape[1] - 1
    _clear(B, row, 0, R + 1)
    zero = real(exponent(bits(one)))
    B[row, R - (L >> 4), 16 + 15 - (L & 15)] = zero
    if L > 0:
        B[row, R - ((L - 1) >> 4), 48 + 15 - ((L - 1) & 15)] = zero


@jit
def _probability(A, row, E, e_row, blank_m, blank_e, L):
    """Return P = m 2^e from alpha and the emission of the last frame."""
    j, i = L >> 4, L & 15
    m = A[row, j, i] * blank_m
    e = plus(bits(A[row, j, 16 + i]), blank_e)
    if L > 0:
        j, i = (L - 1) >> 4, (L - 1) & 15
        lm = A[row, j, 32 + i] * E[e_row, j, i]
        le = plus(bits(A[row, j, 48 + i]), bits(E[e_row, j, 16 + i]))
        top = max(e, le)
        m = fma(m, power(plus(e, -top)), lm * power(plus(le, -top)))
        e = top
    return m, e


@jit
def _loss(product, shift, m, e):
    """Return -log(m 2^e / (product 2^shift)), in float64."""
    return np.log(product / m) + (shift - e) * 0.6931471805599453


@jit
def clip_loss(x, kind, tolerance, labels, blank, scale, room, with_grad, grad):
    """Compute one clip's loss and, if `with_grad`, `scale` times its gradient.

    The way back needs alpha's rows again. If those of all frames exceed `room`, the frames are taken in
    blocks: on the way forward only the row at each block's start is kept, on the way back each block's rows
    are computed anew from it. The numbers are the same to the bit; it costs one more forward pass, and memory
    grows with the square root of T.

    Parameters
    ----------
    x : ndarray, shape (T, C)
    kind, tolerance
        See `_normalise`.
    labels : ndarray, shape (L,), int64
        Each in [0, C) and not `blank`.
    blank : int
    scale : float
    room : int
        Bytes that rows may take before they are computed in blocks.
    with_grad : bool
    grad : ndarray, shape (T, C)
        Written in place, if `with_grad`.

    Returns
    -------
    loss : float
        ``inf`` if there is no path; `grad` is then zero.
    bad : int
        The first frame whose scores are not what `kind` says, or -1. If there is one, the rest is undefined.
    """
    T, C = x.shape
    L = labels.size
    R = (L >> 4) + 1
    block = T
    if with_grad and T * R * 96 * x.itemsize > room:
        block = min(T, max(room // (R * 96 * x.itemsize), int(np.sqrt(T)) // 2, 2))
    blocks = (T + block - 1) // block
    keep = with_grad and blocks == 1
    A = _aligned((block if with_grad else 2, R, 64), x)
    B = _aligned((2 if with_grad else 0, R, 64), x)
    E = _aligned((block + 1 if with_grad else 1, R, 32), x)
    saved = _aligned((blocks if with_grad and not keep else 0, R, 64), x)
    occupied = _aligned((2, R, 16), x)
    blanks = np.empty((E.shape[0], 2), x.dtype)
    peaks = np.empty(T)
    exps, tab_m, tab_e = np.empty(C + 2, x.dtype), np.empty(L + 2, x.dtype), np.empty(L + 2, x.dtype)
    raw = np.empty(L + 1)
    classes = np.empty(L + 1, np.uint64)
    which, skip = np.empty((R, 16), np.uint64), np.empty((R, 16), np.bool_)
    D = _tabulate(labels, blank, np.full(C, -1), classes, which, skip)
    used = classes[:D]
    one = x.dtype.type(1)
    floor = never(one)
    tab_m[D] = one
    tab_e[D] = real(floor)
    fits = L <= T

    # Forward through all frames; alpha's row t comes from row t - 1.
    product, shift = 1.0, 0  # of the softmax denominators: product * 2**shift
    offset = 0.0  # of the emissions, which are relative to the peaks: their sum
    if A.shape[0] > 0:
        _start(A, 0, L)
    for t in range(T):
        target = grad[t] if with_grad and kind == 0 else exps
        peak, total, good = _normalise(x, t, kind, tolerance, target)
        if not good:
            return np.inf, t
        peaks[t] = peak
        offset += peak
        product *= total
        if product > 1e200:
            product *= 2.0**-600
            shift += 600
        if with_grad:
            if kind == 0:
                factor = x.dtype.type(scale / total)
                for k in range(C):
                    grad[t, k] *= factor
            else:
                for k in range(C):
                    grad[t, k] = 0
        if not fits:
            continue
        row = t if keep else t & 1
        if t > 0:
            before = t - 1 if keep else row ^ 1
            e_row = before if keep else 0
            first, last = _first_tile(t - 1, T, L), _last_tile(t, L)
            _clear(A, before, _last_tile(t - 1, L), last)
            _advance(A[before], A[row], E[e_row], blanks[e_row, 0], bits(blanks[e_row, 1]), skip, first, last)
        if with_grad and not keep and t % block == 0:
            _copy(A, row, saved, t // block)
        e_row = t if keep else 0
        _split(x, t, kind, peak, used, raw, tab_m, tab_e)
        _spread(which, tab_m, tab_e, E, e_row, _first_tile(t - 1, T, L), _last_tile(t + 1, L))
        blanks[e_row, 0], blanks[e_row, 1] = tab_m[D - 1], tab_e[D - 1]

    m, e = one, floor
    if fits:
        row = T - 1 if keep else (T - 1) & 1
        e_row = T - 1 if keep else 0
        m, e = _probability(A, row, E, e_row, blanks[e_row, 0], bits(blanks[e_row, 1]), L)
    if e < floor // 2:
        if with_grad:
            grad[:] = 0
        return np.inf, -1
    loss = _loss(product, shift, float(m), int(e)) - (offset if kind == 1 else 0.0)
    if not with_grad:
        return loss, -1

    # Backward through all frames, block by block; beta's row t comes from row t + 1.
    scale_m, scale_e = one / m, plus(floor, -(floor + e))
    factor = x.dtype.type(scale)
    shares = exps[: D + 1]
    for start in range((blocks - 1) * block, -1, -block):
        stop = min(start + block, T)
        if not keep:
            if stop < T:  # beta's first step in this block needs the emission of the frame after it
                _copy(E, 0, E, block)
                blanks[block, 0], blanks[block, 1] = blanks[0, 0], blanks[0, 1]
            _copy(saved, start // block, A, 0)
            for t in range(start, stop):
                row = t - start
                if t > start:
                    first, last = _first_tile(t - 1, T, L), _last_tile(t, L)
                    _clear(A, row - 1, _last_tile(t - 1, L), last)
                    blank_m, blank_e = blanks[row - 1, 0], bits(blanks[row - 1, 1])
                    _advance(A[row - 1], A[row], E[row - 1], blank_m, blank_e, skip, first, last)
                _split(x, t, kind, peaks[t], used, raw, tab_m, tab_e)
                _spread(which, tab_m, tab_e, E, row, _first_tile(t - 1, T, L), _last_tile(t + 1, L))
                blanks[row, 0], blanks[row, 1] = tab_m[D - 1], tab_e[D - 1]
        for t in range(stop - 1, start - 1, -1):
            row = t - start
            first, last = _first_tile(t, T, L), _last_tile(t, L)
            if t == T - 1:
                _finish(B, t & 1, L)
            else:
                after = row + 1
                _clear(B, (t + 1) & 1, R - _first_tile(t + 1, T, L), R - first)
                blank_m, blank_e = blanks[after, 0], bits(blanks[after, 1])
                end = _last_tile(t + 1, L)
                _retreat(B[(t + 1) & 1], B[t & 1], E[after], blank_m, blank_e, skip, R - end, R - first)
            blank_m, blank_e = blanks[row, 0], bits(blanks[row, 1])
            share = _occupy(
                A, row, B, t & 1, E, row, blank_m, blank_e, kind < 2, scale_m, scale_e, first, last, occupied
            )
            for d in range(D + 1):
                shares[d] = 0
            for j in range(first, last):
                for i in range(min(16, L - 16 * j)):
                    shares[which[j, i]] += occupied[0, j, i]
            shares[D - 1] = share
            if kind < 2:  # the shares of a frame sum to 1: what they miss is rounding common to them all
                factor = x.dtype.type(scale / _total(shares, D))
            for d in range(D):
                grad[t, used[d]] -= factor * shares[d]
    return loss, -1


@jit
def clip_losses(
    x, lengths, kind, tolerance, labels, ends, blank, scales, room, clips, with_grad, grad, losses, bad
):
    """Run `clip_loss` for the clips numbered in `clips`, and set the gradient of their padding to zero."""
    for n in clips:
        T = lengths[n]
        target = labels[ends[n] : ends[n + 1]]
        g = n if with_grad else 0
        losses[n], bad[n] = clip_loss(
            x[n, :T], kind, tolerance, target, blank, scales[n], room, with_grad, grad[g, :T]
        )
        if with_grad:
            grad[g, T:] = 0


@jit
def log_lattice(x, kind, tolerance, labels, blank, alpha, beta):
    """Write log alpha (with the frame's emission) and log beta of one clip; return the first bad frame or -1.

    Every state is computed here, also those that no path to the end goes through.
    """
    T, _ = x.shape
    L = labels.size
    R = (L >> 4) + 1
    A, B, E = _aligned((T, R, 64), x), _aligned((T, R, 64), x), _aligned((T, R, 32), x)
    blanks = np.empty((T, 2), x.dtype)
    exps, tab_m, tab_e = np.empty(x.shape[1], x.dtype), np.empty(L + 2, x.dtype), np.empty(L + 2, x.dtype)
    raw = np.empty(L + 1)
    classes = np.empty(L + 1, np.uint64)
    which, skip = np.empty((R, 16), np.uint64), np.empty((R, 16), np.bool_)
    D = _tabulate(labels, blank, np.full(x.shape[1], -1), classes, which, skip)
    one = x.dtype.type(1)
    tab_m[D] = one
    tab_e[D] = real(never(one))
    totals = np.empty(T)
    for t in range(T):
        peak, total, good = _normalise(x, t, kind, tolerance, exps)
        if not good:
            return t
        totals[t] = np.log(total) - (peak if kind == 1 else 0.0)
        _split(x, t, kind, peak, classes[:D], raw, tab_m, tab_e)
        _spread(which, tab_m, tab_e, E, t, 0, R)
        blanks[t, 0], blanks[t, 1] = tab_m[D - 1], tab_e[D - 1]
    _start(A, 0, L)
    _finish(B, T - 1, L)
    for t in range(T - 1):
        _advance(A[t], A[t + 1], E[t], blanks[t, 0], bits(blanks[t, 1]), skip, 0, R)
    for t in range(T - 1, 0, -1):
        _retreat(B[t], B[t - 1], E[t], blanks[t, 0], bits(blanks[t, 1]), skip, 0, R)
    before, after = 0.0, totals.sum()
    for t in range(T):
        before += totals[t]
        after -= totals[t]
        for s in range(2 * L + 1):
            i = s >> 1
            j, place, odd = i >> 4, i & 15, 32 * (s & 1)
            m, e = A[t, j, odd + place], int(bits(A[t, j, odd + 16 + place]))
            if s & 1:
                m *= E[t, j, place]
                e += int(bits(E[t, j, 16 + place]))
            else:
                m *= blanks[t, 0]
                e += int(bits(blanks[t, 1]))
            alpha[t, s] = _log(m, e, one) - before
            m, e = B[t, R - 1 - j, odd + 15 - place], int(bits(B[t, R - 1 - j, odd + 31 - place]))
            beta[t, s] = _log(m, e, one) - after
    return -1


@jit
def _log(m, e, one):
    return -np.inf if e < never(one) // 2 else np.log(m) + e * 0.6931471805599453


@jit
def log_normalisers(x, kind, tolerance, shifts):
    """Write what to subtract from each frame's scores to get log-probabilities; return a bad frame."""
    exps = np.empty(x.shape[1], x.dtype)
    for t in range(x.shape[0]):
        peak, total, good = _normalise(x, t, kind, tolerance, exps)
        if not good:
            return t
        shifts[t] = peak + np.log(total) if kind == 0 else 0.0
    return -1


@jit
def greedy(x, blank, labels, spans):
    """Write the best path's labels and their first and last frames; return how many there are."""
    T, C = x.shape
    before = blank
    found = 0
    for t in range(T):
        top = order(bits(x[t, 0]))
        for k in range(C):
            top = max(top, order(bits(x[t, k])))
        peak = real(order(top))
        best = C - 1  # the first of the largest: a minimum vectorises, a search that stops does not
        for k in range(C):
            best = min(best, k if x[t, k] == peak else C)
        if best != blank:
            if best != before:
                labels[found] = best
                spans[found, 0] = t
                found += 1
            spans[found - 1, 1] = t
        before = best
    return found


@jit
def noisy_or(x, kind, tolerance, out):
    """Write the probability that each class occurs into `out`, float64; return the first bad frame or -1."""
    C = x.shape[1]
    exps = np.empty(C, x.dtype)
    out[:] = 0.0
    for t in range(x.shape[0]):
        _, total, good = _normalise(x, t, kind, tolerance, exps)
        if not good:
            return t
        for k in range(C):
            # p + (1 - p) y: no cancellation where p is small, unlike 1 - prod(1 - y)
            out[k] += (1.0 - out[k]) * min(exps[k] / total, 1.0)
    return -1
