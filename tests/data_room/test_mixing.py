import re
import shutil

import numpy as np
import pytest

from ctctag import get_num_threads, set_num_threads
from ctctag.audio import read_audio
from ctctag.data import Dataset, mix_dataset, open_mixer, read_recipe, remix
from ctctag.exceptions import AudioError, CtctagError, DataError, ParameterError

SMALL = {"clips": 8, "folds": 2, "clip_seconds": 3.0, "events_per_clip": (1, 3), "max_event_seconds": 1.0}


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def threads():
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


def test_a_data_set_is_written_as_documented(tmp_path, events_folder):
    seen = []
    dataset = mix_dataset(
        events_folder,
        tmp_path / "out",
        seed=3,
        progress=lambda done, total: seen.append((done, total)),
        **SMALL,
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "audio",
        "dataset.toml",
        "folds.tsv",
        "recipe.tsv",
        "sequential.tsv",
        "strong.tsv",
        "weak.tsv",
    ]
    assert seen == [(done, 8) for done in range(1, 9)]
    assert dataset.filenames == [f"mix_{index}.flac" for index in range(8)]
    assert dataset.classes == ("bell", "click", "hum")
    assert dataset.folds.tolist() == [1, 2] * 4
    assert dataset.sample_rate == 16000
    assert dataset.settings["mix"]["protocol"] == "paper"
    for index in range(8):
        samples, sr = read_audio(dataset.path_of(index))
        assert (samples.size, sr) == (48000, 16000)
        names = [dataset.classes[number] for number in dataset.sequences[index]]
        assert names == [event.label for event in dataset.strong[dataset.filenames[index]]]


@pytest.mark.parametrize("protocol", ["paper", "honest"])
def test_seed_decides_everything_and_threads_nothing(tmp_path, events_folder, threads, protocol):
    options = {"noise": events_folder, "protocol": protocol, **SMALL}
    for name, seed, number in (("a", 1, 1), ("b", 1, 3), ("c", 2, 1)):
        threads(number)
        mix_dataset(events_folder, tmp_path / name, seed=seed, **options)
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert a == b
    assert a["audio/mix_0.flac"] != c["audio/mix_0.flac"]


def test_more_clips_leave_the_first_ones_alone(tmp_path):
    few = mix_dataset("synthetic", tmp_path / "few", **{**SMALL, "clips": 3})
    many = mix_dataset("synthetic", tmp_path / "many", **{**SMALL, "clips": 5})
    for index in range(3):
        assert few.path_of(index).read_bytes() == many.path_of(index).read_bytes()


@pytest.mark.parametrize("source", ["synthetic", "recordings"])
def test_the_audio_is_mixed_again_bit_for_bit(tmp_path, events_folder, source):
    events, noise = ("synthetic", "white") if source == "synthetic" else (events_folder, events_folder)
    dataset = mix_dataset(events, tmp_path / "out", noise=noise, **SMALL)
    before = files(dataset.path)
    shutil.rmtree(dataset.path / "audio")
    assert remix(dataset.path) == dataset.path / "audio"
    assert files(dataset.path) == before


