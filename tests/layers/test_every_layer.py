"""What every layer owes: a right gradient, no leaking padding, the same bits for any number of threads."""

import re

import numpy as np
import pytest

import ctctag
from ctctag.exceptions import ParameterError
from ctctag.gradcheck import check_layer
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
)

pytestmark = pytest.mark.kernel

F64 = np.float64
MAPS, FRAMES = (3, 6, 5, 2), (3, 6, 4)  # shapes (N, T, F, C) and (N, T, C)
LENGTHS = np.array([6, 2, 4])
CASES = {
    "conv": (lambda dtype=F64: Conv2d(2, 3, dtype=dtype), MAPS),
    "conv 5 x 1 without bias": (lambda dtype=F64: Conv2d(2, 3, (5, 1), bias=False, dtype=dtype), MAPS),
    "conv block": (lambda dtype=F64: ConvBlock(2, 3, dtype=dtype), MAPS),
    "fused conv block": (lambda dtype=F64: ConvBlock(2, 16, dtype=dtype), MAPS),
    "batch norm": (lambda dtype=F64: BatchNorm(2, dtype=dtype), MAPS),
    "relu": (lambda dtype=F64: ReLU(), MAPS),
    "sigmoid": (lambda dtype=F64: Sigmoid(), FRAMES),
    "softmax": (lambda dtype=F64: Softmax(), FRAMES),
    "max pool": (lambda dtype=F64: MaxPool2d((1, 2)), MAPS),
    "max pool over frames": (lambda dtype=F64: MaxPool2d((2, 3)), MAPS),
    "global max": (lambda dtype=F64: GlobalMax(), FRAMES),
    "global average": (lambda dtype=F64: GlobalAverage(), FRAMES),
    "last states": (lambda dtype=F64: LastStates(), FRAMES),
    "flatten": (lambda dtype=F64: Flatten(), MAPS),
    "dropout": (lambda dtype=F64: Dropout(0.4), FRAMES),
    "dense": (lambda dtype=F64: Dense(4, 3, dtype=dtype), FRAMES),
    "gru": (lambda dtype=F64: GRU(4, 3, dtype=dtype), FRAMES),
    "reverse gru": (lambda dtype=F64: GRU(4, 3, reverse=True, dtype=dtype), FRAMES),
    "bigru": (lambda dtype=F64: BiGRU(4, 3, dtype=dtype), FRAMES),
    "sequential": (
        lambda dtype=F64: Sequential(
            {
                "conv": Conv2d(2, 3, dtype=dtype),
                "norm": BatchNorm(3, dtype=dtype),
                "relu": ReLU(),
                "pool": MaxPool2d((2, 2)),
                "flatten": Flatten(),
                "dropout": Dropout(0.3),
                "gru": BiGRU(6, 2, dtype=dtype),
                "dense": Dense(4, 2, dtype=dtype),
                "max": GlobalMax(),
            }
        ),
        MAPS,
    ),
}
every_layer = pytest.mark.parametrize(("make", "shape"), CASES.values(), ids=CASES)


