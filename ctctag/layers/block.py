"""`ConvBlock`: convolution, batch norm, ReLU and max pooling along frequency, as one layer."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.layers._base import Array, Layer, prefixed
from ctctag.layers.activations import ReLU
from ctctag.layers.conv import Conv2d
from ctctag.layers.norm import BatchNorm
from ctctag.layers.pool import MaxPool2d
from ctctag.layers.sequential import Sequential

__all__ = ["ConvBlock"]


class ConvBlock(Layer):
    """Convolve 3 x 3 (without bias), normalise, keep the positive part, and pool pairs of bands.

    (N, T, F, C_in) -> (N, T, F // 2, C_out): what ``Sequential({"conv": Conv2d(..., bias=False), "norm":
    BatchNorm(...), "relu": ReLU(), "pool": MaxPool2d((1, 2))})`` computes.

    Parameters
    ----------
    in_channels, out_channels : int
        Maps in and out.
    needs_input_grad : bool
        Set to false for the first layer of a network: ``backward`` then returns ``None`` for dx.
    rng : numpy.random.Generator, optional
        Draws the initial weights, uniform within 1/√(9 · C_in) as in PyTorch. By default of seed 0.
    dtype : float32 or float64
        Of the parameters and of all that is computed.

    Attributes
    ----------
    params : dict
        ``conv.weight`` (3, 3, C_in, C_out), ``norm.weight`` and ``norm.bias`` (C_out,).
    state : dict
        ``norm.running_mean`` and ``norm.running_var`` (C_out,).

    Examples
    --------
    >>> layer = ConvBlock(1, 16)
    >>> y, cache = layer.forward(np.ones((2, 10, 8, 1)), training=True)
    >>> y.shape
    (2, 10, 4, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        needs_input_grad: bool = True,
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.conv = Conv2d(
            in_channels, out_channels, bias=False, needs_input_grad=needs_input_grad, rng=rng, dtype=dtype
        )
        self.norm = BatchNorm(out_channels, dtype=dtype)
        self.params = {**prefixed("conv", self.conv.params), **prefixed("norm", self.norm.params)}
        self.state = prefixed("norm", self.norm.state)

    def parts(self) -> Sequential:
        """Return the four layers this one consists of, sharing its arrays: its readable twin."""
        return Sequential({"conv": self.conv, "norm": self.norm, "relu": ReLU(), "pool": MaxPool2d((1, 2))})

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the pooled maps (N, T, F // 2, C_out) of `x` (N, T, F, C_in); see `Layer.forward`."""
        return self.parts().forward(x, lengths=lengths, training=training)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array | None, dict[str, Array]]:
        """Return the gradients of input (or ``None``) and parameters; see `Layer.backward`."""
        return self.parts().backward(dy, cache)
