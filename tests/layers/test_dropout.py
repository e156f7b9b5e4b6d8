"""Dropout: its share, its scale, and a mask that depends on seed, step and place alone."""

import numpy as np
import pytest

from ctctag.layers import Dropout

pytestmark = pytest.mark.kernel


def test_share_and_scale():
    y, _ = Dropout(0.3).forward(np.ones((2, 20, 50)), training=True)
    assert set(np.unique(y)) == {0.0, 1 / 0.7}
    assert abs((y == 0).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / y.size)


def test_neighbours_and_steps_are_independent():
    layer = Dropout(0.5)
    masks = [(layer.forward(np.ones((2, 25, 40)), training=True)[0] > 0) * 2.0 - 1 for _ in range(2)]
    bound = 5 / np.sqrt(masks[0].size)
    pairs = [
        (masks[0], masks[1]),
        (masks[0][:, 1:], masks[0][:, :-1]),
        (masks[0][:, :, 1:], masks[0][:, :, :-1]),
        (masks[0][1], masks[0][0]),
    ]
    for a, b in pairs:
        assert abs((a * b).mean()) < bound * np.sqrt(masks[0].size / a.size)


def test_same_seed_and_step_give_the_same_mask_however_long_the_padding():
    short, long = Dropout(0.5), Dropout(0.5)
    a, _ = short.forward(np.ones((2, 7, 3)), training=True)
    b, _ = long.forward(np.ones((2, 12, 3)), lengths=[7, 7], training=True)
    np.testing.assert_array_equal(a, b[:, :7])


def test_the_counter_resumes():
    x = np.ones((1, 4, 8))
    layer, other = Dropout(0.5), Dropout(0.5)
    layer.forward(x, training=True)
    other.state["step"][...] = layer.state["step"]
    np.testing.assert_array_equal(layer.forward(x, training=True)[0], other.forward(x, training=True)[0])


def test_backward_uses_the_mask_of_its_own_forward():
    layer, x = Dropout(0.5), np.ones((1, 4, 8))
    y, cache = layer.forward(x, training=True)
    layer.forward(x, training=True)
    np.testing.assert_array_equal(layer.backward(np.ones_like(y), cache)[0], y)


def test_inference_changes_nothing():
    layer, x = Dropout(0.5), np.ones((1, 4, 8))
    np.testing.assert_array_equal(layer.forward(x)[0], x)
    assert layer.state["step"] == 0


def test_vectors():
    y, cache = (layer := Dropout(0.5)).forward(np.ones((4, 8)), training=True)
    assert 0 < (y == 0).sum() < y.size
    np.testing.assert_array_equal(layer.backward(np.ones_like(y), cache)[0], y)
