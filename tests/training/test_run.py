"""Runs on disk: what is written, resuming, and every way in which a folder can be wrong."""

import json
import re
import shutil

import numpy as np
import pytest

from ctctag.audio import LogMel
from ctctag.data import Augment, Dataset, Mixer, mix_dataset
from ctctag.exceptions import DataError, ModelError, ParameterError
from ctctag.models import load_model
from ctctag.training import RunFolder, TrainingConfig, hold_out, train_on_dataset

CONFIG = TrainingConfig(
    preset="tiny", epochs=2, batch_size=4, learning_rate=1e-3, schedule="constant", seed=3
)


def arrays_of(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_a_run_says_what_was_done(small_run, small_data):
    settings = json.loads((small_run / "run.json").read_text())
    assert settings["training"] == CONFIG.to_dict()
    assert settings["fold"] == 1
    assert settings["data"]["fingerprint"] == Dataset.open(small_data).fingerprint()
    assert settings["features"]["n_mels"] == 64
    assert {"ctctag", "numpy", "numba", "scipy", "python"} <= settings["versions"].keys()
    log = [json.loads(line) for line in (small_run / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in log] == [1, 2]
    assert {
        "loss", "validation_loss", "validation_auc", "sequence_error_rate", "blank_mass", "clips_per_second"
    } <= log[0].keys()  # fmt: skip
    model = load_model(small_run / "model.npz")
    assert model.classes == ("alert", "cough", "knock", "phone")
    assert model.info["best_epoch"] in (1, 2)
    assert sorted(path.name for path in small_run.iterdir() if path.name != "evaluation.json") == [
        "checkpoint.npz", "log.jsonl", "model.npz", "run.json"
    ]  # fmt: skip


def test_resumed_run_is_the_unbroken_run(small_run, small_data, tmp_path):
    dataset = Dataset.open(small_data)
    one = TrainingConfig(**{**CONFIG.to_dict(), "epochs": 1})
    train_on_dataset(dataset, tmp_path / "run", one, fold=1)
    train_on_dataset(dataset, tmp_path / "run", CONFIG, fold=1, resume=True)
    for name in ("checkpoint.npz", "model.npz"):
        whole, resumed = arrays_of(small_run / name), arrays_of(tmp_path / "run" / name)
        assert whole.keys() == resumed.keys()
        for key in whole.keys() - {"metadata", "values"}:
            np.testing.assert_array_equal(resumed[key], whole[key], err_msg=f"{name}: {key}")


def test_killed_in_the_middle_of_an_epoch_loses_that_epoch_only(small_run, small_data, tmp_path):
    dataset = Dataset.open(small_data)
    batches = 0

    def kill(done, total):
        nonlocal batches
        batches += 1
        if batches == total + 1:  # in the second epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on_dataset(dataset, tmp_path / "run", CONFIG, fold=1, on_batch=kill)
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 1
    train_on_dataset(dataset, tmp_path / "run", CONFIG, fold=1, resume=True)
    whole, resumed = arrays_of(small_run / "model.npz"), arrays_of(tmp_path / "run" / "model.npz")
    for key in whole.keys() - {"metadata"}:
        np.testing.assert_array_equal(resumed[key], whole[key], err_msg=key)


def test_a_finished_run_is_not_trained_again(small_run, small_data, tmp_path):
    shutil.copytree(small_run, tmp_path / "run")
    epochs = []
    run = train_on_dataset(
        Dataset.open(small_data), tmp_path / "run", CONFIG, fold=1, resume=True, on_epoch=epochs.append
    )
    assert not epochs
    assert len(run.history) == 2


def test_a_folder_in_use_is_refused(small_run, small_data):
    message = (
        f"{small_run}: holds a training run already; pass --resume (resume=True) to go on with it, or choose "
        "another folder"
    )
    with pytest.raises(DataError, match=re.escape(message) + "$"):
        train_on_dataset(Dataset.open(small_data), small_run, CONFIG, fold=1)


@pytest.mark.parametrize(
    ("changes", "fold", "message"),
    [
        ({"learning_rate": 0.01}, 1, "training.learning_rate was 0.001 and is now 0.01"),
        ({"system": "crap"}, 1, "training.system was 'crnn-ctc' and is now 'crap'"),
        ({}, 2, "fold was 1 and is now 2"),
    ],
)
def test_resuming_with_other_settings_is_refused(small_run, small_data, changes, fold, message):
    config = TrainingConfig(**{**CONFIG.to_dict(), **changes})
    message = f"{small_run}: cannot be resumed: {message}; use the same settings, or choose another folder"
    with pytest.raises(ParameterError, match=re.escape(message) + "$"):
        train_on_dataset(Dataset.open(small_data), small_run, config, fold=fold, resume=True)


def test_resuming_on_changed_data_is_refused(small_run, small_data, tmp_path):
    shutil.copytree(small_data, tmp_path / "data")
    table = tmp_path / "data" / "folds.tsv"
    table.write_text(table.read_text().replace("\t1\n", "\t2\n", 1))
    with pytest.raises(
        ParameterError, match=re.escape(f"{small_run}: cannot be resumed: data.fingerprint was")
    ):
        train_on_dataset(Dataset.open(tmp_path / "data"), small_run, CONFIG, fold=1, resume=True)


def test_unreadable_checkpoint(small_run, small_data, tmp_path):
    shutil.copytree(small_run, tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=re.escape(f"{path}: not an .npz file, or cut off")):
        train_on_dataset(Dataset.open(small_data), tmp_path / "run", CONFIG, fold=1, resume=True)


def test_ctc_needs_order(small_data, tmp_path):
    data = tmp_path / "weak"
    shutil.copytree(small_data, data)
    for name in ("strong.tsv", "sequential.tsv"):
        (data / name).unlink()
    dataset = Dataset.open(data)
    message = (
        f"{data}: crnn-ctc learns from the order of events, but there are only weak labels "
        "(sequential.tsv or strong.tsv would do; crmp, crap and baseline need no order)"
    )
    with pytest.raises(DataError, match=re.escape(message) + "$"):
        train_on_dataset(dataset, tmp_path / "run", CONFIG)
    assert not (tmp_path / "run").exists()
    crmp = TrainingConfig(system="crmp", preset="tiny", epochs=1, batch_size=4)
    assert len(train_on_dataset(dataset, tmp_path / "run", crmp).history) == 1


def test_not_a_run(tmp_path):
    message = f"{tmp_path}: not a training run (there is no run.json in it)"
    with pytest.raises(ModelError, match=re.escape(message) + "$"):
        RunFolder(tmp_path).read_settings()


def test_hold_out():
    learned, held = hold_out(np.arange(40), 0.1, seed=0)
    assert len(held) == 4
    assert sorted([*learned, *held]) == list(range(40))
    assert [len(part) for part in hold_out([5, 6], 0.1, seed=0)] == [1, 1]
    message = "training needs at least 2 clips (one is held out), got 1"
    with pytest.raises(DataError, match=re.escape(message) + "$"):
        hold_out([0], 0.1, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"learning_rate": 0}, "learning_rate must be above 0, got 0"),
        ({"fresh": 8, "fresh_events": 3}, "fresh_events must be a pair (least, most), got 3"),
        ({"fresh": 8, "fresh_events": (3, 1)}, "fresh_events[1] must be at least 3, got 1"),
        ({"blank_penalty": -1.0}, "blank_penalty must be at least 0, got -1"),
        ({"ema": 1.0}, "ema must be at least 0 and below 1, got 1"),
        ({"schedule": "warm"}, "schedule must be one of 'constant', 'one-cycle', 'cosine', got 'warm'"),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ParameterError, match=re.escape(message) + "$"):
        TrainingConfig(**changes)


