"""Shifted clips: the frames of one are those of the other, later."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctctag.audio import LogMel, shift_samples, shifts_of
from ctctag.exceptions import ParameterError


@given(count=st.integers(1, 9), hop=st.integers(4, 3000))
def test_shifts_are_even_about_zero(count, hop):
    shifts = shifts_of(count, hop)
    assert len(shifts) == count
    assert shifts == [-shift for shift in reversed(shifts)]
    assert all(abs(step - hop / 4) <= 1 for step in np.diff(shifts))


@given(size=st.integers(1, 20), shift=st.integers(-25, 25))
def test_a_sample_goes_where_it_should(size, shift):
    x = np.arange(1, size + 1, dtype=np.float32)
    expected = [x[i + shift] if 0 <= i + shift < size else 0 for i in range(size)]
    shifted = shift_samples(x, shift)
    np.testing.assert_array_equal(shifted, expected)
    assert shifted.dtype == np.float32


def test_frames_of_a_clip_shifted_by_a_hop_are_the_next_ones():
    log_mel = LogMel()
    x = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    np.testing.assert_array_equal(log_mel(shift_samples(x, 664))[:-1], log_mel(x)[1:])
    np.testing.assert_array_equal(log_mel(shift_samples(x, -664))[1:], log_mel(x)[:-1])


def test_bad_input():
    with pytest.raises(
        ParameterError,
        match=re.escape("count must be at least 1 and at most 9, got 0: "),
    ):
        shifts_of(0, 664)
    with pytest.raises(ParameterError, match=re.escape("samples must have shape (n_samples,)")):
        shift_samples(np.zeros((2, 3)), 1)
