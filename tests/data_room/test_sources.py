import re

import numpy as np
import pytest

from ctctag.audio import write_audio
from ctctag.data import RecordedNoise, SyntheticSource, open_noise, open_source, synthesize
from ctctag.data.folding import assign_folds
from ctctag.data.noise import seamless_loop
from ctctag.data.sources import trim_silence
from ctctag.data.synthetic import RECIPES
from ctctag.exceptions import AudioError, DataError, ParameterError

PAPER_CLASSES = [
    "alert",
    "clearthroat",
    "cough",
    "doorslam",
    "drawer",
    "keyboard",
    "keys",
    "knock",
    "laughter",
    "mouse",
    "pageturn",
    "pendrop",
    "phone",
    "printer",
    "speech",
    "switch",
]


class TestFolders:
    def test_class_folders(self, events_folder):
        source = open_source(events_folder)
        assert source.classes == ("bell", "click", "hum")
        assert sorted(source.pool("bell")) == [f"bell/bell{take}.wav" for take in range(4)]
        assert source.source_id("bell/bell1.wav") == "bell/bell1.wav"

    def test_the_folder_above_events(self, events_folder):
        (events_folder.parent / "background").mkdir()
        assert open_source(events_folder.parent).classes == ("bell", "click", "hum")

    def test_chosen_classes(self, events_folder):
        (events_folder / "empty").mkdir()
        assert open_source(events_folder, ["hum", "bell"]).classes == ("bell", "hum")

    def test_dcase_2013_naming(self, tmp_path, write_sound):
        for name in ("alert01", "alert02", "doorslam05"):
            write_sound(tmp_path / f"{name}.wav")
        source = open_source(tmp_path)
        assert source.classes == ("alert", "doorslam")
        assert source.pool("alert") == ["alert01.wav", "alert02.wav"]

    def test_esc50(self, tmp_path, write_sound):
        rows = [
            ("1-100-A-0.wav", 1, 0, "dog", 100),
            ("1-100-B-0.wav", 1, 0, "dog", 100),
            ("2-7-A-1.wav", 2, 1, "rooster", 7),
        ]
        (tmp_path / "meta").mkdir()
        table = "filename,fold,target,category,esc10,src_file,take\n"
        for filename, fold, target, category, src_file in rows:
            write_sound(tmp_path / "audio" / filename)
            table += f"{filename},{fold},{target},{category},False,{src_file},A\n"
        (tmp_path / "meta" / "esc50.csv").write_text(table)
        source = open_source(tmp_path)
        assert source.classes == ("dog", "rooster")
        assert source.source_id("audio/1-100-A-0.wav") == source.source_id("audio/1-100-B-0.wav")
        assert [source.recordings[key].fold for key in source.recordings] == [1, 1, 2]

    @pytest.mark.parametrize("above", [False, True])
    def test_the_manifest_says_which_recording_and_fold(self, events_folder, above):
        folder = events_folder.parent if above else events_folder
        prefix = "events/" if above else ""
        (folder / "manifest.csv").write_text(
            "path,class,source_id,cv_fold,license\n"
            f"{prefix}bell/bell0.wav,bell,tape 1,2,CC0\n{prefix}bell/bell1.wav,bell,tape 1,2,CC0\n"
        )
        source = open_source(events_folder)
        recording = source.recordings["bell/bell1.wav"]
        assert (recording.source_id, recording.fold, recording.license) == ("tape 1", 2, "CC0")
        assert source.source_id("hum/hum0.wav") == "hum/hum0.wav"

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ("file,class\n", ", line 1: column 'path' is missing"),
            ("path,class\nbell/none.wav,bell\n", ", line 2: 'bell/none.wav' does not exist"),
            (
                "path,class\nbell/bell0.wav,hum\n",
                ", line 2: says class 'hum' of bell/bell0.wav, which lies in folder 'bell'",
            ),
            ("path\nbell/bell0.wav\nbell/bell0.wav\n", ", line 3: path 'bell/bell0.wav' is there twice"),
            ("path,class\nbell/bell0.wav\n", ", line 2: expected 2 comma-separated fields"),
            (
                "path,cv_fold\nbell/bell0.wav,A\n",
                ", line 2: fold must be a whole number of at least 1, got 'A'",
            ),
            (
                "path,cv_fold\nbell/bell0.wav," + 5000 * "1" + "\n",
                ", line 2: fold must be a whole number of at most 1000000, got '"
                + 99 * "1"
                + "... (5002 characters)",
            ),
            ("path,class,path\n", ", line 1: column 'path' is there twice"),
            ("path;class\nbell/bell0.wav\n", ", line 2: expected 2 semicolon-separated fields"),
            (f"path\n{'x' * 5000}\n", f", line 2: '{'x' * 99}... (5002 characters) does not exist"),
            (
                'path\n"' + 140000 * "x" + '"\n',
                ", line 2: cannot be read (Error: field larger than field limit (131072))",
            ),
            ("path\nbell/\0.wav\n", ", line 2: holds a NUL character (not a text file?)"),
            ("path\nbell/\udce9.wav\n", ", line 2: is not UTF-8 (byte 0xe9); save the file as UTF-8"),
        ],
    )
    def test_a_wrong_manifest_is_named_by_line(self, events_folder, rows, message):
        path = events_folder / "manifest.csv"
        path.write_bytes(rows.encode("utf-8", "surrogateescape"))
        with pytest.raises(DataError, match="^" + re.escape(f"{path}{message}") + "$"):
            open_source(events_folder)

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_a_manifest_as_spreadsheets_write_it(self, events_folder, separator):
        table = f'\ufeffpath{separator}source_id\r\nbell/bell0.wav{separator}"tape, 1; side ""A"""\r\n'
        (events_folder / "manifest.csv").write_bytes(table.encode())
        assert open_source(events_folder).source_id("bell/bell0.wav") == 'tape, 1; side "A"'

    def test_esc50_that_lists_a_file_twice(self, tmp_path, write_sound):
        write_sound(tmp_path / "audio" / "1-1-A-0.wav")
        (tmp_path / "meta").mkdir()
        table = tmp_path / "meta" / "esc50.csv"
        table.write_text("filename,fold,category,src_file\n" + "1-1-A-0.wav,1,dog,1\n" * 2)
        with pytest.raises(
            DataError, match=re.escape(f"{table}, line 3: filename '1-1-A-0.wav' is there twice")
        ):
            open_source(tmp_path)

    def test_a_missing_folder(self, tmp_path):
        message = f"{tmp_path / 'none'}: no such folder; expected a folder of class folders (cough/*.wav)"
        with pytest.raises(DataError, match="^" + re.escape(message)):
            open_source(tmp_path / "none")

    def test_a_file_in_place_of_a_folder(self, tmp_path, write_sound):
        path = write_sound(tmp_path / "cough.wav")
        with pytest.raises(
            DataError, match=re.escape(f"{path}: is a file; expected a folder of class folders")
        ):
            open_source(path)

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(DataError, match=re.escape(f"{tmp_path}: holds no sound events; expected")):
            open_source(tmp_path)

    def test_a_class_without_a_usable_file(self, events_folder):
        (events_folder / "whistle").mkdir()
        (events_folder / "whistle" / "readme.txt").write_text("nothing")
        message = f"{events_folder / 'whistle'}: class 'whistle' has no usable file (.wav .flac .ogg)"
        with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
            open_source(events_folder)

    def test_an_unknown_class(self, events_folder):
        message = (
            f"{events_folder}: class 'bel' has no usable file (did you mean 'bell'?); classes found: bell"
        )
        with pytest.raises(DataError, match=re.escape(message)):
            open_source(events_folder, ["bell", "bel"])

    def test_files_without_a_class_in_their_name(self, tmp_path, write_sound):
        write_sound(tmp_path / "field recording.wav")
        with pytest.raises(DataError, match=re.escape("cannot tell the class of 'field recording.wav'")):
            open_source(tmp_path)

    def test_a_corrupt_file_is_named(self, events_folder):
        path = events_folder / "bell" / "bell2.wav"
        path.write_bytes(b"RIFF, but not really")
        with pytest.raises(AudioError, match=re.escape(str(path))):
            open_source(events_folder).preload(16000)

    def test_a_silent_file_is_named(self, events_folder):
        path = events_folder / "bell" / "bell2.wav"
        write_audio(path, np.zeros(800, np.float32), 16000)
        message = f"{path}: is silent from beginning to end; remove it or record it again"
        with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
            open_source(events_folder).preload(16000)

    def test_events_are_decoded_once_and_resampled(self, events_folder):
        source = open_source(events_folder)
        samples = source.load("bell/bell1.wav", 16000)  # 0.3 s at 32 kHz
        assert samples.size == pytest.approx(4800, abs=5)
        assert source.load("bell/bell1.wav", 16000) is samples
        assert not samples.flags.writeable

    def test_the_fingerprint_is_of_the_contents(self, events_folder, write_sound):
        before = open_source(events_folder).fingerprint()
        assert open_source(events_folder).fingerprint() == before
        write_sound(events_folder / "bell" / "bell0.wav", pitch=999.0)
        assert open_source(events_folder).fingerprint() != before


