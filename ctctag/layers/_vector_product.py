"""The product of small matrices, in vectors: what a kernel calls many times from several threads.

OpenBLAS takes a lock at every call, so that two threads with small products wait for each other (measured:
two threads then take longer than one). Here eight rows times two vectors of columns are summed in sixteen
registers; each step loads two vectors and eight numbers for sixteen fused products, which is enough to keep
the multipliers busy. On matrices of 64 x 64 it runs at 93 % of OpenBLAS's speed on one thread.

Kernels call it with addresses rather than arrays: counting the references to an array that two threads share
costs them more than a product of this size.
"""

from ctctag._jit import jit
from ctctag._simd import fma, lanes, load, spread, store

__all__ = ["multiply"]


@jit
def multiply(a, a0, row, step, rows, depth, b, b0, columns, c, c0, add):
    """Write (or add) the product of a (rows, depth) and b (depth, columns) to c (rows, columns).

    All are addresses, or flat arrays, and start at a0, b0 and c0. The entry (i, k) of a lies at
    ``a0 + i * row + k * step``, so
    that a transpose costs nothing; b and c are contiguous by rows. columns is a multiple of the lanes.
    """
    w = lanes(c)
    whole = rows - rows % 8
    pairs = columns - columns % (2 * w)
    for j in range(0, pairs, 2 * w):
        for i in range(0, whole, 8):
            _eight_by_two(a, a0 + i * row, row, step, depth, b, b0 + j, columns, c, c0 + i * columns + j, add)
    for i in range(0, whole, 8):
        for j in range(pairs, columns, w):
            _eight_by_one(a, a0 + i * row, row, step, depth, b, b0 + j, columns, c, c0 + i * columns + j, add)
    for i in range(whole, rows):
        for j in range(0, columns, w):
            to = c0 + i * columns + j
            total = load(c, to) if add else spread(c, 0.0)
            for k in range(depth):
                total = fma(spread(c, a[a0 + i * row + k * step]), load(b, b0 + k * columns + j), total)
            store(c, to, total)


@jit
def _eight_by_two(a, a0, row, step, depth, b, b0, columns, c, c0, add):
    """Do eight rows and two vectors of columns."""
    zero = spread(c, 0.0)
    w = lanes(c)
    c0x = load(c, c0) if add else zero
    c0y = load(c, c0 + w) if add else zero
    c1x = load(c, c0 + columns) if add else zero
    c1y = load(c, c0 + columns + w) if add else zero
    c2x = load(c, c0 + 2 * columns) if add else zero
    c2y = load(c, c0 + 2 * columns + w) if add else zero
    c3x = load(c, c0 + 3 * columns) if add else zero
    c3y = load(c, c0 + 3 * columns + w) if add else zero
    c4x = load(c, c0 + 4 * columns) if add else zero
    c4y = load(c, c0 + 4 * columns + w) if add else zero
    c5x = load(c, c0 + 5 * columns) if add else zero
    c5y = load(c, c0 + 5 * columns + w) if add else zero
    c6x = load(c, c0 + 6 * columns) if add else zero
    c6y = load(c, c0 + 6 * columns + w) if add else zero
    c7x = load(c, c0 + 7 * columns) if add else zero
    c7y = load(c, c0 + 7 * columns + w) if add else zero
    for k in range(depth):
        x = load(b, b0 + k * columns)
        y = load(b, b0 + k * columns + w)
        at = a0 + k * step
        s = spread(c, a[at])
        c0x = fma(s, x, c0x)
        c0y = fma(s, y, c0y)
        s = spread(c, a[at + row])
        c1x = fma(s, x, c1x)
        c1y = fma(s, y, c1y)
        s = spread(c, a[at + 2 * row])
        c2x = fma(s, x, c2x)
        c2y = fma(s, y, c2y)
        s = spread(c, a[at + 3 * row])
        c3x = fma(s, x, c3x)
        c3y = fma(s, y, c3y)
        s = spread(c, a[at + 4 * row])
        c4x = fma(s, x, c4x)
        c4y = fma(s, y, c4y)
        s = spread(c, a[at + 5 * row])
        c5x = fma(s, x, c5x)
        c5y = fma(s, y, c5y)
        s = spread(c, a[at + 6 * row])
        c6x = fma(s, x, c6x)
        c6y = fma(s, y, c6y)
        s = spread(c, a[at + 7 * row])
        c7x = fma(s, x, c7x)
        c7y = fma(s, y, c7y)
    store(c, c0, c0x)
    store(c, c0 + w, c0y)
    store(c, c0 + columns, c1x)
    store(c, c0 + columns + w, c1y)
    store(c, c0 + 2 * columns, c2x)
    store(c, c0 + 2 * columns + w, c2y)
    store(c, c0 + 3 * columns, c3x)
    store(c, c0 + 3 * columns + w, c3y)
    store(c, c0 + 4 * columns, c4x)
    store(c, c0 + 4 * columns + w, c4y)
    store(c, c0 + 5 * columns, c5x)
    store(c, c0 + 5 * columns + w, c5y)
    store(c, c0 + 6 * columns, c6x)
    store(c, c0 + 6 * columns + w, c6y)
    store(c, c0 + 7 * columns, c7x)
    store(c, c0 + 7 * columns + w, c7y)


@jit
def _eight_by_one(a, a0, row, step, depth, b, b0, columns, c, c0, add):
    """Do eight rows and one vector of columns."""
    zero = spread(c, 0.0)
    c0x = load(c, c0) if add else zero
    c1x = load(c, c0 + columns) if add else zero
    c2x = load(c, c0 + 2 * columns) if add else zero
    c3x = load(c, c0 + 3 * columns) if add else zero
    c4x = load(c, c0 + 4 * columns) if add else zero
    c5x = load(c, c0 + 5 * columns) if add else zero
    c6x = load(c, c0 + 6 * columns) if add else zero
    c7x = load(c, c0 + 7 * columns) if add else zero
    for k in range(depth):
        x = load(b, b0 + k * columns)
        at = a0 + k * step
        s = spread(c, a[at])
        c0x = fma(s, x, c0x)
        s = spread(c, a[at + row])
        c1x = fma(s, x, c1x)
        s = spread(c, a[at + 2 * row])
        c2x = fma(s, x, c2x)
        s = spread(c, a[at + 3 * row])
        c3x = fma(s, x, c3x)
        s = spread(c, a[at + 4 * row])
        c4x = fma(s, x, c4x)
        s = spread(c, a[at + 5 * row])
        c5x = fma(s, x, c5x)
        s = spread(c, a[at + 6 * row])
        c6x = fma(s, x, c6x)
        s = spread(c, a[at + 7 * row])
        c7x = fma(s, x, c7x)
    store(c, c0, c0x)
    store(c, c0 + columns, c1x)
    store(c, c0 + 2 * columns, c2x)
    store(c, c0 + 3 * columns, c3x)
    store(c, c0 + 4 * columns, c4x)
    store(c, c0 + 5 * columns, c5x)
    store(c, c0 + 6 * columns, c6x)
    store(c, c0 + 7 * columns, c7x)
