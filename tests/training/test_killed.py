"""Killed without a word (kill -9), or out of disk: nothing is lost, and going on gives the same."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from ctctag.cli import main
from ctctag.data import Dataset, Features, mix_dataset
from ctctag.exceptions import AudioError, DataError
from ctctag.models import load_model, save_model
from ctctag.training import TrainingConfig, train_on_dataset

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs kill -9 and limits on files")

CONFIG = TrainingConfig(
    preset="tiny", epochs=2, batch_size=4, learning_rate=1e-3, schedule="constant", seed=3
)
MIX = {
    "clips": 4,
    "folds": 2,
    "seed": 1,
    "clip_seconds": 3,
    "events_per_clip": (1, 2),
    "max_event_seconds": 1.0,
}

# A child that kills itself at the n-th call of a function: no clock decides where.
CHILD = """
import importlib, json, os, signal, sys
module, name, left, call = json.loads(sys.argv[1])
module = importlib.import_module(module)
spared = getattr(module, name)

def deadly(*arguments, **options):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return spared(*arguments, **options)

setattr(module, name, deadly)
exec(call)
"""


def kill_at(module, name, number, call):
    """Run `call` in a process of its own, which is killed when it calls the function for the n-th time."""
    job = json.dumps([module, name, number, call])
    ended = subprocess.run([sys.executable, "-c", CHILD, job], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def contents(folder):
    """Return the bytes of every file under a folder, hidden ones too, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def half_written(folder):
    """Return what the killed process was in the middle of; its lock, which nobody holds, is left as well."""
    return [path for path in folder.iterdir() if path.name.startswith(".") and not path.name.endswith("lock")]


def weights(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name not in ("metadata", "values")}


def assert_same_run(run, small_run):
    for name in ("checkpoint.npz", "model.npz"):
        ours, whole = weights(run / name), weights(small_run / name)
        assert ours.keys() == whole.keys()
        for key, array in whole.items():
            np.testing.assert_array_equal(ours[key], array, err_msg=f"{name}: {key}")
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint.npz", "log.jsonl", "model.npz", "run.json"
    ]  # fmt: skip
    assert len((run / "log.jsonl").read_text().splitlines()) == 2


# A training renames run.json first, then of each epoch checkpoint and log, then the model.
@pytest.mark.parametrize(
    ("renamed", "epochs_kept"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2)],
    ids=["settings", "first checkpoint", "first log", "second checkpoint", "last log", "model"],
)  # fmt: skip
def test_train(small_run, small_data, tmp_path, renamed, epochs_kept):
    run = tmp_path / "run"
    kill_at(
        "os", "replace", renamed,
        f"from ctctag.data import Dataset\nfrom ctctag.training import TrainingConfig, train_on_dataset\n"
        f"train_on_dataset(Dataset.open({str(small_data)!r}), {str(run)!r}, "
        f"TrainingConfig.from_dict({CONFIG.to_dict()!r}), fold=1)",
    )  # fmt: skip
    assert half_written(run)
    epochs = []
    train_on_dataset(Dataset.open(small_data), run, CONFIG, fold=1, resume=True, on_epoch=epochs.append)
    assert len(epochs) == 2 - epochs_kept
    assert_same_run(run, small_run)


@pytest.mark.parametrize(
    ("module", "name", "number"), [("ctctag.data.mixing", "write_audio", 3), ("os", "rename", 1)],
    ids=["third clip", "all written"],
)  # fmt: skip
def test_mix(tmp_path, module, name, number):
    out = tmp_path / "killed" / "set"
    kill_at(
        module, name, number,
        f"from ctctag.data import mix_dataset\nmix_dataset('synthetic', {str(out)!r}, **{MIX!r})",
    )  # fmt: skip
    assert not out.exists()
    assert half_written(out.parent)
    mix_dataset("synthetic", out, **MIX)
    mix_dataset("synthetic", tmp_path / "whole" / "set", **MIX)
    assert contents(out.parent) == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("module", "name", "number"), [("ctctag.data.features", "_features", 3), ("os", "rename", 1)],
    ids=["third clip", "all written"],
)  # fmt: skip
def test_features(small_data, tmp_path, module, name, number):
    cache = tmp_path / "cache"
    kill_at(
        module, name, number,
        f"from ctctag.data import Dataset, Features\n"
        f"Features.build(Dataset.open({str(small_data)!r}), cache_dir={str(cache)!r})",
    )  # fmt: skip
    assert half_written(cache)
    dataset = Dataset.open(small_data)
    features = Features.build(dataset, cache_dir=cache)
    np.testing.assert_array_equal(features.frames, Features.build(dataset, cache_dir=tmp_path / "new").frames)
    assert list(cache.iterdir()) == [features.path]


# -- a full disk ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def files_of_at_most(size):
    """Let the system refuse to make a file larger, as a full disk would."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_while_a_model_is_saved(small_run, tmp_path):
    model, path = load_model(small_run / "model.npz"), tmp_path / "m.npz"
    save_model(path, model)
    before = contents(tmp_path)
    message = f"{path}: cannot be written ("
    with files_of_at_most(10_000), pytest.raises(DataError, match=f"^{re.escape(message)}"):
        save_model(path, model)
    assert contents(tmp_path) == before


def test_a_full_disk_while_training(small_run, small_data, tmp_path, capsys):
    run = tmp_path / "run"
    one = TrainingConfig(**{**CONFIG.to_dict(), "epochs": 1})
    train_on_dataset(Dataset.open(small_data), run, one, fold=1)
    before = contents(run)
    arguments = ["train", str(small_data), "--out", str(run), "--resume", "--preset", "tiny", "--epochs", "2"]
    arguments += ["--batch-size", "4", "--learning-rate", "1e-3", "--schedule", "constant", "--seed", "3"]
    capsys.readouterr()
    with files_of_at_most(20_000):
        assert main([*arguments, "--quiet"]) == 1
    assert capsys.readouterr().err.startswith(f"ctctag: {run / 'checkpoint.npz'}: cannot be written (")
    after = contents(run)
    del before["run.json"], after["run.json"]  # which says the new settings
    assert after == before
    assert main([*arguments, "--quiet"]) == 0
    assert_same_run(run, small_run)


def test_a_full_disk_while_mixing(tmp_path):
    out = tmp_path / "set"
    with (
        files_of_at_most(10_000),
        pytest.raises(AudioError, match=f"^{re.escape(str(out / 'audio' / 'mix_'))}.*: cannot be written: "),
    ):
        mix_dataset("synthetic", out, **MIX)
    assert not any(tmp_path.iterdir())


def test_a_full_disk_while_features_are_written(small_data, tmp_path):
    cache = tmp_path / "cache"
    message = f"^{re.escape(str(cache))}.*: cannot be written \\("
    with files_of_at_most(10_000), pytest.raises(DataError, match=message):
        Features.build(Dataset.open(small_data), cache_dir=cache)
    assert not cache.exists()
