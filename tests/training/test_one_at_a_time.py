"""Two trainings in one folder, and folders on a disk that takes no files."""

import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ctctag.data import Dataset, Features, mix_dataset
from ctctag.data import features as features_of
from ctctag.exceptions import DataError
from ctctag.experiment import evaluate_run
from ctctag.training import RunFolder, TrainingConfig, train_on_dataset

CONFIG = TrainingConfig(
    preset="tiny", epochs=1, batch_size=4, learning_rate=1e-3, schedule="constant", seed=3
)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("lag", ["on_features", "on_batch", "on_epoch"])
def test_of_two_trainings_in_one_folder_the_first_goes_on(small_data, tmp_path, lag, resume):
    data, run = tmp_path / "set", tmp_path / "run"
    shutil.copytree(small_data, data, ignore=shutil.ignore_patterns("features"))
    dataset, refused = Dataset.open(data), []
    busy = "another training is at work here; wait for it, or choose another folder"
    message = f"{run}: {busy} (process {os.getpid()})"

    def begin_another(*progress):
        if not refused:
            with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
                train_on_dataset(dataset, run, CONFIG, fold=1, resume=resume)
            refused.append(progress)

    whole = train_on_dataset(dataset, run, CONFIG, fold=1, **{lag: begin_another})
    assert refused
    assert len(whole.history) == 1
    assert not (run / ".lock").exists()
    assert (
        len(train_on_dataset(dataset, run, CONFIG, fold=1, resume=True).history) == 1
    )  # and it is free again


def test_a_training_that_fails_at_once_leaves_no_folder(small_data, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise DataError("no features")

    monkeypatch.setattr(Features, "build", broken)
    monkeypatch.setattr(RunFolder, "write_settings", broken)
    with pytest.raises(DataError, match="no features"):
        train_on_dataset(Dataset.open(small_data), tmp_path / "a" / "run", CONFIG, fold=1)
    assert not (tmp_path / "a").exists()


def test_of_two_that_mix_one_data_set_the_first_does(tmp_path):
    out, refused = tmp_path / "set", []
    options = {"clips": 4, "folds": 2, "clip_seconds": 3, "events_per_clip": 1}

    def begin_another(done, total):
        if not refused:
            refused.append(done)
            with pytest.raises(
                DataError, match=re.escape(f"{out}: another process is writing it; wait until")
            ):
                mix_dataset("synthetic", out, **options)

    assert len(mix_dataset("synthetic", out, progress=begin_another, **options)) == 4
    assert refused
    assert list(tmp_path.iterdir()) == [out]


@pytest.fixture
def read_only(monkeypatch):
    """Return a function that makes a folder refuse new files, as a read-only disk does, to root as well."""
    refusing = []

    def refuse(path):
        if any(Path(path).absolute().is_relative_to(folder) for folder in refusing):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    mkdir, open_ = os.mkdir, os.open

    def guarded_mkdir(path, *arguments, **options):
        refuse(path)
        return mkdir(path, *arguments, **options)

    def guarded_open(path, flags, *arguments, **options):
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            refuse(path)
        return open_(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "mkdir", guarded_mkdir)
    monkeypatch.setattr(os, "open", guarded_open)
    return refusing.append


@pytest.fixture
def copy(small_data, tmp_path):
    """Return a copy of the small data set, without features."""
    data = tmp_path / "disk" / "set"
    shutil.copytree(small_data, data, ignore=shutil.ignore_patterns("features"))
    return data


KEPT = re.escape("cannot be written (Read-only file system); the features are kept until this process ends")


def test_a_data_set_on_a_read_only_disk_is_learned_from(copy, small_data, tmp_path, read_only):
    read_only(copy)
    with pytest.warns(UserWarning, match=f"^{re.escape(str(copy))}.*{KEPT}"):
        run = train_on_dataset(Dataset.open(copy), tmp_path / "run", CONFIG, fold=1)
    assert not (copy / "features").exists()
    usual = train_on_dataset(Dataset.open(small_data), tmp_path / "usual", CONFIG, fold=1)
    for name, array in usual.model.network.params.items():
        np.testing.assert_array_equal(run.model.network.params[name], array, err_msg=name)


def test_features_that_cannot_be_kept_are_the_same(copy, small_data, read_only):
    read_only(copy)
    with pytest.warns(UserWarning, match=KEPT):
        features = Features.build(Dataset.open(copy))
    usual = Features.build(Dataset.open(small_data))
    np.testing.assert_array_equal(features.lengths, usual.lengths)
    np.testing.assert_array_equal(features.frames, usual.frames)
    np.testing.assert_array_equal(features[3], usual[3])


def test_a_cache_that_was_asked_for_must_take_them(copy, tmp_path, read_only, monkeypatch):
    read_only(tmp_path / "cache")
    monkeypatch.setattr(features_of, "_unkept", lambda *args: pytest.fail("kept elsewhere"))
    message = rf"^{re.escape(str(tmp_path / 'cache'))}.*: cannot be written \(Read-only file system\)$"
    with pytest.raises(DataError, match=message):
        Features.build(Dataset.open(copy), cache_dir=tmp_path / "cache")


def test_a_run_on_a_read_only_disk_is_measured_and_not_trained(small_run, small_data, tmp_path, read_only):
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    (run / "evaluation.json").unlink(missing_ok=True)
    usual = evaluate_run(small_run)
    read_only(run)
    with pytest.warns(
        UserWarning, match=r"evaluation\.json: cannot be written \(Read-only .*; the scores are not"
    ):
        assert evaluate_run(run).scores == usual.scores
    message = f"{run}: cannot be written (Read-only file system)"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        train_on_dataset(Dataset.open(small_data), run, CONFIG, fold=1, resume=True)