def test_the_recordings_may_have_moved(tmp_path, events_folder):
    dataset = mix_dataset(events_folder, tmp_path / "out", **SMALL)
    shutil.move(events_folder, tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no such folder"):
        remix(dataset.path, tmp_path / "again")
    again = remix(dataset.path, tmp_path / "again", source=tmp_path / "elsewhere")
    assert files(again) == files(dataset.path / "audio")


def test_other_recordings_are_refused(tmp_path, events_folder, write_sound):
    dataset = mix_dataset(events_folder, tmp_path / "out", **SMALL)
    write_sound(events_folder / "bell" / "bell0.wav", pitch=777.0)
    message = f"the events are not those that {dataset.path} was mixed from (their contents differ)"
    with pytest.raises(DataError, match=re.escape(message)):
        remix(dataset.path, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_audio_that_is_there_is_not_overwritten(tmp_path):
    dataset = mix_dataset("synthetic", tmp_path / "out", **SMALL)
    with pytest.raises(DataError, match=re.escape(f"{dataset.path / 'audio'}: folder is not empty; choose")):
        remix(dataset.path)


def test_honest_folds_share_no_recording(tmp_path, events_folder):
    dataset = mix_dataset(events_folder, tmp_path / "out", protocol="honest", noise=events_folder, **SMALL)
    recipes = read_recipe(dataset.path / "recipe.tsv")
    heard = {1: set(), 2: set()}
    for name, fold in zip(dataset.filenames, dataset.folds.tolist(), strict=True):
        heard[fold] |= {(bool(part.label), part.source) for part in recipes[name]}
    assert heard[1]
    assert heard[2]
    assert not heard[1] & heard[2]


def test_honest_folds_need_enough_recordings(tmp_path, events_folder):
    message = (
        f"{events_folder}: class 'bell' has 4 source recordings, but 5 folds need at least 5 (use fewer "
        "folds, or leave it out)"
    )
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        mix_dataset(events_folder, tmp_path / "out", protocol="honest", **{**SMALL, "folds": 5})


class TestNothingHalfWritten:
    def check(self, tmp_path, before, error, match, *args, **options):
        with pytest.raises(error, match=match):
            mix_dataset(*args, **{**SMALL, **options})
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_corrupt_recording(self, tmp_path, events_folder):
        broken = events_folder / "bell" / "bell3.wav"
        broken.write_bytes(broken.read_bytes()[:3000])
        before = sorted(tmp_path.rglob("*"))
        out = tmp_path / "new" / "deep" / "out"
        self.check(tmp_path, before, AudioError, re.escape(str(broken)), events_folder, out)

    def test_an_error_in_the_middle(self, tmp_path, events_folder):
        before = sorted(tmp_path.rglob("*"))

        def interrupt(done, total):
            if done == 5:
                raise KeyboardInterrupt("stop")

        out = tmp_path / "out"
        self.check(tmp_path, before, KeyboardInterrupt, "stop", events_folder, out, progress=interrupt)

    def test_a_folder_that_holds_something(self, tmp_path, events_folder):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("mine")
        before = sorted(tmp_path.rglob("*"))
        message = f"{tmp_path / 'out'}: folder is not empty; choose another name or remove it first"
        self.check(tmp_path, before, DataError, re.escape(message), events_folder, tmp_path / "out")

    def test_a_file_of_that_name(self, tmp_path, events_folder):
        (tmp_path / "out").write_text("mine")
        before = sorted(tmp_path.rglob("*"))
        message = f"{tmp_path / 'out'}: is a file, but a new folder was to be written there"
        self.check(tmp_path, before, DataError, re.escape(message), events_folder, tmp_path / "out")

    def test_an_empty_folder_is_filled(self, tmp_path):
        (tmp_path / "out").mkdir()
        assert len(mix_dataset("synthetic", tmp_path / "out", **SMALL)) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": 0}, "clips must be at least 1, got 0"),
        ({"folds": 1}, "folds must be at least 2, got 1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"protocol": "fair"}, "protocol must be one of 'paper', 'honest', got 'fair'"),
        ({"clip_seconds": 2.0}, "3 events of up to 1 s may need 3 s, but clip_seconds is 2 (lower"),
    ],
)
def test_wrong_parameters(tmp_path, options, message):
    with pytest.raises(ParameterError, match="^" + re.escape(message)):
        mix_dataset("synthetic", tmp_path / "out", **{**SMALL, **options})
    assert not list(tmp_path.iterdir())


def test_settings_that_are_no_toml_or_incomplete(tmp_path):
    dataset = mix_dataset("synthetic", tmp_path / "out", **SMALL)
    path = dataset.path / "dataset.toml"
    path.write_text("classes = [")
    for call in (lambda: remix(dataset.path, tmp_path / "again"), lambda: Dataset.open(dataset.path)):
        with pytest.raises(CtctagError, match=re.escape(f"{path}: is not valid TOML (")):
            call()
    path.write_text("sample_rate = 16000\n")
    with pytest.raises(DataError, match=re.escape(f"{path}: 'mix' is missing, so it cannot be mixed again")):
        remix(dataset.path, tmp_path / "again")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('protocol = "paper"', 'protocol = "fair"', "protocol must be one of 'paper', 'honest', got 'fair'"),
        ("folds = 2", "folds = 1", "folds must be at least 2, got 1"),
        ("seed = 0", 'seed = "a"', "seed is not usable (got a), so it cannot be mixed again"),
        (
            'events = "synthetic"',
            "events = [1]",
            "events is not usable (got [1]), so it cannot be",
        ),
        ("gain_db = 3.0", "gain_db = 1e308", "gain_db must be at most 100, got 1e+308"),
        ("snr_db = [20.0, 20.0]", "snr_db = [20.0, 1e308]", "snr_db must be at most 200, got 1e+308"),
        ("snr_db = [20.0, 20.0]", "snr_db = {}", "snr_db[0] must be a number, got {}"),
        (
            "events_per_clip = [1, 3]",
            "events_per_clip = [1]",
            "not enough values to unpack (expected 2, got 1), so it cannot be mixed",
        ),
        (
            "sample_rate = 16000",
            "sample_rate = 0.5",
            "sample_rate is not usable (got 0.5), so it",
        ),
        ("[mix]", "[mixed]", "'mix' is missing, so it cannot be mixed again"),
        (
            '[mix]\nprotocol = "paper"',
            "mix = 3\n[mixed]",
            "mix is not usable (got 3), so it cannot",
        ),
        ("classes = [", "classes = [1, ", "classes must be a list of strings, got [1, "),
    ],
)
def test_wrong_settings_name_the_file(tmp_path, old, new, message):
    path = mix_dataset("synthetic", tmp_path / "out", **SMALL).path / "dataset.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match="^" + re.escape(f"{path}: {message}")):
        open_mixer(path.parent)


