import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctctag.audio import Moments, Standardiser
from ctctag.exceptions import ParameterError


@given(
    cuts=st.lists(st.integers(0, 200), max_size=6),
    offset=st.floats(-1e6, 1e6),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=50, deadline=None)
def test_blocks_give_the_moments_of_the_whole(cuts, offset, dtype):
    rows = (np.random.default_rng(0).standard_normal((200, 3)) * [1, 2, 0] + offset).astype(dtype)
    moments = Moments()
    for block in np.split(rows, sorted(cuts)):
        moments.update(block)
    exact = rows.astype(np.float64)
    assert moments.count == 200
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(moments.variance, exact.var(axis=0), rtol=1e-9, atol=1e-9)


def test_moments_merge_as_if_seen_together():
    rng = np.random.default_rng(1)
    blocks = [rng.standard_normal((n, 2)) for n in (3, 1, 5, 4)]
    left, right, empty = Moments(), Moments(), Moments()
    for block in blocks[:2]:
        left.update(block)
    for block in blocks[2:]:
        right.update(block)
    left.merge(right)
    left.merge(empty)
    empty.merge(left)
    whole = np.concatenate(blocks)
    for moments in (left, empty):
        assert moments.count == 13
        np.testing.assert_allclose(moments.mean, whole.mean(axis=0))
        np.testing.assert_allclose(moments.variance, whole.var(axis=0))


def test_standardised_training_set_has_mean_0_and_deviation_1():
    rng = np.random.default_rng(2)
    clips = [(rng.standard_normal((n, 4)) * [1, 5, 0.1, 0] - 7).astype(np.float32) for n in (240, 10, 99)]
    standardise = Standardiser.fit(iter(clips))
    whole = np.concatenate([standardise(clip) for clip in clips])
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(whole.std(axis=0), [1, 1, 1, 0], atol=1e-4)  # a band that never changes is 0


def test_batches_and_writing_in_place():
    standardise = Standardiser([1.0, 2.0], [2.0, 4.0])
    x = np.random.default_rng(3).standard_normal((3, 5, 2)).astype(np.float32)
    expected = (x - np.float32([1, 2])) / np.float32([2, 4])
    np.testing.assert_array_equal(standardise(x), expected)
    assert standardise(x, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_moments_may_be_given_ready():
    moments = Moments()
    moments.update([[1.0], [3.0]])
    standardise = Standardiser.fit(moments)
    assert (standardise.mean.tolist(), standardise.std.tolist()) == ([2.0], [1.0])


def test_arrays_cannot_be_changed_afterwards():
    mean = np.zeros(2, np.float32)
    standardise = Standardiser(mean, np.ones(2))
    mean[0] = 5
    assert standardise.mean[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        standardise.mean[0] = 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Standardiser([0.0], [1.0, 1.0]), "mean and std must have one shape, got (1,) and (2,)"),
        (lambda: Standardiser([0.0, 0.0], [1.0, 0.0]), "std[1] is 0, but must be above 0"),
        (lambda: Standardiser([np.nan], [1.0]), "mean[0] is nan, but every value must be finite"),
        (
            lambda: Standardiser.fit([]),
            "blocks hold no frame, so there is nothing to standardise by (an empty",
        ),
        (lambda: Standardiser.fit([np.zeros((0, 3))]), "blocks hold no frame"),
        (
            lambda: Standardiser.fit([np.zeros((2, 3)), np.zeros((2, 4))]),
            "block has 4 columns, but those before had 3 (features of other settings?)",
        ),
        (lambda: Standardiser.fit([[[np.inf]]]), "block[0, 0] is inf, but every value must be finite"),
        (lambda: Standardiser([0.0], [1.0])(np.zeros((5, 2))), "features must have 1 bands on the last axis"),
        (lambda: Moments().variance, "no rows have come yet, so there is no variance"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        call()
