"""Functions of one value, and softmax over the last axis."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag import numerics
from ctctag.layers._base import (
    Array,
    Layer,
    as_gradient,
    as_input,
    clear_padding,
    valid_frames,
    without_padding,
)

__all__ = ["ReLU", "Sigmoid", "Softmax"]


class ReLU(Layer):
    r"""Keep what is positive: :math:`y = \max(x, 0)`, and :math:`dx = dy \, [y > 0]`.

    Examples
    --------
    >>> y, cache = ReLU().forward([[-1.0, 2.0]])
    >>> y
    array([[0., 2.]])
    >>> ReLU().backward([[1.0, 1.0]], cache)[0]
    array([[0., 1.]])
    """

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the positive part of `x`, any shape; see `Layer.forward`."""
        x = as_input(x)
        frames = valid_frames(lengths, x)
        y = clear_padding(np.maximum(x, 0), frames)
        return y, y

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return `dy` where the output was positive; see `Layer.backward`."""
        y = cache
        return np.where(y > 0, as_gradient(dy, y.shape, y.dtype), 0), {}  # padding: y is 0 there


class Sigmoid(Layer):
    r"""Squash to (0, 1): :math:`y = 1 / (1 + e^{-x})`, and :math:`dx = dy \, y (1 - y)`.

    Examples
    --------
    >>> Sigmoid().forward([[0.0]])[0]
    array([[0.5]])
    """

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the sigmoid of `x`, any shape; see `Layer.forward`."""
        x = as_input(x)
        frames = valid_frames(lengths, x)
        y = clear_padding(numerics.sigmoid(without_padding(x, frames)), frames)
        return y, (y, frames)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return the gradient at the input; see `Layer.backward`."""
        y, frames = cache
        return without_padding(as_gradient(dy, y.shape, y.dtype), frames) * y * (1 - y), {}


class Softmax(Layer):
    r"""Turn the last axis into probabilities: :math:`y_k = e^{x_k} / \sum_j e^{x_j}`.

    Backward: :math:`dx_k = y_k \, (dy_k - \sum_j dy_j y_j)`.

    Examples
    --------
    >>> Softmax().forward([[0.0, 0.0]])[0]
    array([[0.5, 0.5]])
    """

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the softmax of `x` over its last axis; see `Layer.forward`."""
        x = as_input(x)
        frames = valid_frames(lengths, x)
        y = clear_padding(numerics.softmax(without_padding(x, frames)), frames)
        return y, (y, frames)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return the gradient at the input; see `Layer.backward`."""
        y, frames = cache
        dy = without_padding(as_gradient(dy, y.shape, y.dtype), frames)
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True)), {}