def test_unknown_setting():
    with pytest.raises(
        ParameterError, match=r"^'epoch' is no training setting; there are system, preset, epochs"
    ):
        TrainingConfig.from_dict({"epoch": 3})


FRESH = TrainingConfig(**{**CONFIG.to_dict(), "fresh": 8, "augment": True, "masks": True})


@pytest.fixture
def mixed(monkeypatch):
    """Return a list that every clip mixed from now on is added to, with the options of its mixing."""
    mix, clips = Mixer.mix, []

    def watched(self, seed, **options):
        clips.append((mix(self, seed, **options), options))
        return clips[-1][0]

    monkeypatch.setattr(Mixer, "mix", watched)
    return clips


def test_fresh_clips_leave_out_the_recordings_of_the_test_fold(tmp_path, mixed):
    options = {"clips": 8, "folds": 3, "clip_seconds": 3, "events_per_clip": 1, "max_event_seconds": 1.0}
    for protocol, allowed in (("honest", [1, 3]), ("paper", None)):
        data = mix_dataset("synthetic", tmp_path / protocol, protocol=protocol, **options)
        mixed.clear()
        train_on_dataset(data, tmp_path / f"{protocol}-run", FRESH, fold=2)
        assert [options["folds"] for _, options in mixed] == [allowed] * (
            8 + 2 * 8
        )  # for the standardiser, and two epochs


