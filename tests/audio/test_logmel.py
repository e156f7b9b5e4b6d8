import dataclasses
import json
import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctctag
from ctctag import reference
from ctctag.audio import LogMel
from ctctag.exceptions import ParameterError

pytestmark = pytest.mark.kernel

SMALL = LogMel(sr=8000, n_fft=64, hop_length=24, n_mels=5, fmin=100.0, fmax=4000.0)
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 40000)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize(("scale", "norm"), [("slaney", "slaney"), ("htk", None)])
def test_equals_librosa(center, power, scale, norm):
    librosa = pytest.importorskip("librosa")
    log_mel = LogMel(center=center, power=power, scale=scale, norm=norm)
    samples = NOISE[:5000].astype(np.float32)
    theirs = librosa.feature.melspectrogram(
        y=samples,
        sr=16000,
        n_fft=1024,
        hop_length=664,
        window="hamming",
        center=center,
        power=power,
        n_mels=64,
        fmin=50,
        fmax=8000,
        htk=scale == "htk",
        norm=norm,
    )
    ours = log_mel(samples)
    assert (ours.dtype, ours.shape) == (np.float32, theirs.T.shape)
    np.testing.assert_allclose(ours, np.log(theirs.T + 1e-8), atol=2e-5)


def test_equals_its_readable_twin():
    ours = SMALL(NOISE[:500])
    np.testing.assert_allclose(
        ours, reference.log_mel(NOISE[:500], 8000, 64, 24, 5, 100.0, 4000.0), atol=2e-5
    )


def test_the_papers_frames():
    log_mel = LogMel()
    assert log_mel.n_frames(160000) == 240
    assert log_mel(np.zeros(1024)).shape == (1, 64)
    np.testing.assert_allclose(log_mel(np.zeros(1024)), np.log(1e-8), rtol=1e-6)
    times = log_mel.frame_times(240)
    np.testing.assert_allclose(times[[0, 1, 239]], [0.032, 0.0735, 0.032 + 239 * 0.0415])
    assert LogMel(center=True).frame_times(2).tolist() == [0.0, 0.0415]


@given(n_samples=st.integers(64, 900), center=st.booleans(), data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_frame_depends_on_its_own_samples_only(n_samples, center, data):
    log_mel = dataclasses.replace(SMALL, center=center)
    whole = log_mel(NOISE[:n_samples])
    assert whole.shape == (log_mel.n_frames(n_samples), 5)
    t = data.draw(st.integers(0, len(whole) - 1))
    begin = t * 24 - (32 if center else 0)
    alone = np.zeros(64)
    for i in range(64):
        if 0 <= begin + i < n_samples:
            alone[i] = NOISE[begin + i]
    np.testing.assert_allclose(SMALL(alone)[0], whole[t], atol=1e-5)


@given(gain=st.floats(0.01, 10))
@settings(max_examples=20, deadline=None)
def test_a_gain_shifts_the_logarithm(gain):
    quiet = SMALL(NOISE[:500])
    np.testing.assert_allclose(SMALL(gain * NOISE[:500]), quiet + np.log(gain), atol=1e-3)  # the floor


def test_a_tone_is_loudest_in_its_band():
    log_mel = LogMel()
    tone = np.sin(2 * np.pi * 1000 * np.arange(2000) / 16000)
    bank = ctctag.audio.mel_filterbank(16000, 1024, 64, 50, 8000)
    assert (log_mel(tone).argmax(axis=1) == bank[:, 64].argmax()).all()


def test_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(sys.modules["ctctag.audio.logmel"], "_TASK", 64)
    log_mel = dataclasses.replace(SMALL, hop_length=8)
    before = ctctag.get_num_threads()
    results = []
    for number in (1, 2, 3, 8):
        ctctag.set_num_threads(number)
        results.append(log_mel(NOISE[:3000]).tobytes())
    ctctag.set_num_threads(before)
    assert len(set(results)) == 1


def test_a_longer_clip_begins_with_the_same_bits():
    np.testing.assert_array_equal(SMALL(NOISE[:2000])[:30], SMALL(NOISE[: 29 * 24 + 64]))


def test_samples_may_have_any_stride_and_precision():
    expected = SMALL(NOISE[:1000:2].astype(np.float32))
    np.testing.assert_array_equal(SMALL(NOISE[:1000:2]), expected)
    np.testing.assert_array_equal(SMALL(list(NOISE[:1000:2])), expected)


def test_settings_survive_json():
    settings_ = json.loads(json.dumps(SMALL.to_dict()))
    assert LogMel.from_dict(settings_) == SMALL
    assert LogMel.from_dict({}) == LogMel()
    assert hash(LogMel.from_dict(settings_)) == hash(SMALL)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"sr": 8000}, "fmax must be at most sr / 2 = 4000 Hz, got 8000 (is sr right?)"),
        ({"power": 3}, "power must be at least 1 and at most 2, got 3"),
        ({"floor": 0}, "floor must be above 0, got 0"),
        ({"center": 1}, "center must be True or False, got 1"),
        ({"hop_length": 0}, "hop_length must be at least 1, got 0"),
        ({"n_mels": 500}, "band 0 of 500 (50.0 to 61.8 Hz) holds none of the bins"),
        (
            {"hop": 664},
            "settings has the unknown name 'hop', but may have sr, n_fft, hop_length, window, n_mels",
        ),
    ],
)
def test_bad_settings(settings_, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        LogMel.from_dict(settings_)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(63), "samples must fill at least one frame of n_fft=64 samples, got 63"),
        (np.r_[np.zeros(70), np.nan, np.zeros(99)], "samples[70] is nan, but every value must be finite"),
        (np.r_[np.zeros(70), -np.inf, np.zeros(99)], "samples[70] is -inf, but every value must be finite"),
        (
            np.full(64, 1e30),
            "samples[0] is 1e+30, but full scale is 1 (integers as floats? divide 16-bit ones by 32768)",
        ),
        (np.zeros(100, np.int32), "samples must be floats with full scale at 1, got int32"),
    ],
)
def test_bad_samples(samples, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        SMALL(samples)
