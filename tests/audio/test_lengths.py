"""Files whose header does not say how long they are, or says it wrong: read whole, or refused truthfully."""

import os
import re
import struct

import numpy as np
import pytest
import soundfile

from ctctag.audio import audio_info, read_audio, write_audio
from ctctag.audio.mpeg import mpeg_parts
from ctctag.exceptions import AudioError, AudioWarning

NOISE = 0.1 * np.random.default_rng(0).standard_normal(32000)


def refused(path, message):
    with pytest.raises(AudioError, match=re.escape(f"{path}: {message}")):
        read_audio(path)


def wav(data, said=None, riff=None, rate=16000):
    said = len(data) if said is None else said
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate % 2**32, 2, 16)
    riff = struct.pack("<I", 36 + said if riff is None else riff)
    return b"RIFF" + riff + b"WAVEfmt " + form + b"data" + struct.pack("<I", said) + data


@pytest.fixture(params=["CONSTANT", "VARIABLE"])
def mp3(request, tmp_path):
    """Return an MP3 file of four seconds, its bytes, and the length of the frame that counts the others."""
    if "MP3" not in soundfile.available_formats():
        pytest.skip("libsndfile was built without MP3")
    path = tmp_path / "a.mp3"
    samples = np.concatenate([NOISE, np.zeros(16000), NOISE[:16000]])
    if tuple(map(int, soundfile.__version__.split(".")[:2])) < (0, 13) and request.param == "VARIABLE":
        pytest.skip("this soundfile cannot be told to vary the bit rate")
    options = {} if request.param == "CONSTANT" else {"bitrate_mode": "VARIABLE", "compression_level": 0.5}
    with soundfile.SoundFile(path, "w", 16000, 1, format="MP3", subtype="MPEG_LAYER_III", **options) as file:
        file.write(samples)
    data = path.read_bytes()
    first = next(place for place in range(4, 2000) if data[place : place + 2] == data[:2])
    assert b"Xing" in data[:first] or b"Info" in data[:first]
    return path, data, first


def test_mp3_without_a_length_is_read_whole(mp3):
    path, data, first = mp3
    whole = read_audio(path)[0]
    assert (len(whole), audio_info(path).frames) == (64000, 64000)
    path.write_bytes(data[first:])
    assert abs(len(read_audio(path)[0]) - 64000) < 4 * 1152
    assert audio_info(path).frames is None
    assert audio_info(path).duration is None


def test_joined_mp3_files_are_read_to_the_end(mp3):
    path, data, first = mp3
    whole = read_audio(path)[0]
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)
    for between in (b"", tag, b"TAG" + bytes(125)):
        path.write_bytes(tag + data + between + data)
        np.testing.assert_allclose(read_audio(path)[0], np.concatenate([whole, whole]), atol=1e-6)
        assert audio_info(path).frames is None
    path.write_bytes(data + data[first:])  # the second part is not counted by anything
    assert abs(len(read_audio(path)[0]) - 128000) < 4 * 1152
    path.write_bytes(data[first:] + data)
    assert abs(len(read_audio(path)[0]) - 128000) < 4 * 1152


