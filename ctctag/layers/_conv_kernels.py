"""Kernels of `Conv2d`: a block of frames at a time, unfolded into a matrix and multiplied.

A row of the unfolded matrix holds the kT · kF · C_in values that one output sees, in the order of the
weights; the convolution of a block is then one product of matrices. Blocks are small enough for the matrix
to stay in the cache. The input's gradient is itself a convolution, of the output's gradient with the flipped
kernel; the weights' gradient is the unfolded input, transposed, times the output's gradient.
"""

import numpy as np

from ctctag._jit import jit

__all__ = ["convolve", "weight_gradient"]

_COLUMNS = 1 << 16  # values of the unfolded matrix: a quarter of a megabyte in float32


@jit
def _unfold(x, length, kt, kf, start, stop, columns):
    """Write what the outputs of frames start ... stop see into columns ((stop - start) · F, kT · kF · C)."""
    bands, channels = x.shape[1], x.shape[2]
    for t in range(start, stop):
        for f in range(bands):
            row = (t - start) * bands + f
            for i in range(kt):
                ti = t + i - kt // 2
                for j in range(kf):
                    fj = f + j - kf // 2
                    at = (i * kf + j) * channels
                    if 0 <= ti < length and 0 <= fj < bands:
                        for c in range(channels):
                            columns[row, at + c] = x[ti, fj, c]
                    else:
                        for c in range(channels):
                            columns[row, at + c] = 0


@jit
def convolve(x, length, weight, bias, kt, kf, begin, end, y):
    """Write frames begin ... end of one clip's convolution into y (T, F, C_out); zero from `length` on.

    x (T, F, C_in); weight (kT · kF · C_in, C_out); bias (C_out,).
    """
    bands, outputs = x.shape[1], weight.shape[1]
    frames = max(1, min(end - begin, _COLUMNS // (bands * weight.shape[0])))
    columns = np.empty((frames * bands, weight.shape[0]), x.dtype)
    last = min(end, length)
    for start in range(begin, last, frames):
        stop = min(start + frames, last)
        rows = (stop - start) * bands
        _unfold(x, length, kt, kf, start, stop, columns)
        out = y[start:stop].reshape(rows, outputs)
        np.dot(columns[:rows], weight, out)
        for row in range(rows):
            for c in range(outputs):
                out[row, c] += bias[c]
    y[max(begin, last) : end] = 0


@jit
def weight_gradient(x, length, dy, kt, kf, begin, end, dweight):
    """Add the share of frames begin ... end of one clip to dweight (kT · kF · C_in, C_out)."""
    bands, outputs = x.shape[1], dy.shape[2]
    size = dweight.shape[0]
    frames = max(1, min(end - begin, _COLUMNS // (bands * size)))
    columns = np.empty((frames * bands, size), x.dtype)
    product = np.empty_like(dweight)
    last = min(end, length)
    for start in range(begin, last, frames):
        stop = min(start + frames, last)
        rows = (stop - start) * bands
        _unfold(x, length, kt, kf, start, stop, columns)
        out = dy[start:stop].reshape(rows, outputs)
        np.dot(columns[:rows].T, out, product)
        for i in range(size):
            for c in range(outputs):
                dweight[i, c] += product[i, c]