def test_resumed_training_on_fresh_clips_is_the_unbroken_one(small_data, tmp_path):
    dataset = Dataset.open(small_data)
    train_on_dataset(dataset, tmp_path / "whole", FRESH, fold=1)
    one = TrainingConfig(**{**FRESH.to_dict(), "epochs": 1})
    train_on_dataset(dataset, tmp_path / "run", one, fold=1)
    train_on_dataset(dataset, tmp_path / "run", FRESH, fold=1, resume=True)
    whole, resumed = (arrays_of(tmp_path / name / "model.npz") for name in ("whole", "run"))
    for key in whole.keys() - {"metadata"}:
        np.testing.assert_array_equal(resumed[key], whole[key], err_msg=key)


def test_fresh_clips_have_as_many_events_as_wanted(small_data, tmp_path, mixed):
    config = TrainingConfig(**{**FRESH.to_dict(), "fresh_events": [3, 3]})  # as JSON has it
    train_on_dataset(Dataset.open(small_data), tmp_path / "run", config, fold=1)
    assert {len(clip.events) for clip, _ in mixed} == {3}
    train_on_dataset(Dataset.open(small_data), tmp_path / "run", config, fold=1, resume=True)
    message = "fresh_events is how many events a fresh clip has: set fresh, too, to how many make an epoch"
    with pytest.raises(ParameterError, match=message):
        TrainingConfig(fresh_events=(1, 2))


def test_fresh_clips_have_the_rate_of_the_features(small_data, tmp_path, monkeypatch):
    from ctctag.training import run

    mixers = []
    fresh_clips = run.FreshClips
    monkeypatch.setattr(
        run,
        "FreshClips",
        lambda mixer, *rest, **options: mixers.append(mixer) or fresh_clips(mixer, *rest, **options),
    )
    narrow = LogMel.at_rate(8000)  # the data set's clips have 16 kHz
    trained = train_on_dataset(Dataset.open(small_data), tmp_path / "run", FRESH, fold=1, log_mel=narrow)
    assert trained.model.log_mel == narrow
    assert [mixer.sr for mixer in mixers] == [8000]


def test_outputs_for_tags_are_kept_and_what_comes_after_training_may_change(small_data, tmp_path):
    dataset = Dataset.open(small_data)
    config = TrainingConfig(
        **{**CONFIG.to_dict(), "system": "crnn-ctc", "tag_weight": 2.0, "blank_penalty": 0.5}
    )
    run = train_on_dataset(dataset, tmp_path / "whole", config, fold=1)
    assert run.model.network.params["dense.bias"].size == 2 * len(dataset.classes) + 1
    one = TrainingConfig(**{**config.to_dict(), "epochs": 1})
    train_on_dataset(dataset, tmp_path / "run", one, fold=1)
    train_on_dataset(dataset, tmp_path / "run", config, fold=1, resume=True)
    whole, resumed = (arrays_of(tmp_path / name / "model.npz") for name in ("whole", "run"))
    for key in whole.keys() - {"metadata"}:
        np.testing.assert_array_equal(resumed[key], whole[key], err_msg=key)
    loaded = load_model(tmp_path / "run" / "model.npz").network
    assert loaded.tag_weight == 2.0
    after = {"decoder": "rescored", "blank_penalty": 0.0, "shifts": 2}
    read = train_on_dataset(
        dataset, tmp_path / "run", TrainingConfig(**config.to_dict() | after), fold=1, resume=True
    ).model
    assert (read.decoder, read.shifts) == ("rescored", 2)
    blank = read.network.params["dense.bias"][0] - loaded.params["dense.bias"][0]
    assert blank == pytest.approx(0.5)
    assert RunFolder(tmp_path / "run").read_settings()["training"]["decoder"] == "rescored"
    with pytest.raises(ParameterError, match="by outputs for the tags: set tag_weight, too, so that"):
        TrainingConfig(decoder="rescored")
    assert TrainingConfig(system="crmp", decoder="rescored", tag_weight=1.0).decoder == "rescored"
    plain = TrainingConfig(**{**config.to_dict(), "tag_weight": 0.0})
    other = train_on_dataset(dataset, tmp_path / "plain", plain, fold=1)
    assert (
        other.model.network.params["gru.forward.weight_ih"]
        != run.model.network.params["gru.forward.weight_ih"]
    ).any()


