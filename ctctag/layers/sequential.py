"""`Sequential`: layers in a row, and the chain rule as a loop."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.exceptions import ParameterError
from ctctag.layers._base import Array, Layer, prefixed

__all__ = ["Sequential"]


class Sequential(Layer):
    """Apply named layers one after the other.

    Parameters
    ----------
    layers : dict of str to Layer
        In order. A name may not hold a dot.

    Attributes
    ----------
    params, state : dict of ndarray
        Those of the layers under dotted names, ``"conv1.weight"``; the arrays themselves are shared.

    Examples
    --------
    >>> import numpy as np
    >>> from ctctag.layers import Dense, ReLU
    >>> model = Sequential({"hidden": Dense(4, 8), "relu": ReLU(), "out": Dense(8, 2)})
    >>> list(model.params)
    ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias']
    >>> y, cache = model.forward(np.ones((1, 3, 4)))
    >>> dx, grads = model.backward(np.ones_like(y), cache)
    >>> dx.shape, grads.keys() == model.params.keys()
    ((1, 3, 4), True)
    """

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        super().__init__()
        if not layers:
            raise ParameterError("layers must hold at least one layer")
        for name, layer in layers.items():
            if not isinstance(name, str) or not name or "." in name:
                raise ParameterError(f"layers: a name must be a word without a dot, got {name!r}")
            if not isinstance(layer, Layer):
                raise ParameterError(f"layers[{name!r}] must be a Layer, got {layer!r}")
        self.layers = dict(layers)
        for name, layer in self.layers.items():
            self.params.update(prefixed(name, layer.params))
            self.state.update(prefixed(name, layer.state))

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the output of the last layer, and the caches of all; see `Layer.forward`."""
        y: Any = x
        caches = []
        for layer in self.layers.values():
            y, cache = layer.forward(y, lengths=lengths, training=training)
            lengths = layer.output_lengths(None if lengths is None else np.asarray(lengths))
            caches.append(cache)
        return y, caches

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array | None, dict[str, Array]]:
        """Walk back through the layers, handing each the gradient at its output; see `Layer.backward`."""
        dx: Any = dy
        grads: dict[str, Array] = {}
        for (name, layer), layer_cache in zip(reversed(self.layers.items()), reversed(cache), strict=True):
            dx, layer_grads = layer.backward(dx, layer_cache)
            grads.update(prefixed(name, layer_grads))
        return dx, {name: grads[name] for name in self.params}  # in the order of the parameters

    def output_lengths(self, lengths: Array | None) -> Array | None:
        """Return the valid frames of the last layer's output."""
        for layer in self.layers.values():
            lengths = layer.output_lengths(lengths)
        return lengths

    def __repr__(self) -> str:
        lines = [f"    {name}: {layer!r}" for name, layer in self.layers.items()]
        return "\n".join(["Sequential(", *lines, ")"])
