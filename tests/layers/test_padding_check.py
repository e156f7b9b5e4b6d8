"""`check_layer` finds a layer that is wrong about padding, whichever way it is."""

import re

import numpy as np
import pytest

from ctctag.exceptions import ParameterError
from ctctag.gradcheck import PaddingError, check_layer, check_padding
from ctctag.layers import Layer

X = np.random.default_rng(0).standard_normal((2, 5, 3))
LENGTHS = [5, 3]


class Scale(Layer):
    """y = weight · x, in every frame that counts; right, but for what subclasses change."""

    def __init__(self):
        super().__init__()
        self.params = {"weight": np.array([2.0, 3.0, 4.0])}
        self.state = {"frames": np.zeros(())}

    def counting(self, x, lengths):
        """Return 1 in frames that count and 0 beyond, (N, T, 1)."""
        return (np.arange(x.shape[1]) < np.asarray(lengths)[:, None])[..., None].astype(float)

    def inside(self, x, lengths):
        return np.where(self.counting(x, lengths) > 0, x, 0.0)

    def forward(self, x, *, lengths=None, training=False):
        self.state["frames"] += np.sum(lengths)
        x = self.inside(x, lengths)
        return self.params["weight"] * x, (x, lengths)

    def backward(self, dy, cache):
        x, lengths = cache
        dy = self.inside(dy, lengths)
        return self.params["weight"] * dy, {"weight": (dy * x).sum(axis=(0, 1))}


class IgnoresLengths(Scale):
    def inside(self, x, lengths):
        return x


class CentresOnAllFrames(Scale):
    """Statistics of the padding, too."""

    def forward(self, x, *, lengths=None, training=False):
        y, cache = super().forward(x, lengths=lengths, training=training)
        return (y - 0.0 * x.mean()) * self.counting(x, lengths), cache


class DividesByAllFrames(Scale):
    """Padding of zeros counts in a mean."""

    def forward(self, x, *, lengths=None, training=False):
        y, cache = super().forward(x, lengths=lengths, training=training)
        return y / x.shape[1], cache


class GradientIntoPadding(Scale):
    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx + 1.0, grads


class GradientFromPadding(Scale):
    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx, {"weight": grads["weight"] + dy.sum()}


class CountsPaddedFrames(Scale):
    def forward(self, x, *, lengths=None, training=False):
        self.state["frames"] += x.shape[1]
        return super().forward(x, lengths=lengths, training=training)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            IgnoresLengths,
            "the output changes where the input holds NaN beyond the lengths (are",
        ),
        (CentresOnAllFrames, "the output changes where the input holds NaN beyond the lengths"),
        (DividesByAllFrames, "the output changes where clips have more frames beyond the lengths"),
        (GradientIntoPadding, "the gradient at the input of clip 1 is not zero beyond its 3 frames"),
        (GradientFromPadding, "the gradient of weight changes where the gradient at the output holds NaN"),
        (CountsPaddedFrames, "the state frames changes where clips have more frames beyond the lengths"),
    ],
)
def test_wrong_layers(layer, message):
    with pytest.raises(PaddingError, match=re.escape(message)):
        check_layer(layer(), X, lengths=LENGTHS, verbose=False)


def test_padding_that_comes_out_as_it_is():
    class Passes(Scale):
        def forward(self, x, *, lengths=None, training=False):
            y, cache = super().forward(x, lengths=lengths, training=training)
            return y + (1.0 - self.counting(x, lengths)), cache

    message = "the output of clip 1 is not zero beyond its 3 frames"
    with pytest.raises(PaddingError, match=message):
        check_layer(Passes(), X, lengths=LENGTHS, verbose=False)


def test_a_right_layer_passes_and_keeps_its_state():
    layer = Scale()
    assert check_layer(layer, X, lengths=LENGTHS, verbose=False).ok
    before = layer.state["frames"].copy()
    check_padding(layer, X, LENGTHS)
    assert layer.state["frames"] == before


def test_nothing_to_check_is_said():
    with pytest.raises(ParameterError, match="lengths leave no frame beyond them: nothing about padding"):
        check_padding(Scale(), X, [5, 5])
