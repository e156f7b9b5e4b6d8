"""Long recordings: windows give what the whole gives."""

import numpy as np
import pytest

from ctctag.models import build, forward_windows


@pytest.mark.parametrize("system", ["crnn-ctc", "crap"])
def test_windows_equal_the_whole_where_context_is_long(system):
    network = build(system, n_classes=2, preset="tiny", n_mels=16, seed=1)
    x = np.random.default_rng(0).standard_normal((400, 16)).astype(np.float32)
    whole = network.forward(x[np.newaxis])[0][0]
    pieces = forward_windows(network, x, window=90, context=60)
    assert pieces.shape == whole.shape
    # A GRU forgets geometrically: after 60 frames of fresh weights nothing of the cut is left.
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


def test_short_recordings_are_computed_at_once():
    network = build("crmp", n_classes=2, preset="tiny", n_mels=16)
    x = np.random.default_rng(0).standard_normal((30, 16)).astype(np.float32)
    np.testing.assert_array_equal(forward_windows(network, x), network.forward(x[np.newaxis])[0][0])


def test_baseline_takes_the_largest_of_the_windows():
    network = build("baseline", n_classes=3, preset="tiny", n_mels=16)
    x = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
    each = [network.forward(x[np.newaxis, first:last])[0][0] for first, last in ((0, 25), (15, 45), (35, 50))]
    result = forward_windows(network, x, window=20, context=5)
    assert result.shape == (1, 3)
    np.testing.assert_array_equal(result[0], np.max(each, axis=0))
