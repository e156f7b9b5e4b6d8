"""Kernels of the GRU: the recurrence over one group of clips, in one direction, forward and backward.

A step is one product of matrices, (clips, H) times (H, 3H), and a pass over its result in vectors of 64
bytes. H is a multiple of the vector's lanes: the caller fills it up with units whose weights are zero. The
exponential is 2^k times a polynomial on [-ln 2 / 2, ln 2 / 2], good to the last digits in either precision.
"""

from ctctag._jit import jit
from ctctag._simd import address, fma, lanes, load, pick, power_of_two, spread, store
from ctctag.layers._vector_product import multiply

__all__ = ["recur", "recur_back"]


@jit
def _exp(x):
    """Return eˣ of a vector, x held within where the result is an ordinary number; NaN stays NaN."""
    single = lanes(x) == 16
    bound = spread(x, 87.0 if single else 708.0)
    negative = spread(x, -87.0 if single else -708.0)
    x = pick(x, bound, bound, x)
    x = pick(negative, x, negative, x)
    magic = spread(x, 12582912.0 if single else 6755399441055744.0)  # 1.5 · 2^23 and 1.5 · 2^52
    shifted = fma(x, spread(x, 1.4426950408889634), magic)
    k = shifted - magic
    # ln 2 in two parts, the first with trailing zeros, so that k times it is exact
    high = spread(x, 0.693145751953125)
    low = spread(x, 1.4286068203094173e-06)
    r = (x - k * high) - k * low
    if single:
        p = spread(x, 1 / 5040)
    else:
        p = spread(x, 1 / 6227020800)
        p = fma(p, r, spread(x, 1 / 479001600))
        p = fma(p, r, spread(x, 1 / 39916800))
        p = fma(p, r, spread(x, 1 / 3628800))
        p = fma(p, r, spread(x, 1 / 362880))
        p = fma(p, r, spread(x, 1 / 40320))
        p = fma(p, r, spread(x, 1 / 5040))
    p = fma(p, r, spread(x, 1 / 720))
    p = fma(p, r, spread(x, 1 / 120))
    p = fma(p, r, spread(x, 1 / 24))
    p = fma(p, r, spread(x, 1 / 6))
    p = fma(p, r, spread(x, 0.5))
    p = fma(p, r, spread(x, 1.0))
    p = fma(p, r, spread(x, 1.0))
    return p * power_of_two(shifted)


@jit
def recur(gates, weight, bias, lengths, reverse, states, recurrent, work):
    """Run the recurrence.

    gates (B, T, 3H) holds the input's share of r, z, n and is overwritten by their values; weight (H, 3H) and
    bias (3H,) are the recurrent ones; the states go into states (B, T, H), and h W_hn + b_hn into recurrent
    (B, T, H). Frames from a clip's length on are left alone. work is flat, of 4 B H values.
    """
    clips, time, size = states.shape
    w = lanes(bias)
    flat_h, flat_share = address(work), address(work[clips * size :])
    work[: clips * size] = 0
    flat_weight = address(weight.reshape(-1))
    flat_gates, flat_states, flat_recurrent = gates.reshape(-1), states.reshape(-1), recurrent.reshape(-1)
    one, two = spread(bias, 1.0), spread(bias, 2.0)
    zero = spread(bias, 0.0)
    for k in range(lengths.max()):
        multiply(flat_h, 0, size, 1, clips, size, flat_weight, 0, 3 * size, flat_share, 0, False)
        for b in range(clips):
            if k >= lengths[b]:
                continue
            t = lengths[b] - 1 - k if reverse else k
            row = b * time + t
            for j in range(0, size, w):
                at = row * 3 * size + j
                from_h = b * 3 * size + j
                to_r = load(flat_gates, at) + (load(flat_share, from_h) + load(bias, j))
                r = one / (one + _exp(zero - to_r))
                to_z = load(flat_gates, at + size) + (load(flat_share, from_h + size) + load(bias, size + j))
                z = one / (one + _exp(zero - to_z))
                hn = load(flat_share, from_h + 2 * size) + load(bias, 2 * size + j)
                to_n = fma(r, hn, load(flat_gates, at + 2 * size))
                n = one - two / (one + _exp(two * to_n))  # tanh
                before = load(flat_h, b * size + j)
                after = fma(z, before - n, n)
                store(flat_h, b * size + j, after)
                store(flat_states, row * size + j, after)
                store(flat_gates, at, r)
                store(flat_gates, at + size, z)
                store(flat_gates, at + 2 * size, n)
                store(flat_recurrent, row * size + j, hn)


@jit
def recur_back(dstates, gates, recurrent, previous, weight, lengths, reverse, dgates, work):
    """Run the recurrence backwards.

    weight (3H, H) is the recurrent one and previous (B, T, H) the state before each frame. Written into
    dgates (B, T, 4H): the gradients at n, r, z and h W_hn, in this order, so that the first three belong to
    the input's share and the last three to the recurrent share. Frames from a length on are left alone. work
    is flat, of 5 B H values.
    """
    clips, time, size = previous.shape
    work[:] = 0
    flat_dh, flat_through = address(work), address(work[clips * size :])
    flat_dshare = address(work[2 * clips * size :])
    flat_dstates, flat_gates = dstates.reshape(-1), gates.reshape(-1)
    flat_recurrent, flat_previous = recurrent.reshape(-1), previous.reshape(-1)
    flat_dgates, flat_weight = dgates.reshape(-1), address(weight.reshape(-1))
    w = lanes(flat_dh)
    one = spread(flat_dh, 1.0)
    for k in range(lengths.max() - 1, -1, -1):
        for b in range(clips):
            if k >= lengths[b]:
                continue
            t = lengths[b] - 1 - k if reverse else k
            row = b * time + t
            for j in range(0, size, w):
                at = row * 3 * size + j
                r, z = load(flat_gates, at), load(flat_gates, at + size)
                n = load(flat_gates, at + 2 * size)
                d = load(flat_dstates, row * size + j) + load(flat_dh, b * size + j)
                kept = one - z
                dn = d * kept * (one - n * n)
                dz = d * (load(flat_previous, row * size + j) - n) * z * kept
                dhn = dn * r
                dr = dhn * load(flat_recurrent, row * size + j) * (one - r)
                to = row * 4 * size + j
                store(flat_dgates, to, dn)
                store(flat_dgates, to + size, dr)
                store(flat_dgates, to + 2 * size, dz)
                store(flat_dgates, to + 3 * size, dhn)
                store(flat_dshare, b * 3 * size + j, dr)
                store(flat_dshare, b * 3 * size + size + j, dz)
                store(flat_dshare, b * 3 * size + 2 * size + j, dhn)
                store(flat_through, b * size + j, d * z)
        multiply(flat_dshare, 0, 3 * size, 1, clips, 3 * size, flat_weight, 0, size, flat_dh, 0, False)
        for i in range(0, clips * size, w):  # a clip whose end is not reached yet has zeros in both
            store(flat_dh, i, load(flat_dh, i) + load(flat_through, i))
