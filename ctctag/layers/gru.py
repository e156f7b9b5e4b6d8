"""The gated recurrent unit, in one direction and in both, and the reading of its last states."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer
from ctctag._simd import lanes
from ctctag._threads import run_tasks
from ctctag.exceptions import ParameterError
from ctctag.layers import _gru_kernels as kernels
from ctctag.layers._base import (
    Array,
    Layer,
    all_lengths,
    as_gradient,
    as_input,
    check_dtype,
    default_rng,
    prefixed,
    uniform,
    valid_frames,
    without_padding,
)
from ctctag.layers._buffers import empty, zeros
from ctctag.layers._products import affines, outer_sums, product_sum, row_sums

__all__ = ["GRU", "BiGRU", "LastStates"]

_CLIPS = 16  # clips of a task: rows of the recurrent product


class BiGRU(Layer):
    r"""Two gated recurrent units over the frames, one in each direction, side by side.

    Reset is applied *after* the recurrent product, the gates are in the order r, z, n, and there are two
    biases, all as in PyTorch (and cuDNN):

    .. math::

        r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n_t &= \tanh(W_{in} x_t + b_{in} + r_t (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t)\, n_t + z_t\, h_{t-1}

    with :math:`h_0 = 0`. The reverse direction starts at the last *valid* frame of each clip.

    Parameters
    ----------
    inputs : int
        Features of a frame.
    units : int
        H, the size of a state.
    rng : numpy.random.Generator, optional
        Draws the initial weights and biases, uniform within 1/√H as in PyTorch. By default of seed 0.
    dtype : float32 or float64
        Of the parameters and of all that is computed.

    Attributes
    ----------
    params : dict
        ``forward.weight_ih`` (3H, inputs), ``forward.weight_hh`` (3H, H), ``forward.bias_ih`` and
        ``forward.bias_hh`` (3H,), and the same for ``reverse``.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014, equations 5-8 (where
    reset comes before the product).

    Examples
    --------
    >>> layer = BiGRU(3, 4)
    >>> y, cache = layer.forward(np.ones((2, 10, 3)), lengths=[10, 6])
    >>> y.shape, float(abs(y[1, 6:]).max())
    ((2, 10, 8), 0.0)
    """

    directions: tuple[tuple[str, bool], ...] = (("forward", False), ("reverse", True))

    def __init__(
        self,
        inputs: int,
        units: int,
        *,
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.inputs = check_integer(inputs, "inputs", low=1)
        self.units = check_integer(units, "units", low=1)
        dtype, rng = check_dtype(dtype), default_rng(rng)
        for name, _ in self.directions:
            self.params.update(prefixed(name, _initial(inputs, units, rng, dtype)))

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the states (N, T, directions · H) of `x` (N, T, inputs); see `Layer.forward`."""
        weights = [self._weights(name) for name, _ in self.directions]
        x = as_input(x, ("N", "T", self.inputs), weights[0]["weight_ih"].dtype)
        padded = valid_frames(lengths, x)
        x = without_padding(x, padded)
        frames = all_lengths(padded, x)
        size, full = self.units, self._full_units
        new = empty if padded is None else zeros  # where no kernel writes there must be zeros
        inputs = [(_fill(w["weight_ih"], size, full).T, _fill(w["bias_ih"], size, full)) for w in weights]
        gates = affines(x, inputs, padded)
        states, recurrent = ([new((*x.shape[:2], full), x.dtype) for _ in weights] for _ in range(2))
        transposed = [np.ascontiguousarray(_fill_square(w["weight_hh"], size, full).T) for w in weights]
        biases = [_fill(w["bias_hh"], size, full) for w in weights]

        def run(task: tuple[int, slice]) -> None:
            d, clips = task
            kernels.recur(
                gates[d][clips],
                transposed[d],
                biases[d],
                frames[clips],
                self.directions[d][1],
                states[d][clips],
                recurrent[d][clips],
                empty((4 * states[d][clips].shape[0] * full,), x.dtype),
            )
            y[clips, :, d * size : (d + 1) * size] = states[d][clips, :, :size]

        y = empty((*x.shape[:2], size * len(weights)), x.dtype)
        run_tasks(run, _tasks(len(weights), len(x)))
        return y, (x, padded, states, gates, recurrent)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return the gradients of input, weights and biases; see `Layer.backward`."""
        x, padded, states, gates, recurrent = cache
        frames = all_lengths(padded, x)
        size, full = self.units, self._full_units
        dy = as_gradient(dy, (*x.shape[:2], size * len(states)), x.dtype)
        weights = [self._weights(name) for name, _ in self.directions]
        squares = [_fill_square(w["weight_hh"], size, full) for w in weights]
        new = empty if padded is None else zeros
        dgates = [new((*x.shape[:2], 4 * full), x.dtype) for _ in states]
        previous = [empty(h.shape, h.dtype) for h in states]

        def run(task: tuple[int, slice]) -> None:
            d, clips = task
            _shift(states[d][clips], self.directions[d][1], previous[d][clips])
            kernels.recur_back(
                _fill(dy[clips, :, d * size : (d + 1) * size], size, full, axis=2),
                gates[d][clips],
                recurrent[d][clips],
                previous[d][clips],
                squares[d],
                frames[clips],
                self.directions[d][1],
                dgates[d][clips],
                empty((5 * states[d][clips].shape[0] * full,), x.dtype),
            )

        run_tasks(run, _tasks(len(states), len(x)))

        # The columns are n, r, z, h W_hn: the first three for the input, the last three for the state.
        dinputs = [columns[..., : 3 * full] for columns in dgates]
        dstates = [columns[..., full:] for columns in dgates]
        nrz = [np.roll(_fill(w["weight_ih"], size, full), full, axis=0) for w in weights]
        dx = product_sum(list(zip(dinputs, nrz, strict=True)), padded)
        pairs = [(dinput, x) for dinput in dinputs] + list(zip(dstates, previous, strict=True))
        sums = outer_sums(pairs, padded)
        grads: dict[str, Array] = {}
        for d, (bias, (name, _)) in enumerate(zip(row_sums(dgates), self.directions, strict=True)):
            dweight_nrz, dweight_rzn = sums[d], sums[len(dgates) + d]
            direction = {
                "weight_ih": _take(np.roll(dweight_nrz, -full, axis=0), size, full),
                "weight_hh": np.ascontiguousarray(_take(dweight_rzn, size, full)[:, :size]),
                "bias_ih": _take(np.roll(bias[: 3 * full], -full), size, full),
                "bias_hh": _take(bias[full:], size, full),
            }
            grads.update(prefixed(name, direction) if name else direction)
        return dx, grads

    @property
    def _full_units(self) -> int:
        """The units, filled up with idle ones to whole vectors."""
        w = lanes(next(iter(self.params.values())))
        return -(-self.units // w) * w

    def _weights(self, name: str) -> dict[str, Array]:
        return {key: self.params[f"{name}.{key}" if name else key] for key in _KEYS}


class GRU(BiGRU):
    """A gated recurrent unit in one direction; the equations are those of `BiGRU`.

    Parameters
    ----------
    inputs : int
        Features of a frame.
    units : int
        H, the size of a state.
    reverse : bool
        Whether to run from each clip's last valid frame to its first.
    rng : numpy.random.Generator, optional
        Draws the initial weights and biases, uniform within 1/√H as in PyTorch. By default of seed 0.
    dtype : float32 or float64
        Of the parameters and of all that is computed.

    Attributes
    ----------
    params : dict
        ``weight_ih`` (3H, inputs), ``weight_hh`` (3H, H), ``bias_ih`` and ``bias_hh`` (3H,).

    Examples
    --------
    >>> y, cache = GRU(3, 4, reverse=True).forward(np.ones((2, 10, 3)))
    >>> y.shape
    (2, 10, 4)
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        *,
        reverse: bool = False,
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        Layer.__init__(self)
        self.inputs = check_integer(inputs, "inputs", low=1)
        self.units = check_integer(units, "units", low=1)
        self.directions = (("", bool(reverse)),)
        self.params = _initial(inputs, units, default_rng(rng), check_dtype(dtype))


class LastStates(Layer):
    """Read a `BiGRU`'s two last states: forward at the last valid frame, reverse at frame 0.

    (N, T, 2H) -> (N, 2H). Both have then heard the whole clip.

    Examples
    --------
    >>> x = np.arange(6.0).reshape(1, 3, 2)
    >>> LastStates().forward(x, lengths=[2])[0]
    array([[2., 1.]])
    """

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the last states (N, 2H) of `x` (N, T, 2H); see `Layer.forward`."""
        x = as_input(x, ("N", "T", "2H"))
        if x.shape[2] % 2:
            raise ParameterError(f"x must hold the states of two directions, got an odd size, {x.shape}")
        frames = all_lengths(valid_frames(lengths, x), x)
        half = x.shape[2] // 2
        last = x[np.arange(len(x)), frames - 1, :half]
        return np.concatenate([last, x[:, 0, half:]], axis=1), (x.shape, x.dtype, frames)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return `dy` at the two frames, zero elsewhere; see `Layer.backward`."""
        shape, dtype, frames = cache
        dy = as_gradient(dy, (shape[0], shape[2]), dtype)
        half = shape[2] // 2
        dx = np.zeros(shape, dtype=dtype)
        dx[np.arange(len(dx)), frames - 1, :half] = dy[:, :half]
        dx[:, 0, half:] = dy[:, half:]
        return dx, {}

    def output_lengths(self, lengths: Array | None) -> None:
        """Return ``None``: there are no frames any more."""
        return None


_KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _initial(inputs: int, units: int, rng: np.random.Generator, dtype: npt.DTypeLike) -> dict[str, Array]:
    shapes = ((3 * units, inputs), (3 * units, units), (3 * units,), (3 * units,))
    return {key: uniform(rng, units, shape, dtype) for key, shape in zip(_KEYS, shapes, strict=True)}


def _tasks(directions: int, clips: int) -> list[tuple[int, slice]]:
    starts = range(0, clips, _CLIPS)
    return [(d, slice(start, start + _CLIPS)) for start in starts for d in range(directions)]


def _shift(h: Array, reverse: bool, previous: Array) -> None:
    """Write the state before each frame, in the order of time or against it; padded frames of h are zero."""
    if reverse:
        previous[:, :-1] = h[:, 1:]
        previous[:, -1] = 0
    else:
        previous[:, 1:] = h[:, :-1]
        previous[:, 0] = 0


def _fill(array: Array, size: int, full: int, axis: int = 0) -> Array:
    """Return `array` with each group of `size` entries along an axis filled up to `full` with zeros."""
    if size == full:
        return np.ascontiguousarray(array)
    groups = array.shape[axis] // size
    split = array.reshape(*array.shape[:axis], groups, size, *array.shape[axis + 1 :])
    filled = np.zeros((*array.shape[:axis], groups, full, *array.shape[axis + 1 :]), dtype=array.dtype)
    filled[(slice(None),) * (axis + 1) + (slice(size),)] = split
    return filled.reshape(*array.shape[:axis], groups * full, *array.shape[axis + 1 :])


def _fill_square(weight: Array, size: int, full: int) -> Array:
    """Return the recurrent weight (3H, H) with both its axes filled up."""
    return _fill(_fill(weight, size, full), size, full, axis=1)


def _take(array: Array, size: int, full: int) -> Array:
    """Return a contiguous copy of `array` (groups · full, ...) without what `_fill` added."""
    return np.ascontiguousarray(array.reshape(-1, full, *array.shape[1:])[:, :size]).reshape(
        -1, *array.shape[1:]
    )