def test_silence_is_trimmed_on_both_sides():
    samples = np.zeros(16000, np.float32)
    samples[4000:8000] = 0.5
    assert trim_silence(samples, 16000).size == 4000 + 2 * 320
    assert trim_silence(samples[:100], 16000).size == 0
    whole = np.ones(777, np.float32)
    assert (trim_silence(whole, 16000) == whole).all()


class TestFolds:
    def test_pieces_of_one_recording_stay_together_and_classes_are_balanced(self):
        rng = np.random.default_rng(0)
        ids = [f"r{rng.integers(60)}" for _ in range(200)]
        labels = [f"class {int(source_id[1:]) % 5}" for source_id in ids]
        folds = assign_folds(ids, labels, 4, seed=3)
        assert all(len({f for i, f in zip(ids, folds, strict=True) if i == one}) == 1 for one in ids)
        for label in set(labels):
            counts = [
                sum(f == k and x == label for f, x in zip(folds, labels, strict=True)) for k in (1, 2, 3, 4)
            ]
            assert max(counts) - min(counts) <= 5

    def test_given_folds_are_kept(self):
        assert assign_folds(list("abcd"), ["x"] * 4, 2, given=[2, 1, 1, 2]) == [2, 1, 1, 2]

    def test_given_folds_of_another_number_are_made_anew(self):
        folds = assign_folds(list("abcd"), ["x"] * 4, 4, given=[2, 1, 1, 2])
        assert sorted(folds) == [1, 2, 3, 4]

    def test_given_folds_may_not_divide_a_recording(self):
        message = (
            "here: the manifest puts source recording 'a' into folds 1 and 2, but all its pieces must "
            "share one"
        )
        with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
            assign_folds(["a", "a"], ["x", "x"], 2, given=[1, 2], where="here")

    def test_given_folds_must_hold_every_class(self):
        with pytest.raises(DataError, match=re.escape("here: class 'y' has no recording in fold 2 of 2")):
            assign_folds(list("abc"), ["x", "x", "y"], 2, given=[1, 2, 1], where="here")

    def test_too_few_recordings_of_a_class(self):
        message = (
            "here: class 'y' has 1 source recordings, but 2 folds need at least 2 (use fewer folds, or leave "
            "it out)"
        )
        with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
            assign_folds(list("abcc"), ["x", "x", "y", "y"], 2, where="here")


