"""`ConvBlock`: convolution, batch norm, ReLU and max pooling along frequency, as one layer."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._simd import lanes
from ctctag._threads import run_tasks
from ctctag.exceptions import ParameterError
from ctctag.layers import _block_kernels as kernels
from ctctag.layers._base import Array, Layer, all_lengths, as_gradient, as_input, prefixed, valid_frames
from ctctag.layers._blocks import frame_blocks
from ctctag.layers._buffers import Spares, empty
from ctctag.layers.activations import ReLU
from ctctag.layers.conv import Conv2d, GradientOf, convolve, gradients
from ctctag.layers.norm import BatchNorm, check_count, input_coefficients, update_running
from ctctag.layers.pool import MaxPool2d
from ctctag.layers.sequential import Sequential

__all__ = ["ConvBlock"]


class ConvBlock(Layer):
    """Convolve 3 x 3 (without bias), normalise, keep the positive part, and pool pairs of bands.

    (N, T, F, C_in) -> (N, T, F // 2, C_out): what ``Sequential({"conv": Conv2d(..., bias=False), "norm":
    BatchNorm(...), "relu": ReLU(), "pool": MaxPool2d((1, 2))})`` computes, and `parts` returns. Norm, ReLU
    and pooling are one pass over the maps forward and two backward, and only the convolution's output is kept
    between them, where the channels fill vectors of 64 bytes; where they do not, the four parts are run.

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
        weight = self.conv.params["weight"]
        if self.conv.out_channels % lanes(weight):
            return self.parts().forward(x, lengths=lengths, training=training)
        x = as_input(x, ("N", "T", "F", self.conv.in_channels), weight.dtype)
        if x.shape[2] < 2:
            raise ParameterError(f"x must have at least 2 bands to pool, got {x.shape}")
        frames = all_lengths(valid_frames(lengths, x), x)
        bias = np.zeros(self.conv.out_channels, dtype=weight.dtype)
        if training:
            measured = BlockMoments(x.shape[:3], self.conv.out_channels, frames)
            y = convolve(x, frames, weight, bias, measured.add)
            mean, variance, count = measured.result()
            update_running(self.norm.state, self.norm.momentum, mean, variance, count)
        else:
            y = convolve(x, frames, weight, bias)
            count = 0
            mean = self.norm.state["running_mean"].astype(np.float64)
            variance = self.norm.state["running_var"].astype(np.float64)
        inverse = 1 / np.sqrt(variance + self.norm.eps)
        scale = (self.norm.params["weight"] * inverse).astype(x.dtype)
        shift = (self.norm.params["bias"] - mean * scale).astype(x.dtype)
        return normalise(y, frames, scale, shift), (x, frames, y, mean, inverse, count, scale, shift)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array | None, dict[str, Array]]:
        """Return the gradients of input (or ``None``) and parameters; see `Layer.backward`."""
        if isinstance(cache, list):  # of the four parts
            return self.parts().backward(dy, cache)
        x, frames, y, mean, inverse, count, scale, shift = cache
        clips, time, bands, channels = y.shape
        dz = as_gradient(dy, (clips, time, bands // 2, channels), y.dtype)
        dbias, dweight = gradient_sums(y, frames, scale, shift, mean, dz)
        dweight *= inverse
        terms = input_coefficients(self.norm.params["weight"], mean, inverse, dbias, dweight, count)
        gradient_of = gradient_before_norm(y, frames, scale, shift, [t.astype(y.dtype) for t in terms], dz)
        weight = self.conv.params["weight"]
        dx, dkernel = gradients(x, frames, weight, gradient_of, self.conv.needs_input_grad)
        norm_grads = {"weight": dweight.astype(y.dtype), "bias": dbias.astype(y.dtype)}
        return dx, {"conv.weight": dkernel, **prefixed("norm", norm_grads)}


class BlockMoments:
    """Mean and biased variance (C,) of the valid frames of a map, float64, from blocks of it.

    Each block of frames gives its own mean and squares; they are put together as Chan et al. do, so that no
    digits are lost where the mean is far from zero.
    """

    def __init__(self, shape: tuple[int, ...], channels: int, frames: Array) -> None:
        clips, time, self.bands = shape
        self.frames = frames
        blocks = frame_blocks(clips, time)
        self.place = {(n, start): index for index, (n, start, _) in enumerate(blocks)}
        self.means, self.squares = np.zeros((2, len(blocks), channels))
        valid = [max(0, min(stop, int(frames[n])) - start) for n, start, stop in blocks]
        self.counts = np.array(valid)[:, np.newaxis] * self.bands

    def add(self, n: int, start: int, stop: int, y: Array) -> None:
        """Measure a block of clip n, whose maps are y (T, F, C)."""
        stop = min(stop, int(self.frames[n]))
        if start < stop:
            index, channels = self.place[n, start], y.shape[2]
            mean, square = self.means[index], self.squares[index]
            kernels.moments(y.ravel(), self.bands, channels, start, stop, mean, square)

    def result(self) -> tuple[Array, Array, int]:
        """Return mean, variance and the number of values a channel."""
        count = int(self.counts.sum())
        check_count(count)
        mean = (self.counts * self.means).sum(axis=0) / count
        variance = (self.squares + self.counts * (self.means - mean) ** 2).sum(axis=0) / count
        return mean, variance, count


def normalise(y: Array, frames: Array, scale: Array, shift: Array) -> Array:
    """Return the pooled, positive part of scale · y + shift."""
    clips, time, bands, channels = y.shape
    z = empty((clips, time, bands // 2, channels), y.dtype)

    def run(block: tuple[int, int, int]) -> None:
        n, start, stop = block
        kernels.normalise(y[n].ravel(), bands, channels, scale, shift, start, stop, frames[n], z[n].ravel())

    run_tasks(run, frame_blocks(clips, time))
    return z


def gradient_sums(
    y: Array, frames: Array, scale: Array, shift: Array, mean: Array, dz: Array
) -> tuple[Array, Array]:
    """Return the sums (C,) of g, the gradient before pooling and ReLU, and of g · (y - mean), float64."""
    clips, time, bands, channels = y.shape
    blocks = frame_blocks(clips, time)
    sums = np.zeros((len(blocks), 2, channels))
    centre = mean.astype(y.dtype)

    def run(index: int) -> None:
        n, start, stop = blocks[index]
        kernels.gradient_sums(
            y[n].ravel(),
            bands,
            channels,
            scale,
            shift,
            centre,
            dz[n].ravel(),
            start,
            min(stop, frames[n]),
            sums[index, 0],
            sums[index, 1],
        )

    run_tasks(run, range(len(blocks)))
    sum_g, sum_gy = sums.sum(axis=0)
    return sum_g, sum_gy + sum_g * (centre - mean)


def gradient_before_norm(
    y: Array, frames: Array, scale: Array, shift: Array, terms: list[Array], dz: Array
) -> GradientOf:
    """Return a function that lends the gradient (T, F, C) at the convolution's output, a clip at a time.

    The map of a whole batch is never there: what is lent is written over when it is given back.
    """
    bands, channels = y.shape[2:]
    spares = Spares(lambda: empty(y.shape[1:], y.dtype))

    @contextlib.contextmanager
    def lend(n: int, start: int, stop: int) -> Iterator[Array]:
        with spares.one() as dy:
            kernels.input_gradient(
                y[n].ravel(),
                bands,
                channels,
                scale,
                shift,
                *terms,
                dz[n].ravel(),
                start,
                stop,
                frames[n],
                dy.ravel(),
            )
            yield dy

    return lend
