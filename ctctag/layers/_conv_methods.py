"""Three ways to convolve a clip, one protocol; `method_for` tells which of them a layer takes.

`Unfolded` takes any kernel; `Winograd` and `OneChannel` are faster where they serve. A method knows shapes
only. It computes frames start ... stop of one clip, on arrays that are checked, with scratch memory that is
handed to it; who cuts a batch into tasks is `ctctag.layers.conv`.
"""

import numpy as np

from ctctag._simd import lanes
from ctctag.layers import _conv_kernels, _single_kernels, _winograd_kernels
from ctctag.layers._base import Array
from ctctag.layers._buffers import empty
from ctctag.layers._winograd import scratch, transform_kernel, transform_kernel_back

__all__ = ["Method", "OneChannel", "Unfolded", "Winograd", "method_for"]


class Method:
    """What a way to convolve offers.

    Parameters
    ----------
    bands : int
        Bands of the clips.
    weight : ndarray, shape (kT, kF, C_in, C_out)
        Of which only shape and dtype are used.
    """

    def __init__(self, bands: int, weight: Array) -> None:
        self.bands = bands
        self.shape = weight.shape
        self.like = weight[:0]

    def scratch(self) -> tuple[Array, ...]:
        """Return what a task needs to write over."""
        return ()

    def kernel(self, weight: Array) -> Array:
        """Return the weight as `convolve` wants it."""
        raise NotImplementedError

    def turned_kernel(self, weight: Array) -> Array:
        """Return the weight as `input_gradient` wants it: turned by 180°, its channels exchanged."""
        raise NotImplementedError

    def convolve(
        self, x: Array, length: int, kernel: Array, bias: Array, start: int, stop: int,
        scratch: tuple[Array, ...], y: Array,
    ) -> None:  # fmt: skip
        """Write frames start ... stop of y (T, F, C_out), the convolution of x (T, F, C_in)."""
        raise NotImplementedError

    def input_gradient(
        self, dy: Array, length: int, kernel: Array, start: int, stop: int,
        scratch: tuple[Array, ...], dx: Array,
    ) -> None:  # fmt: skip
        """Write frames start ... stop of dx (T, F, C_in), given dy (T, F, C_out) there and next to it."""
        self.convolve(dy, length, kernel, np.zeros(self.shape[2], dy.dtype), start, stop, scratch, dx)

    def new_sum(self) -> Array:
        """Return zeros for `add_weight_gradient`."""
        return np.zeros(self.shape, self.like.dtype)

    def add_weight_gradient(
        self, x: Array, length: int, dy: Array, start: int, stop: int,
        scratch: tuple[Array, ...], total: Array,
    ) -> None:  # fmt: skip
        """Add the share of frames start ... stop of a clip."""
        raise NotImplementedError

    def weight_gradient(self, total: Array) -> Array:
        """Return the gradient (kT, kF, C_in, C_out) that a sum stands for."""
        return total


class Unfolded(Method):
    """As a product with the unfolded input: for every size of kernel, any number of channels."""

    def kernel(self, weight: Array) -> Array:
        return weight.reshape(-1, weight.shape[3])

    def turned_kernel(self, weight: Array) -> Array:
        return turned(weight).reshape(-1, weight.shape[2])

    def convolve(self, x, length, kernel, bias, start, stop, scratch, y):
        kt, kf = self.shape[:2]
        _conv_kernels.convolve(x, length, kernel, bias, kt, kf, start, stop, y)

    def add_weight_gradient(self, x, length, dy, start, stop, scratch, total):
        kt, kf, _, outputs = self.shape
        flat = total.reshape(-1, outputs)
        _conv_kernels.weight_gradient(x, length, dy, kt, kf, start, stop, flat)


class OneChannel(Unfolded):
    """3 x 3 of a single channel: nine weights in registers. Its input's gradient is `Unfolded`'s."""

    def kernel(self, weight: Array) -> Array:
        return weight.reshape(-1)

    def convolve(self, x, length, kernel, bias, start, stop, scratch, y):
        padded = empty(((stop - start + 2) * (self.bands + 2),), x.dtype)
        _single_kernels.convolve(
            x.ravel(), length, self.bands, kernel, bias, self.shape[3], start, stop, padded, y.ravel()
        )

    def input_gradient(self, dy, length, kernel, start, stop, scratch, dx):
        bias = np.zeros(self.shape[2], dy.dtype)
        super().convolve(dy, length, kernel, bias, start, stop, scratch, dx)

    def add_weight_gradient(self, x, length, dy, start, stop, scratch, total):
        padded = empty(((stop - start + 2) * (self.bands + 2),), x.dtype)
        _single_kernels.weight_gradient(
            x.ravel(), length, self.bands, dy.ravel(), self.shape[3], start, stop, padded, total.ravel()
        )


class Winograd(Method):
    """3 x 3 by Winograd's F(4 x 4, 3 x 3), where the channels fill vectors (see `_winograd_kernels`)."""

    def __init__(self, bands: int, weight: Array) -> None:
        super().__init__(bands, weight)
        self.tile_rows, self.sizes = scratch(bands, max(weight.shape[2:]), weight)

    def scratch(self) -> tuple[Array, ...]:
        memory = empty((sum(self.sizes),), self.like.dtype)
        ends = np.cumsum(self.sizes).tolist()
        return tuple(memory[end - size : end] for size, end in zip(self.sizes, ends, strict=True))

    def kernel(self, weight: Array) -> Array:
        return transform_kernel(weight)

    def turned_kernel(self, weight: Array) -> Array:
        return transform_kernel(turned(weight))

    def convolve(self, x, length, kernel, bias, start, stop, scratch, y):
        _winograd_kernels.convolve(
            x.ravel(), length, self.bands, kernel, bias, start, stop, self.tile_rows, scratch, y.ravel()
        )

    def new_sum(self) -> Array:
        inputs, outputs = self.shape[2:]
        return np.zeros((36, inputs, outputs), self.like.dtype)

    def add_weight_gradient(self, x, length, dy, start, stop, scratch, total):
        inputs, outputs = self.shape[2:]
        _winograd_kernels.kernel_gradient(
            x.ravel(), length, self.bands, inputs, dy.ravel(), outputs, start, stop, self.tile_rows, scratch,
            total.reshape(-1),
        )  # fmt: skip

    def weight_gradient(self, total: Array) -> Array:
        return transform_kernel_back(total)


def method_for(bands: int, weight: Array) -> Method:
    """Return the fastest way to convolve clips of so many bands with such a weight."""
    w = lanes(weight)
    inputs, outputs = weight.shape[2:]
    if weight.shape[:2] == (3, 3) and outputs % w == 0:
        if inputs == 1:
            return OneChannel(bands, weight)
        if inputs % w == 0:
            return Winograd(bands, weight)
    return Unfolded(bands, weight)


def turned(weight: Array) -> Array:
    """Return the weight turned by 180°, its channels exchanged: (kT, kF, C_out, C_in)."""
    return np.ascontiguousarray(weight[::-1, ::-1].transpose(0, 1, 3, 2))
