import os
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ctctag.audio import audio_info, read_audio, write_audio
from ctctag.exceptions import AudioError, ParameterError

LIBRARY = f"libsndfile {soundfile.__libsndfile_version__}"
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 32000)


@pytest.fixture(params=["wav", "flac", "ogg", "mp3", "aiff", "au", "w64"])
def audio_file(request, tmp_path):
    path = tmp_path / f"noise.{request.param}"
    if request.param.upper() not in soundfile.available_formats():
        pytest.skip(f"{LIBRARY} was built without {request.param}")
    soundfile.write(path, NOISE, 16000)
    return path


def message_of(path, sr=None):
    with pytest.raises(AudioError) as caught:
        read_audio(path, sr)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_reads_what_libsndfile_reads(audio_file):
    samples, sr = read_audio(audio_file)
    expected, _ = soundfile.read(audio_file, dtype="float32")
    assert (samples.dtype, samples.shape, sr) == (np.float32, (32000,), 16000)
    assert samples.flags.c_contiguous
    np.testing.assert_allclose(samples, expected, atol=1e-6)  # MP3 decoding itself varies in the last bit


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        ("wav", "PCM_U8"),
        ("wav", "PCM_24"),
        ("wav", "ULAW"),
        ("wav", "MS_ADPCM"),
        ("wav", "GSM610"),
        ("aiff", "PCM_U8"),
        ("aiff", "IMA_ADPCM"),
        ("au", "PCM_24"),
    ],
)
def test_odd_sizes_and_padded_blocks_are_whole(tmp_path, suffix, subtype):
    path = tmp_path / f"odd.{suffix}"
    soundfile.write(path, NOISE[:1001], 8000, subtype=subtype)
    assert len(read_audio(path)[0]) >= 1001


@pytest.mark.parametrize("tail", [b"LIST\x04\x00\x00\x00INFO", b"ID3 and then some"])
def test_what_follows_the_samples_does_not_matter(tmp_path, tail):
    path = tmp_path / "tail.wav"
    write_audio(path, NOISE, 16000)
    path.write_bytes(path.read_bytes() + tail)
    assert len(read_audio(path)[0]) == len(NOISE)


def test_every_shortened_file_is_refused(audio_file):
    content = audio_file.read_bytes()
    for keep in (0, 1, 20, 100, len(content) // 2, len(content) - 100, len(content) - 1):
        audio_file.write_bytes(content[:keep])
        message_of(audio_file)


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_overwritten_middle_is_refused(tmp_path, suffix):
    path = tmp_path / f"noise.{suffix}"
    soundfile.write(path, NOISE, 16000)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    path.write_bytes(content)
    message_of(path)


def test_flac_cut_at_the_end_of_a_frame(tmp_path):
    path = tmp_path / "noise.flac"
    soundfile.write(path, NOISE, 16000)
    content = path.read_bytes()
    starts = [m.start() for m in re.finditer(rb"\xff\xf8", content)]
    path.write_bytes(content[: starts[-1]])
    assert "cannot all be decoded" in message_of(path) or "could be decoded" in message_of(path)


def test_mixes_channels_down_to_their_mean(tmp_path):
    stereo = np.random.default_rng(2).integers(-32768, 32768, (1000, 2)) / 32768
    soundfile.write(tmp_path / "stereo.wav", stereo, 8000, subtype="PCM_16")
    samples, sr = read_audio(tmp_path / "stereo.wav")
    np.testing.assert_array_equal(samples, stereo.mean(axis=1).astype(np.float32))
    assert sr == 8000


def test_long_files_are_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["ctctag.audio.decoding"], "_BLOCK", 999)
    soundfile.write(tmp_path / "long.flac", NOISE, 16000)
    samples, _ = read_audio(tmp_path / "long.flac")
    np.testing.assert_array_equal(samples, soundfile.read(tmp_path / "long.flac", dtype="float32")[0])


def test_resamples_to_the_wanted_rate(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32000) / 32000)
    soundfile.write(tmp_path / "tone.wav", tone, 32000, subtype="FLOAT")
    samples, sr = read_audio(tmp_path / "tone.wav", sr=16000)
    assert (samples.shape, samples.dtype, sr) == ((16000,), np.float32, 16000)
    np.testing.assert_allclose(samples[100:-100], tone[::2][100:-100], atol=1e-3)


