"""Numbers of extended range for CTC's kernels: m 2^e, the arithmetic on them, and exponentials.

The functions with an ``overload`` are what differs between float32 and float64; their bodies serve when Numba
is disabled. Integers travel as the bits of floats, so that one array holds both parts of a number.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

__all__ = [
    "LANES",
    "LN2_HIGH",
    "LN2_LOW",
    "LOG2E",
    "ROUND64",
    "bits",
    "exp",
    "exponent",
    "fma",
    "mantissa",
    "never",
    "order",
    "plus",
    "power",
    "real",
    "small_exp",
    "whole",
]

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
LOG2E = 1.4426950408889634
LN2_HIGH, LN2_LOW = (
    0.6931471803691238,
    1.9082149292705877e-10,
)  # their sum has the digits of ln 2 twice over
ROUND64 = 6755399441055744.0  # 1.5 * 2**52: adding and subtracting it rounds to a whole number
_ROUND32 = np.float32(12582912.0)
_LN2_HIGH32, _LN2_LOW32 = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOG2E32 = np.float32(LOG2E)


@intrinsic
def _fused(typingctx, a, b, c):
    def codegen(context, builder, signature, args):
        return builder.fma(*args)

    return a(a, a, a), codegen


def fma(a, b, c):
    """Return a b + c, rounded once: said outright, so that every compiled copy gives the same bits."""
    return a * b + c


@overload(fma)
def _(a, b, c):
    return lambda a, b, c: _fused(a, b, c)  # type: ignore[call-arg]


def bits(x):
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


@overload(bits)
def _(x):
    if x == types.float32:
        return lambda x: np.float32(x).view(np.int32)
    return lambda x: np.float64(x).view(np.int64)


def real(i):
    return i.view(np.float32 if i.dtype == np.int32 else np.float64)


@overload(real)
def _(i):
    if i == types.int32:
        return lambda i: np.int32(i).view(np.float32)
    return lambda i: np.int64(i).view(np.float64)


def whole(x, like):
    return np.int32(x) if like.dtype == np.float32 else np.int64(x)


@overload(whole)
def _(x, like):
    if like == types.float32:
        return lambda x, like: np.int32(x)
    return lambda x, like: np.int64(x)


def plus(a, b):
    return a + b


@overload(plus)
def _(a, b):
    if a == types.int32:  # Numba would widen the sum to 64 bits, and halve the lanes
        return lambda a, b: np.int32(a + b)
    return lambda a, b: a + b


def power(e):
    """Return 2 ** e for e <= the largest exponent; 0 below the smallest."""
    if e.dtype == np.int32:
        return np.int32(max(e + 127, 0) << 23).view(np.float32)
    return np.int64(max(e + 1023, 0) << 52).view(np.float64)


@overload(power)
def _(e):
    if e == types.int32:
        return lambda e: np.int32(max(np.int32(e + 127), np.int32(0)) << 23).view(np.float32)
    return lambda e: np.int64(max(e + 1023, np.int64(0)) << 52).view(np.float64)


def exponent(v):
    return (v >> 23) - 127 if v.dtype == np.int32 else (v >> 52) - 1023


@overload(exponent)
def _(v):
    if v == types.int32:
        return lambda v: np.int32((v >> 23) - 127)
    return lambda v: (v >> 52) - 1023


def mantissa(v):
    if v.dtype == np.int32:
        return np.int32((v & 0x7FFFFF) | 0x3F800000).view(np.float32)
    return np.int64((v & 0xFFFFFFFFFFFFF) | (1023 << 52)).view(np.float64)


@overload(mantissa)
def _(v):
    if v == types.int32:
        return lambda v: np.int32((v & 0x7FFFFF) | 0x3F800000).view(np.float32)
    return lambda v: np.int64((v & 0xFFFFFFFFFFFFF) | (1023 << 52)).view(np.float64)


def never(like):
    return np.int32(-(1 << 29)) if like.dtype == np.float32 else np.int64(-(1 << 50))


@overload(never)
def _(like):
    if like == types.float32:
        return lambda like: np.int32(-(1 << 29))
    return lambda like: np.int64(-(1 << 50))


def order(v):
    """Map the bits of a float to an integer of the same order, so that a maximum needs no NaN rules."""
    return v ^ ((v >> 31) & 0x7FFFFFFF if v.dtype == np.int32 else (v >> 63) & 0x7FFFFFFFFFFFFFFF)


@overload(order)
def _(v):
    if v == types.int32:
        return lambda v: np.int32(v ^ ((v >> 31) & 0x7FFFFFFF))
    return lambda v: v ^ ((v >> 63) & 0x7FFFFFFFFFFFFFFF)


def small_exp(f):
    """Return e ** f for |f| <= ln(2) / 2."""
    return type(f)(np.exp(f))


@overload(small_exp)
def _(f):
    if f == types.float32:

        def small32(f):
            p = fma(_EXP32[6], f, _EXP32[5])
            p = fma(p, f, _EXP32[4])
            p = fma(p, f, _EXP32[3])
            p = fma(p, f, _EXP32[2])
            p = fma(p, f, _EXP32[1])
            return fma(p, f, _EXP32[0])

        return small32

    def small64(f):
        p = fma(_EXP64[11], f, _EXP64[10])
        p = fma(p, f, _EXP64[9])
        p = fma(p, f, _EXP64[8])
        p = fma(p, f, _EXP64[7])
        p = fma(p, f, _EXP64[6])
        p = fma(p, f, _EXP64[5])
        p = fma(p, f, _EXP64[4])
        p = fma(p, f, _EXP64[3])
        p = fma(p, f, _EXP64[2])
        p = fma(p, f, _EXP64[1])
        return fma(p, f, _EXP64[0])

    return small64


def exp(z):
    """Return e ** z for z <= 1; 0 far below; NaN stays NaN."""
    return type(z)(np.exp(z))


@overload(exp)
def _(z):
    if z == types.float32:

        def exp32(z):
            c = np.float32(-88.0) if z < np.float32(-88.0) else z
            rounded = fma(c, _LOG2E32, _ROUND32)
            k = rounded - _ROUND32
            f = fma(k, -_LN2_LOW32, fma(k, -_LN2_HIGH32, c))
            scale = np.int32((np.float32(rounded).view(np.int32) + 127) << 23).view(np.float32)
            return small_exp(f) * scale

        return exp32

    def exp64(z):
        c = -709.0 if z < -709.0 else z
        rounded = fma(c, LOG2E, ROUND64)
        k = rounded - ROUND64
        f = fma(k, -LN2_LOW, fma(k, -LN2_HIGH, c))
        scale = np.int64((np.float64(rounded).view(np.int64) + 1023) << 52).view(np.float64)
        return small_exp(f) * scale

    return exp64
