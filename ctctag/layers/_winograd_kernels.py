"""Kernels of the fused block: 3 x 3 convolution by Winograd's F(4 x 4, 3 x 3), batch norm, ReLU and pooling.

Four outputs of a correlation with three weights need 12 products when computed one by one, but 6 by the
identity y = Aᵀ [(G w) ⊙ (Bᵀ x)], with Bᵀ, G and Aᵀ small constant matrices. Used along both axes, a tile of
4 x 4 outputs takes 36 products in place of 144. Over all tiles of a block of frames, each of the 36 is one
product of matrices, (tiles, C_in) times (C_in, C_out). Backwards the same factors
are read from the other end: with dM = A dy Aᵀ the kernel's gradient is Gᵀ [Σ (Bᵀ x B) ⊙ dM] G, and the
input's gradient is a convolution again.

A block of a few rows of tiles is carried through all its stages while it is in the cache:

    padded input (rows + 2, bands + 2, C_in)  ->  V (36, tiles, C_in)  ->  M (36, tiles, C_out)  ->  output

All arrays that vectors are loaded from are flat; a place (t, f, c) is computed by hand. Channels must be a
multiple of the vector's lanes.
"""

from ctctag._jit import jit
from ctctag._simd import address, fma, lanes, load, spread, store
from ctctag.layers._vector_product import multiply

__all__ = [
    "convolve",
    "kernel_gradient",
    "pad",
]


@jit
def _input_line(d0, d1, d2, d3, d4, d5, four, five, two):
    """Return Bᵀ d."""
    even = d4 - four * d2
    odd = d3 - four * d1
    wide = d4 - d2
    slope = two * (d3 - d1)
    return (
        fma(four, d0, d4 - five * d2),
        even + odd,
        even - odd,
        wide + slope,
        wide - slope,
        fma(four, d1, d5 - five * d3),
    )


@jit
def _output_line(m0, m1, m2, m3, m4, m5, two, four, eight):
    """Return Aᵀ m."""
    near, far = m1 + m2, m3 + m4
    near_odd, far_odd = m1 - m2, m3 - m4
    return (
        m0 + near + far,
        fma(two, far_odd, near_odd),
        fma(four, far, near),
        fma(eight, far_odd, near_odd + m5),
    )


@jit
def _output_line_back(s0, s1, s2, s3, two, four, eight):
    """Return A s."""
    near, near_odd = s0 + s2, s1 + s3
    far, far_odd = fma(four, s2, s0), fma(eight, s3, two * s1)
    return s0, near + near_odd, near - near_odd, far + far_odd, far - far_odd, s3


@jit
def pad(x, low, high, first, rows, bands, columns, channels, padded):
    """Copy `rows` frames of x (T, F, C), from `first` on, into padded (rows, columns, C), one band along.

    Frames outside low ... high - 1 and the columns around the bands are zero.
    """
    width = columns * channels
    for r in range(rows):
        t = first + r
        at = r * width
        if low <= t < high:
            padded[at : at + channels] = 0
            padded[at + channels : at + (bands + 1) * channels] = x[
                t * bands * channels : (t + 1) * bands * channels
            ]
            padded[at + (bands + 1) * channels : at + width] = 0
        else:
            padded[at : at + width] = 0