def test_paths_may_be_strings_or_path_like_with_any_letters(tmp_path):
    path = tmp_path / "Tür knallt, 2×.flac"
    write_audio(str(path), [0.25, -0.25], 16000)
    for spelled in (path, str(path)):
        np.testing.assert_array_equal(read_audio(spelled)[0], np.float32([0.25, -0.25]))


# Each bad file, by its whole message.


def test_missing_file(tmp_path):
    assert message_of(tmp_path / "none.wav") == "there is no such file (is the name spelled right?)"


def test_missing_folder(tmp_path):
    folder = tmp_path / "none"
    assert message_of(folder / "a.wav") == f"there is no such file (there is no folder {str(folder)!r})"


def test_folder(tmp_path):
    assert message_of(tmp_path) == "is a folder, but one audio file was expected"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    path = tmp_path / "secret.wav"
    soundfile.write(path, NOISE, 16000)
    path.chmod(0)
    assert message_of(path) == "cannot be opened: Permission denied"


def test_name_too_long(tmp_path):
    assert message_of(tmp_path / ("a" * 300 + ".wav")).startswith("cannot be opened: ")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    assert message_of(path) == "the file is empty, 0 bytes (was the disk full when it was written?)"


def test_no_samples(tmp_path):
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros(0), 16000)
    assert message_of(path) == "holds no samples, only a header (was the recording stopped at once?)"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"onset\toffset\tlabel\n", "it looks like text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer: fetch"),
        (b"<!DOCTYPE html><html>", "it is a web page: did the download fail?"),
        (b"\x00\x00\x00\x20ftypM4A ", "it looks like MP4/M4A, which libsndfile does not read: convert it"),
        (b"\x1aE\xdf\xa3\x01\x00", "it looks like WebM/Matroska, which libsndfile does not read"),
        (b"PK\x03\x04\x00\x00", "it is an archive: unpack it first"),
        (b"\x00" * 200, "it begins with zeros: was the disk full, or the copy broken off?"),
        (b"\x93NUMPY\x01\x00", "the file begins with the bytes 93 4e 55 4d 50 59 01 00"),
        (b"RIFF\x00\x00", "it begins as audio does: is the file cut off?"),
        (b"fLaC\x00\x00", "it begins as FLAC does: is the file cut off, or without samples?"),
    ],
)
def test_not_audio(tmp_path, content, hint):
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    assert message_of(path).startswith(f"is not audio that {LIBRARY} reads ({hint}")


def test_headerless_audio(tmp_path):
    path = tmp_path / "clip.raw"
    path.write_bytes(bytes(100))
    assert message_of(path) == "headerless audio has no sample rate: convert it to FLAC or WAV"


def test_truncated_wav(tmp_path):
    path = tmp_path / "cut.wav"
    soundfile.write(path, NOISE, 16000, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:10044])
    assert message_of(path) == (
        "is cut off: the header promises 64000 bytes of audio, the file holds 10000 (was a download or copy "
        "broken off?)"
    )


def test_truncated_flac(tmp_path):
    path = tmp_path / "cut.flac"
    soundfile.write(path, NOISE, 16000)
    path.write_bytes(path.read_bytes()[:10000])
    message = message_of(path)  # with the decoder's own words in the middle, which change with its version
    assert message.startswith("its 32000 samples cannot all be decoded: ")
    assert message.endswith(f" (is the file cut off or damaged?) [{LIBRARY}]")


def test_truncated_ogg(tmp_path):
    path = tmp_path / "cut.ogg"
    soundfile.write(path, NOISE, 16000)
    path.write_bytes(path.read_bytes()[:-1])
    assert message_of(path).startswith(
        (
            f"damaged or cut off; {LIBRARY} says: Ogg",
            "the header does not say how long the audio is, so a missing",
        )
    )  # older libraries open it, and know no length


def test_wav_written_to_a_pipe_is_whole(tmp_path):
    path = tmp_path / "piped.wav"
    write_audio(path, NOISE, 16000)
    content = bytearray(path.read_bytes())
    data = content.index(b"data")
    content[4:8] = content[data + 4 : data + 8] = struct.pack("<I", 0xFFFFFFFF)  # sizes never filled in
    path.write_bytes(content)
    assert len(read_audio(path)[0]) == len(NOISE)


