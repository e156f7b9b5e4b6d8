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
        if lengths is None:
            return np.ones((*x.shape[:2], 1))
        return (np.arange(x.shape[1]) < np.asarray(lengths)[:, None])[..., None].astype(float)

    def inside(self, x, lengths):
        return np.where(self.counting(x, lengths) > 0, x, 0.0)

    def forward(self, x, *, lengths=None, training=False):
        self.state["frames"] += x.shape[0] * x.shape[1] if lengths is None else np.sum(lengths)
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


class TakesZerosForPadding(Scale):
    """Where there are no lengths to be seen, frames of zeros or of NaN might be the padding."""

    def counting(self, x, lengths):
        return 1.0 * ((x != 0) & np.isfinite(x)).any(axis=2, keepdims=True)


class PadsToTheLongest(Scale):
    """The lengths of all clips are that of the longest."""

    def counting(self, x, lengths):
        return super().counting(x, None if lengths is None else np.full(len(x), np.max(lengths)))


class ClipsItsGradient(Scale):
    """NaN in the gradient becomes a number, but what is finite goes through."""

    def backward(self, dy, cache):
        x, lengths = cache
        dx, grads = super().backward(dy, cache)
        beyond = np.nan_to_num(dy, nan=0.0) * (1.0 - self.counting(x, lengths))
        return dx, {"weight": grads["weight"] + beyond.sum()}


class RefusesNaN(Scale):
    def forward(self, x, *, lengths=None, training=False):
        if not np.isfinite(x).all():
            raise ValueError("x is not finite")
        return super().forward(x, lengths=lengths, training=training)


class ForgetsItsFrames(Scale):
    """Every second frame comes out, but the lengths are said to be the same."""

    def forward(self, x, *, lengths=None, training=False):
        y, cache = super().forward(x, lengths=lengths, training=training)
        return y[:, ::2], cache


class CountsInTraining(Scale):
    """Right in inference."""

    def inside(self, x, lengths):
        return x if self.training else super().inside(x, lengths)

    def forward(self, x, *, lengths=None, training=False):
        self.training = training
        return super().forward(x, lengths=lengths, training=training)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            IgnoresLengths,
            "the output changes where the input holds numbers beyond the lengths (are",
        ),
        (CentresOnAllFrames, "the output changes where the input holds NaN beyond the lengths"),
        (TakesZerosForPadding, "the output changes where the input holds numbers beyond the lengths"),
        (PadsToTheLongest, "the output changes where the input holds numbers beyond the lengths"),
        (ClipsItsGradient, "the gradient of weight changes where the gradient at the output holds numbers"),
        (RefusesNaN, "the layer raises ValueError where the input holds NaN beyond the lengths: x is not"),
        (ForgetsItsFrames, "output_lengths gives up to 5 frames for an output of shape (2, 3, 3)"),
        (CountsInTraining, "the output changes where the input holds numbers beyond the lengths"),
        (DividesByAllFrames, "the output changes where clips have more frames beyond the lengths"),
        (GradientIntoPadding, "the gradient at the input of clip 1 is not zero beyond its 3 frames"),
        (GradientFromPadding, "the gradient of weight changes where the gradient at the output holds"),
        (CountsPaddedFrames, "the state frames changes where clips have more frames beyond the lengths"),
    ],
)
@pytest.mark.parametrize("lengths", [LENGTHS, None, [5, 5]], ids=["padded", "none", "all full"])
def test_wrong_layers(layer, message, lengths):
    """Lengths without padding let no fault pass: frames are appended then."""
    shape = X.shape if lengths == LENGTHS else (2, 7, 3)
    if shape != X.shape:  # what depends on the lengths chosen
        message = message.replace("(2, 3, 3)", "(2, 4, 3)").replace("beyond its 3", "beyond its 5")
        message = message.replace("of clip 1", "of clip 0")
    with pytest.raises(PaddingError, match=re.escape(message)):
        check_layer(layer(), X, lengths=lengths, verbose=False)


def test_padding_is_checked_unless_told_otherwise():
    with pytest.raises(PaddingError):
        check_layer(IgnoresLengths(), X, verbose=False)
    assert check_layer(IgnoresLengths(), X, padding=False, verbose=False).ok
    assert check_layer(CountsInTraining(), X, training=False, verbose=False).ok


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
    for lengths in (LENGTHS, [5, 5], None):
        assert check_layer(layer, X, lengths=lengths, verbose=False).ok
    before = layer.state["frames"].copy()
    check_padding(layer, X, LENGTHS)
    assert layer.state["frames"] == before


def test_nothing_to_check_is_said():
    with pytest.raises(ParameterError, match="lengths leave no frame beyond them: nothing about padding"):
        check_padding(Scale(), X, [5, 5])


def test_inputs_without_frames_have_no_padding():
    with pytest.raises(ParameterError, match=re.escape("x must have frames, (N, T, ...), got shape (2, 3)")):
        check_padding(Scale(), X[:, 0], [1, 1])
    with pytest.raises(ParameterError, match=re.escape("x must be one rectangular array, got rows of")):
        check_layer(Scale(), [[[1.0, 2.0, 3.0]], [[1.0]]])