@jit
def _transform_input(padded, tile_rows, tile_columns, columns, channels, spare, v):
    """Write Bᵀ d B of every tile of padded into v (36, tiles, C)."""
    w = lanes(padded)
    two, four, five = spread(padded, 2.0), spread(padded, 4.0), spread(padded, 5.0)
    tiles = tile_rows * tile_columns
    step = tiles * channels  # from one of the 36 to the next
    for i in range(tile_rows):
        for j in range(tile_columns):
            corner = (4 * i * columns + 4 * j) * channels
            tile = (i * tile_columns + j) * channels
            for c in range(0, channels, w):
                for r in range(6):
                    at = corner + r * columns * channels + c
                    a0, a1, a2, a3, a4, a5 = _input_line(
                        load(padded, at),
                        load(padded, at + channels),
                        load(padded, at + 2 * channels),
                        load(padded, at + 3 * channels),
                        load(padded, at + 4 * channels),
                        load(padded, at + 5 * channels),
                        four,
                        five,
                        two,
                    )
                    to = r * 6 * w
                    store(spare, to, a0)
                    store(spare, to + w, a1)
                    store(spare, to + 2 * w, a2)
                    store(spare, to + 3 * w, a3)
                    store(spare, to + 4 * w, a4)
                    store(spare, to + 5 * w, a5)
                for s in range(6):
                    at = s * w
                    a0, a1, a2, a3, a4, a5 = _input_line(
                        load(spare, at),
                        load(spare, at + 6 * w),
                        load(spare, at + 12 * w),
                        load(spare, at + 18 * w),
                        load(spare, at + 24 * w),
                        load(spare, at + 30 * w),
                        four,
                        five,
                        two,
                    )
                    to = s * step + tile + c
                    store(v, to, a0)
                    store(v, to + 6 * step, a1)
                    store(v, to + 12 * step, a2)
                    store(v, to + 18 * step, a3)
                    store(v, to + 24 * step, a4)
                    store(v, to + 30 * step, a5)


@jit
def _transform_output(m, tile_rows, tile_columns, channels, spare, out):
    """Write Aᵀ m A of every tile of m (36, tiles, C) into out (4 · tile_rows, 4 · tile_columns, C)."""
    w = lanes(m)
    two, four, eight = spread(m, 2.0), spread(m, 4.0), spread(m, 8.0)
    step = tile_rows * tile_columns * channels
    width = 4 * tile_columns * channels
    for i in range(tile_rows):
        for j in range(tile_columns):
            tile = (i * tile_columns + j) * channels
            corner = 4 * i * width + 4 * j * channels
            for c in range(0, channels, w):
                for s in range(6):
                    at = s * step + tile + c
                    a0, a1, a2, a3 = _output_line(
                        load(m, at),
                        load(m, at + 6 * step),
                        load(m, at + 12 * step),
                        load(m, at + 18 * step),
                        load(m, at + 24 * step),
                        load(m, at + 30 * step),
                        two,
                        four,
                        eight,
                    )
                    store(spare, s * w, a0)
                    store(spare, (6 + s) * w, a1)
                    store(spare, (12 + s) * w, a2)
                    store(spare, (18 + s) * w, a3)
                for r in range(4):
                    at = r * 6 * w
                    a0, a1, a2, a3 = _output_line(
                        load(spare, at),
                        load(spare, at + w),
                        load(spare, at + 2 * w),
                        load(spare, at + 3 * w),
                        load(spare, at + 4 * w),
                        load(spare, at + 5 * w),
                        two,
                        four,
                        eight,
                    )
                    to = corner + r * width + c
                    store(out, to, a0)
                    store(out, to + channels, a1)
                    store(out, to + 2 * channels, a2)
                    store(out, to + 3 * channels, a3)


@jit
def _transform_output_back(padded, tile_rows, tile_columns, columns, channels, spare, m):
    """Write A dy Aᵀ of every tile of padded, which starts one row down and one to the right, into m."""
    w = lanes(padded)
    two, four, eight = spread(padded, 2.0), spread(padded, 4.0), spread(padded, 8.0)
    step = tile_rows * tile_columns * channels
    for i in range(tile_rows):
        for j in range(tile_columns):
            corner = ((4 * i + 1) * columns + 4 * j + 1) * channels
            tile = (i * tile_columns + j) * channels
            for c in range(0, channels, w):
                for r in range(4):
                    at = corner + r * columns * channels + c
                    a0, a1, a2, a3, a4, a5 = _output_line_back(
                        load(padded, at),
                        load(padded, at + channels),
                        load(padded, at + 2 * channels),
                        load(padded, at + 3 * channels),
                        two,
                        four,
                        eight,
                    )
                    to = r * 6 * w
                    store(spare, to, a0)
                    store(spare, to + w, a1)
                    store(spare, to + 2 * w, a2)
                    store(spare, to + 3 * w, a3)
                    store(spare, to + 4 * w, a4)
                    store(spare, to + 5 * w, a5)
                for s in range(6):
                    at = s * w
                    a0, a1, a2, a3, a4, a5 = _output_line_back(
                        load(spare, at),
                        load(spare, at + 6 * w),
                        load(spare, at + 12 * w),
                        load(spare, at + 18 * w),
                        two,
                        four,
                        eight,
                    )
                    to = s * step + tile + c
                    store(m, to, a0)
                    store(m, to + 6 * step, a1)
                    store(m, to + 12 * step, a2)
                    store(m, to + 18 * step, a3)
                    store(m, to + 24 * step, a4)
                    store(m, to + 30 * step, a5)


