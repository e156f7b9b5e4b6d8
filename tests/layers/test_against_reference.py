"""The layers equal their readable twins, clip by clip, values and gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctctag import reference
from ctctag.layers import GRU, BatchNorm, BiGRU, Conv2d, GlobalAverage, GlobalMax, MaxPool2d

pytestmark = pytest.mark.kernel

F64 = np.float64
LENGTHS = np.array([7, 3])
CLOSE = {"rtol": 1e-11, "atol": 1e-12}


def sample(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def agree(actual, wanted):
    np.testing.assert_allclose(actual, wanted, **CLOSE)


@pytest.mark.parametrize("kernel_size", [(3, 3), (1, 1), (5, 3), (1, 5)])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 4), (3, 2), (1, 8), (8, 8), (8, 16)])
def test_conv(kernel_size, inputs, outputs):
    layer = Conv2d(inputs, outputs, kernel_size, dtype=F64)
    x, dy = sample(2, 7, 6, inputs), sample(2, 7, 6, outputs, seed=1)
    y, cache = layer.forward(x, lengths=LENGTHS)
    dx, grads = layer.backward(dy, cache)
    dweight, dbias = 0, 0
    for n, length in enumerate(LENGTHS):
        agree(y[n, :length], reference.conv2d(x[n, :length], *layer.params.values()))
        wanted = reference.conv2d_backward(dy[n, :length], x[n, :length], layer.params["weight"])
        agree(dx[n, :length], wanted[0])
        dweight, dbias = dweight + wanted[1], dbias + wanted[2]
    agree(grads["weight"], dweight)
    agree(grads["bias"], dbias)


@settings(max_examples=15, deadline=None)
@given(
    frames=st.integers(1, 13),
    bands=st.integers(1, 9),
    inputs=st.sampled_from([1, 2, 8]),
    outputs=st.sampled_from([1, 3, 8]),
    data=st.data(),
)
def test_conv_of_any_shape(frames, bands, inputs, outputs, data):
    length = data.draw(st.integers(1, frames))
    layer = Conv2d(inputs, outputs, dtype=F64)
    x, dy = sample(1, frames, bands, inputs), sample(1, frames, bands, outputs, seed=1)
    y, cache = layer.forward(x, lengths=[length])
    dx, grads = layer.backward(dy, cache)
    agree(y[0, :length], reference.conv2d(x[0, :length], *layer.params.values()))
    wanted = reference.conv2d_backward(dy[0, :length], x[0, :length], layer.params["weight"])
    agree(dx[0, :length], wanted[0])
    agree(grads["weight"], wanted[1])
    agree(grads["bias"], wanted[2])


def test_batch_norm():
    layer = BatchNorm(3, dtype=F64)
    layer.params["weight"][...] = [0.5, -2.0, 1.5]
    layer.params["bias"][...] = [1.0, 0.0, -1.0]
    x, dy = sample(2, 7, 4, 3) * 3 + 5, sample(2, 7, 4, 3, seed=1)
    valid = np.arange(7) < LENGTHS[:, None]
    y, cache = layer.forward(x, lengths=LENGTHS, training=True)
    dx, grads = layer.backward(dy, cache)
    rows = x[valid].reshape(-1, 3)
    wanted, mean, variance = reference.batch_norm(rows, *layer.params.values())
    agree(y[valid].reshape(-1, 3), wanted)
    agree(layer.state["running_mean"], 0.1 * mean)
    agree(layer.state["running_var"], 0.9 + 0.1 * variance * len(rows) / (len(rows) - 1))
    wanted_dx, dweight, dbias = reference.batch_norm_backward(
        dy[valid].reshape(-1, 3), rows, layer.params["weight"]
    )
    agree(dx[valid].reshape(-1, 3), wanted_dx)
    agree(grads["weight"], dweight)
    agree(grads["bias"], dbias)


@pytest.mark.parametrize("size", [(1, 2), (2, 2), (3, 1)])
def test_max_pool(size):
    x, layer = np.round(sample(2, 7, 5, 3)), MaxPool2d(size)  # rounded: there are ties
    y, cache = layer.forward(x, lengths=[7, 3])
    dy = sample(*y.shape, seed=1)
    dx, _ = layer.backward(dy, cache)
    for n, length in enumerate(LENGTHS):
        frames = length // size[0]
        np.testing.assert_array_equal(y[n, :frames], reference.max_pool(x[n, :length], size))
        wanted = reference.max_pool_backward(dy[n, :frames], x[n, :length], size)
        np.testing.assert_array_equal(dx[n, :length], wanted)


def test_global_pooling():
    x = sample(2, 7, 3)
    for layer, twin in ((GlobalMax(), reference.global_max), (GlobalAverage(), reference.global_average)):
        y, _ = layer.forward(x, lengths=LENGTHS)
        for n, length in enumerate(LENGTHS):
            agree(y[n], twin(x[n, :length]))


@pytest.mark.parametrize("reverse", [False, True])
def test_gru(reverse):
    layer = GRU(3, 4, reverse=reverse, dtype=F64)
    x, dy = sample(2, 7, 3), sample(2, 7, 4, seed=1)
    y, cache = layer.forward(x, lengths=LENGTHS)
    dx, grads = layer.backward(dy, cache)
    wanted = {key: 0 for key in grads}
    for n, length in enumerate(LENGTHS):
        order = slice(None, None, -1 if reverse else 1)
        clip, gradient = x[n, :length][order], dy[n, :length][order]
        agree(y[n, :length][order], reference.gru(clip, layer.params))
        wanted_dx, clip_grads = reference.gru_backward(gradient, clip, layer.params)
        agree(dx[n, :length][order], wanted_dx)
        wanted = {key: total + clip_grads[key] for key, total in wanted.items()}
    for key, grad in grads.items():
        agree(grad, wanted[key])


def test_bigru_is_two_grus():
    both = BiGRU(3, 4, dtype=F64)
    one_way, other_way = GRU(3, 4, dtype=F64), GRU(3, 4, reverse=True, dtype=F64)
    for key in one_way.params:
        one_way.params[key][...] = both.params[f"forward.{key}"]
        other_way.params[key][...] = both.params[f"reverse.{key}"]
    x, dy = sample(2, 7, 3), sample(2, 7, 8, seed=1)
    y, cache = both.forward(x, lengths=LENGTHS)
    dx, grads = both.backward(dy, cache)
    total = 0
    for name, layer, part in (("forward", one_way, slice(4)), ("reverse", other_way, slice(4, 8))):
        part_y, part_cache = layer.forward(x, lengths=LENGTHS)
        part_dx, part_grads = layer.backward(dy[..., part], part_cache)
        agree(y[..., part], part_y)
        total = total + part_dx
        for key, grad in part_grads.items():
            agree(grads[f"{name}.{key}"], grad)
    agree(dx, total)
