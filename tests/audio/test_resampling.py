import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ctctag.audio import resample
from ctctag.exceptions import ParameterError

RATES = [(32000, 16000), (44100, 16000), (16000, 44100), (48000, 16000), (8000, 16000), (16000, 14545)]


def tone(frequency, sr, seconds=1.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(sr * seconds)) / sr + 0.3)


@pytest.mark.parametrize(("sr_in", "sr_out"), RATES)
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.79])
def test_sinusoids_keep_frequency_level_and_phase(sr_in, sr_out, fraction):
    frequency = fraction * min(sr_in, sr_out) / 2
    y = resample(tone(frequency, sr_in), sr_in, sr_out)
    expected = tone(frequency, sr_out)
    assert y.shape == expected.shape
    middle = slice(len(y) // 10, -len(y) // 10)  # the ends see the silence around the clip
    np.testing.assert_allclose(y[middle], expected[middle], atol=2e-3)


@pytest.mark.parametrize(("sr_in", "sr_out"), [(32000, 16000), (44100, 16000), (48000, 16000)])
def test_what_would_alias_is_gone(sr_in, sr_out):
    y = resample(tone(1.08 * sr_out / 2, sr_in), sr_in, sr_out)
    assert np.abs(y[len(y) // 10 : -len(y) // 10]).max() < 10 ** (-65 / 20)


def test_precision_is_kept():
    assert resample(np.ones(10, np.float32), 2, 1).dtype == np.float32
    assert resample(np.ones(10, np.float64), 2, 1).dtype == np.float64
    assert resample(np.ones(10, np.float16), 2, 1).dtype == np.float32


def test_float32_agrees_with_float64():
    x = np.random.default_rng(0).uniform(-1, 1, 5000)
    np.testing.assert_allclose(
        resample(x.astype(np.float32), 44100, 16000), resample(x, 44100, 16000), atol=1e-6
    )


@given(
    x=arrays(np.float64, st.integers(1, 200), elements=st.floats(-1, 1)),
    sr_in=st.integers(1, 50),
    sr_out=st.integers(1, 50),
    gain=st.floats(-2, 2),
)
@settings(max_examples=50, deadline=None)
def test_laws(x, sr_in, sr_out, gain):
    y = resample(x, sr_in, sr_out)
    assert len(y) == -(-len(x) * sr_out // sr_in)
    np.testing.assert_allclose(resample(gain * x, sr_in, sr_out), gain * y, atol=1e-12)
    np.testing.assert_array_equal(resample(x, 10 * sr_in, 10 * sr_out), y)  # only the ratio counts
    np.testing.assert_array_equal(resample(x, sr_in, sr_in), x)


def test_the_same_rate_gives_a_copy():
    x = np.ones(4)
    assert not np.shares_memory(resample(x, 16000, 16000), x)


@pytest.mark.parametrize(
    ("x", "sr_in", "sr_out", "message"),
    [
        ([[1.0]], 2, 1, "samples must have shape (n_samples,), got (1, 1)"),
        ([], 2, 1, "samples is empty, but at least one sample is needed"),
        ([1.0, np.inf], 2, 1, "samples[1] is inf, but every value must be finite"),
        ([1.0], 0, 1, "sr_in must be at least 1, got 0"),
        ([1.0], 2, 1.5, "sr_out must be an integer, got 1.5"),
    ],
)
def test_bad_input(x, sr_in, sr_out, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        resample(x, sr_in, sr_out)