@jit
def _convolve_padded(padded, tile_rows, tile_columns, columns, kernel, spare, v, m, out):
    """Convolve a padded block with a transformed kernel (36, C_in, C_out)."""
    inputs, outputs = kernel.shape[1], kernel.shape[2]
    tiles = tile_rows * tile_columns
    _transform_input(padded, tile_rows, tile_columns, columns, inputs, spare, v)
    at_v, at_m, at_kernel = address(v), address(m), address(kernel.reshape(-1))
    for k in range(36):
        at, by, to = k * tiles * inputs, k * inputs * outputs, k * tiles * outputs
        multiply(at_v, at, inputs, 1, tiles, inputs, at_kernel, by, outputs, at_m, to, False)
    _transform_output(m, tile_rows, tile_columns, outputs, spare, out)


@jit
def convolve(x, length, bands, kernel, bias, begin, end, tile_rows, scratch, y):
    """Write frames begin ... end of one clip's convolution into y (T, F, C_out); zero from `length` on.

    x is the clip, flat; kernel (36, C_in, C_out) is transformed; bias (C_out,). scratch holds
    spare, padded, v, m and out, each of which is written over.
    """
    inputs, outputs = kernel.shape[1], kernel.shape[2]
    spare, padded, v, m, out = scratch
    tile_columns = (bands + 3) // 4
    columns = 4 * tile_columns + 2
    w = lanes(x)
    last = min(end, length)
    for start in range(begin, last, 4 * tile_rows):
        rows = min(4 * tile_rows, last - start)
        here = (rows + 3) // 4
        pad(x, 0, length, start - 1, 4 * here + 2, bands, columns, inputs, padded)
        _convolve_padded(padded, here, tile_columns, columns, kernel, spare, v, m, out)
        for r in range(rows):
            for f in range(bands):
                at = (r * 4 * tile_columns + f) * outputs
                to = ((start + r) * bands + f) * outputs
                for c in range(0, outputs, w):
                    store(y, to + c, load(out, at + c) + load(bias, c))
    first = max(begin, last)
    y[first * bands * outputs : end * bands * outputs] = 0


@jit
def kernel_gradient(x, length, bands, inputs, dy, outputs, begin, end, tile_rows, scratch, dkernel):
    """Add the share of frames begin ... end of a clip to the transformed dkernel (36, C_in, C_out), flat."""
    spare, padded, v, m, _ = scratch
    tile_columns = (bands + 3) // 4
    columns = 4 * tile_columns + 2
    last = min(end, length)
    for start in range(begin, last, 4 * tile_rows):
        rows = min(4 * tile_rows, last - start)
        here = (rows + 3) // 4
        pad(dy, 0, min(last, start + rows), start - 1, 4 * here + 2, bands, columns, outputs, padded)
        _transform_output_back(padded, here, tile_columns, columns, outputs, spare, m)
        pad(x, 0, length, start - 1, 4 * here + 2, bands, columns, inputs, padded)
        _transform_input(padded, here, tile_columns, columns, inputs, spare, v)
        tiles = here * tile_columns
        at_v, at_m, at_dkernel = address(v), address(m), address(dkernel)
        for k in range(36):  # v[k]ᵀ m[k]
            at, by, to = k * tiles * inputs, k * tiles * outputs, k * inputs * outputs
            multiply(at_v, at, 1, inputs, inputs, tiles, at_m, by, outputs, at_dkernel, to, True)
