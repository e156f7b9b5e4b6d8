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

Callees are in this file because Numba's cache does not see changes in others. The functions with an
``overload`` are what differs between float32 and float64; their bodies serve when Numba is disabled.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from ctctag._jit import jit

__all__ = ["LANES", "clip_loss", "greedy", "log_normalisers", "noisy_or"]

LANES = 16

# e^f on |f| <= ln(2) / 2, interpolated at Chebyshev nodes: relative errors 3e-9 and 4e-18 before rounding.
_EXP32 = tuple(
    np.float32(c)
    for c in (
        1.0,
        1.0,
        0.5,
        0.16666415333747864,
        0.04166635125875473,
        0.008375132456421852,
        0.0013941116631031036,
    )
)
_EXP64 = (
    1.0,
    1.0,
    0.5000000000000019,
    0.16666666666666685,
    0.041666666666487336,
    0.008333333333317606,
    0.0013888888952506718,
    0.0001984126989396263,
    2.4801485289368063e-05,
    2.755723763497525e-06,
    2.7632706692581377e-07,
    2.511102788497157e-08,
)
_LOG2E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = (
    0.6931471803691238,
    1.9082149292705877e-10,
)  # their sum has the digits of ln 2 twice over
_ROUND64 = 6755399441055744.0  # 1.5 * 2**52: adding and subtracting it rounds to a whole number
_ROUND32 = np.float32(12582912.0)
_LN2_HIGH32, _LN2_LOW32 = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOG2E32 = np.float32(_LOG2E)


@intrinsic
def _fused(typingctx, a, b, c):
    def codegen(context, builder, signature, args):
        return builder.fma(*args)

    return a(a, a, a), codegen


def _fma(a, b, c):
    """Return a b + c, rounded once: said outright, so that every compiled copy gives the same bits."""
    return a * b + c


@overload(_fma)
def _(a, b, c):
    return lambda a, b, c: _fused(a, b, c)  # type: ignore[call-arg]


def _bits(x):
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


@overload(_bits)
def _(x):
    if x == types.float32:
        return lambda x: np.float32(x).view(np.int32)
    return lambda x: np.float64(x).view(np.int64)


def _real(i):
    return i.view(np.float32 if i.dtype == np.int32 else np.float64)


@overload(_real)
def _(i):
    if i == types.int32:
        return lambda i: np.int32(i).view(np.float32)
    return lambda i: np.int64(i).view(np.float64)


def _whole(x, like):
    return np.int32(x) if like.dtype == np.float32 else np.int64(x)


@overload(_whole)
def _(x, like):
    if like == types.float32:
        return lambda x, like: np.int32(x)
    return lambda x, like: np.int64(x)


def _plus(a, b):
    return a + b


@overload(_plus)
def _(a, b):
    if a == types.int32:  # Numba would widen the sum to 64 bits, and halve the lanes
        return lambda a, b: np.int32(a + b)
    return lambda a, b: a + b


def _power(e):
    """Return 2 ** e for e <= the largest exponent; 0 below the smallest."""
    if e.dtype == np.int32:
        return np.int32(max(e + 127, 0) << 23).view(np.float32)
    return np.int64(max(e + 1023, 0) << 52).view(np.float64)


@overload(_power)
def _(e):
    if e == types.int32:
        return lambda e: np.int32(max(np.int32(e + 127), np.int32(0)) << 23).view(np.float32)
    return lambda e: np.int64(max(e + 1023, np.int64(0)) << 52).view(np.float64)


def _exponent(v):
    return (v >> 23) - 127 if v.dtype == np.int32 else (v >> 52) - 1023


@overload(_exponent)
def _(v):
    if v == types.int32:
        return lambda v: np.int32((v >> 23) - 127)
    return lambda v: (v >> 52) - 1023


def _mantissa(v):
    if v.dtype == np.int32:
        return np.int32((v & 0x7FFFFF) | 0x3F800000).view(np.float32)
    return np.int64((v & 0xFFFFFFFFFFFFF) | (1023 << 52)).view(np.float64)


@overload(_mantissa)
def _(v):
    if v == types.int32:
        return lambda v: np.int32((v & 0x7FFFFF) | 0x3F800000).view(np.float32)
    return lambda v: np.int64((v & 0xFFFFFFFFFFFFF) | (1023 << 52)).view(np.float64)


def _never(like):
    return np.int32(-(1 << 29)) if like.dtype == np.float32 else np.int64(-(1 << 50))


@overload(_never)
def _(like):
    if like == types.float32:
        return lambda like: np.int32(-(1 << 29))
    return lambda like: np.int64(-(1 << 50))


