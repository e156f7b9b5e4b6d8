"""Runs whose files were damaged: named and refused, never resumed without a word."""

import json
import re
import shutil

import numpy as np
import pytest

from ctctag.cli import main
from ctctag.data import Dataset
from ctctag.exceptions import ModelError
from ctctag.training import RunFolder, TrainingConfig, train_on_dataset

CONFIG = TrainingConfig(preset="tiny", epochs=1, batch_size=4, schedule="constant", ema=0.9, seed=3)
LONGER = TrainingConfig(**{**CONFIG.to_dict(), "epochs": 2})
PLACES = {  # of each part of a checkpoint, one array
    "now": "now/params/gru.forward.weight_hh",
    "now, state": "now/state/block1.norm.running_var",
    "best": "best/params/dense.bias",
    "best, state": "best/state/dropout.step",
    "optimiser": "optimiser/mean.dense.weight",
    "optimiser, squares": "optimiser/square.dense.bias",
    "optimiser, steps": "optimiser/steps",
    "average": "average/shadow.dense.weight",
}
DAMAGES = {
    "missing": lambda array: None,
    "misshapen": lambda array: np.concatenate([array.reshape(-1)] * 2),
    "text": lambda array: array.astype(str),
    "complex": lambda array: array.astype(complex),
    "NaN": lambda array: np.full(array.shape, np.nan),
}


@pytest.fixture(scope="module")
def averaged_run(small_data, tmp_path_factory):
    """Return the folder of a short training with averaged weights. Do not change it."""
    out = tmp_path_factory.mktemp("averaged") / "run"
    train_on_dataset(Dataset.open(small_data), out, CONFIG, fold=1)
    return out


def resume(small_data, run, config=LONGER):
    return train_on_dataset(Dataset.open(small_data), run, config, fold=1, resume=True)


def damaged(averaged_run, place, change):
    """Return a copy of the run in which one array of the checkpoint is changed, or with None left out."""
    shutil.copytree(averaged_run, place)
    path = place / "checkpoint.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, changed in change(arrays).items():
        if changed is None:
            del arrays[name]
        else:
            arrays[name] = changed
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("part", PLACES)
def test_no_array_of_a_checkpoint_may_be_damaged(averaged_run, small_data, tmp_path, part, damage):
    name = PLACES[part]
    path = damaged(averaged_run, tmp_path / "run", lambda arrays: {name: DAMAGES[damage](arrays[name])})
    with pytest.raises(ModelError, match=f"^{re.escape(f'{path}: ')}.*{re.escape(name.rpartition('/')[2])}"):
        resume(small_data, tmp_path / "run")


