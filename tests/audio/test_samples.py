"""One check for samples, wherever they are taken."""

import re

import numpy as np
import pytest

from ctctag import Tagger
from ctctag.audio import LogMel, resample, shift_samples, stft, write_audio
from ctctag.exceptions import ParameterError

SHIPPED = Tagger.pretrained()
DOORS = {
    "stft": stft,
    "LogMel": LogMel(),
    "resample": lambda x: resample(x, 32000, 16000),
    "shift_samples": lambda x: shift_samples(x, 5),
    "tag": lambda x: SHIPPED.tag(x, sr=16000),
    "predict": lambda x: SHIPPED.predict([x], sr=16000),
    "predict_proba": lambda x: SHIPPED.predict_proba([x], sr=16000),
    "predict_sequences": lambda x: SHIPPED.predict_sequences([x], sr=22050),
    "score": lambda x: SHIPPED.score([x], [[SHIPPED.classes_[0]]], sr=16000),
    "fit": lambda x: Tagger(preset="tiny", epochs=1).fit([x, x, x], [["a"], ["b"], ["a"]], sr=16000),
}
TONE = 0.5 * np.sin(np.arange(16000) / 3)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ((TONE * 32767).astype(np.int16), "must be floats with full scale at 1, got int16 (divide by 32768)"),
        ((TONE * 2**31).astype(np.int32), "got int32 (divide by 2147483648)"),
        ((TONE * 99 + 128).astype(np.uint8), "got uint8 (subtract 128, then divide by 128)"),
        ((TONE * 32767).astype(np.int64), "got int64 (divide by the full scale that they had"),
        (TONE > 0, "must be floats with full scale at 1, got bool"),
        (TONE * 32767, "but full scale is 1 (integers as floats? divide 16-bit ones by 32768)"),
        ((TONE * 300).astype(np.float32), "but full scale is 1 (integers as floats?"),
        (np.r_[TONE, np.nan], "[16000] is nan, but every value must be finite"),
        (np.r_[TONE, np.inf], "[16000] is inf, but every value must be finite"),
        (TONE * 1j, "must hold real numbers, got dtype complex128"),
        (np.stack([TONE, TONE]), "must have shape (n_samples,), got (2, 16000)"),
        (np.ma.masked_array(TONE, TONE > 0.4), "is a masked array, but masks are not heeded"),
        (np.zeros(0), "is empty, but at least one sample is needed"),
        ([[0.5], [0.5, 0.5]], "must be one rectangular array"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)  # fmt: skip
def test_every_door_refuses_the_same(door, samples, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        DOORS[door](samples)


@pytest.mark.parametrize("door", DOORS)
def test_floats_above_full_scale_are_legal(door):
    for scale in (1.5, 10, 60):
        DOORS[door](scale * TONE)
        DOORS[door]((scale * TONE).astype(np.float32))


def test_integers_are_not_written_either(tmp_path):
    message = re.escape("samples must be floats in [-1, 1], got int16 (divide by 32768)")
    with pytest.raises(ParameterError, match=message):
        write_audio(tmp_path / "a.wav", (TONE * 32767).astype(np.int16), 16000)


def test_filters_of_unlikely_rates_are_refused_before_memory_is_taken():
    message = "sr_in / sr_out is 2147483629 / 16000 in lowest terms, but neither may be above 768000"
    with pytest.raises(ParameterError, match=message):
        resample(TONE, 2147483629, 16000)
    with pytest.raises(ParameterError, match="samples would become 12000000000 at sr_out=750000"):
        resample(TONE, 1, 750000)