def _order(v):
    """Map the bits of a float to an integer of the same order, so that a maximum needs no NaN rules."""
    return v ^ ((v >> 31) & 0x7FFFFFFF if v.dtype == np.int32 else (v >> 63) & 0x7FFFFFFFFFFFFFFF)


@overload(_order)
def _(v):
    if v == types.int32:
        return lambda v: np.int32(v ^ ((v >> 31) & 0x7FFFFFFF))
    return lambda v: v ^ ((v >> 63) & 0x7FFFFFFFFFFFFFFF)


def _small_exp(f):
    """Return e ** f for |f| <= ln(2) / 2."""
    return type(f)(np.exp(f))


@overload(_small_exp)
def _(f):
    if f == types.float32:

        def small32(f):
            p = _fma(_EXP32[6], f, _EXP32[5])
            p = _fma(p, f, _EXP32[4])
            p = _fma(p, f, _EXP32[3])
            p = _fma(p, f, _EXP32[2])
            p = _fma(p, f, _EXP32[1])
            return _fma(p, f, _EXP32[0])

        return small32

    def small64(f):
        p = _fma(_EXP64[11], f, _EXP64[10])
        p = _fma(p, f, _EXP64[9])
        p = _fma(p, f, _EXP64[8])
        p = _fma(p, f, _EXP64[7])
        p = _fma(p, f, _EXP64[6])
        p = _fma(p, f, _EXP64[5])
        p = _fma(p, f, _EXP64[4])
        p = _fma(p, f, _EXP64[3])
        p = _fma(p, f, _EXP64[2])
        p = _fma(p, f, _EXP64[1])
        return _fma(p, f, _EXP64[0])

    return small64


def _exp(z):
    """Return e ** z for z <= 1; 0 far below; NaN stays NaN."""
    return type(z)(np.exp(z))


@overload(_exp)
def _(z):
    if z == types.float32:

        def exp32(z):
            c = np.float32(-88.0) if z < np.float32(-88.0) else z
            rounded = _fma(c, _LOG2E32, _ROUND32)
            k = rounded - _ROUND32
            f = _fma(k, -_LN2_LOW32, _fma(k, -_LN2_HIGH32, c))
            scale = np.int32((np.float32(rounded).view(np.int32) + 127) << 23).view(np.float32)
            return _small_exp(f) * scale

        return exp32

    def exp64(z):
        c = -709.0 if z < -709.0 else z
        rounded = _fma(c, _LOG2E, _ROUND64)
        k = rounded - _ROUND64
        f = _fma(k, -_LN2_LOW, _fma(k, -_LN2_HIGH, c))
        scale = np.int64((np.float64(rounded).view(np.int64) + 1023) << 52).view(np.float64)
        return _small_exp(f) * scale

    return exp64


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
    top = _order(_bits(x[t, 0]))
    for k in range(C):  # a maximum of integers: no rules for NaN in its way, and NaN comes out above inf
        top = max(top, _order(_bits(x[t, k])))
    peak = _real(_order(top))
    one, zero = exps.dtype.type(1), exps.dtype.type(0)
    if not peak < np.inf or (kind == 0 and peak == -np.inf):
        return 0.0, 1.0, False
    if kind == 0:
        for k in range(C):
            exps[k] = _exp(x[t, k] - peak)
        total = float(_total(exps, C))
        return float(peak), total, total > 0.0  # not so if NaN
    wrong = 0
    if kind == 1:
        for k in range(C):
            exps[k] = _exp(one if x[t, k] > one else x[t, k])
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
                v = _bits(p * 1.8014398509481984e16 if tiny else p)  # 2**54
                mantissas[d] = _mantissa(v)
                e = _exponent(v) - (54 if tiny else 0)
                exponents[d] = _real(_whole(e, like))
            else:
                mantissas[d] = like
                exponents[d] = _real(_never(like))
        return
    low = _never(like) * 0.6931471805599453
    high = -low
    for d in range(classes.size):
        z = raw[d] - peak
        z = low if z < low else z
        z = high if z > high else z
        k = _fma(z, _LOG2E, _ROUND64) - _ROUND64
        f = _fma(k, -_LN2_LOW, _fma(k, -_LN2_HIGH, z))
        mantissas[d] = _small_exp(mantissas.dtype.type(f))
        exponents[d] = _real(_whole(k, like))


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
    never = _never(carry_m)
    carry_e = never
    for j in range(first, last):
        for i in range(16):
            bm = old[j, i] * blank_m
            be = _plus(_bits(old[j, 16 + i]), blank_e)
            lm = old[j, 32 + i] * E[j, i]
            le = _plus(_bits(old[j, 48 + i]), _bits(E[j, 16 + i]))
            e = max(be, carry_e)
            u = _fma(bm, _power(_plus(be, -e)), carry_m * _power(_plus(carry_e, -e)))
            carry_m, carry_e = lm, le
            v = _bits(u)
            new[j, i] = _mantissa(v)
            new[j, 16 + i] = _real(max(_plus(e, _exponent(v)), never))
            wm = u if skip[j, i] else bm
            we = e if skip[j, i] else be
            e = max(we, le)
            v = _bits(_fma(wm, _power(_plus(we, -e)), lm * _power(_plus(le, -e))))
            new[j, 32 + i] = _mantissa(v)
            new[j, 48 + i] = _real(max(_plus(e, _exponent(v)), never))


