"""Kernels of the pooling layers, for one clip. Of equal maxima the first counts; NaN is the largest."""

from ctctag._jit import jit

__all__ = ["global_max", "max_pool", "max_unpool"]


@jit
def max_pool(x, pt, pf, frames, y, where):
    """Write the maxima of pt × pf windows of x (T, F, C) into y (T', F', C), and their places into where."""
    for t in range(frames):
        for f in range(y.shape[1]):
            for c in range(y.shape[2]):
                best = x[t * pt, f * pf, c]
                place = 0
                for k in range(1, pt * pf):
                    value = x[t * pt + k // pf, f * pf + k % pf, c]
                    if value > best or value != value:
                        best = value
                        place = k
                y[t, f, c] = best
                where[t, f, c] = place


@jit
def max_unpool(dy, where, pt, pf, frames, dx):
    """Write each dy (T', F', C) to the place of its maximum in dx (T, F, C), which holds zeros."""
    for t in range(frames):
        for f in range(dy.shape[1]):
            for k in range(pt * pf):
                for c in range(dy.shape[2]):
                    if where[t, f, c] == k:
                        dx[t * pt + k // pf, f * pf + k % pf, c] = dy[t, f, c]


@jit
def global_max(x, length, y, where):
    """Write the largest of the first `length` frames of x (T, C) into y (C,), and its frame into where."""
    for c in range(x.shape[1]):
        y[c] = x[0, c]
        where[c] = 0
    for t in range(1, length):
        for c in range(x.shape[1]):
            if x[t, c] > y[c] or x[t, c] != x[t, c]:
                y[c] = x[t, c]
                where[c] = t
