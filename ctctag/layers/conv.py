"""Two-dimensional convolution over frames and frequency."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer
from ctctag._threads import run_tasks, single_threaded_blas
from ctctag.exceptions import ParameterError
from ctctag.layers._base import (
    Array,
    Layer,
    all_lengths,
    as_gradient,
    as_input,
    check_dtype,
    default_rng,
    uniform,
    valid_frames,
    without_padding,
)
from ctctag.layers._blocks import After, Block, frame_blocks, shares
from ctctag.layers._buffers import Spares, empty
from ctctag.layers._conv_methods import method_for
from ctctag.layers._products import row_sum

__all__ = ["Conv2d"]

GradientOf = Callable[[int, int, int], contextlib.AbstractContextManager[Array]]


class Conv2d(Layer):
    r"""Correlate with small kernels, zero beyond the edges ("same" padding, stride 1).

    .. math::

        y_{n,t,f,o} = b_o + \sum_{i,j,c} x_{n,\; t+i-\lfloor k_T/2 \rfloor,\; f+j-\lfloor k_F/2 \rfloor,\; c}
        \; W_{i,j,c,o}

    Backward: dW sums x · dy over all places, db sums dy, and dx correlates dy with the kernel turned by 180°.

    Parameters
    ----------
    in_channels, out_channels : int
        Maps in and out.
    kernel_size : int or (int, int)
        Frames and bands of the kernel, both odd.
    bias : bool
        Whether b is there. Before a batch norm, which takes the mean away again, it does nothing.
    needs_input_grad : bool
        Set to false for the first layer of a network: ``backward`` then returns ``None`` for dx.
    rng : numpy.random.Generator, optional
        Draws the initial weights, uniform within 1/√(kT · kF · C_in) as in PyTorch. By default of seed 0.
    dtype : float32 or float64
        Of the parameters and of all that is computed.

    Attributes
    ----------
    params : dict
        ``weight`` (kT, kF, C_in, C_out) and, with a bias, ``bias`` (C_out,).

    Notes
    -----
    Derived in the documentation's page on convolution; the equation itself is `ctctag.reference.conv2d`.

    Examples
    --------
    >>> layer = Conv2d(1, 16)
    >>> y, cache = layer.forward(np.ones((2, 10, 8, 1)), lengths=[10, 4])
    >>> y.shape, float(abs(y[1, 4:]).max())
    ((2, 10, 8, 16), 0.0)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        *,
        bias: bool = True,
        needs_input_grad: bool = True,
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.in_channels = check_integer(in_channels, "in_channels", low=1)
        self.out_channels = check_integer(out_channels, "out_channels", low=1)
        self.kernel_size = check_kernel_size(kernel_size)
        self.needs_input_grad = bool(needs_input_grad)
        dtype, rng = check_dtype(dtype), default_rng(rng)
        shape = (*self.kernel_size, in_channels, out_channels)
        fan_in = int(np.prod(shape[:3]))
        self.params["weight"] = uniform(rng, fan_in, shape, dtype)
        if bias:
            self.params["bias"] = uniform(rng, fan_in, (out_channels,), dtype)

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the maps (N, T, F, C_out) of `x` (N, T, F, C_in); see `Layer.forward`."""
        weight = self.params["weight"]
        x = as_input(x, ("N", "T", "F", self.in_channels), weight.dtype)
        frames = valid_frames(lengths, x)
        bias = self.params.get("bias", np.zeros(self.out_channels, dtype=weight.dtype))
        return convolve(x, all_lengths(frames, x), weight, bias), (x, frames)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array | None, dict[str, Array]]:
        """Return the gradients of input (or ``None``), weight and bias; see `Layer.backward`."""
        x, frames = cache
        weight = self.params["weight"]
        dy = as_gradient(dy, (*x.shape[:3], self.out_channels), weight.dtype)
        lengths = all_lengths(frames, x)
        dx, dweight = gradients(
            x, lengths, weight, lambda n, *_: contextlib.nullcontext(dy[n]), self.needs_input_grad
        )
        grads = {"weight": dweight}
        if "bias" in self.params:
            grads["bias"] = row_sum(without_padding(dy, frames).reshape(len(dy), -1, self.out_channels))
        return dx, grads


def check_kernel_size(kernel_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return frames and bands of a kernel, both odd."""
    pair = (kernel_size, kernel_size) if isinstance(kernel_size, int | np.integer) else tuple(kernel_size)
    if len(pair) != 2:
        raise ParameterError(f"kernel_size must be one number or (frames, bands), got {kernel_size!r}")
    kt, kf = (check_integer(size, "kernel_size", low=1) for size in pair)
    if kt % 2 == 0 or kf % 2 == 0:
        raise ParameterError(
            f"kernel_size must be odd, so that the output has the frames of the input, got {kernel_size!r}"
        )
    return kt, kf


@single_threaded_blas()  # also for the transforms: woken threads of the BLAS look for more work for a while
def convolve(x: Array, lengths: Array, weight: Array, bias: Array, after: After | None = None) -> Array:
    """Return the convolution of x (N, T, F, C_in), checked, with weight (kT, kF, C_in, C_out).

    ``after(n, start, stop, y[n])`` is called for each of the `frame_blocks` as soon as it is written.
    """
    method = method_for(x.shape[2], weight)
    kernel, spares = method.kernel(weight), Spares(method.scratch)
    y = empty((*x.shape[:3], weight.shape[3]), x.dtype)

    def block(task: Block) -> None:
        n, start, stop = task
        with spares.one() as scratch:
            method.convolve(x[n], lengths[n], kernel, bias, start, stop, scratch, y[n])
        if after is not None:
            after(n, start, stop, y[n])

    run_tasks(block, frame_blocks(*x.shape[:2]))
    return y


@single_threaded_blas()
def gradients(
    x: Array, lengths: Array, weight: Array, gradient_of: GradientOf, needs_input_grad: bool
) -> tuple[Array | None, Array]:
    """Return dx (or ``None``) and the gradient of the weight, from arrays that are checked.

    ``with gradient_of(n, start, stop) as dy`` lends the gradient (T, F, C_out) of clip n's output, of which
    frames start ... stop must be right. It is used for both while it is in the cache.
    """
    method = method_for(x.shape[2], weight)
    kernel, spares = method.turned_kernel(weight), Spares(method.scratch)
    dx = empty(x.shape, x.dtype) if needs_input_grad else None
    parts = shares(frame_blocks(*x.shape[:2]))
    dweight = np.empty((len(parts), *weight.shape), weight.dtype)
    beside = weight.shape[0] // 2  # frames on either side that an input's gradient sees, too

    def share(index: int) -> None:
        total = method.new_sum()
        with spares.one() as scratch:
            for n, start, stop in parts[index]:
                with gradient_of(n, max(0, start - beside), min(x.shape[1], stop + beside)) as dy:
                    method.add_weight_gradient(x[n], lengths[n], dy, start, stop, scratch, total)
                    if dx is not None:
                        method.input_gradient(dy, lengths[n], kernel, start, stop, scratch, dx[n])
        dweight[index] = method.weight_gradient(total)

    run_tasks(share, range(len(parts)))
    return dx, dweight.sum(axis=0)
