"""Kernels of `ConvBlock` after its convolution: batch norm, ReLU and pooling of pairs of bands, in one pass.

Forward, a pair of neighbouring bands becomes max(0, max(s · y0 + h, s · y1 + h)), with s and h batch norm's
scale and shift. Backward, nothing between y and the output was kept: the pair is computed again, which is
cheaper than reading it, and dz goes to the larger of the two where it was positive. Batch norm's own backward
is then dy = a · g + b · y + c, with a, b, c from two sums over the batch.

All arrays are flat: y (T, F, C) and z, dz (T, F // 2, C) of one clip. Channels are a multiple of the lanes.
"""

import numpy as np

from ctctag._jit import jit
from ctctag._simd import fma, lanes, load, pick, spread, store

__all__ = ["gradient_sums", "input_gradient", "moments", "normalise"]


@jit
def moments(y, bands, channels, begin, end, mean, square):
    """Write the mean of frames begin ... end of y, and the sum of squared deviations from it, float64 (C,).

    A row is summed in the dtype of y, rows in float64; the second pass finds the block in the cache.
    """
    w = lanes(y)
    row, near = np.empty(channels, y.dtype), np.empty(channels, y.dtype)
    mean[:] = 0
    square[:] = 0
    for t in range(begin, end):
        for c in range(0, channels, w):
            total = spread(y, 0.0)
            for f in range(bands):
                total = total + load(y, (t * bands + f) * channels + c)
            store(row, c, total)
        for c in range(channels):
            mean[c] += row[c]
    for c in range(channels):
        mean[c] /= (end - begin) * bands
        near[c] = mean[c]
    for t in range(begin, end):
        for c in range(0, channels, w):
            total = spread(y, 0.0)
            centre = load(near, c)
            for f in range(bands):
                deviation = load(y, (t * bands + f) * channels + c) - centre
                total = fma(deviation, deviation, total)
            store(row, c, total)
        for c in range(channels):
            square[c] += row[c]


@jit
def normalise(y, bands, channels, scale, shift, begin, end, length, z):
    """Write frames begin ... end of the pooled output z; zero from `length` on."""
    w = lanes(y)
    pairs = bands // 2
    zero = spread(y, 0.0)
    last = max(begin, min(end, length))
    for t in range(begin, last):
        for p in range(pairs):
            at = (t * bands + 2 * p) * channels
            to = (t * pairs + p) * channels
            for c in range(0, channels, w):
                s, h = load(scale, c), load(shift, c)
                first = fma(s, load(y, at + c), h)
                second = fma(s, load(y, at + channels + c), h)
                best = pick(second, first, second, first)
                store(z, to + c, pick(zero, best, zero, best))  # NaN stays NaN
    z[last * pairs * channels : end * pairs * channels] = 0


@jit
def gradient_sums(y, bands, channels, scale, shift, mean, dz, begin, end, sum_g, sum_gy):
    """Add the sums of g and of g · (y - mean) over frames begin ... end to two totals (C,), float64."""
    w = lanes(y)
    pairs = bands // 2
    zero = spread(y, 0.0)
    row, row_y = np.empty(channels, y.dtype), np.empty(channels, y.dtype)
    for t in range(begin, end):
        for c in range(0, channels, w):
            s, h, centre = load(scale, c), load(shift, c), load(mean, c)
            total, total_y = zero, zero
            for p in range(pairs):
                at = (t * bands + 2 * p) * channels + c
                y0, y1 = load(y, at), load(y, at + channels)
                first, second = fma(s, y0, h), fma(s, y1, h)
                best = pick(second, first, second, first)
                chosen = pick(second, first, y1, y0)
                g = pick(best, zero, load(dz, (t * pairs + p) * channels + c), zero)
                total = total + g
                total_y = fma(g, chosen - centre, total_y)
            store(row, c, total)
            store(row_y, c, total_y)
        for c in range(channels):
            sum_g[c] += row[c]
            sum_gy[c] += row_y[c]


@jit
def input_gradient(y, bands, channels, scale, shift, a, b, c0, dz, begin, end, length, dy):
    """Write frames begin ... end of dy = a · g + b · y + c0, the gradient at the convolution's output."""
    w = lanes(y)
    pairs = bands // 2
    zero = spread(y, 0.0)
    last = max(begin, min(end, length))
    for t in range(begin, last):
        for p in range(pairs):
            at = (t * bands + 2 * p) * channels
            to = (t * pairs + p) * channels
            for c in range(0, channels, w):
                s, h = load(scale, c), load(shift, c)
                y0, y1 = load(y, at + c), load(y, at + channels + c)
                first, second = fma(s, y0, h), fma(s, y1, h)
                best = pick(second, first, second, first)
                g = pick(best, zero, load(dz, to + c), zero) * load(a, c)
                slope, offset = load(b, c), load(c0, c)
                store(dy, at + c, fma(slope, y0, offset) + pick(second, first, zero, g))
                store(dy, at + channels + c, fma(slope, y1, offset) + pick(second, first, g, zero))
        if bands % 2:  # the last band of an odd number is not pooled, but it was normalised with the others
            at = ((t + 1) * bands - 1) * channels
            for c in range(0, channels, w):
                store(dy, at + c, fma(load(b, c), load(y, at + c), load(c0, c)))
    dy[last * bands * channels : end * bands * channels] = 0
