"""Kernels of the GRU: the recurrence over one group of clips, in one direction, forward and backward."""

import math

import numpy as np

from ctctag._jit import jit

__all__ = ["recur", "recur_back"]


@jit
def _sigmoid(x):
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    decay = math.exp(x)
    return decay / (1 + decay)


@jit
def recur(gates, weight, bias, lengths, reverse, y, recurrent):
    """Run the recurrence.

    gates (B, T, 3H) holds the input's share of r, z, n and is overwritten by their values; weight (H, 3H) and
    bias (3H,) are the recurrent ones; the states go into y (B, T, H), and h W_hn + b_hn into recurrent
    (B, T, H). Frames from a clip's length on are left alone.
    """
    clips, size = y.shape[0], y.shape[2]
    h = np.zeros((clips, size), y.dtype)
    share = np.empty((clips, 3 * size), y.dtype)
    for k in range(lengths.max()):
        np.dot(h, weight, share)
        for b in range(clips):
            if k >= lengths[b]:
                continue
            t = lengths[b] - 1 - k if reverse else k
            gate = gates[b, t]
            for j in range(size):
                r = _sigmoid(gate[j] + share[b, j] + bias[j])
                z = _sigmoid(gate[size + j] + share[b, size + j] + bias[size + j])
                hn = share[b, 2 * size + j] + bias[2 * size + j]
                n = math.tanh(gate[2 * size + j] + r * hn)
                h[b, j] = (1 - z) * n + z * h[b, j]
                gate[j] = r
                gate[size + j] = z
                gate[2 * size + j] = n
                recurrent[b, t, j] = hn
                y[b, t, j] = h[b, j]


@jit
def recur_back(dy, gates, recurrent, previous, weight, lengths, reverse, dgates):
    """Run the recurrence backwards.

    weight (3H, H) is the recurrent one and previous (B, T, H) the state before each frame. Written into
    dgates (B, T, 4H): the gradients at n, r, z and h W_hn, in this order, so that the first three belong to
    the input's share and the last three to the recurrent share.
    """
    clips, size = previous.shape[0], previous.shape[2]
    dh = np.zeros((clips, size), weight.dtype)
    through = np.zeros((clips, size), weight.dtype)
    dshare = np.zeros((clips, 3 * size), weight.dtype)
    for k in range(lengths.max() - 1, -1, -1):
        for b in range(clips):
            if k >= lengths[b]:
                continue
            t = lengths[b] - 1 - k if reverse else k
            gate = gates[b, t]
            out = dgates[b, t]
            for j in range(size):
                r, z, n = gate[j], gate[size + j], gate[2 * size + j]
                d = dy[b, t, j] + dh[b, j]
                dn = d * (1 - z) * (1 - n * n)
                dz = d * (previous[b, t, j] - n) * z * (1 - z)
                dr = dn * recurrent[b, t, j] * r * (1 - r)
                out[j] = dn
                out[size + j] = dr
                out[2 * size + j] = dz
                out[3 * size + j] = dn * r
                dshare[b, j] = dr
                dshare[b, size + j] = dz
                dshare[b, 2 * size + j] = dn * r
                through[b, j] = d * z
        np.dot(dshare, weight, dh)
        for b in range(clips):  # a clip whose end is not reached yet has zeros in dshare and through
            for j in range(size):
                dh[b, j] += through[b, j]
