"""Weights from and to PyTorch's ``state_dict`` arrays, as plain dicts of NumPy arrays; PyTorch is not needed.

What differs: a convolution's kernel is (C_out, C_in, kT, kF) there and (kT, kF, C_in, C_out) here, a linear
layer's matrix is turned, the two directions of a GRU carry suffixes (``weight_ih_l0``,
``weight_ih_l0_reverse``), and a batch norm's running statistics stand beside its weights. Gates need no
reordering: r, z, n in both.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ctctag.exceptions import ParameterError
from ctctag.layers._base import Array, Layer
from ctctag.layers.block import ConvBlock
from ctctag.layers.conv import Conv2d
from ctctag.layers.dense import Dense
from ctctag.layers.gru import GRU, BiGRU
from ctctag.layers.sequential import Sequential

__all__ = ["from_torch_state", "to_torch_state"]


def to_torch_state(layer: Layer) -> dict[str, Array]:
    """Return copies of a layer's weights and running statistics under PyTorch's names and in its shapes.

    Parameters
    ----------
    layer : Layer
        Any layer; of a `Sequential` the names are prefixed, ``"conv1.weight"``.

    Returns
    -------
    dict of ndarray
        For ``torch_module.load_state_dict({k: torch.from_numpy(v) for k, v in ...})``.

    Examples
    --------
    >>> from ctctag.layers import Conv2d
    >>> {name: array.shape for name, array in to_torch_state(Conv2d(1, 16)).items()}
    {'weight': (16, 1, 3, 3), 'bias': (16,)}
    """
    return {name: np.array(turn(array), order="C") for name, array, turn, _ in _entries(layer)}


def from_torch_state(layer: Layer, state: Mapping[str, Any]) -> None:
    """Copy weights from a PyTorch ``state_dict`` into a layer, in place.

    Parameters
    ----------
    layer : Layer
        Of the same architecture.
    state : dict of ndarray
        E.g. ``{k: v.numpy() for k, v in torch_module.state_dict().items()}``. PyTorch's
        ``num_batches_tracked`` is passed over.

    Raises
    ------
    ParameterError
        If names or shapes do not fit. Nothing is changed then.

    Examples
    --------
    >>> from ctctag.layers import Dense
    >>> layer = Dense(2, 1)
    >>> from_torch_state(layer, {"weight": np.array([[1.0, 2.0]]), "bias": np.array([3.0])})
    >>> layer.params["weight"]
    array([[1.],
           [2.]], dtype=float32)
    """
    given = {name: np.asarray(a) for name, a in state.items() if not name.endswith("num_batches_tracked")}
    entries = list(_entries(layer))
    names = {name for name, *_ in entries}
    if names != given.keys():
        raise ParameterError(
            f"state must have the names of the layer, but only one has {sorted(names ^ given.keys())}"
        )
    for name, array, turn, _ in entries:
        if given[name].shape != turn(array).shape:
            raise ParameterError(
                f"state[{name!r}] must have shape {turn(array).shape}, got {given[name].shape}"
            )
    for name, array, _, turn_back in entries:
        array[...] = turn_back(given[name])


_Turn = Callable[[Array], Array]


def _same(array: Array) -> Array:
    return array


def _entries(layer: Layer) -> list[tuple[str, Array, _Turn, _Turn]]:
    """Return (PyTorch's name, our array, how to turn it, how to turn it back) of all arrays of a layer."""
    if isinstance(layer, ConvBlock):
        layer = layer.parts()
    if isinstance(layer, Sequential):
        return [
            (f"{name}.{key}", array, turn, back)
            for name, inner in layer.layers.items()
            for key, array, turn, back in _entries(inner)
        ]
    entries: list[tuple[str, Array, _Turn, _Turn]] = []
    for name, array in layer.params.items():
        there = name
        turn: _Turn = _same
        back: _Turn = _same
        if isinstance(layer, Conv2d) and name == "weight":
            turn, back = (lambda a: a.transpose(3, 2, 0, 1)), (lambda a: a.transpose(2, 3, 1, 0))
        elif isinstance(layer, Dense) and name == "weight":
            turn = back = np.transpose
        elif isinstance(layer, GRU):  # PyTorch's GRU of one direction always runs forward
            there = f"{name}_l0"
        elif isinstance(layer, BiGRU):
            direction, key = name.split(".")
            there = f"{key}_l0" + ("_reverse" if direction == "reverse" else "")
        entries.append((there, array, turn, back))
    entries += [
        (name, array, _same, _same) for name, array in layer.state.items() if name.startswith("running_")
    ]
    return entries