def test_mp3_that_is_cut_off_is_refused_with_and_without_a_length(mp3):
    path, data, first = mp3
    for begin in (0, first):
        for end in (len(data) - 1, len(data) - 3, len(data) // 2 + 7):
            path.write_bytes(data[begin:end])
            refused(path, "is cut off: after ")
    path.write_bytes(data + data[: len(data) // 2])
    refused(path, "is cut off: after ")


def test_joined_mp3_files_of_two_rates_are_refused(mp3, tmp_path):
    path, data, _ = mp3
    soundfile.write(tmp_path / "b.mp3", NOISE, 32000)
    path.write_bytes(data + (tmp_path / "b.mp3").read_bytes())
    refused(path, "is joined from MP3 files of 16000 and 32000 Hz")


def test_mp3_with_frames_that_cannot_be_decoded_is_refused(mp3):
    path, data, first = mp3
    broken = bytearray(data)
    for begin in range(len(data) // 3, len(data) // 2, 50):
        broken[begin : begin + 20] = bytes(20)
    for content in (broken, broken[first:], data + broken):
        path.write_bytes(content)
        with pytest.raises(AudioError, match=f"^{re.escape(str(path))}: (damaged: |is cut off: after )"):
            read_audio(path)


def test_frames_of_an_mp3_file_are_counted_as_its_encoder_counts_them(mp3):
    _, data, first = mp3
    (part,) = mpeg_parts(data)
    assert part.frames == part.counted
    assert part.frame_samples == 576  # MPEG-2
    assert (part.begin, part.end, part.missing) == (0, len(data), 0)
    (plain,) = mpeg_parts(data[first:] + b"TAG" + bytes(125))
    assert (plain.frames, plain.counted) == (part.frames, None)


@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
@pytest.mark.parametrize("silence", [False, True])
def test_wav_that_was_never_finished_is_read_whole(tmp_path, riff, silence):
    path = tmp_path / "a.wav"
    raw = (NOISE * 20000).astype("<i2") * (not silence)
    path.write_bytes(wav(raw.tobytes(), said=0, riff=riff))
    np.testing.assert_array_equal(read_audio(path)[0], raw / np.float32(32768))
    assert audio_info(path).frames is None


def test_a_wav_file_with_other_chunks_and_no_samples_is_empty(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(b"") + b"LIST\x04\x00\x00\x00INFO")
    refused(path, "holds no samples, only a header (was the recording stopped at once?)")
    path = tmp_path / "a.au"
    soundfile.write(path, NOISE[:0], 16000)
    path.write_bytes(path.read_bytes() + bytes(8000))
    refused(path, "its header promises no samples, but the file has 8024 bytes (was")


def test_lengths_beyond_reason_are_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "a.flac"
    write_audio(path, NOISE, 16000)
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    refused(path, "its header promises 68719476735 samples, but at most 1073741824 are read at once")
    path = tmp_path / "a.wav"
    for rate in (768001, 2147483629):
        path.write_bytes(wav(bytes(3200), rate=rate))
        refused(path, f"its header gives a sample rate of {rate} Hz, but at most 768000 are read")
        with pytest.raises(AudioError, match="sample rate"):
            audio_info(path)
    path.write_bytes(wav(bytes(320000), rate=1))  # would be 10 GB at 16 kHz
    with pytest.raises(AudioError, match=f"^{re.escape(str(path))}: cannot be resampled from 1 to 16000 Hz"):
        read_audio(path, sr=16000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    refused(tmp_path / "pipe.wav", "is a pipe or a device, but audio is read from files (write")


def test_whatever_a_library_raises_names_the_file(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    write_audio(path, NOISE, 16000)
    for error, message in (
        (MemoryError(), "there is not enough memory"),
        (KeyError("x"), "cannot be read: KeyError"),
    ):

        def fail(*args, error=error, **options):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(soundfile.SoundFile, "read", fail)
            refused(path, message)
    refused(f"{path}\0.wav", "cannot be read: ")


def test_samples_at_the_scale_of_integers_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    for scale in (1e30, 32768, 1000):
        soundfile.write(path, (scale * NOISE).astype("f4"), 16000, subtype="FLOAT")
        refused(path, "its samples reach ")
    soundfile.write(path, 30 * NOISE / np.abs(NOISE).max(), 16000, subtype="FLOAT")
    assert np.abs(read_audio(path)[0]).max() == pytest.approx(30)


@pytest.mark.parametrize("gain", [-1.0, -0.9])
def test_channels_that_cancel_are_warned_of(tmp_path, gain):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([NOISE, gain * NOISE], axis=1), 16000, subtype="FLOAT")
    with pytest.warns(AudioWarning, match=f"^{re.escape(str(path))}: its channels cancel: ") as caught:
        read_audio(path)
    assert caught[0].filename == __file__


def test_channels_that_merely_differ_are_not_warned_of(tmp_path):
    other = 0.1 * np.random.default_rng(1).standard_normal(len(NOISE))
    for channels in (
        [NOISE, NOISE],
        [NOISE, other],
        [NOISE, 0 * NOISE],
        [0 * NOISE, 0 * NOISE],
        [NOISE, -0.5 * NOISE],
    ):
        soundfile.write(tmp_path / "a.wav", np.stack(channels, axis=1), 16000)
        read_audio(tmp_path / "a.wav")
    many = np.random.default_rng(2).standard_normal((4000, 64)) / 10
    soundfile.write(tmp_path / "many.wav", many, 16000)
    read_audio(tmp_path / "many.wav")
