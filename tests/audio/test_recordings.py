"""The audio room on real recordings."""

import csv

import numpy as np
import pytest

from ctctag.audio import LogMel, audio_info, read_audio, write_audio

pytestmark = pytest.mark.data


def test_every_recording_is_whole(recordings):
    with (recordings / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        path = recordings / row["path"]
        samples, sr = read_audio(path)
        info = audio_info(path)
        assert (sr, len(samples)) == (info.sr, info.frames)
        assert sr == int(row["sample_rate"])
        assert abs(info.duration - float(row["duration_s"])) < 0.01
        assert np.abs(samples).max() <= 1


def test_log_mel_equals_librosa(recordings):
    librosa = pytest.importorskip("librosa")
    log_mel = LogMel()
    for path in sorted(recordings.glob("events/*/*.flac"))[::50]:
        samples, _ = read_audio(path, sr=16000)
        samples = np.pad(samples, (0, 1024))
        theirs = librosa.feature.melspectrogram(
            y=samples,
            sr=16000,
            n_fft=1024,
            hop_length=664,
            window="hamming",
            center=False,
            power=1,
            n_mels=64,
            fmin=50,
            fmax=8000,
        )
        # Near silence the last digits of the transform count; compare the sums there.
        np.testing.assert_allclose(np.exp(log_mel(samples)), theirs.T + 1e-8, rtol=1e-4, atol=1e-7)


def test_recordings_survive_writing(recordings, tmp_path):
    for path in sorted(recordings.glob("events/*/*.flac"))[::100]:
        samples, sr = read_audio(path)
        write_audio(tmp_path / "copy.flac", samples, sr)
        np.testing.assert_array_equal(read_audio(tmp_path / "copy.flac")[0], samples)
