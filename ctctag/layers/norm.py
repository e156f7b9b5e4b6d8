"""Batch normalisation over clips, valid frames and frequency."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer, check_number, check_shape
from ctctag._threads import run_tasks
from ctctag.exceptions import ParameterError
from ctctag.layers import _norm_kernels as kernels
from ctctag.layers._base import Array, Layer, all_lengths, as_gradient, as_input, check_dtype, valid_frames

__all__ = ["BatchNorm"]


class BatchNorm(Layer):
    r"""Normalise every channel (the last axis) over all clips, valid frames and bands.

    .. math:: y = \gamma \hat x + \beta, \qquad \hat x = (x - \mu) / \sqrt{\sigma^2 + \epsilon}

    In training μ and σ² (biased) are those of the batch, and running averages of μ and of the *unbiased*
    variance are kept, as PyTorch does it; otherwise the running averages are used. Backward, in training,
    with M values a channel:

    .. math::

        d\beta = \sum dy, \quad d\gamma = \sum dy \, \hat x, \quad
        dx = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}
        \left(dy - \frac{d\beta}{M} - \hat x \, \frac{d\gamma}{M}\right)

    Parameters
    ----------
    channels : int
        The last axis.
    momentum : float
        Weight of the new batch in the running averages, in [0, 1].
    eps : float
        Added to the variance, above 0.
    dtype : float32 or float64
        Of the parameters and of all that is computed.

    Attributes
    ----------
    params : dict
        ``weight`` (γ, ones at first) and ``bias`` (β, zeros), both (channels,).
    state : dict
        ``running_mean`` (zeros at first) and ``running_var`` (ones), updated by ``forward`` in training: the
        one exception to "nothing is stored".

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithm 1 and the equations of section 3.

    Examples
    --------
    >>> layer = BatchNorm(1, dtype=np.float64)
    >>> y, _ = layer.forward([[[1.0], [3.0], [np.nan]]], lengths=[2], training=True)
    >>> y[0, :, 0].round(3)
    array([-1.,  1.,  0.])
    >>> layer.state["running_mean"], layer.state["running_var"]
    (array([0.2]), array([1.1]))
    """

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.1,
        eps: float = 1e-5,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.channels = check_integer(channels, "channels", low=1)
        self.momentum = check_number(momentum, "momentum", low=0, high=1)
        self.eps = check_number(eps, "eps", low=0, exclude_low=True)
        dtype = check_dtype(dtype)
        self.params = {"weight": np.ones(channels, dtype=dtype), "bias": np.zeros(channels, dtype=dtype)}
        self.state = {
            "running_mean": np.zeros(channels, dtype=dtype),
            "running_var": np.ones(channels, dtype=dtype),
        }

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return `x`, (N, T, ..., C) or (N, C), normalised; see `Layer.forward`."""
        weight, bias = self.params["weight"], self.params["bias"]
        x = as_input(x, dtype=weight.dtype)
        check_shape(x, "x", (*x.shape[:-1], self.channels))
        rows = clip_rows(x, valid_frames(lengths, x))
        if training:
            mean, variance, count = moments(rows, self.channels)
            update_running(self.state, self.momentum, mean, variance, count)
        else:
            count = 0
            mean, variance = (self.state[key].astype(np.float64) for key in ("running_mean", "running_var"))
        inverse = 1 / np.sqrt(variance + self.eps)
        scale = (weight * inverse).astype(x.dtype)
        shift = (bias - mean * scale).astype(x.dtype)
        y = np.zeros_like(x)
        each(rows, lambda n, part: kernels.normalise(part, scale, shift, rows_of(y, n, part)))
        return y, (x, rows, mean, inverse, count)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return the gradients of input, weight and bias; see `Layer.backward`."""
        x, rows, mean, inverse, count = cache
        weight = self.params["weight"]
        dy = as_gradient(dy, x.shape, weight.dtype)
        sums = np.zeros((2, len(rows), self.channels))
        each(
            rows,
            lambda n, part: kernels.gradient_sums(part, rows_of(dy, n, part), mean, sums[0, n], sums[1, n]),
        )
        dbias, dweight = sums.sum(axis=1)
        dweight = dweight * inverse
        terms = input_coefficients(weight, mean, inverse, dbias, dweight, count)
        a, b, c = (term.astype(x.dtype) for term in terms)
        dx = np.zeros_like(x)
        each(
            rows,
            lambda n, part: kernels.input_gradient(part, rows_of(dy, n, part), a, b, c, rows_of(dx, n, part)),
        )
        return dx, {"weight": dweight.astype(x.dtype), "bias": dbias.astype(x.dtype)}


def clip_rows(x: Array, frames: Array | None) -> list[Array]:
    """Return each clip's valid frames as a matrix of rows (R, C); a batch of vectors (N, C) is one matrix."""
    if x.ndim == 2:
        return [x]
    return [
        clip[:length].reshape(-1, x.shape[-1]) for clip, length in zip(x, all_lengths(frames, x), strict=True)
    ]


def rows_of(array: Array, n: int, like: Array) -> Array:
    """Return clip n of `array` as rows, as many as `like` has."""
    rows = array if array.ndim == 2 else array[n].reshape(-1, array.shape[-1])
    return rows[: len(like)]


def each(rows: list[Array], kernel: Callable[[int, Array], None]) -> None:
    """Run ``kernel(n, rows[n])`` for every clip."""
    run_tasks(lambda n: kernel(n, rows[n]), range(len(rows)))


def moments(rows: list[Array], channels: int) -> tuple[Array, Array, int]:
    """Return mean and biased variance (C,), float64, by two passes, and the number of values a channel."""
    count = sum(len(part) for part in rows)
    check_count(count)
    sums = np.zeros((len(rows), channels))
    each(rows, lambda n, part: kernels.row_sums(part, sums[n]))
    mean = sums.sum(axis=0) / count
    squares = np.zeros((len(rows), channels))
    each(rows, lambda n, part: kernels.square_sums(part, mean, squares[n]))
    return mean, squares.sum(axis=0) / count, count


def check_count(count: int) -> None:
    """Raise if a channel has fewer than two values, which have no unbiased variance."""
    if count < 2:
        raise ParameterError(
            f"batch norm in training needs at least two values a channel, got {count} (one vector?)"
        )


def update_running(
    state: dict[str, Array], momentum: float, mean: Array, variance: Array, count: int
) -> None:
    """Move the running averages towards this batch, in place; the variance without its bias."""
    unbiased = variance * (count / (count - 1))
    for key, new in (("running_mean", mean), ("running_var", unbiased)):
        state[key][...] = (1 - momentum) * state[key] + momentum * new


def input_coefficients(
    weight: Array, mean: Array, inverse: Array, dbias: Array, dweight: Array, count: int
) -> tuple[Array, Array, Array]:
    """Return a, b, c (C,) of dx = a · dy + b · x + c; `count` is 0 where μ and σ were constants."""
    a = weight * inverse
    if count == 0:
        return a, np.zeros_like(a), np.zeros_like(a)
    b = -a * inverse * dweight / count
    return a, b, -a * dbias / count - b * mean
