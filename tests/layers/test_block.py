"""The fused block equals the four layers it is made of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctctag.layers import ConvBlock

pytestmark = pytest.mark.kernel


def compare(layer, x, lengths, training, rtol, atol):
    twin = ConvBlock(layer.conv.in_channels, layer.conv.out_channels, dtype=layer.params["conv.weight"].dtype)
    for key, array in layer.params.items():
        twin.params[key][...] = array
    for key, array in layer.state.items():
        twin.state[key][...] = array
    parts = twin.parts()
    y, cache = layer.forward(x, lengths=lengths, training=training)
    wanted, wanted_cache = parts.forward(x, lengths=lengths, training=training)
    assert y.dtype == wanted.dtype
    np.testing.assert_allclose(y, wanted, rtol=rtol, atol=atol)
    for key, array in layer.state.items():
        np.testing.assert_allclose(array, parts.state[key], rtol=rtol, atol=atol)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    dx, grads = layer.backward(dy, cache)
    wanted_dx, wanted_grads = parts.backward(dy, wanted_cache)
    np.testing.assert_allclose(dx, wanted_dx, rtol=rtol, atol=atol)
    assert grads.keys() == wanted_grads.keys()
    for key, grad in grads.items():
        scale = np.abs(wanted_grads[key]).max()
        np.testing.assert_allclose(grad, wanted_grads[key], rtol=rtol, atol=atol * max(1, scale))


def prepared(inputs, outputs, dtype, seed=0):
    rng = np.random.default_rng(seed)
    layer = ConvBlock(inputs, outputs, rng=rng, dtype=dtype)
    layer.params["norm.weight"][...] = rng.uniform(-2, 2, outputs)
    layer.params["norm.bias"][...] = rng.uniform(-1, 1, outputs)
    layer.state["norm.running_mean"][...] = rng.uniform(-1, 1, outputs)
    layer.state["norm.running_var"][...] = rng.uniform(0.5, 2, outputs)
    return layer


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@settings(max_examples=10, deadline=None)
@given(
    frames=st.integers(2, 11),
    bands=st.integers(2, 9),
    inputs=st.sampled_from([1, 2, 8]),
    outputs=st.sampled_from([8, 16]),
    data=st.data(),
)
def test_equals_its_parts(training, frames, bands, inputs, outputs, data):
    lengths = [data.draw(st.integers(1, frames)), frames]
    x = np.random.default_rng(2).standard_normal((2, frames, bands, inputs))
    compare(prepared(inputs, outputs, np.float64), x, lengths, training, 1e-9, 1e-10)


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 16), (16, 32)])
def test_equals_its_parts_in_float32(training, inputs, outputs):
    x = np.random.default_rng(2).standard_normal((2, 9, 8, inputs)).astype(np.float32)
    compare(prepared(inputs, outputs, np.float32), x, [9, 6], training, 2e-4, 2e-4)


def test_a_mean_far_from_zero_costs_no_digits():
    x = np.random.default_rng(2).standard_normal((1, 50, 4, 1)) + 1e4
    compare(prepared(1, 8, np.float64), x, None, True, 1e-6, 1e-7)


def test_nan_in_the_valid_frames_is_not_hidden():
    x = np.zeros((1, 6, 4, 1))
    x[0, 3, 1] = np.nan
    assert np.isnan(ConvBlock(1, 8, dtype=np.float64).forward(x)[0][0, 3]).any()
