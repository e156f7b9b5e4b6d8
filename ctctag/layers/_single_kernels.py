"""Kernels of a 3 x 3 convolution of one channel: a network's first, whose input is a spectrogram.

An output of C channels takes nine numbers times nine vectors of C weights; there is too little to gain from
unfolding or transforming an input of one channel. The nine vectors stay in registers along a row.
"""

from ctctag._jit import jit
from ctctag._simd import address, fma, lanes, load, spread, store
from ctctag.layers._winograd_kernels import pad

__all__ = ["convolve", "weight_gradient"]


@jit
def convolve(x, length, bands, weight, bias, outputs, begin, end, padded, y):
    """Write frames begin ... end of one clip's convolution into y (T, F, C_out); zero from `length` on.

    x (T, F), weight (3, 3, C_out) and y are flat; padded has room for (end - begin + 2)(F + 2) values.
    """
    w = lanes(x)
    last = max(begin, min(end, length))
    columns = bands + 2
    pad(x, 0, length, begin - 1, last - begin + 2, bands, columns, 1, padded)
    p, k, b, out = address(padded), address(weight), address(bias), address(y)
    for t in range(begin, last):
        above = (t - begin) * columns
        here, below = above + columns, above + 2 * columns
        for c in range(0, outputs, w):
            offset = load(b, c)
            k00, k01, k02 = load(k, c), load(k, outputs + c), load(k, 2 * outputs + c)
            k10, k11, k12 = load(k, 3 * outputs + c), load(k, 4 * outputs + c), load(k, 5 * outputs + c)
            k20, k21, k22 = load(k, 6 * outputs + c), load(k, 7 * outputs + c), load(k, 8 * outputs + c)
            for f in range(bands):
                upper = fma(spread(p, p[above + f]), k00, offset)
                upper = fma(spread(p, p[above + f + 1]), k01, upper)
                upper = fma(spread(p, p[above + f + 2]), k02, upper)
                middle = spread(p, p[here + f]) * k10
                middle = fma(spread(p, p[here + f + 1]), k11, middle)
                middle = fma(spread(p, p[here + f + 2]), k12, middle)
                lower = spread(p, p[below + f]) * k20
                lower = fma(spread(p, p[below + f + 1]), k21, lower)
                lower = fma(spread(p, p[below + f + 2]), k22, lower)
                store(out, (t * bands + f) * outputs + c, (upper + middle) + lower)
    y[last * bands * outputs : end * bands * outputs] = 0


@jit
def weight_gradient(x, length, bands, dy, outputs, begin, end, padded, dweight):
    """Add the share of frames begin ... end of one clip to dweight (3, 3, C_out), flat; see `convolve`."""
    w = lanes(x)
    last = max(begin, min(end, length))
    columns = bands + 2
    pad(x, 0, length, begin - 1, last - begin + 2, bands, columns, 1, padded)
    p, d, dk = address(padded), address(dy), address(dweight)
    zero = spread(x, 0.0)
    for t in range(begin, last):
        above = (t - begin) * columns
        here, below = above + columns, above + 2 * columns
        for c in range(0, outputs, w):
            s00, s01, s02, s10, s11, s12, s20, s21, s22 = zero, zero, zero, zero, zero, zero, zero, zero, zero
            for f in range(bands):
                g = load(d, (t * bands + f) * outputs + c)
                s00 = fma(spread(p, p[above + f]), g, s00)
                s01 = fma(spread(p, p[above + f + 1]), g, s01)
                s02 = fma(spread(p, p[above + f + 2]), g, s02)
                s10 = fma(spread(p, p[here + f]), g, s10)
                s11 = fma(spread(p, p[here + f + 1]), g, s11)
                s12 = fma(spread(p, p[here + f + 2]), g, s12)
                s20 = fma(spread(p, p[below + f]), g, s20)
                s21 = fma(spread(p, p[below + f + 1]), g, s21)
                s22 = fma(spread(p, p[below + f + 2]), g, s22)
            store(dk, c, load(dk, c) + s00)
            store(dk, outputs + c, load(dk, outputs + c) + s01)
            store(dk, 2 * outputs + c, load(dk, 2 * outputs + c) + s02)
            store(dk, 3 * outputs + c, load(dk, 3 * outputs + c) + s10)
            store(dk, 4 * outputs + c, load(dk, 4 * outputs + c) + s11)
            store(dk, 5 * outputs + c, load(dk, 5 * outputs + c) + s12)
            store(dk, 6 * outputs + c, load(dk, 6 * outputs + c) + s20)
            store(dk, 7 * outputs + c, load(dk, 7 * outputs + c) + s21)
            store(dk, 8 * outputs + c, load(dk, 8 * outputs + c) + s22)