@jit
def _retreat(old, new, E, blank_m, blank_e, skip, first, last):
    """Write beta's row `new`, one frame before row `old`, whose emission is E.

    The mirror of `_advance`: u = blank i + label i comes to blank i; label i + (u of i+1, or blank i+1 where
    skipping it is forbidden) to label i. `first` and `last` count tiles of beta, which run backwards.
    """
    carry_m = old.dtype.type(1)
    never = _never(carry_m)
    carry_e = never
    R = skip.shape[0] - 1
    for j in range(first, last):
        for i in range(16):
            bm = old[j, i] * blank_m
            be = _plus(_bits(old[j, 16 + i]), blank_e)
            lm = old[j, 32 + i] * E[R - j, 15 - i]
            le = _plus(_bits(old[j, 48 + i]), _bits(E[R - j, 31 - i]))
            e = max(be, le)
            u = _fma(bm, _power(_plus(be, -e)), lm * _power(_plus(le, -e)))
            v = _bits(u)
            new[j, i] = _mantissa(v)
            new[j, 16 + i] = _real(max(_plus(e, _exponent(v)), never))
            onward_m = u if skip[R - j, 15 - i] else bm
            onward_e = e if skip[R - j, 15 - i] else be
            e = max(carry_e, le)
            v = _bits(_fma(carry_m, _power(_plus(carry_e, -e)), lm * _power(_plus(le, -e))))
            # The compiler can carry a value to the next lane only if it is made before the last one is used.
            carry_m, carry_e = onward_m, onward_e
            new[j, 32 + i] = _mantissa(v)
            new[j, 48 + i] = _real(max(_plus(e, _exponent(v)), never))


@jit
def _occupy(A, a, B, b, E, row, blank_m, blank_e, with_y, scale_m, scale_e, first, last, occupied):
    """Write each label's share of P at one frame into occupied[0], and return that of all blanks.

    A share is alpha y beta / P, or alpha beta / P if not `with_y`; 1 / P is scale_m 2^scale_e. The blanks are
    summed lane by lane in occupied[1].
    """
    R = A.shape[1] - 1
    one = A.dtype.type(1)
    none = _exponent(_bits(one))  # 0, of the right type
    most = _plus(none, 126)
    if not with_y:
        blank_m, blank_e = one, none
    blank_m *= scale_m
    blank_e = _plus(blank_e, scale_e)
    for i in range(16):
        occupied[1, 0, i] = 0
    for j in range(first, last):
        for i in range(16):
            e = _plus(_plus(_bits(A[a, j, 16 + i]), _bits(B[b, R - j, 31 - i])), blank_e)
            m = A[a, j, i] * B[b, R - j, 15 - i] * blank_m
            occupied[1, 0, i] += m * _power(min(e, most))
    if with_y:
        for j in range(first, last):
            for i in range(16):
                e = _plus(_bits(A[a, j, 48 + i]), _bits(B[b, R - j, 63 - i]))
                e = _plus(_plus(e, _bits(E[row, j, 16 + i])), scale_e)
                m = A[a, j, 32 + i] * B[b, R - j, 47 - i] * scale_m * E[row, j, i]
                occupied[0, j, i] = m * _power(min(e, most))
    else:
        for j in range(first, last):
            for i in range(16):
                e = _plus(_plus(_bits(A[a, j, 48 + i]), _bits(B[b, R - j, 63 - i])), scale_e)
                m = A[a, j, 32 + i] * B[b, R - j, 47 - i] * scale_m
                occupied[0, j, i] = m * _power(min(e, most))
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
    never = _real(_never(one))
    for j in range(first, last):
        for i in range(16):
            rows[row, j, i] = one
            rows[row, j, 16 + i] = never
            rows[row, j, 32 + i] = one
            rows[row, j, 48 + i] = never


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
    zero = _real(_exponent(_bits(one)))
    A[row, 0, 16] = zero
    if L > 0:
        A[row, 0, 48] = zero


