r"""Numbers of extended range for CTC's kernels: vectors of m 2^e, and the exponentials that make them.

A probability is a mantissa, a float in [1, 2), and an exponent, an integer of the same width: the range of a
logarithm with the relative precision of a plain float, and no exp or log on the way. Adding two such numbers
takes shifts and a multiply-add. "Impossible" is an exponent far below anything real, so neither zero nor
infinity nor NaN ever enters the arithmetic. Multiply-adds are written out, never left to the compiler, so
that every compiled copy gives the same bits.
"""

from ctctag._jit import jit
from ctctag._simd import (
    as_float,
    as_int,
    choose,
    fma,
    lanes,
    larger,
    pick,
    power_of_two,
    rint,
    shift_left,
    shift_right,
    spread,
    store,
    to_int,
)

__all__ = ["LN2", "add", "clear", "emission", "exp", "impossible", "power", "tidy"]

LN2 = 0.6931471805599453
_LOG2E = 1.4426950408889634
# ln 2 in two parts of float32 and of float64: a fused multiply-add takes the product with the first exactly.
_LN2_32 = (0.693147182464599609375, -1.904654299957767e-09)
_LN2_64 = (0.6931471805599453, 2.3190468138462996e-17)
# e^f on |f| <= ln(2) / 2, highest power first, interpolated at Chebyshev nodes; relative errors 3e-9, 4e-18.
_EXP32 = (
    0.0013941116631031036,
    0.008375132456421852,
    0.04166635125875473,
    0.16666415333747864,
    0.5,
    1.0,
    1.0,
)
_EXP64 = (
    2.511102788497157e-08,
    2.7632706692581377e-07,
    2.755723763497525e-06,
    2.4801485289368063e-05,
    0.0001984126989396263,
    0.0013888888952506718,
    0.008333333333317606,
    0.041666666666487336,
    0.16666666666666685,
    0.5000000000000019,
    1.0,
    1.0,
)


@jit(forceinline=True)
def impossible(like):
    """Return the exponent of an impossible state, so that the sum of any three still is an integer."""
    return -(1 << 29) if lanes(like) == 16 else -(1 << 50)


@jit(forceinline=True)
def power(e):
    """Return 2^e, 0 below the smallest; e at most the largest exponent."""
    single = lanes(e) == 16
    biased = larger(e + spread(e, 127 if single else 1023), spread(e, 0))
    return as_float(shift_left(biased, 23 if single else 52))


@jit(forceinline=True)
def tidy(m, e):
    """Return m 2^e with m in [1, 2), and with e not below that of the impossible."""
    single = lanes(e) == 16
    v = as_int(m)
    e = e + (shift_right(v, 23 if single else 52) - spread(e, 127 if single else 1023))
    v = v & spread(e, 0x7FFFFF if single else 0xFFFFFFFFFFFFF)
    v = v | spread(e, 0x3F800000 if single else 1023 << 52)
    return as_float(v), larger(e, spread(e, impossible(e)))


@jit(forceinline=True)
def add(m1, e1, m2, e2):
    """Return m1 2^e1 + m2 2^e2; the mantissa is not tidied."""
    e = larger(e1, e2)
    return fma(m1, power(e1 - e), m2 * power(e2 - e)), e


@jit(forceinline=True)
def _small_exp(f):
    """Return e^f for |f| <= ln(2) / 2."""
    if lanes(f) == 16:
        p = spread(f, _EXP32[0])
        for i in range(1, 7):
            p = fma(p, f, spread(f, _EXP32[i]))
    else:
        p = spread(f, _EXP64[0])
        for i in range(1, 12):
            p = fma(p, f, spread(f, _EXP64[i]))
    return p


@jit(forceinline=True)
def _ln2(like):
    """Return -ln 2 in two parts."""
    if lanes(like) == 16:
        return spread(like, -_LN2_32[0]), spread(like, -_LN2_32[1])
    return spread(like, -_LN2_64[0]), spread(like, -_LN2_64[1])


@jit(forceinline=True)
def exp(z):
    """Return e^z for z <= 1; 0 far below 0; NaN stays NaN."""
    single = lanes(z) == 16
    least = spread(z, -88.0 if single else -709.0)
    shift = spread(z, 12582912.0 if single else 6755399441055744.0)  # 1.5 2^23 and 1.5 2^52
    high, low = _ln2(z)
    z = pick(least, z, least, z)
    shifted = fma(z, spread(z, _LOG2E), shift)
    k = shifted - shift
    return _small_exp(fma(k, low, fma(k, high, z))) * power_of_two(shifted)


@jit(forceinline=True)
def emission(kind, score, peak):
    """Return m 2^e of scores: e^(score - peak), or of kind 2 the scores, probabilities, as they are."""
    one, zero = spread(score, 1.0), spread(score, 0.0)
    if kind == 2:  # those below the least ordinary number are made larger first
        tiny = spread(score, 1e-30)
        whole = to_int(zero)
        m, e = tidy(pick(tiny, score, score * spread(score, 2.0**80), score), whole)
        e = e - to_int(pick(tiny, score, spread(score, 80.0), zero))
        possible = to_int(pick(score, zero, one, zero))
        return choose(possible, m, one), choose(possible, e, spread(whole, impossible(whole)))
    # The difference of two floats and what its rounding lost: e^z is to be as exact far from the peak.
    least = spread(score, impossible(score) * LN2)
    z = score - peak
    v = z - score
    lost = pick(z, least, (score - (z - v)) - (peak + v), zero)
    z = larger(z, least)
    high, low = _ln2(z)
    log2e = spread(z, _LOG2E)
    k = rint(z * log2e)
    f = fma(k, high, z)
    more = rint(f * log2e)  # where z is huge, its rounded multiple is off by more than one half
    f = fma(k, low, fma(more, high, f)) + lost
    return _small_exp(f), to_int(k) + to_int(more)


@jit(forceinline=True)
def clear(m, e, start, stop):
    """Make the states from place `start` to `stop` impossible."""
    for at in range(start, stop, lanes(m)):
        store(m, at, spread(m, 1.0))
        store(e, at, spread(e, impossible(e)))
