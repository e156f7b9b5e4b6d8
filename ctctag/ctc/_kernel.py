"""The CTC recursion of one clip, in log space."""

import numpy as np

from ctctag._jit import jit

__all__ = ["clip_loss", "log_lattice"]


@jit
def _log_add(a, b):
    if a < b:
        a, b = b, a
    if b == -np.inf:  # also where both are: -inf - -inf would be NaN
        return a
    return a + np.log1p(np.exp(b - a))


@jit
def log_rows(x, kind, tolerance, out):
    """Write log-probabilities, shape (T, C), float64, into `out`; return the first bad frame or -1."""
    T, C = x.shape
    for t in range(T):
        total = 0.0
        top = -np.inf
        for k in range(C):
            value = float(x[t, k])
            if not value < np.inf or (kind == 2 and value < 0.0):
                return t
            top = max(top, value)
        if kind == 0:
            if top == -np.inf:
                return t
            for k in range(C):
                total += np.exp(float(x[t, k]) - top)
            shift = top + np.log(total)
            for k in range(C):
                out[t, k] = x[t, k] - shift
            continue
        for k in range(C):
            value = float(x[t, k])
            if kind == 2:
                total += value
                out[t, k] = np.log(value) if value > 0.0 else -np.inf
            else:
                total += np.exp(value)
                out[t, k] = value
        if not abs(total - 1.0) <= tolerance and tolerance < np.inf:
            return t
    return -1


@jit
def log_lattice(log_y, labels, blank, alpha, beta):
    """Write log alpha and log beta, shape (T, 2 L + 1), in place; return log P."""
    T, S = alpha.shape
    alpha[:] = -np.inf
    beta[:] = -np.inf
    for t in range(T):
        for s in range(S):
            k = labels[s // 2] if s % 2 else blank
            if t == 0:
                total = 0.0 if s < 2 else -np.inf
            else:
                total = alpha[t - 1, s]
                if s >= 1:
                    total = _log_add(total, alpha[t - 1, s - 1])
                if s % 2 and s >= 3 and labels[s // 2] != labels[s // 2 - 1]:
                    total = _log_add(total, alpha[t - 1, s - 2])
            alpha[t, s] = total + log_y[t, k]
    for t in range(T - 1, -1, -1):
        for s in range(S):
            if t == T - 1:
                beta[t, s] = 0.0 if s >= S - 2 else -np.inf
                continue
            total = beta[t + 1, s] + log_y[t + 1, labels[s // 2] if s % 2 else blank]
            if s + 1 < S:
                k = blank if s % 2 else labels[s // 2]
                total = _log_add(total, beta[t + 1, s + 1] + log_y[t + 1, k])
            if s % 2 and s + 2 < S and labels[s // 2] != labels[s // 2 + 1]:
                total = _log_add(total, beta[t + 1, s + 2] + log_y[t + 1, labels[s // 2 + 1]])
            beta[t, s] = total
    total = alpha[T - 1, S - 1]
    if S > 1:
        total = _log_add(total, alpha[T - 1, S - 2])
    return total


@jit
def clip_loss(x, kind, tolerance, labels, blank, scale, log_y, alpha, beta, with_grad, grad):
    """Return the loss of one clip and its first bad frame or -1; write ``scale * gradient`` into `grad`."""
    T = x.shape[0]
    bad = log_rows(x, kind, tolerance, log_y)
    if bad >= 0:
        return np.inf, bad
    log_total = log_lattice(log_y, labels, blank, alpha, beta)
    if with_grad:
        grad[:] = 0.0
    if log_total == -np.inf:
        return np.inf, bad
    if not with_grad:
        return -log_total, bad
    S = alpha.shape[1]
    occupancy = np.zeros(x.shape[1])
    for t in range(T):
        occupancy[:] = 0.0
        for s in range(S):
            k = labels[s // 2] if s % 2 else blank
            occupancy[k] += np.exp(alpha[t, s] + beta[t, s] - log_total)
        for k in range(x.shape[1]):
            value = -occupancy[k]
            if kind == 0:
                value += np.exp(log_y[t, k])
            elif kind == 2 and x[t, k] > 0.0:
                value /= x[t, k]
            grad[t, k] = scale * value
    return -log_total, bad


@jit
def greedy(x, blank, labels, spans):
    """Write the best path's labels and their first and last frames; return how many there are."""
    T, C = x.shape
    before = blank
    found = 0
    for t in range(T):
        best = 0
        for k in range(1, C):
            if x[t, k] > x[t, best]:
                best = k
        if best != blank:
            if best != before:
                labels[found] = best
                spans[found, 0] = t
                found += 1
            spans[found - 1, 1] = t
        before = best
    return found


@jit
def noisy_or(x, kind, tolerance, log_y, out):
    """Write the probability that each class occurs into `out`; return the first bad frame or -1."""
    bad = log_rows(x, kind, tolerance, log_y)
    out[:] = 0.0
    if bad < 0:
        for t in range(x.shape[0]):
            for k in range(x.shape[1]):
                # p + (1 - p) y: no cancellation where p is small, unlike 1 - prod(1 - y)
                out[k] += (1.0 - out[k]) * min(np.exp(log_y[t, k]), 1.0)
    return bad
