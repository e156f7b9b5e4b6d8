"""Kernels of `BatchNorm`: one clip's valid frames as rows (R, C), sums in float64."""

from ctctag._jit import jit

__all__ = ["gradient_sums", "input_gradient", "normalise", "row_sums", "square_sums"]


@jit
def row_sums(rows, total):
    """Add each column of rows (R, C) to total (C,), float64."""
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            total[c] += rows[r, c]


@jit
def square_sums(rows, mean, total):
    """Add the squared deviations from mean (C,) to total (C,), both float64."""
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            deviation = rows[r, c] - mean[c]
            total[c] += deviation * deviation


@jit
def normalise(rows, scale, shift, y):
    """Write rows · scale + shift into y."""
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            y[r, c] = rows[r, c] * scale[c] + shift[c]


@jit
def gradient_sums(rows, dy, mean, sum_dy, sum_product):
    """Add the sums of dy and of dy · (x - mean) to the two totals (C,), float64."""
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            sum_dy[c] += dy[r, c]
            sum_product[c] += dy[r, c] * (rows[r, c] - mean[c])


@jit
def input_gradient(rows, dy, a, b, c0, dx):
    """Write a · dy + b · x + c0 into dx: what batch norm's backward comes to, channel by channel."""
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            dx[r, c] = a[c] * dy[r, c] + b[c] * rows[r, c] + c0[c]