class TestSynthetic:
    def test_the_classes_are_the_papers(self):
        assert list(RECIPES) == PAPER_CLASSES
        assert SyntheticSource().classes == tuple(PAPER_CLASSES)

    @pytest.mark.parametrize("label", PAPER_CLASSES)
    @pytest.mark.parametrize("sr", [8000, 16000, 44100])
    def test_events_are_sound_and_differ(self, label, sr):
        sounds = [synthesize(label, seed, sr) for seed in range(5)]
        for sound in sounds:
            assert sound.dtype == np.float32
            assert 0.1 <= sound.size / sr <= 2.3
            assert 0.099 < np.abs(sound).max() < 0.901
            assert abs(sound[-1]) < 0.02  # no click at the end
        assert len({sound.tobytes() for sound in sounds}) == 5
        assert (synthesize(label, 0, sr) == sounds[0]).all()

    def test_pitch_length_and_level_vary(self):
        sounds = [synthesize("alert", seed) for seed in range(20)]
        peaks = [np.abs(sound).max() for sound in sounds]
        pitches = [np.abs(np.fft.rfft(sound, 32000)).argmax() / 2 for sound in sounds]
        for values, ratio in ((peaks, 3), (pitches, 1.8), ([sound.size for sound in sounds], 1.5)):
            assert max(values) / min(values) > ratio

    def test_an_unknown_class(self):
        message = "label 'knok' is not one of the 16 synthetic classes (did you mean 'knock'?)"
        with pytest.raises(ParameterError, match="^" + re.escape(message) + "$"):
            synthesize("knok", 0)
        with pytest.raises(DataError, match=re.escape("class 'knok' is not one of the 16 synthetic classes")):
            open_source("synthetic", ["knok"])

    def test_a_wrong_key(self):
        message = "synthetic event 'knock': expected a class and a seed, such as 'knock/17'"
        with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
            SyntheticSource().load("knock", 16000)