@jit
def _finish(B, row, L):
    """Set beta after the last emission: a path may end at blank L or at label L-1."""
    one = B.dtype.type(1)
    R = B.shape[1] - 1
    _clear(B, row, 0, R + 1)
    zero = _real(_exponent(_bits(one)))
    B[row, R - (L >> 4), 16 + 15 - (L & 15)] = zero
    if L > 0:
        B[row, R - ((L - 1) >> 4), 48 + 15 - ((L - 1) & 15)] = zero


@jit
def _probability(A, row, E, e_row, blank_m, blank_e, L):
    """Return P = m 2^e from alpha and the emission of the last frame."""
    j, i = L >> 4, L & 15
    m = A[row, j, i] * blank_m
    e = _plus(_bits(A[row, j, 16 + i]), blank_e)
    if L > 0:
        j, i = (L - 1) >> 4, (L - 1) & 15
        lm = A[row, j, 32 + i] * E[e_row, j, i]
        le = _plus(_bits(A[row, j, 48 + i]), _bits(E[e_row, j, 16 + i]))
        top = max(e, le)
        m = _fma(m, _power(_plus(e, -top)), lm * _power(_plus(le, -top)))
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
    never = _never(one)
    tab_m[D] = one
    tab_e[D] = _real(never)
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
            _advance(
                A[before], A[row], E[e_row], blanks[e_row, 0], _bits(blanks[e_row, 1]), skip, first, last
            )
        if with_grad and not keep and t % block == 0:
            _copy(A, row, saved, t // block)
        e_row = t if keep else 0
        _split(x, t, kind, peak, used, raw, tab_m, tab_e)
        _spread(which, tab_m, tab_e, E, e_row, _first_tile(t - 1, T, L), _last_tile(t + 1, L))
        blanks[e_row, 0], blanks[e_row, 1] = tab_m[D - 1], tab_e[D - 1]

    m, e = one, never
    if fits:
        row = T - 1 if keep else (T - 1) & 1
        e_row = T - 1 if keep else 0
        m, e = _probability(A, row, E, e_row, blanks[e_row, 0], _bits(blanks[e_row, 1]), L)
    if e < never // 2:
        if with_grad:
            grad[:] = 0
        return np.inf, -1
    loss = _loss(product, shift, float(m), int(e)) - (offset if kind == 1 else 0.0)
    if not with_grad:
        return loss, -1

    # Backward through all frames, block by block; beta's row t comes from row t + 1.
    scale_m, scale_e = one / m, _plus(never, -(never + e))
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
                    blank_m, blank_e = blanks[row - 1, 0], _bits(blanks[row - 1, 1])
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
                blank_m, blank_e = blanks[after, 0], _bits(blanks[after, 1])
                end = _last_tile(t + 1, L)
                _retreat(B[(t + 1) & 1], B[t & 1], E[after], blank_m, blank_e, skip, R - end, R - first)
            blank_m, blank_e = blanks[row, 0], _bits(blanks[row, 1])
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
    tab_e[D] = _real(_never(one))
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
        _advance(A[t], A[t + 1], E[t], blanks[t, 0], _bits(blanks[t, 1]), skip, 0, R)
    for t in range(T - 1, 0, -1):
        _retreat(B[t], B[t - 1], E[t], blanks[t, 0], _bits(blanks[t, 1]), skip, 0, R)
    before, after = 0.0, totals.sum()
    for t in range(T):
        before += totals[t]
        after -= totals[t]
        for s in range(2 * L + 1):
            i = s >> 1
            j, place, odd = i >> 4, i & 15, 32 * (s & 1)
            m, e = A[t, j, odd + place], int(_bits(A[t, j, odd + 16 + place]))
            if s & 1:
                m *= E[t, j, place]
                e += int(_bits(E[t, j, 16 + place]))
            else:
                m *= blanks[t, 0]
                e += int(_bits(blanks[t, 1]))
            alpha[t, s] = _log(m, e, one) - before
            m, e = B[t, R - 1 - j, odd + 15 - place], int(_bits(B[t, R - 1 - j, odd + 31 - place]))
            beta[t, s] = _log(m, e, one) - after
    return -1


@jit
def _log(m, e, one):
    return -np.inf if e < _never(one) // 2 else np.log(m) + e * 0.6931471805599453


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
        top = _order(_bits(x[t, 0]))
        for k in range(C):
            top = max(top, _order(_bits(x[t, k])))
        peak = _real(_order(top))
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
