import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctctag
from ctctag import reference
from ctctag.audio import frame_count, stft
from ctctag.exceptions import ParameterError

NOISE = np.random.default_rng(0).uniform(-1, 1, 40000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("window", ["hamming", "hann", "boxcar"])
@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 664), (512, 128), (400, 160), (101, 7)])
def test_equals_librosa(dtype, center, window, n_fft, hop):
    librosa = pytest.importorskip("librosa")
    samples = NOISE.astype(dtype)[:9000]
    ours = stft(samples, n_fft=n_fft, hop_length=hop, window=window, center=center)
    theirs = librosa.stft(samples, n_fft=n_fft, hop_length=hop, window=window, center=center).T
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize(("n_fft", "hop"), [(16, 5), (15, 15), (2, 1)])
def test_equals_the_fourier_sum(n_fft, hop):
    expected = reference.stft(NOISE[:100], n_fft, hop)
    np.testing.assert_allclose(stft(NOISE[:100], n_fft=n_fft, hop_length=hop), expected, atol=1e-13)


def test_ten_seconds_give_240_frames():
    assert stft(np.zeros(160000)).shape == (240, 513)
    assert frame_count(160000, 1024, 664) == 240


@given(n_samples=st.integers(1, 400), n_fft=st.integers(2, 64), hop=st.integers(1, 80), center=st.booleans())
@settings(max_examples=80, deadline=None)
def test_frames_are_counted_right(n_samples, n_fft, hop, center):
    expected = frame_count(n_samples, n_fft, hop, center=center)
    if expected == 0:
        with pytest.raises(ParameterError, match="samples must fill at least one frame"):
            stft(NOISE[:n_samples], n_fft=n_fft, hop_length=hop, center=center)
    else:
        assert len(stft(NOISE[:n_samples], n_fft=n_fft, hop_length=hop, center=center)) == expected


def test_parseval():
    """The energy of a frame is that of its spectrum, the mirrored half included."""
    spectrum = stft(NOISE[:64], n_fft=64, hop_length=64, window="boxcar")[0]
    energy = np.abs(spectrum) ** 2
    np.testing.assert_allclose((2 * energy.sum() - energy[0] - energy[-1]) / 64, (NOISE[:64] ** 2).sum())


def test_threads_change_no_bit():
    before = ctctag.get_num_threads()
    results = []
    for number in (1, 2, 3, 8):
        ctctag.set_num_threads(number)
        results.append(stft(NOISE.astype(np.float32), hop_length=100).tobytes())
    ctctag.set_num_threads(before)
    assert len(set(results)) == 1


def test_samples_are_left_alone():
    samples = NOISE[:2000].copy()
    stft(samples)
    np.testing.assert_array_equal(samples, NOISE[:2000])


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        (np.zeros((2, 2000)), {}, "samples must have shape (n_samples,), got (2, 2000)"),
        (
            np.zeros(2000, np.int16),
            {},
            "samples must be floats with full scale at 1, got int16 (divide by 32768)",
        ),
        (
            np.zeros(1023),
            {},
            "samples must fill at least one frame of n_fft=1024 samples, got 1023 (append zeros if the "
            "clip is really that short)",
        ),
        (np.zeros(0), {"center": True}, "samples is empty, but at least one sample is needed"),
        (np.array([0.0] * 1500 + [np.nan]), {}, "samples[1500] is nan, but every value must be finite"),
        (np.zeros(2000), {"n_fft": 1}, "n_fft must be at least 2, got 1"),
        (np.zeros(2000), {"hop_length": 0}, "hop_length must be at least 1, got 0"),
        (
            np.zeros(2000),
            {"window": "kaiser"},
            "window must be one of 'hamming', 'hann', 'boxcar', got 'kaiser'",
        ),
    ],
)
def test_bad_input(samples, options, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        stft(samples, **options)