class TestNoise:
    def test_white_noise_is_white_and_seeded(self):
        white = open_noise("white")
        noise = white.render("white", 0, 160000, 16000, [1, 2])
        assert np.mean(noise**2) == pytest.approx(1, abs=0.02)
        spectrum = np.abs(np.fft.rfft(noise)) ** 2
        halves = spectrum[1:40000].mean() / spectrum[40000:].mean()
        assert halves == pytest.approx(1, abs=0.05)
        assert (white.render("white", 0, 160000, 16000, [1, 2]) == noise).all()
        assert (white.render("white", 0, 160000, 16000, [1, 3]) != noise).any()

    def test_a_loop_has_no_seam_and_keeps_its_power(self):
        rng = np.random.default_rng(0)
        noise = np.convolve(rng.standard_normal(40000), np.ones(50) / 50, mode="valid").astype(np.float32)
        loop = seamless_loop(noise, 4000)
        twice = np.concatenate([loop, loop])
        step = np.abs(np.diff(noise)).max()
        assert np.abs(np.diff(twice)).max() <= 1.5 * step
        assert np.mean(loop[:4000] ** 2) == pytest.approx(np.mean(noise**2), rel=0.25)

    def test_recordings_become_loops_of_power_one(self, tmp_path, write_sound):
        write_sound(tmp_path / "noise" / "fan.wav", seconds=1.0, level=0.01)
        noise = open_noise(tmp_path / "noise")
        key, start = noise.draw(np.random.default_rng(0), 16000)
        samples = noise.render(key, start, 50000, 16000, [0])
        assert key == "fan.wav"
        assert np.mean(samples**2) == pytest.approx(1, abs=0.05)

    def test_a_missing_folder_an_empty_one_and_a_silent_recording(self, tmp_path):
        with pytest.raises(
            DataError, match=re.escape(f"{tmp_path / 'none'}: no such folder; expected a folder of")
        ):
            open_noise(tmp_path / "none")
        message = f"{tmp_path}: holds no usable recording (.wav .flac .ogg)"
        with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
            open_noise(tmp_path)
        path = tmp_path / "silence.wav"
        write_audio(path, np.zeros(16000, np.float32), 16000)
        message = f"{path}: is silent, so it cannot be scaled to a signal-to-noise ratio"
        with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
            open_noise(tmp_path).preload(16000)

    def test_only_some_recordings_of_a_folder(self, tmp_path, write_sound):
        for number in range(4):
            write_sound(tmp_path / f"n{number}.wav", pitch=100.0 + number)
        every = list(open_noise(tmp_path).recordings.values())
        noise = RecordedNoise(tmp_path, every[1:3])
        assert set(noise.recordings) == set(noise.with_folds(2, seed=0).recordings) == {"n1.wav", "n2.wav"}
        rng = np.random.default_rng(0)
        assert {noise.draw(rng, 16000)[0] for _ in range(30)} == {"n1.wav", "n2.wav"}
        with pytest.raises(DataError, match="recordings is empty, but noise needs at least one"):
            RecordedNoise(tmp_path, [])

    def test_folds_of_noise_are_by_source_recording(self, tmp_path, write_sound):
        rows = "path,class,source_id,cv_fold\n"
        for number in range(6):
            write_sound(tmp_path / "noise" / f"n{number}.wav", pitch=100.0 + number)
            rows += f"noise/n{number}.wav,background:hum,tape {number // 2},{1 + number // 2}\n"
        (tmp_path / "manifest.csv").write_text(rows)
        noise = open_noise(tmp_path / "noise").with_folds(3, seed=0)
        rng = np.random.default_rng(0)
        heard = {noise.draw(rng, 16000, [2])[0] for _ in range(30)}
        assert heard == {"n2.wav", "n3.wav"}
