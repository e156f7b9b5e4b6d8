"""Which recordings a data set was mixed from, and in which folds: a change is refused by name."""

import re

import pytest

from ctctag.data import mix_dataset, open_mixer, open_source, read_recipe, remix
from ctctag.data.toml import read_toml, write_toml
from ctctag.exceptions import DataError

SMALL = {"clips": 8, "folds": 2, "clip_seconds": 3.0, "events_per_clip": (1, 3), "max_event_seconds": 1.0}


def write_manifest(folder, folds):
    """Say in which fold each take of each class is: takes 0 … 3, by class."""
    rows = [
        f"{label}/{label}{take}.wav,{fold}" for label, of in folds.items() for take, fold in enumerate(of)
    ]
    (folder / "manifest.csv").write_text("path,cv_fold\n" + "\n".join(rows) + "\n")


FOLDS = {"bell": (1, 1, 2, 2), "click": (1, 2, 1, 2), "hum": (2, 2, 1, 1)}


@pytest.fixture
def honest(tmp_path, events_folder):
    """A data set mixed fold by fold from `events_folder`, events and backgrounds."""
    write_manifest(events_folder, FOLDS)
    options = SMALL | {"protocol": "honest", "noise": events_folder, "clips": 40}
    return mix_dataset(events_folder, tmp_path / "out", **options)


def forget_hashes(dataset, names=("events", "noise")):
    """Make it a data set of the time before folds were noted."""
    settings = read_toml(dataset.path / "dataset.toml")
    for name in names:
        del settings["mix"][f"{name}_folds_hash"]
    write_toml(dataset.path / "dataset.toml", settings)


def heard_in(dataset, key):
    """Return the first clip with an event of a recording."""
    recipes = read_recipe(dataset.path / "recipe.tsv")
    return next(name for name, parts in recipes.items() if any(p.source == key and p.label for p in parts))


def test_unchanged_folds_are_mixed_from(honest):
    assert open_mixer(honest.path).folds == 2
    forget_hashes(honest)
    assert open_mixer(honest.path).folds == 2


@pytest.mark.parametrize("before_hashes", [False, True])
def test_a_recording_in_another_fold_is_named(honest, events_folder, before_hashes):
    if before_hashes:
        forget_hashes(honest)
    write_manifest(events_folder, FOLDS | {"click": (1, 1, 1, 2)})  # click1 was in fold 2
    key = "click/click1.wav"
    message = (
        f"{events_folder}: {key} is in fold 1 now, but was in fold 2 when {honest.path} was mixed (it is "
        f"in {heard_in(honest, key)}), so training would use what is tested on; put the folds back "
        "as they were, or mix the data set again"
    )
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        open_mixer(honest.path)


def test_folds_without_a_manifest_are_others(honest, events_folder):
    (events_folder / "manifest.csv").unlink()
    with pytest.raises(DataError, match=r"\.wav is in fold \d now, but was in fold \d when"):
        open_mixer(honest.path)


def test_backgrounds_have_folds_too(tmp_path, events_folder, honest):
    """The events' folds stay; those of the backgrounds, opened from a copy, do not."""
    write_manifest(events_folder, FOLDS)
    events = open_source(events_folder)
    write_manifest(events_folder, {label: tuple(3 - fold for fold in of) for label, of in FOLDS.items()})
    with pytest.raises(
        DataError, match=r"is in fold 1 now, but was in fold 2|is in fold 2 now, but was in fold 1"
    ):
        open_mixer(honest.path, source=events)


def test_a_clip_in_another_fold_is_named(honest):
    table = honest.path / "folds.tsv"
    table.write_text(table.read_text().replace("mix_00.flac\t1", "mix_00.flac\t2"))
    message = f"{honest.path}: mix_00.flac is in fold 2 now, but was mixed in fold 1, so training would use"
    with pytest.raises(DataError, match="^" + re.escape(message)):
        open_mixer(honest.path)


def test_a_recording_that_no_clip_has_counts_too(tmp_path, events_folder, write_sound):
    for take in range(4, 40):
        write_sound(events_folder / "hum" / f"hum{take}.wav", pitch=300.0 + take)
    folds = FOLDS | {"hum": (1, 2) * 20}
    write_manifest(events_folder, folds)
    dataset = mix_dataset(events_folder, tmp_path / "out", protocol="honest", **SMALL)
    heard = {part.source for parts in read_recipe(dataset.path / "recipe.tsv").values() for part in parts}
    unheard = next(take for take in range(40) if f"hum/hum{take}.wav" not in heard)
    moved = list(folds["hum"])
    moved[unheard] = 3 - moved[unheard]
    write_manifest(events_folder, folds | {"hum": moved})
    message = (
        f"{events_folder}: the folds or source recordings of the events are not those that {dataset.path}"
    )
    with pytest.raises(DataError, match="^" + re.escape(message)):
        open_mixer(dataset.path)


def test_without_hash_and_recipe_nothing_is_mixed(honest):
    forget_hashes(honest)
    (honest.path / "recipe.tsv").unlink()
    message = f"{honest.path}: does not say in which folds the events were when it was mixed (no recipe.tsv"
    with pytest.raises(DataError, match="^" + re.escape(message)):
        open_mixer(honest.path)


def test_the_hash_alone_is_enough(honest, events_folder):
    (honest.path / "recipe.tsv").unlink()
    assert open_mixer(honest.path).folds == 2
    write_manifest(events_folder, FOLDS | {"click": (1, 1, 2, 2)})
    with pytest.raises(DataError, match="the folds or source recordings of the events are not those that"):
        open_mixer(honest.path)


def test_folds_have_no_part_where_clips_draw_from_all_recordings(tmp_path, events_folder):
    write_manifest(events_folder, FOLDS)
    dataset = mix_dataset(events_folder, tmp_path / "out", **SMALL)
    write_manifest(events_folder, {label: (2, 1, 2, 1) for label in FOLDS})
    assert open_mixer(dataset.path).folds == 0


def test_the_same_clips_are_mixed_again_whatever_the_folds(honest, events_folder, tmp_path):
    write_manifest(events_folder, {label: (2, 1, 2, 1) for label in FOLDS})
    again = remix(honest.path, tmp_path / "again")
    for path in again.iterdir():
        assert path.read_bytes() == (honest.path / "audio" / path.name).read_bytes()


def test_synthetic_sounds_have_no_folds_to_change(tmp_path):
    dataset = mix_dataset("synthetic", tmp_path / "out", protocol="honest", **SMALL)
    assert not any(name.endswith("_hash") for name in dataset.settings["mix"])
    assert open_mixer(dataset.path).folds == 2