def test_flac_written_to_a_pipe(tmp_path):
    path = tmp_path / "piped.flac"
    write_audio(path, NOISE, 16000)
    content = bytearray(path.read_bytes())
    (tmp_path / "whole.flac").write_bytes(content)
    content[21] &= 0xF0  # the 36 bits of the number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert audio_info(path).frames is None
    assert audio_info(path).duration is None
    np.testing.assert_array_equal(read_audio(path)[0], read_audio(tmp_path / "whole.flac")[0])
    for keep in (len(content) - 1, len(content) // 2, 100):  # cut off within a frame
        path.write_bytes(content[:keep])
        message_of(path)


def test_samples_that_are_not_finite(tmp_path):
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0, np.nan, 1, np.inf]), 16000, subtype="FLOAT")
    assert message_of(path) == (
        "sample 1 of 4 is nan, and 2 in all are not finite (did the program that wrote this float file "
        "divide by zero?)"
    )


@pytest.mark.parametrize("sr", [0, 16000.5, "16k"])
def test_wanted_rate_is_checked_before_the_file(sr):
    with pytest.raises(ParameterError, match="sr must be"):
        read_audio("none.wav", sr)


def test_libsndfile_missing(tmp_path, monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "soundfile":
                raise OSError("sndfile library not found")

    monkeypatch.delitem(sys.modules, "soundfile")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(AudioError, match="libsndfile cannot be loaded: sndfile library not found"):
        read_audio(tmp_path / "a.wav")


# Headers


def test_audio_info(tmp_path):
    path = tmp_path / "stereo.flac"
    soundfile.write(path, np.zeros((4410, 2)), 44100)
    info = audio_info(path)
    assert (info.path, info.sr, info.channels, info.frames) == (str(path), 44100, 2, 4410)
    assert (info.duration, info.format, info.subtype) == (0.1, "FLAC", "PCM_16")
    with pytest.raises(AudioError, match=re.escape(f"{tmp_path}: is a folder")):
        audio_info(tmp_path)


# Writing

SIXTEEN_BITS = arrays(np.int16, st.integers(1, 300))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
@given(integers=SIXTEEN_BITS, sr=st.sampled_from([8000, 16000, 44100]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sixteen_bits_survive_writing_and_reading(tmp_path, suffix, integers, sr):
    samples = integers / np.float32(32768)
    write_audio(tmp_path / f"a{suffix}", samples, sr)
    again, rate = read_audio(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(again, samples)
    assert rate == sr


@given(samples=arrays(np.float64, st.integers(1, 300), elements=st.floats(-1, 1)))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_samples_come_back_within_a_step(tmp_path, samples):
    write_audio(tmp_path / "a.flac", samples, 16000)
    assert np.abs(read_audio(tmp_path / "a.flac")[0] - samples).max() <= 1 / 32768


def test_writing_is_repeatable_bit_for_bit(tmp_path):
    for suffix in ("wav", "flac"):
        for name in "ab":
            write_audio(tmp_path / f"{name}.{suffix}", NOISE, 16000)
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("name", "samples", "sr", "message"),
    [
        ("a.mp3", [0.0], 16000, "path must end in .flac or .wav, got"),
        ("a.wav", [[0.0]], 16000, "samples must have shape (n_samples,), got (1, 1)"),
        ("a.wav", [], 16000, "samples is empty, but an audio file needs at least one sample"),
        ("a.wav", [0.0, np.nan], 16000, "samples[1] is nan, but every value must be finite"),
        ("a.wav", [0, 1000], 16000, "samples must be floats in [-1, 1], got int64"),
        ("a.wav", [0.0, -1.25], 16000, "samples[1] is -1.25, but 16-bit audio holds -1 to 1 (scale it down"),
        ("a.wav", [0.0], 0, "sr must be at least 1 and at most 655350, got 0"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, name, samples, sr, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        write_audio(tmp_path / name, samples, sr)
    assert list(tmp_path.iterdir()) == []


def test_writing_into_a_missing_folder(tmp_path):
    path = tmp_path / "none" / "a.wav"
    with pytest.raises(AudioError, match=re.escape(f"{path}: cannot be written: ")) as caught:
        write_audio(path, [0.0], 16000)
    assert str(caught.value).endswith(f"(there is no folder {str(path.parent)!r})")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    write_audio(path, [0.5], 16000)

    def full(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(AudioError, match=re.escape(f"{path}: cannot be written: No space left on device")):
        write_audio(path, [0.25], 16000)
    assert list(tmp_path.iterdir()) == [path]
    assert read_audio(path)[0] == [0.5]
