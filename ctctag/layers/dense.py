"""The dense layer, and flattening of a feature map into features."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer, check_shape
from ctctag.exceptions import ParameterError
from ctctag.layers._base import (
    Array,
    Layer,
    as_gradient,
    as_input,
    check_dtype,
    default_rng,
    uniform,
    valid_frames,
    without_padding,
)
from ctctag.layers._products import affine, outer_sum, row_sum

__all__ = ["Dense", "Flatten"]


class Dense(Layer):
    r"""Weigh all inputs, of each frame alone: :math:`y = x W + b`.

    Backward, with the sums over all clips and valid frames:

    .. math:: dx = dy \, W^\top, \qquad dW = \sum x^\top dy, \qquad db = \sum dy

    Parameters
    ----------
    inputs, outputs : int
        Features in and out.
    rng : numpy.random.Generator, optional
        Draws the initial weights, uniform within 1/√inputs as in PyTorch. By default a generator of seed 0.
    dtype : float32 or float64
        Of the parameters and of all that is computed.

    Attributes
    ----------
    params : dict
        ``weight`` (inputs, outputs) and ``bias`` (outputs,).

    Examples
    --------
    >>> layer = Dense(3, 2)
    >>> y, cache = layer.forward(np.zeros((4, 5, 3)))
    >>> y.shape
    (4, 5, 2)
    >>> dx, grads = layer.backward(np.ones((4, 5, 2)), cache)
    >>> dx.shape, grads["weight"].shape, grads["bias"]
    ((4, 5, 3), (3, 2), array([20., 20.], dtype=float32))
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.inputs = check_integer(inputs, "inputs", low=1)
        self.outputs = check_integer(outputs, "outputs", low=1)
        dtype, rng = check_dtype(dtype), default_rng(rng)
        self.params = {
            "weight": uniform(rng, inputs, (inputs, outputs), dtype),
            "bias": uniform(rng, inputs, (outputs,), dtype),
        }

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return ``x @ weight + bias`` for `x` of shape (N, T, inputs) or (N, inputs)."""
        weight = self.params["weight"]
        x = as_input(x, dtype=weight.dtype)
        check_shape(x, "x", ("N", self.inputs) if x.ndim == 2 else ("N", "T", self.inputs))
        frames = valid_frames(lengths, x)
        x = without_padding(x, frames)
        return affine(x, weight, self.params["bias"], frames), (x, frames)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return the gradients of input, weight and bias; see `Layer.backward`."""
        x, frames = cache
        weight = self.params["weight"]
        dy = without_padding(as_gradient(dy, (*x.shape[:-1], self.outputs), weight.dtype), frames)
        grads = {"weight": outer_sum(x, dy, frames), "bias": row_sum(dy)}
        return affine(dy, np.ascontiguousarray(weight.T), None, frames), grads


class Flatten(Layer):
    """Join frequency and channels into the features of a frame: (N, T, F, C) -> (N, T, F · C).

    Examples
    --------
    >>> Flatten().forward(np.zeros((2, 240, 4, 64)))[0].shape
    (2, 240, 256)
    """

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return `x` as (N, T, F · C); see `Layer.forward`."""
        x = as_input(x)
        if x.ndim < 3:
            raise ParameterError(f"x must have shape (N, T, F, C), got {x.shape}")
        frames = valid_frames(lengths, x)
        return without_padding(x, frames).reshape(*x.shape[:2], -1), (x.shape, x.dtype, frames)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return `dy` in the shape of the input; see `Layer.backward`."""
        shape, dtype, frames = cache
        flat = (*shape[:2], int(np.prod(shape[2:])))
        return without_padding(as_gradient(dy, flat, dtype), frames).reshape(shape), {}
