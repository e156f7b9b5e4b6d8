import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctctag import reference
from ctctag.audio import hz_to_mel, mel_filterbank, mel_to_hz
from ctctag.audio.mel import sparse_bank
from ctctag.exceptions import ParameterError

SCALES = pytest.mark.parametrize("scale", ["slaney", "htk"])
NORMS = pytest.mark.parametrize("norm", ["slaney", None])
BANKS = [(16000, 1024, 64, 50.0, 8000.0), (22050, 2048, 128, 0.0, 11025.0), (44100, 1024, 40, 300.0, 6000.0)]


@SCALES
@NORMS
@pytest.mark.parametrize("bank", BANKS)
def test_equals_librosa(bank, scale, norm):
    librosa = pytest.importorskip("librosa")
    sr, n_fft, n_mels, fmin, fmax = bank
    theirs = librosa.filters.mel(
        sr=sr,
        n_fft=n_fft,
        n_mels=n_mels,
        fmin=fmin,
        fmax=fmax,
        htk=scale == "htk",
        norm=norm,
        dtype=np.float64,
    )
    np.testing.assert_allclose(mel_filterbank(*bank, scale=scale, norm=norm), theirs, rtol=1e-9, atol=1e-13)


@SCALES
@NORMS
def test_equals_the_triangle_formula(scale, norm):
    bank = (16000, 256, 12, 100.0, 7000.0)
    expected = reference.mel_filterbank(*bank, scale, norm)
    np.testing.assert_allclose(
        mel_filterbank(*bank, scale=scale, norm=norm), expected, rtol=1e-10, atol=1e-15
    )


@SCALES
@given(hz=st.floats(0, 1e5))
def test_there_and_back(scale, hz):
    mel = hz_to_mel(hz, scale=scale)
    np.testing.assert_allclose(mel_to_hz(mel, scale=scale), hz, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(mel, reference.hz_to_mel(hz, scale), rtol=1e-12)
    np.testing.assert_allclose(
        mel_to_hz(mel, scale=scale), reference.mel_to_hz(float(mel), scale), rtol=1e-10
    )


@SCALES
def test_pitch_rises_with_frequency(scale):
    assert (np.diff(hz_to_mel(np.arange(0, 20000, 10), scale=scale)) > 0).all()


def test_unnormalised_neighbours_sum_to_one():
    """Between the first and the last peak, one triangle falls as the next rises."""
    bank = mel_filterbank(16000, 1024, 64, 50, 8000, norm=None)
    inner = slice(bank[0].argmax() + 1, bank[-1].argmax())
    np.testing.assert_allclose(bank.sum(axis=0)[inner], 1)


@SCALES
@NORMS
def test_sparse_bank_is_the_bank(scale, norm):
    first, begin, weights = sparse_bank(16000, 1024, 64, 50.0, 8000.0, scale, norm)
    dense = np.zeros((64, 513), np.float32)
    for m in range(64):
        row = weights[begin[m] : begin[m + 1]]
        dense[m, first[m] : first[m] + len(row)] = row
    np.testing.assert_array_equal(
        dense, mel_filterbank(16000, 1024, 64, 50, 8000, scale=scale, norm=norm).astype(np.float32)
    )
    assert len(weights) < 1100  # two triangles a bin, not 64


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((16000, 1024, 64, 50, 9000), {}, "fmax must be at most sr / 2 = 8000 Hz, got 9000 (is sr right?)"),
        ((16000, 1024, 64, 500, 400), {}, "fmin must be at least 0 and below 400, got 500"),
        ((16000, 1024, 64, -1, 400), {}, "fmin must be at least 0 and below 400, got -1"),
        ((16000, 1024, 0, 50, 8000), {}, "n_mels must be at least 1, got 0"),
        ((16000, 1024, 64, 50, 8000), {"scale": "bark"}, "scale must be one of 'slaney', 'htk', got 'bark'"),
        ((16000, 1024, 64, 50, 8000), {"norm": "l2"}, "norm must be one of 'slaney', got 'l2'"),
        (
            (16000, 128, 64, 50, 8000),
            {},
            "band 2 of 64 (141.3 to 232.5 Hz) holds none of the bins, which are 125 Hz apart (use fewer "
            "bands, a larger n_fft, or another fmin)",
        ),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        mel_filterbank(*arguments, **options)


def test_negative_frequencies():
    with pytest.raises(ParameterError, match="frequencies must be at least 0 Hz"):
        hz_to_mel([10.0, -1.0])
