"""Files that are damaged in ways that no parser foresees: a sentence with the path, exit 1 (flags: 2)."""

import json
import shutil
import sys
import warnings

import numpy as np
import pytest

from ctctag.cli import main
from ctctag.cli import tag as tag_command

DEEP, LONG = "[" * 100_000, "9" * 5000


def train_on_fresh_mixtures(data, out):
    """Return the exit code of a training that mixes the data set's clips anew."""
    return main(["train", str(data), "--out", str(out), "--preset", "tiny", "--fresh", "4", "--quiet"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"epochs = {DEEP}", "not a TOML file (nested too deeply)"),
        (f"epochs = {LONG}", "not a TOML file (Exceeds the limit"),
        (f"epochs = 0x{'f' * 5000}", "epochs is not usable: Exceeds the limit"),
        ("epochs = [1, 2]", "epochs = [1, 2] is not usable: "),
        ("learning-rate = 2000-01-01", "learning-rate = datetime.date(2000, 1, 1) is not usable: "),
    ],
)
def test_config(tmp_path, text, words, capsys):
    path = tmp_path / "c.toml"
    path.write_text(text)
    assert main(["train", "data", "--out", str(tmp_path / "run"), "--config", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"ctctag: {path}: {words}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.toml"]


def test_config_with_a_byte_order_mark(tmp_path, capsys):
    path = tmp_path / "c.toml"
    path.write_bytes("﻿clips = 2\nfolds = 2\nseconds = 3\nevents-per-clip = 1\n".encode())
    assert main(["mix", "synthetic", str(tmp_path / "set"), "--config", str(path), "--quiet"]) == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x = " + LONG, "is not valid TOML (Exceeds the limit"),
        ("x = " + DEEP, "is not valid TOML (nested too deeply)"),
        ('events = ["a"]', "events is not usable (got ['a'])"),
        ('noise = "a\\u0000b"', "noise is not usable (it holds a zero byte)"),
        ("gain_db = 1e308", "gain_db must be at most 100, got 1e+308"),
        ("snr_db = [1e308, 1e308]", "snr_db must be at most 200, got 1e+308"),
        ("snr_db = {}", "snr_db[0] must be a number, got {}"),
        ("events_per_clip = [1, 1000000]", "events_per_clip must be at most 10000, got 1000000"),
        ("folds = 1", "folds must be at least 2, got 1"),
        ("seed = -1", "seed must be at least 0, got -1"),
        ('protocol = "mine"', "protocol must be one of 'paper', 'honest', got 'mine'"),
    ],
)
def test_settings_of_a_data_set(small_data, tmp_path, line, words, capsys):
    data = tmp_path / "set"
    shutil.copytree(small_data, data)
    path = data / "dataset.toml"
    name = line.split(" = ")[0]
    kept = [row for row in path.read_text().splitlines() if not row.startswith(f"{name} = ")]
    place = kept.index("[mix]") + 1
    path.write_text("\n".join([*kept[:place], line, *kept[place:]]) + "\n")
    assert train_on_fresh_mixtures(data, tmp_path / "run") == 1
    assert capsys.readouterr().err.startswith(f"ctctag: {path}: {words}")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sample_rate", "1e308", "sample_rate is not usable (got 1e+308)"),
        ("sample_rate", "2000000000", "sr must be at most 655350, got 2000000000"),
        ("clip_seconds", "1e9", "clip_seconds is 1e+09, but a clip at 16000 Hz lasts at most 4194 s"),
        ("clip_seconds", '"3"', "clip_seconds is not usable (got 3)"),
        ("classes", '["alert", 2]', "classes must be a list of strings, got ['alert', 2]"),
        (
            "classes",
            '["alert", "cough", "knock", "phone", "x"]',
            "class 'x' is not one of the 16 synthetic classes",
        ),
        ("classes", "3", "classes must be a list of strings, got 3"),
    ],
)
def test_sizes_of_a_data_set(small_data, tmp_path, name, value, words, capsys):
    data = tmp_path / "set"
    shutil.copytree(small_data, data)
    path = data / "dataset.toml"
    rows = [
        f"{name} = {value}" if row.startswith(f"{name} = ") else row for row in path.read_text().splitlines()
    ]
    path.write_text("\n".join(rows) + "\n")
    assert train_on_fresh_mixtures(data, tmp_path / "run") == 1
    assert capsys.readouterr().err.startswith(f"ctctag: {path}: {words}")


def test_a_model_is_named(small_run, small_data, tmp_path, capsys):
    path = tmp_path / "m.npz"
    with np.load(small_run / "model.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["params/dense.bias"][0] = np.nan
    np.savez(path, **arrays)
    clip = str(next((small_data / "audio").iterdir()))
    for command in (["tag", "--model", str(path), clip], ["evaluate", str(path), str(small_data)]):
        assert main(command) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith(f"ctctag: {path}: params: dense.bias[0] is nan, but must be finite")
        assert not captured.out


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            MemoryError("Unable to allocate 58.2 TiB"),
            "this takes more memory than there is (Unable to allocate 58.2",
        ),
        (MemoryError(), "this takes more memory than there is (no more is known); smaller batches"),
        (RecursionError("maximum recursion depth exceeded"), "an input is nested too deeply to be read\n"),
    ],
)
def test_what_reaches_the_door_is_one_sentence(error, words, monkeypatch, capsys):
    def fail(args):
        raise error

    monkeypatch.setattr(tag_command, "run", fail)
    assert main(["tag", "a.wav"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"ctctag: {words}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seconds", "1e9"],
         "clip_seconds is 1e+09, but a clip at 16000 Hz lasts at most 4194 s (67108864 samples): mix more "
         "clips, and shorter ones\n"),
        (["--sample-rate", "2000000000"], "sr must be at most 655350, got 2000000000\n"),
        (["--clips", "1000000000000"], "clips must be at most 1e+07, got 1000000000000\n"),
    ],
)  # fmt: skip
def test_sizes_are_bounded_before_memory_is_taken(tmp_path, flags, words, capsys):
    assert main(["mix", "synthetic", str(tmp_path / "set"), "--quiet", *flags]) == 2
    assert capsys.readouterr().err == f"ctctag: {words}"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "not readable (holds a list, but names with values were expected)"),
        ("[" * 100_000, "not readable (nested too deeply)"),
        ({"mix": 3}, "not readable ("),
        ({"training": []}, "not readable ("),
        ({"systems": 3}, "not readable ("),
        ({"clips": "many"}, "not readable (clips must be an integer, got 'many')"),
        ({"n_mels": 1e308}, "not readable ("),
    ],
)
def test_a_damaged_experiment(tmp_path, text, words, capsys):
    from ctctag.experiment.reproduction import Plan

    Plan().save(tmp_path)
    path = tmp_path / "experiment.json"
    if isinstance(text, dict):
        text = json.dumps(json.loads(path.read_text()) | text)
    path.write_text(text)
    assert main(["reproduce", "synthetic", str(tmp_path), "--report-only"]) == 1
    assert f"{path}: {words}" in capsys.readouterr().err


def test_warnings_are_sentences(monkeypatch, capsys):
    def warn(args):
        sys.stderr.write(warnings.formatwarning("the disk is read-only", UserWarning, "features.py", 3))

    before = warnings.formatwarning
    monkeypatch.setattr(tag_command, "run", warn)
    assert main(["tag", "a.wav"]) == 0
    assert capsys.readouterr().err == "ctctag: note: the disk is read-only\n"
    assert warnings.formatwarning is before