def test_a_folder_of_a_strange_name_is_shown_escaped(tmp_path):
    path = mix_dataset("synthetic", tmp_path / "out", **SMALL).path / "dataset.toml"
    path.write_text(path.read_text().replace('"white"', r'"\u001b"'))
    with pytest.raises(DataError, match="^" + re.escape(rf"{path.parent}/\x1b: no such folder; expected")):
        open_mixer(path.parent)


def test_what_the_caller_asks_for_is_not_blamed_on_the_settings(tmp_path):
    dataset = mix_dataset("synthetic", tmp_path / "out", **SMALL)
    assert open_mixer(dataset.path, sr=8000, events_per_clip=(1, 2)).sr == 8000
    with pytest.raises(ParameterError, match=r"^events_per_clip asks for 20 different classes"):
        open_mixer(dataset.path, events_per_clip=(1, 20))


@pytest.mark.parametrize("name", ["../evil.flac", "/evil.flac", "a/b.flac", "..", "a\\b.flac"])
def test_a_recipe_writes_nowhere_else(tmp_path, name):
    dataset = mix_dataset("synthetic", tmp_path / "out", **SMALL)
    path = dataset.path / "recipe.tsv"
    path.write_text(path.read_text().replace("mix_0.flac", name, 1))
    message = f"{path}, line 2: filename must be the name of a file without folders, got {name!r}"
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        remix(dataset.path, tmp_path / "deep" / "again")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out"]


def test_folders_whose_names_are_not_utf_8_are_named(tmp_path, events_folder):
    (events_folder / "bell" / "bell0.wav").rename(events_folder / "bell" / "bell\udce90.wav")
    message = r"bell/bell\udce90.wav: this name is not UTF-8; rename the file or folder"
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        mix_dataset(events_folder, tmp_path / "out", **SMALL)
    root = events_folder.rename(tmp_path / "\udce9")
    with pytest.raises(DataError, match=re.escape(r"/\udce9: this name is not UTF-8")):
        mix_dataset(root, tmp_path / "out", **SMALL)


def test_classes_can_be_chosen(tmp_path):
    dataset = mix_dataset("synthetic", tmp_path / "out", classes=["knock", "alert", "cough"], **SMALL)
    assert dataset.classes == ("alert", "cough", "knock")
    assert np.all(dataset.tags.sum(axis=1) >= 1)


@pytest.mark.parametrize("protocol", ["paper", "honest"])
def test_the_mixer_of_a_data_set_mixes_its_clips(tmp_path, events_folder, protocol):
    options = {"protocol": protocol, "seed": 5, "snr_db": 12.0, "max_event_seconds": None, "gain_db": 1.0}
    dataset = mix_dataset(events_folder, tmp_path / "out", **SMALL | options)
    mixer = open_mixer(dataset.path)
    assert mixer.folds == (2 if protocol == "honest" else 0)
    for index in range(len(dataset)):
        fold = int(dataset.folds[index]) if protocol == "honest" else None
        clip = mixer.mix([5, index], folds=fold)
        written, _ = read_audio(dataset.path_of(index))
        np.testing.assert_allclose(clip.samples, written, atol=2**-15)
        assert clip.labels == [dataset.classes[label] for label in dataset.sequences[index]]


def test_the_mixer_of_changed_recordings_is_refused(tmp_path, events_folder, write_sound):
    dataset = mix_dataset(events_folder, tmp_path / "out", **SMALL)
    write_sound(events_folder / "bell" / "bell0.wav", pitch=999.0)
    message = f"{events_folder}: the events are not those that {dataset.path} was mixed from"
    with pytest.raises(DataError, match=re.escape(message)):
        open_mixer(dataset.path)