@pytest.mark.parametrize("fresh", [0, 8])
def test_views_of_a_clip_in_a_run(small_data, tmp_path, fresh):
    settings = {**CONFIG.to_dict(), "system": "crnn-ctc", "masks": True, "fresh": fresh, "epochs": 1}
    runs = [
        train_on_dataset(
            Dataset.open(small_data), tmp_path / str(weight), TrainingConfig(**settings | more), fold=1
        ).model.network.params["dense.weight"]
        for weight, more in ((0, {}), (1, {"consistency": 0.2}))
    ]
    assert (runs[0] != runs[1]).any()
    with pytest.raises(ParameterError, match="heard of a clip under different masks: set masks, too"):
        TrainingConfig(consistency=0.2)
    with pytest.raises(ParameterError, match="consistency must be at least 0, got -1"):
        TrainingConfig(masks=True, consistency=-1)


def test_augment_needs_fresh_clips():
    message = "augment varies the events of fresh clips: set fresh, too, to how many make an epoch"
    with pytest.raises(ParameterError, match=message):
        TrainingConfig(augment=True)


def test_events_are_varied_as_wanted(small_data, tmp_path, mixed):
    values = {**FRESH.to_dict(), "augment": {"layered": 0, "speed": [0.9, 1.1]}}  # as JSON has it
    train_on_dataset(Dataset.open(small_data), tmp_path / "run", TrainingConfig(**values), fold=1)
    assert {options["augment"] for _, options in mixed} == {Augment(layered=0, speed=(0.9, 1.1))}
    train_on_dataset(
        Dataset.open(small_data), tmp_path / "run", TrainingConfig(**values), fold=1, resume=True
    )
    assert TrainingConfig(**values | {"augment": {}}).augment is True


def test_settings_are_what_json_makes_of_them():
    config = TrainingConfig(fresh=8, fresh_events=(1, 2), augment={"layered": 0, "speed": (0.9, 1.1)})
    values = config.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert TrainingConfig.from_dict(values) == config


def test_variations_are_checked():
    message = "augment: 'layer' is no variation; there are speed, tilt_db, tilt_points, sign, crop, layered, "
    with pytest.raises(ParameterError, match=message):
        TrainingConfig(fresh=8, augment={"layer": 1})
    with pytest.raises(ParameterError, match="layered must be at least 0 and at most 1, got 2"):
        TrainingConfig(fresh=8, augment={"layered": 2})


def mixed_in_three_folds(tmp_path):
    return mix_dataset(
        "synthetic", tmp_path / "data", clips=15, folds=3, protocol="honest", seed=1,
        classes=["alert", "cough"], clip_seconds=3, events_per_clip=(1, 2), max_event_seconds=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("fresh", [0, 6])
def test_a_fold_can_be_held_out_for_validation(tmp_path, monkeypatch, fresh):
    from ctctag.training import run

    dataset, seen = mixed_in_three_folds(tmp_path), {}
    trainer, fresh_clips = run.Trainer, run.FreshClips
    monkeypatch.setattr(
        run, "Trainer", lambda *parts: seen.update(training=parts[2], validation=parts[3]) or trainer(*parts)
    )
    monkeypatch.setattr(
        run,
        "FreshClips",
        lambda *a, **options: seen.update(folds=options["folds"]) or fresh_clips(*a, **options),
    )
    config = TrainingConfig(**{**CONFIG.to_dict(), "epochs": 1, "fresh": fresh})
    train_on_dataset(dataset, tmp_path / "run", config, fold=1, validation_fold=3)
    assert set(dataset.folds[seen["validation"].indices].tolist()) == {3}
    if fresh:
        assert seen["folds"] == [2]
    else:
        assert set(dataset.folds[seen["training"].indices].tolist()) == {2}
    message = "cannot be resumed: validation_fold was 3 and is now None"
    with pytest.raises(ParameterError, match=message):
        train_on_dataset(dataset, tmp_path / "run", config, fold=1, resume=True)


def test_a_validation_fold_leaves_something_to_learn_from(small_data, tmp_path):
    dataset = Dataset.open(small_data)
    message = "validation_fold must be another than the fold kept for testing, got 1"
    with pytest.raises(ParameterError, match=re.escape(message) + "$"):
        train_on_dataset(dataset, tmp_path / "run", CONFIG, fold=1, validation_fold=1)
    message = (
        f"{small_data}: folds 1 and 2 are all there is, and leave no clip to learn from; validation_fold "
        "needs a third"
    )
    with pytest.raises(ParameterError, match=re.escape(message) + "$"):
        train_on_dataset(dataset, tmp_path / "run", CONFIG, fold=1, validation_fold=2)
