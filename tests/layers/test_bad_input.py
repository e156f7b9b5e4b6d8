"""What layers refuse, by message."""

import re

import numpy as np
import pytest

from ctctag.exceptions import ParameterError
from ctctag.layers import (
    GRU,
    BatchNorm,
    BiGRU,
    Conv2d,
    ConvBlock,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    GlobalMax,
    LastStates,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    from_torch_state,
)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Conv2d(0, 1), "in_channels must be at least 1, got 0"),
        (lambda: Conv2d(1, 1.5), "out_channels must be an integer, got 1.5"),
        (
            lambda: Conv2d(1, 1, 2),
            "kernel_size must be odd, so that the output has the frames of the input, got 2",
        ),
        (lambda: Conv2d(1, 1, (3, 3, 3)), "kernel_size must be one number or (frames, bands), got (3, 3, 3)"),
        (lambda: Conv2d(1, 1, dtype=np.float16), "dtype must be float32 or float64, got float16"),
        (lambda: Conv2d(1, 1, rng=3), "rng must be a numpy.random.Generator, got 3"),
        (lambda: Conv2d(2, 1).forward(np.zeros((1, 4, 4))), "x must have shape (N, T, F, 2), got (1, 4, 4)"),
        (
            lambda: Conv2d(2, 1).forward(np.zeros((1, 4, 4, 3))),
            "x must have shape (N, T, F, 2), got (1, 4, 4, 3)",
        ),
        (
            lambda: Conv2d(1, 1).forward(np.zeros((1, 4, 4, 1), complex)),
            "x must hold real numbers, got dtype complex128",
        ),
        (
            lambda: BatchNorm(2).forward(np.zeros((1, 2)), training=True),
            "batch norm in training needs at least two values a channel, got 1 (one vector?)",
        ),
        (lambda: BatchNorm(2, eps=0), "eps must be above 0, got 0"),
        (lambda: BatchNorm(2, momentum=2), "momentum must be at least 0 and at most 1, got 2"),
        (lambda: MaxPool2d(2), "size must be (frames, bands), got 2"),
        (lambda: MaxPool2d((16, 16)), "size must span at most 255 places, got (16, 16)"),
        (
            lambda: MaxPool2d((1, 2)).forward(np.zeros((1, 4, 1, 2))),
            "x must have at least 1 frames and 2 bands to pool, got (1, 4, 1, 2)",
        ),
        (lambda: Dropout(1.0), "p must be at least 0 and below 1, got 1"),
        (lambda: Dense(3, 2).forward(np.zeros((1, 4))), "x must have shape (N, 3), got (1, 4)"),
        (
            lambda: Dense(3, 2).forward(np.zeros((1, 3)), lengths=[1]),
            "lengths need an input with frames, (N, T, ...), got shape (1, 3)",
        ),
        (lambda: Flatten().forward(np.zeros((1, 3))), "x must have shape (N, T, F, C), got (1, 3)"),
        (lambda: BiGRU(3, 2).forward(np.zeros((1, 3))), "x must have shape (N, T, 3), got (1, 3)"),
        (lambda: GlobalMax().forward(np.zeros((1, 3))), "x must have shape (N, T, C), got (1, 3)"),
        (
            lambda: LastStates().forward(np.zeros((1, 2, 3))),
            "x must hold the states of two directions, got an odd size, (1, 2, 3)",
        ),
        (lambda: Sequential({}), "layers must hold at least one layer"),
        (lambda: Sequential({"a.b": ReLU()}), "layers: a name must be a word without a dot, got 'a.b'"),
        (lambda: Sequential({"a": 3}), "layers['a'] must be a Layer, got 3"),
        (
            lambda: from_torch_state(Dense(2, 1), {"weight": np.zeros((1, 2))}),
            "state must have the names of the layer, but only one has ['bias']",
        ),
        (
            lambda: from_torch_state(Dense(2, 1), {"weight": np.zeros((2, 1)), "bias": np.zeros(1)}),
            "state['weight'] must have shape (1, 2), got (2, 1)",
        ),
    ],
)
def test_message(call, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        call()


def test_the_first_layer_may_skip_its_input_gradient():
    x = np.random.default_rng(0).standard_normal((2, 6, 4, 1))
    with_dx, without = Conv2d(1, 2), Conv2d(1, 2, needs_input_grad=False)
    y, cache = with_dx.forward(x)
    wanted = with_dx.backward(y, cache)[1]
    dx, grads = without.backward(y, without.forward(x)[1])
    assert dx is None
    for key, grad in wanted.items():
        np.testing.assert_array_equal(grads[key], grad)
    assert Sequential({"conv": without}).backward(y, Sequential({"conv": without}).forward(x)[1])[0] is None


LAYERS = {
    "conv": (Conv2d(3, 4), (2, 5, 6, 3)),
    "conv block": (ConvBlock(3, 16), (2, 5, 6, 3)),
    "fused conv block": (ConvBlock(16, 16), (2, 5, 6, 16)),
    "batch norm": (BatchNorm(3), (2, 5, 6, 3)),
    "max pool": (MaxPool2d((1, 2)), (2, 5, 6, 3)),
    "gru": (GRU(3, 4), (2, 5, 3)),
    "bigru": (BiGRU(3, 4), (2, 5, 3)),
    "dense": (Dense(3, 4), (2, 5, 3)),
    "relu": (ReLU(), (2, 5, 3)),
    "sigmoid": (Sigmoid(), (2, 5, 3)),
    "softmax": (Softmax(), (2, 5, 3)),
    "global max": (GlobalMax(), (2, 5, 3)),
    "global average": (GlobalAverage(), (2, 5, 3)),
    "dropout": (Dropout(0.5), (2, 5, 3)),
    "flatten": (Flatten(), (2, 5, 6, 3)),
    "last states": (LastStates(), (2, 5, 4)),
    "sequential": (Sequential({"dense": Dense(3, 4)}), (2, 5, 3)),
}
NOT_ARRAYS = {
    "ragged": (
        [[1.0], [1.0, 2.0]],
        "must be one rectangular array, got rows of different lengths",
    ),
    "objects": (np.full((2, 5), None), "must hold real numbers, got dtype object"),
    "complex": (np.zeros((2, 5), complex), "must hold real numbers, got dtype complex128"),
    "a mask": (np.ones((2, 5), bool), "must hold real numbers, got dtype bool (is it a mask?)"),
    "masked": (np.ma.masked_equal(np.zeros((2, 5)), 0), "is a masked array with masked values"),
    "a number": (3.0, "must have shape (N, "),
    "nothing": (None, "must hold real numbers, got dtype object"),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_empty_inputs(name, training):
    layer, shape = LAYERS[name]
    for axis in range(len(shape)):
        empty = tuple(0 if i == axis else size for i, size in enumerate(shape))
        with pytest.raises(ParameterError, match=r"^x must h(old at least one value|ave shape)"):
            layer.forward(np.zeros(empty), training=training)


@pytest.mark.parametrize("what", NOT_ARRAYS)
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_no_array(name, what):
    layer, shape = LAYERS[name]
    value, message = NOT_ARRAYS[what]
    with pytest.raises(ParameterError, match=re.escape(f"x {message}")):
        layer.forward(value)
    y, cache = layer.forward(np.random.default_rng(0).standard_normal(shape), training=True)
    with pytest.raises(ParameterError, match=re.escape(f"dy {message}".replace("(N, ", "("))):
        layer.backward(value, cache)
    with pytest.raises(ParameterError, match=re.escape("dy must have shape")):
        layer.backward(np.zeros((*y.shape, 2)), cache)


def test_long_doubles_are_computed_in_float64():
    x = np.ones((2, 5, 3), np.longdouble)
    assert ReLU().forward(x)[0].dtype == np.float64


@pytest.mark.parametrize("name", LAYERS)
def test_torch_tensors(name):
    """Read, forward and backward; those that require grad are refused by name."""
    torch = pytest.importorskip("torch")
    layer, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    y, cache = layer.forward(x)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx, grads = layer.backward(dy, cache)
    found, cache = layer.forward(torch.from_numpy(x), lengths=torch.full((2,), 5))
    np.testing.assert_array_equal(found, y)
    found_dx, found_grads = layer.backward(torch.from_numpy(dy), cache)
    np.testing.assert_array_equal(found_dx, dx)
    for key, grad in grads.items():
        np.testing.assert_array_equal(found_grads[key], grad)
    message = (
        "{0} is a PyTorch tensor that requires grad, and no gradient would flow through here "
        "(pass {0}.detach())"
    )
    with pytest.raises(ParameterError, match=re.escape(message.format("x"))):
        layer.forward(torch.from_numpy(x.copy()).requires_grad_())
    with pytest.raises(ParameterError, match=re.escape(message.format("dy"))):
        layer.backward(torch.from_numpy(dy.copy()).requires_grad_(), cache)
    with pytest.raises(ParameterError, match=re.escape(message.format("lengths"))):
        layer.forward(x, lengths=torch.full((2,), 5.0, requires_grad=True))


@pytest.mark.parametrize("name", LAYERS)
def test_masked_lengths(name):
    layer, shape = LAYERS[name]
    with pytest.raises(ParameterError, match=r"^lengths is a masked array with masked values"):
        layer.forward(np.ones(shape), lengths=np.ma.masked_equal([5, 4], 4))
