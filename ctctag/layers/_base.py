"""`Layer`: what every layer offers, and nothing hidden."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._arrays import as_array
from ctctag._checks import check_float_array, check_lengths
from ctctag.exceptions import ParameterError

__all__ = ["Layer"]

Array = npt.NDArray[Any]


class Layer:
    """A function with parameters and a hand-written derivative.

    ``forward`` returns the output and a cache; ``backward`` takes the gradient at the output and that cache
    and returns the gradient at the input and those of the parameters. Nothing is stored between the two, so
    that a layer may be used twice before its gradients are wanted. A cache holds references: leave inputs
    and outputs unchanged until ``backward`` is done.

    Padding never leaks. Where ``lengths`` is given, frames ``t >= lengths[n]`` of the input and of the
    gradient at the output are never used (they may hold NaN), and there the output and the gradient at the
    input are exactly zero.

    Attributes
    ----------
    params : dict of ndarray
        Trained arrays by name. Optimisers change them in place.
    state : dict of ndarray
        What else a layer remembers: running statistics, the counter of a dropout.
    """

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.state: dict[str, Array] = {}

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Compute the output.

        Parameters
        ----------
        x : ndarray, shape (N, T, ...), float32 or float64
            The input, batch first, then frames.
        lengths : array_like, shape (N,), int, optional
            Valid frames of each clip; all of them by default.
        training : bool
            Whether dropout drops and batch norm uses (and tracks) the statistics of this batch.

        Returns
        -------
        y : ndarray
            The output; zero at padded frames.
        cache : object
            What ``backward`` needs.
        """
        raise NotImplementedError

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array | None, dict[str, Array]]:
        """Compute the gradients of a scalar, given that at the output.

        Parameters
        ----------
        dy : ndarray
            The gradient at the output, in its shape.
        cache : object
            From the ``forward`` that made this output.

        Returns
        -------
        dx : ndarray
            The gradient at the input.
        grads : dict of ndarray
            Fresh gradients of the parameters, with the keys of ``params``.
        """
        raise NotImplementedError

    def output_lengths(self, lengths: Array | None) -> Array | None:
        """Return the valid frames of the output, given those of the input (``None`` where time is gone)."""
        return lengths

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.params.items())
        return f"{type(self).__name__}({shapes})"


def check_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return `dtype` if layers can compute in it: float32 or float64."""
    checked = np.dtype(dtype)
    if checked not in (np.float32, np.float64):
        raise ParameterError(f"dtype must be float32 or float64, got {checked}")
    return checked


def default_rng(rng: np.random.Generator | None) -> np.random.Generator:
    """Return `rng`, or a generator of seed 0: a layer is never random behind one's back."""
    if rng is None:
        return np.random.default_rng(0)
    if not isinstance(rng, np.random.Generator):
        raise ParameterError(f"rng must be a numpy.random.Generator, got {rng!r}")
    return rng


def uniform(rng: np.random.Generator, fan_in: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    r"""Draw initial weights from :math:`U(-1/\sqrt{n}, 1/\sqrt{n})`, n the inputs of a unit.

    PyTorch starts its layers like this; ours do too, so that trainings here and there can be compared.
    """
    bound = 1 / np.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape).astype(dtype)


def as_input(
    x: npt.ArrayLike,
    shape: tuple[int | str, ...] | None = None,
    dtype: npt.DTypeLike | None = None,
    name: str = "x",
) -> Array:
    """Return `x` checked, contiguous and in `dtype` (its own by default; float16 is computed in float32).

    Without a `shape` any will do that has clips and one axis more.
    """
    array = as_array(x, name)
    if array.dtype.kind == "b":
        raise ParameterError(f"{name} must hold real numbers, got dtype bool (is it a mask?)")
    array = check_float_array(array, name, shape)
    if array.ndim < 2:
        raise ParameterError(f"{name} must have shape (N, ...), clips first, got {array.shape}")
    if not array.size:
        raise ParameterError(
            f"{name} must hold at least one value, got shape {array.shape} (an empty batch or clip?)"
        )
    if dtype is None:
        dtype = np.float64 if array.dtype.itemsize >= 8 else np.float32
    return np.ascontiguousarray(array, dtype=dtype)


def as_gradient(dy: npt.ArrayLike, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return the gradient at an output of `shape`, checked and contiguous."""
    return as_input(dy, shape, dtype, "dy")


def valid_frames(lengths: npt.ArrayLike | None, x: Array) -> Array | None:
    """Return the lengths of a padded batch, or ``None`` where every frame of `x` (N, T, ...) is valid."""
    if lengths is None:
        return None
    if x.ndim < 3:
        raise ParameterError(f"lengths need an input with frames, (N, T, ...), got shape {x.shape}")
    checked = check_lengths(lengths, "lengths", x.shape[0], x.shape[1])
    return None if (checked == x.shape[1]).all() else checked


def clear_padding(y: Array, lengths: Array | None) -> Array:
    """Write zeros into the padded frames of `y`, in place, and return it."""
    if lengths is not None:
        for clip, length in zip(y, lengths, strict=True):
            clip[length:] = 0
    return y


def without_padding(x: Array, lengths: Array | None) -> Array:
    """Return `x` with zeros in its padded frames: itself if there are none, else a copy."""
    return x if lengths is None else clear_padding(x.copy(), lengths)


def all_lengths(lengths: Array | None, x: Array) -> Array:
    """Return an int64 length for each clip, for kernels."""
    return np.full(x.shape[0], x.shape[1], dtype=np.int64) if lengths is None else lengths


def prefixed(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return `arrays` under dotted names, ``"name.key"``."""
    return {f"{name}.{key}": array for key, array in arrays.items()}
