"""Layers against their readable twins at shapes around each constant of the kernels.

The constants: 8 and 16 lanes of a vector, the 4 x 4 tiles of Winograd's convolution, blocks of frames, and
the 64 KiB from which on memory is used again (`_buffers._SMALL`).
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctctag.layers import GRU, BatchNorm, Conv2d, ConvBlock, Dense, MaxPool2d
from ctctag.reference import batch_norm, conv2d, conv2d_backward, gru, gru_backward, max_pool

CHANNELS = st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33])
BANDS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 16, 17])
FRAMES = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33])
DTYPES = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 10**6)
few = settings(deadline=None, max_examples=30)

pytestmark = pytest.mark.kernel


def close(found, wanted, dtype, terms=1):
    """Compare to rounding: of so many terms of size 1 in each sum."""
    tolerance = (
        (2e-6 if dtype == np.float32 else 1e-13) * (3 + terms) ** 0.5 * (1 + np.abs(wanted).max(initial=0))
    )
    np.testing.assert_allclose(found, wanted, atol=tolerance)


def clips(rng, N, shape, dtype):
    """Return a batch whose frames beyond the lengths are NaN, and the lengths."""
    x = rng.standard_normal((N, *shape)).astype(dtype)
    lengths = rng.integers(1, shape[0] + 1, N)
    for n in range(N):
        x[n, lengths[n] :] = np.nan
    return x, lengths


@few
@given(SEEDS, CHANNELS, CHANNELS, BANDS, FRAMES, DTYPES)
def test_conv(seed, inputs, outputs, bands, frames, dtype):
    rng = np.random.default_rng(seed)
    layer = Conv2d(inputs, outputs, (3, 3), rng=rng, dtype=dtype)
    x, lengths = clips(rng, 2, (frames, bands, inputs), dtype)
    dy = rng.standard_normal((2, frames, bands, outputs)).astype(dtype)
    y, cache = layer.forward(x, lengths=lengths)
    dx, grads = layer.backward(dy, cache)
    dweight, dbias = 0.0, 0.0
    for n, length in enumerate(lengths):
        close(y[n, :length], conv2d(x[n, :length], *layer.params.values()), dtype, 9 * inputs)
        wanted = conv2d_backward(dy[n, :length], x[n, :length], layer.params["weight"])
        close(dx[n, :length], wanted[0], dtype, 9 * outputs)
        dweight, dbias = dweight + wanted[1], dbias + wanted[2]
        assert not y[n, length:].any()
        assert not dx[n, length:].any()
    close(grads["weight"], dweight, dtype, 2 * frames * bands)
    close(grads["bias"], dbias, dtype, 2 * frames * bands)


@few
@given(SEEDS, CHANNELS, CHANNELS, BANDS, FRAMES, DTYPES)
def test_block_is_its_parts(seed, inputs, outputs, bands, frames, dtype):
    """The fused block against convolution, batch norm, ReLU and pooling one by one."""
    rng = np.random.default_rng(seed)
    layer = ConvBlock(inputs, outputs, rng=rng, dtype=dtype)
    x, lengths = clips(rng, 3, (frames, max(bands, 2), inputs), dtype)
    if lengths.sum() * x.shape[2] < 2:
        lengths = None
        x = np.nan_to_num(x)
    conv = Conv2d(inputs, outputs, (3, 3), bias=False, dtype=dtype)
    conv.params["weight"][...] = layer.params["conv.weight"]
    norm, pool = BatchNorm(outputs, dtype=dtype), MaxPool2d((1, 2))
    maps = conv.forward(x, lengths=lengths)[0]
    normed = norm.forward(maps, lengths=lengths, training=True)[0]
    wanted = pool.forward(np.maximum(normed, 0), lengths=lengths)[0]
    y, _ = layer.forward(x, lengths=lengths, training=True)
    # A channel whose values lie close together is divided by their small deviation.
    spread = 1 + 1 / np.sqrt(maps.reshape(-1, outputs).var(axis=0).min() + 1e-5)
    close(y / spread, wanted / spread, dtype, 90 * inputs)
    assert layer.state["norm.running_var"].dtype == dtype


@few
@given(SEEDS, CHANNELS, BANDS, FRAMES, DTYPES)
def test_batch_norm(seed, channels, bands, frames, dtype):
    rng = np.random.default_rng(seed)
    layer = BatchNorm(channels, dtype=dtype)
    x, lengths = clips(rng, 3, (frames, bands, channels), dtype)
    x[0, 0] = rng.standard_normal((bands, channels)).astype(dtype)
    rows = np.concatenate([x[n, :length].reshape(-1, channels) for n, length in enumerate(lengths)])
    y, _ = layer.forward(x, lengths=lengths, training=True)
    wanted, _, variance = batch_norm(rows, *layer.params.values())
    found = np.concatenate([y[n, :length].reshape(-1, channels) for n, length in enumerate(lengths)])
    spread = 1 + 1 / np.sqrt(variance.min() + 1e-5)
    close(found / spread, wanted / spread, dtype, len(rows))


@few
@given(SEEDS, CHANNELS, CHANNELS, FRAMES, DTYPES, st.booleans())
def test_gru(seed, inputs, units, frames, dtype, reverse):
    rng = np.random.default_rng(seed)
    layer = GRU(inputs, units, reverse=reverse, rng=rng, dtype=dtype)
    x, lengths = clips(rng, 2, (frames, inputs), dtype)
    dy = rng.standard_normal((2, frames, units)).astype(dtype)
    y, cache = layer.forward(x, lengths=lengths)
    dx, grads = layer.backward(dy, cache)
    total = dict.fromkeys(grads, 0.0)
    for n, length in enumerate(lengths):
        order = slice(None, None, -1 if reverse else 1)
        clip = x[n, :length][order]
        close(y[n, :length][order], gru(clip, layer.params), dtype, 10 * inputs)
        wanted, clip_grads = gru_backward(dy[n, :length][order], clip, layer.params)
        close(dx[n, :length][order], wanted, dtype, 100 * units)
        total = {key: value + clip_grads[key] for key, value in total.items()}
    for key, grad in grads.items():
        close(grad, total[key], dtype, 100 * frames)


@few
@given(SEEDS, CHANNELS, CHANNELS, FRAMES, DTYPES)
def test_dense(seed, inputs, outputs, frames, dtype):
    rng = np.random.default_rng(seed)
    layer = Dense(inputs, outputs, rng=rng, dtype=dtype)
    x, lengths = clips(rng, 3, (frames, inputs), dtype)
    dy = rng.standard_normal((3, frames, outputs)).astype(dtype)
    y, cache = layer.forward(x, lengths=lengths)
    dx, grads = layer.backward(dy, cache)
    weight, bias = (layer.params[key].astype(np.float64) for key in ("weight", "bias"))
    dweight = 0.0
    for n, length in enumerate(lengths):
        clip, gradient = x[n, :length].astype(np.float64), dy[n, :length].astype(np.float64)
        close(y[n, :length], clip @ weight + bias, dtype, inputs)
        close(dx[n, :length], gradient @ weight.T, dtype, outputs)
        dweight = dweight + clip.T @ gradient
        assert not y[n, length:].any()
    close(grads["weight"], dweight, dtype, 3 * frames)


@few
@given(SEEDS, CHANNELS, BANDS, FRAMES, DTYPES, st.sampled_from([(1, 2), (2, 2), (3, 1)]))
def test_max_pool(seed, channels, bands, frames, dtype, size):
    rng = np.random.default_rng(seed)
    x, lengths = clips(rng, 3, (max(frames, size[0]), max(bands, size[1]), channels), dtype)
    y, _ = MaxPool2d(size).forward(x, lengths=lengths)
    for n, length in enumerate(lengths // size[0]):
        if length:
            np.testing.assert_array_equal(y[n, :length], max_pool(x[n, : length * size[0]], size))
        assert not y[n, length:].any()