def test_every_array_of_a_checkpoint_is_missed(averaged_run, small_data, tmp_path):
    with np.load(averaged_run / "checkpoint.npz") as file:
        arrays = {name: file[name] for name in file.files}
    shutil.copytree(averaged_run, tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.npz"
    folder = RunFolder(tmp_path / "run")
    trainer = trainer_of(small_data)
    folder.resume(trainer)  # the whole one is taken
    for name in arrays:
        np.savez(path, **{other: array for other, array in arrays.items() if other != name})
        with pytest.raises(
            ModelError, match=f"^{re.escape(str(path))}: .*{re.escape(name.rpartition('/')[2])}"
        ):
            folder.resume(trainer)


def trainer_of(small_data):
    """Return a trainer of the run's settings that has not begun."""
    from ctctag.audio import LogMel
    from ctctag.training import run as module

    dataset = Dataset.open(small_data)
    learned, held = module.hold_out(dataset.split(1)[0], CONFIG.validation, CONFIG.seed)
    return module._trainer(dataset, CONFIG, learned, held, {1}, LogMel(), None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"now/params/extra": np.zeros(3, np.float32)}, "now: the names of the arrays do not fit"),
        (lambda a: {"strange": np.zeros(3)}, "holds 'strange', which no checkpoint has"),
        (lambda a: {"optimiser/steps": np.array(-1)}, "optimiser: state['steps'] must be at least 0, got -1"),
        (lambda a: {"optimiser/steps": np.array(7)}, "optimiser: steps is 7, but 1 epochs of"),
        (lambda a: {"optimiser/square.dense.bias": -np.ones(5, np.float32)},
         "optimiser: state['square.dense.bias'] holds a negative number"),
        (lambda a: {"best/state/block1.norm.running_var": -np.ones(8, np.float32)},
         "best: state/block1.norm.running_var[0] is -1, but must be"),
        (lambda a: {"now/params/dense.bias": np.full(5, 1e9, np.float32)},
         "now: params/dense.bias[0] is 1e+09, but must be"),
        (lambda a: {"values": None}, "not a checkpoint (lacks 'values'); remove it to begin again"),
        (lambda a: {"values": np.array("[" * 100_000)}, "not a checkpoint (nested too deeply); remove it"),
        (lambda a: {"values": np.array("7")}, "its log of epochs is damaged ("),
    ],
)  # fmt: skip
def test_what_no_training_leaves_in_a_checkpoint(averaged_run, small_data, tmp_path, change, words):
    path = damaged(averaged_run, tmp_path / "run", change)
    with pytest.raises(ModelError, match=f"^{re.escape(f'{path}: {words}')}"):
        resume(small_data, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("history", None),
        ("history", 3),
        ("history", ["x"]),
        ("history", [{}]),
        ("history", []),
        ("history", [{"epoch": 2}]),
        ("best_epoch", None),
        ("best_epoch", "1"),
        ("best_epoch", 0),
        ("best_epoch", 2),
        ("best_epoch", True),
        ("best_score", None),
        ("best_score", 0.5),
        ("best_score", [0.5]),
        ("best_score", ["a", "b"]),
        ("best_score", [0.5, float("nan")]),
    ],
)
def test_a_damaged_log_of_epochs(averaged_run, small_data, tmp_path, name, value):
    def change(arrays):
        values = json.loads(str(arrays["values"]))
        values[name] = value
        if value is None:
            del values[name]
        return {"values": np.array(json.dumps(values))}

    path = damaged(averaged_run, tmp_path / "run", change)
    with pytest.raises(
        ModelError, match=f"^{re.escape(str(path))}: (its log of epochs is damaged|optimiser: steps)"
    ):
        resume(small_data, tmp_path / "run")


@pytest.mark.parametrize(
    "record", ["loss", "validation_loss", "validation_auc", "seconds", "clips_per_second"]
)
def test_a_record_that_lacks_something(averaged_run, small_data, tmp_path, record):
    def change(arrays):
        values = json.loads(str(arrays["values"]))
        del values["history"][0][record]
        return {"values": np.array(json.dumps(values))}

    path = damaged(averaged_run, tmp_path / "run", change)
    with pytest.raises(
        ModelError, match=re.escape(f"{path}: its log of epochs is damaged (lacks {record!r})")
    ):
        resume(small_data, tmp_path / "run", CONFIG)  # which had ended, and would only be shown


def test_nothing_is_taken_of_a_checkpoint_that_is_refused_before_the_weights(
    averaged_run, small_data, tmp_path
):
    trainer = trainer_of(small_data)
    before = {name: array.copy() for name, array in trainer.network.params.items()}
    damaged(averaged_run, tmp_path / "run", lambda arrays: {"best/params/dense.bias": None})
    with pytest.raises(ModelError, match=r"best: the names of the arrays do not fit"):
        RunFolder(tmp_path / "run").resume(trainer)
    for name, array in trainer.network.params.items():
        np.testing.assert_array_equal(array, before[name])
    assert trainer.epoch == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "not the settings of a training run (lacks 'training')"),
        ('"x"', "not readable as JSON (holds a str"),
        ("NaN", "not readable as JSON (holds a float"),
        ('{"a": ' * 100_000, "not readable as JSON (nested too deeply)"),
        ('{"a": ' + "9" * 5000 + "}", "not readable as JSON (Exceeds the limit"),
        ('{"training": {"speed": 1}}', "not the settings of a training run ('speed' is no training setting"),
        ('{"training": 3}', "not the settings of a training run ("),
        ('{"training": {"epochs": []}}', "not the settings of a training run (epochs must be an integer"),
        ('{"training": {}, "data": []}', "not the settings of a training run ("),
        (
            '{"training": {}, "data": {"fingerprint": 1}}',
            "not the settings of a training run (the fingerprint",
        ),
    ],
)
def test_damaged_settings(averaged_run, small_data, tmp_path, text, words, capsys):
    shutil.copytree(averaged_run, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    path.write_text(text)
    arguments = ["train", str(small_data), "--out", str(tmp_path / "run"), "--resume", "--quiet"]
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith(f"ctctag: {path}: {words}")
    assert path.read_text() == text
