"""Layers against their readable twins at shapes around each constant of the kernels.

The constants: 8 and 16 lanes of a vector, the 4 x 4 tiles of Winograd's convolution, blocks of 40 frames in
batches below 8 clips and whole clips from there on, 16 shares of a convolution's gradient, 16 clips of a
recurrent product, 480 rows and 8 parts of a product, and the 64 KiB from which on memory is used again.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctctag.layers import (
    GRU,
    BatchNorm,
    BiGRU,
    Conv2d,
    ConvBlock,
    Dense,
    GlobalAverage,
    GlobalMax,
    MaxPool2d,
    _blocks,
    _buffers,
    _products,
)
from ctctag.layers import (
    gru as gru_of_layers,
)
from ctctag.reference import (
    batch_norm,
    batch_norm_backward,
    conv2d,
    conv2d_backward,
    global_average,
    global_max,
    gru,
    gru_backward,
    max_pool,
    max_pool_backward,
)

CHANNELS = st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33])
BANDS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 16, 17])
FEW_FRAMES = [1, 2, 3, 4, 5, 7, 8, 9]
FRAMES = [*FEW_FRAMES, 15, 16, 17, 33, 39, 40, 41, 44, 79, 80, 81]
# Many clips or many frames; 6 clips of 81 frames are 18 blocks, more than there are shares.
CLIPS_AND_FRAMES = st.one_of(
    st.tuples(st.integers(1, 3), st.sampled_from(FRAMES)),
    st.tuples(st.sampled_from([6, 7, 8, 9, 15, 16, 17, 33]), st.sampled_from(FEW_FRAMES)),
    st.sampled_from([(5, 121), (6, 81), (8, 41), (17, 41)]),
)
DTYPES = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 10**6)
few = settings(deadline=None, max_examples=30)

pytestmark = pytest.mark.kernel


def test_the_constants_are_those_around_which_shapes_are_drawn():
    """Whoever changes one changes the shapes here."""
    assert (_blocks.FRAMES, _blocks.WHOLE, _blocks.SHARES) == (40, 8, 16)
    assert (_products._ROWS, _products._PARTS, _buffers._SMALL) == (480, 8, 1 << 16)
    assert gru_of_layers._CLIPS == 16


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


def gradient(rng, shape, lengths, dtype):
    """Return a gradient at an output of `shape` that is NaN beyond the lengths."""
    dy = rng.standard_normal(shape).astype(dtype)
    for n, length in enumerate(lengths):
        dy[n, length:] = np.nan
    return dy


def valid(array, lengths):
    """Return the frames that count as rows, and check that the others are zero."""
    for n, length in enumerate(lengths):
        assert not array[n, length:].any()
    return np.concatenate(
        [array[n, :length].reshape(-1, array.shape[-1]) for n, length in enumerate(lengths)]
    )


@few
@given(SEEDS, CHANNELS, CHANNELS, BANDS, CLIPS_AND_FRAMES, DTYPES)
def test_conv(seed, inputs, outputs, bands, clips_and_frames, dtype):
    rng = np.random.default_rng(seed)
    N, frames = clips_and_frames
    layer = Conv2d(inputs, outputs, (3, 3), rng=rng, dtype=dtype)
    x, lengths = clips(rng, N, (frames, bands, inputs), dtype)
    dy = gradient(rng, (N, frames, bands, outputs), lengths, dtype)
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
    close(grads["weight"], dweight, dtype, N * frames * bands)
    close(grads["bias"], dbias, dtype, N * frames * bands)


@few
@given(SEEDS, CHANNELS, CHANNELS, BANDS, CLIPS_AND_FRAMES, DTYPES)
def test_block_is_its_parts(seed, inputs, outputs, bands, clips_and_frames, dtype):
    """The fused block against convolution, batch norm, ReLU and pooling one by one."""
    rng = np.random.default_rng(seed)
    N, frames = clips_and_frames
    layer = ConvBlock(inputs, outputs, rng=rng, dtype=dtype)
    layer.params["norm.bias"][...] = rng.standard_normal(outputs)
    x, lengths = clips(rng, N, (frames, max(bands, 2), inputs), dtype)
    weight, gamma, beta = layer.params.values()
    y, cache = layer.forward(x, lengths=lengths, training=True)

    maps = [conv2d(x[n, :length], weight, np.zeros(outputs)) for n, length in enumerate(lengths)]
    rows = np.concatenate([clip.reshape(-1, outputs) for clip in maps])
    normed, _, variance = batch_norm(rows, gamma, beta)
    ends = np.cumsum(lengths * x.shape[2])[:-1]
    normed = [part.reshape(-1, x.shape[2], outputs) for part in np.split(normed, ends)]
    spread = 1 + 1 / np.sqrt(variance.min() + 1e-5)  # what a channel of small deviation is divided by
    for n, length in enumerate(lengths):
        pairs = np.maximum(normed[n][:, : bands // 2 * 2 or 2], 0).reshape(length, -1, 2, outputs)
        close(y[n, :length] / spread, pairs.max(axis=2) / spread, dtype, 90 * inputs)
        assert not y[n, length:].any()
    assert layer.state["norm.running_var"].dtype == dtype
    if dtype == np.float32:
        return  # rounding decides which of two near values is the larger, and where the gradient goes

    dz = gradient(rng, y.shape, lengths, dtype)
    dx, grads = layer.backward(dz, cache)
    before = []
    for n, length in enumerate(lengths):
        positive = np.maximum(normed[n], 0)
        pairs = positive[:, : y.shape[2] * 2].reshape(length, -1, 2, outputs)
        first = pairs[:, :, 0] >= pairs[:, :, 1]
        spread_out = np.zeros_like(positive)
        spread_out[:, 0 : y.shape[2] * 2 : 2] = np.where(first, dz[n, :length], 0)
        spread_out[:, 1 : y.shape[2] * 2 : 2] = np.where(first, 0, dz[n, :length])
        before.append((spread_out * (positive > 0)).reshape(-1, outputs))
    dmaps, dgamma, dbeta = batch_norm_backward(np.concatenate(before), rows, gamma)
    dweight = 0.0
    for n, part in enumerate(np.split(dmaps, ends)):
        dclip, share, _ = conv2d_backward(part.reshape(-1, x.shape[2], outputs), x[n, : lengths[n]], weight)
        dweight = dweight + share
        np.testing.assert_allclose(dx[n, : lengths[n]], dclip, rtol=1e-7, atol=1e-8 * spread)
        assert not dx[n, lengths[n] :].any()
    for key, wanted in (("conv.weight", dweight), ("norm.weight", dgamma), ("norm.bias", dbeta)):
        np.testing.assert_allclose(grads[key], wanted, rtol=1e-7, atol=1e-8 * spread)


@few
@given(SEEDS, CHANNELS, BANDS, CLIPS_AND_FRAMES, DTYPES)
def test_batch_norm(seed, channels, bands, clips_and_frames, dtype):
    rng = np.random.default_rng(seed)
    N, frames = max(clips_and_frames[0], 2), clips_and_frames[1]
    layer = BatchNorm(channels, dtype=dtype)
    x, lengths = clips(rng, N, (frames, bands, channels), dtype)
    dy = gradient(rng, x.shape, lengths, dtype)
    y, cache = layer.forward(x, lengths=lengths, training=True)
    dx, grads = layer.backward(dy, cache)
    rows = np.concatenate([x[n, :length].reshape(-1, channels) for n, length in enumerate(lengths)])
    drows = np.concatenate([dy[n, :length].reshape(-1, channels) for n, length in enumerate(lengths)])
    wanted, _, variance = batch_norm(rows, *layer.params.values())
    spread = 1 + 1 / np.sqrt(variance.min() + 1e-5)
    close(valid(y, lengths) / spread, wanted / spread, dtype, len(rows))
    wanted_dx, dweight, dbias = batch_norm_backward(drows, rows, layer.params["weight"])
    close(valid(dx, lengths) / spread**2, wanted_dx / spread**2, dtype, len(rows))
    close(grads["weight"] / spread, dweight / spread, dtype, len(rows))
    close(grads["bias"], dbias, dtype, len(rows))


def compare_gru(layer, params, x, lengths, y, dy, dx_of, reverse, dtype):
    """Compare one direction with its twin, clip by clip; return the gradients of its parameters."""
    total = {key: 0.0 for key in params}
    units = params["weight_hh"].shape[1]
    for n, length in enumerate(lengths):
        order = slice(None, None, -1 if reverse else 1)
        clip = x[n, :length][order]
        close(y[n, :length][order], gru(clip, params), dtype, 10 * x.shape[2])
        wanted, clip_grads = gru_backward(dy[n, :length][order], clip, params)
        dx_of[n, :length] += wanted[order]
        total = {key: value + clip_grads[key] for key, value in total.items()}
        assert not y[n, length:].any()
    assert y.shape[2] == units
    return total


@few
@given(SEEDS, CHANNELS, CHANNELS, CLIPS_AND_FRAMES, DTYPES, st.sampled_from(["forward", "reverse", "both"]))
def test_gru(seed, inputs, units, clips_and_frames, dtype, directions):
    rng = np.random.default_rng(seed)
    N, frames = clips_and_frames
    if directions == "both":
        layer, names = BiGRU(inputs, units, rng=rng, dtype=dtype), ("forward.", "reverse.")
    else:
        layer, names = GRU(inputs, units, reverse=directions == "reverse", rng=rng, dtype=dtype), ("",)
    x, lengths = clips(rng, N, (frames, inputs), dtype)
    dy = gradient(rng, (N, frames, units * len(names)), lengths, dtype)
    y, cache = layer.forward(x, lengths=lengths)
    dx, grads = layer.backward(dy, cache)
    wanted_dx = np.zeros(x.shape)
    for d, name in enumerate(names):
        part = slice(d * units, (d + 1) * units)
        params = {key.removeprefix(name): p for key, p in layer.params.items() if key.startswith(name)}
        reverse = directions == "reverse" or d == 1
        total = compare_gru(layer, params, x, lengths, y[..., part], dy[..., part], wanted_dx, reverse, dtype)
        for key, wanted in total.items():
            close(grads[name + key], wanted, dtype, 100 * N * frames)
    close(dx, wanted_dx, dtype, 100 * units)


ROWS = [1, 479, 480, 481, 960, 961, 3839, 3840, 3841, 3849]  # a part has 480 rows, and more from 3841 on


@few
@given(SEEDS, CHANNELS, CHANNELS, st.sampled_from(ROWS), DTYPES, st.booleans())
def test_dense(seed, inputs, outputs, rows, dtype, padded):
    rng = np.random.default_rng(seed)
    layer = Dense(inputs, outputs, rng=rng, dtype=dtype)
    lengths = np.array([rows]) if rows < 8 else np.array([rows // 2, rows - rows // 2 - 3, 1, 2])
    frames = lengths.max() + padded
    x = gradient(rng, (len(lengths), frames, inputs), lengths, dtype)
    dy = gradient(rng, (len(lengths), frames, outputs), lengths, dtype)
    y, cache = layer.forward(x, lengths=lengths)
    dx, grads = layer.backward(dy, cache)
    weight, bias = (layer.params[key].astype(np.float64) for key in ("weight", "bias"))
    clip = np.concatenate([x[n, :length] for n, length in enumerate(lengths)]).astype(np.float64)
    dclip = np.concatenate([dy[n, :length] for n, length in enumerate(lengths)]).astype(np.float64)
    assert len(clip) == rows
    close(valid(y, lengths), clip @ weight + bias, dtype, inputs)
    close(valid(dx, lengths), dclip @ weight.T, dtype, outputs)
    close(grads["weight"], clip.T @ dclip, dtype, rows)
    close(grads["bias"], dclip.sum(axis=0), dtype, rows)


@few
@given(SEEDS, CHANNELS, BANDS, st.sampled_from(FEW_FRAMES), DTYPES, st.sampled_from([(1, 2), (2, 2), (3, 1)]))
def test_max_pool(seed, channels, bands, frames, dtype, size):
    rng = np.random.default_rng(seed)
    x, lengths = clips(rng, 3, (max(frames, size[0]), max(bands, size[1]), channels), dtype)
    x = np.round(2 * x)  # there are ties
    layer = MaxPool2d(size)
    y, cache = layer.forward(x, lengths=lengths)
    dy = gradient(rng, y.shape, lengths // size[0], dtype)
    dx, _ = layer.backward(dy, cache)
    for n, (length, pooled) in enumerate(zip(lengths, lengths // size[0], strict=True)):
        if pooled:
            np.testing.assert_array_equal(y[n, :pooled], max_pool(x[n, :length], size))
            wanted = max_pool_backward(dy[n, :pooled], x[n, :length], size)
            np.testing.assert_array_equal(dx[n, :length], wanted)
        assert not y[n, pooled:].any()
        assert not dx[n, pooled * size[0] :].any()


@few
@given(SEEDS, CHANNELS, CLIPS_AND_FRAMES, DTYPES)
def test_global_pooling(seed, channels, clips_and_frames, dtype):
    rng = np.random.default_rng(seed)
    x, lengths = clips(rng, clips_and_frames[0], (clips_and_frames[1], channels), dtype)
    dy = rng.standard_normal((len(x), channels)).astype(dtype)
    maxima, cache = GlobalMax().forward(x, lengths=lengths)
    dx = GlobalMax().backward(dy, cache)[0]
    means, cache = GlobalAverage().forward(x, lengths=lengths)
    dx_mean = GlobalAverage().backward(dy, cache)[0]
    for n, length in enumerate(lengths):
        clip = x[n, :length]
        np.testing.assert_array_equal(maxima[n], global_max(clip))
        close(means[n], global_average(clip), dtype, length)
        wanted = np.zeros_like(clip)
        wanted[clip.argmax(axis=0), np.arange(channels)] = dy[n]
        np.testing.assert_array_equal(dx[n, :length], wanted)
        close(dx_mean[n, :length], np.tile(dy[n] / length, (length, 1)), dtype)
        assert not dx[n, length:].any()
        assert not dx_mean[n, length:].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_memory_is_not_used_again_while_somebody_holds_it(dtype, more):
    """Outputs of just below, of exactly and of just above the size from which on memory is kept."""
    rows = _buffers._SMALL // np.dtype(dtype).itemsize + more
    layer = Dense(1, 1, dtype=dtype)
    weight, bias = (array.item() for array in layer.params.values())
    inputs = [np.full((1, rows, 1), number, dtype) for number in (1.0, 2.0, 3.0)]
    held = [layer.forward(x)[0] for x in inputs]
    view = held[0][0, -1:]
    address = held[0].ctypes.data
    del held[0]
    again = [layer.forward(x)[0] for x in inputs]
    for y, number in zip([*held, *again], (2.0, 3.0, 1.0, 2.0, 3.0), strict=True):
        np.testing.assert_allclose(y, np.full((1, rows, 1), number * weight + bias), rtol=1e-6)
    np.testing.assert_allclose(view, [[weight + bias]], rtol=1e-6)  # a view holds it, too
    assert address not in [y.ctypes.data for y in again]