def sample(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def run(make, x, dy_seed=1, **options):
    """Return output, input gradient, parameter gradients and the state afterwards."""
    layer = make()
    y, cache = layer.forward(x, **options)
    dx, grads = layer.backward(sample(y.shape, dy_seed), cache)
    return y, dx, grads, layer.state


def output_frames(y, x):
    """Return how many times fewer frames the output has, or 0 if it has none."""
    return x.shape[1] // y.shape[1] if y.ndim > 2 else 0


@every_layer
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_gradients_agree_with_differences(make, shape, lengths, training):
    report = check_layer(make(), sample(shape), lengths=lengths, training=training, verbose=False)
    assert report.ok
    assert report.max_relative_error < 1e-6


@every_layer
@pytest.mark.parametrize("filling", [np.nan, np.inf, 1e30], ids=["nan", "inf", "huge"])
def test_padding_never_leaks(make, shape, filling):
    clean, spoilt = sample(shape), sample(shape)
    for n, length in enumerate(LENGTHS):
        clean[n, length:], spoilt[n, length:] = 0, filling
    wanted = run(make, clean, lengths=LENGTHS, training=True)
    layer = make()
    y, cache = layer.forward(spoilt, lengths=LENGTHS, training=True)
    dy = sample(y.shape, 1)
    shrink = output_frames(y, clean)
    if shrink:
        for n, length in enumerate(LENGTHS):
            assert not y[n, length // shrink :].any()
            dy[n, length // shrink :] = filling
    dx, grads = layer.backward(dy, cache)
    np.testing.assert_array_equal(y, wanted[0])
    np.testing.assert_array_equal(dx, wanted[1])
    for n, length in enumerate(LENGTHS):
        assert not dx[n, length:].any()
    for key, grad in wanted[2].items():
        np.testing.assert_array_equal(grads[key], grad)
    for key, array in wanted[3].items():
        np.testing.assert_array_equal(layer.state[key], array)


@every_layer
def test_a_clip_alone_equals_a_padded_clip_of_a_batch(make, shape):
    x = sample(shape)
    y = make().forward(x, lengths=LENGTHS)[0]
    for n, length in enumerate(LENGTHS):
        alone = make().forward(x[n : n + 1, :length])[0]
        part = y[n : n + 1, : alone.shape[1]] if alone.ndim > 2 else y[n : n + 1]
        np.testing.assert_allclose(part, alone, rtol=1e-12, atol=1e-14)


@every_layer
def test_float32_stays_float32_and_is_near_float64(make, shape):
    wanted = run(make, sample(shape), lengths=LENGTHS, training=True)
    layer = make(np.float32)
    y, cache = layer.forward(sample(shape).astype(np.float32), lengths=LENGTHS, training=True)
    dx, grads = layer.backward(sample(y.shape, 1), cache)
    assert y.dtype == dx.dtype == np.float32
    np.testing.assert_allclose(y, wanted[0], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(dx, wanted[1], rtol=2e-3, atol=2e-4)
    for key, grad in wanted[2].items():
        assert grads[key].dtype == np.float32
        np.testing.assert_allclose(grads[key], grad, rtol=2e-3, atol=2e-4)


@every_layer
def test_results_do_not_depend_on_threads(make, shape):
    larger = (5, 90, *shape[2:])
    lengths = np.array([90, 41, 80, 7, 64])
    before = ctctag.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 7):
            ctctag.set_num_threads(threads)
            results.append(run(make, sample(larger), lengths=lengths, training=True))
    finally:
        ctctag.set_num_threads(before)
    for y, dx, grads, state in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])
        for key in grads:
            np.testing.assert_array_equal(grads[key], results[0][2][key])
        for key in state:
            np.testing.assert_array_equal(state[key], results[0][3][key])


@every_layer
def test_backward_gives_a_gradient_for_every_parameter(make, shape):
    _, dx, grads, _ = run(make, sample(shape))
    layer = make()
    assert grads.keys() == layer.params.keys()
    assert list(grads) == list(layer.params)
    for key, array in layer.params.items():
        assert grads[key].shape == array.shape
        assert grads[key].flags.c_contiguous
    assert dx.shape == shape


@every_layer
def test_two_forwards_then_two_backwards(make, shape):
    layer = make()
    first, cache_1 = layer.forward(sample(shape, 2))
    _, cache_2 = layer.forward(sample(shape, 3))
    layer.backward(sample(first.shape), cache_2)
    dx, grads = layer.backward(sample(first.shape, 1), cache_1)
    _, wanted_dx, wanted, _ = run(make, sample(shape, 2))
    np.testing.assert_array_equal(dx, wanted_dx)
    for key, grad in wanted.items():
        np.testing.assert_array_equal(grads[key], grad)


@every_layer
def test_wrong_gradient_shape(make, shape):
    layer = make()
    y, cache = layer.forward(sample(shape))
    with pytest.raises(ParameterError, match=re.escape("dy must have shape (")):
        layer.backward(np.zeros((*y.shape[:-1], y.shape[-1] + 1)), cache)


@every_layer
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([6, 6], "lengths must have shape (3,), one length for each clip, got (2,)"),
        ([6, 7, 1], "lengths[1] is 7, but must lie in [1, 6]"),
        ([6, 0, 1], "lengths[1] is 0, but must lie in [1, 6]"),
    ],
)
def test_wrong_lengths(make, shape, lengths, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        make().forward(sample(shape), lengths=lengths)
