"""The command, as it is typed: what it prints, what it exits with, what it leaves behind."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ctctag.audio import write_audio
from ctctag.cli import main

COMMANDS = ("demo", "mix", "train", "evaluate", "tag", "reproduce", "doctor")


@pytest.fixture
def clip(small_data):
    return sorted((small_data / "audio").iterdir())[0]


def test_installed_command_prints_its_version():
    result = subprocess.run([sys.executable, "-m", "ctctag", "--version"], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stdout.startswith("ctctag ")


def test_top_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom ctctag.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'numba', 'scipy', 'soundfile', 'numpy'} & set(sys.modules), 'heavy import'"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for command in COMMANDS:
        assert command in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([command, "--help"])
    assert exit_info.value.code == 0
    out = capsys.readouterr().out
    assert "example:\n  ctctag " + command in out
    assert "--config" in out


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["mix", "synthetic"], ["train", "data", "--out", "x", "--fold", "a"]]
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert "usage: ctctag" in capsys.readouterr().err


def test_mix_train_evaluate_tag(tmp_path, capsys):
    data, run = tmp_path / "data", tmp_path / "run"
    mix = [
        "mix",
        "synthetic",
        str(data),
        "--clips",
        "12",
        "--folds",
        "2",
        "--seconds",
        "4",
        "--events-per-clip",
        "2",
    ]
    assert main([*mix, "--quiet"]) == 0
    assert "12 clips (0.0 h) of 16 classes in" in capsys.readouterr().out
    assert {path.name for path in data.iterdir()} >= {"sequential.tsv", "strong.tsv", "weak.tsv", "folds.tsv"}

    train = ["train", str(data), "--out", str(run), "--preset", "tiny", "--epochs", "2", "--batch-size", "4"]
    assert main(train) == 0
    captured = capsys.readouterr()
    assert "epoch    2  loss" in captured.err
    assert f"model in {run / 'model.npz'}" in captured.out

    assert main(["evaluate", str(run), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "sequence error rate" in out
    assert out.splitlines()[0].split() == ["class", "precision", "recall", "F", "auc", "auc_binary", "clips"]
    assert (run / "evaluation.json").exists()

    audio = str(next((data / "audio").iterdir()))
    assert main(["tag", "--model", str(run), audio]) == 0
    assert f"{audio}  (4.0 s)" in capsys.readouterr().out


def test_results_as_json(small_run, clip, capsys):
    assert main(["evaluate", str(small_run), "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["system"] == "crnn-ctc"
    assert result["fold"] == 1
    assert {"precision", "recall", "f", "auc", "auc_binary", "sequence_error_rate"} <= result["scores"].keys()
    assert len(result["clips"]) == result["scores"]["clips"] == 8

    assert main(["tag", "--model", str(small_run), "--json", str(clip)]) == 0
    (tagged,) = json.loads(capsys.readouterr().out)
    assert tagged["file"] == str(clip)
    assert set(tagged["probabilities"]) == {"alert", "cough", "knock", "phone"}


def test_the_decoder_can_be_chosen(small_run, clip, capsys):
    for decoder, said in (
        ("beam", "(the likeliest labelling that a beam search finds)"),
        ("best-path", "(best"),
    ):
        assert main(["evaluate", str(small_run), "--quiet", "--decoder", decoder]) == 0
        assert f"\n{said}" in capsys.readouterr().out
        assert main(["tag", "--model", str(small_run), str(clip), "--decoder", decoder]) == 0
    assert main(["evaluate", str(small_run), "--quiet", "--shifts", "3"]) == 0
    assert "8 clips (fold 1), heard 3 times\n" in capsys.readouterr().out
    assert main(["evaluate", str(small_run), "--quiet"]) == 0
    assert "(best path; the likeliest labelling, --decoder beam, may differ)" in capsys.readouterr().out


def test_evaluate_takes_another_fold_and_all_clips(small_run, small_data, capsys):
    for fold, clips in (("2", 8), ("0", 16)):
        assert main(["evaluate", str(small_run), str(small_data), "--fold", fold, "--json", "--quiet"]) == 0
        assert json.loads(capsys.readouterr().out)["scores"]["clips"] == clips


def test_tag_works_right_after_installation(clip, capsys):
    assert main(["tag", str(clip)]) == 0
    assert str(clip) in capsys.readouterr().out


def test_tag_goes_on_after_a_bad_file(small_run, clip, tmp_path, capsys):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    assert main(["tag", "--model", str(small_run), str(bad), str(clip)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"ctctag: {bad}: ")
    assert str(clip) in captured.out


def test_tag_draws(small_run, clip, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["tag", "--model", str(small_run), str(clip), "--plot", str(tmp_path / "p.png")]) == 0
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["tag", str(clip), str(clip), "--plot", "p.png"]) == 2
    assert "--plot draws one clip, but 2 were given" in capsys.readouterr().err


def test_tag_of_a_clip_at_another_rate(small_run, tmp_path, capsys):
    path = tmp_path / "cd.wav"
    write_audio(path, 0.1 * np.sin(np.arange(44100) / 20), 44100)
    assert main(["tag", "--model", str(small_run), str(path)]) == 0
    assert "(1.0 s)" in capsys.readouterr().out


def test_failures_exit_with_1_and_name_the_place(tmp_path, small_run, capsys):
    cases = [
        (
            ["train", str(tmp_path / "no"), "--out", str(tmp_path / "run")],
            f"{tmp_path / 'no'}: no such folder",
        ),
        (["evaluate", str(tmp_path)], f"{tmp_path / 'model.npz'}: no such file"),
        (["tag", "--model", str(tmp_path / "m.npz"), "x.wav"], f"{tmp_path / 'm.npz'}: no such file"),
        (["mix", str(tmp_path / "no"), str(tmp_path / "out")], f"{tmp_path / 'no'}: "),
    ]
    for arguments, message in cases:
        assert main(arguments) == 1
        assert capsys.readouterr().err.startswith(f"ctctag: {message}")
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_a_second_training_into_the_same_folder_is_refused(small_run, small_data, capsys):
    assert main(["train", str(small_data), "--out", str(small_run)]) == 1
    assert "holds a training run already; pass --resume" in capsys.readouterr().err


def test_flags_out_of_range_exit_with_2(tmp_path, small_data, capsys):
    assert main(["train", str(small_data), "--out", str(tmp_path / "r"), "--epochs", "0"]) == 2
    assert capsys.readouterr().err == "ctctag: epochs must be at least 1, got 0\n"


def test_config_file_under_flags(tmp_path, capsys):
    config = tmp_path / "mix.toml"
    config.write_text('clips = 6\nfolds = 3\nevents-per-clip = "1-2"\nseconds = 5\nquiet = true\n')
    arguments = ["mix", "synthetic", str(tmp_path / "data"), "--config", str(config), "--clips", "9"]
    assert main(arguments) == 0
    capsys.readouterr()
    rows = (tmp_path / "data" / "folds.tsv").read_text().splitlines()[1:]
    assert len(rows) == 9  # the flag
    assert {row.split("\t")[1] for row in rows} == {"1", "2", "3"}  # the file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip = 6", "'clip' is no flag of this command; there are noise, clips, protocol, folds"),
        ('clips = "many"', "clips = 'many' is not usable: "),
        ('protocol = "fair"', "protocol must be one of paper, honest, got 'fair'"),
        ("quiet = 1", "quiet must be true or false, got 1"),
        ("clips", "not a TOML file ("),
    ],
)
def test_config_file_is_checked(tmp_path, text, message, capsys):
    config = tmp_path / "c.toml"
    config.write_text(text)
    assert main(["mix", "synthetic", str(tmp_path / "data"), "--config", str(config)]) == 2
    assert capsys.readouterr().err.startswith(f"ctctag: {config}: {message}")


def test_config_file_missing(tmp_path, capsys):
    assert main(["doctor", "--config", str(tmp_path / "no.toml")]) == 2
    assert "no.toml: cannot be read (No such file or directory)" in capsys.readouterr().err


def test_doctor(small_data, tmp_path, capsys):
    assert main(["doctor", str(small_data)]) == 0
    out = capsys.readouterr().out
    for what in (
        "versions",
        "sound files",
        "kernel cache",
        "threads",
        "ctc",
        "gradient",
        "shipped weights",
        "order",
    ):
        assert f"  {what}: " in out
    assert main(["doctor", str(tmp_path / "no"), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert findings[-1]["state"] == "bad"


def test_doctor_finds_labels_that_do_not_fit(tmp_path, capsys):
    write_audio(tmp_path / "short.wav", 0.1 * np.sin(np.arange(2000) / 9), 16000)
    (tmp_path / "sequential.tsv").write_text("filename\tevent_sequence\nshort.wav\tknock,knock,knock\n")
    assert main(["doctor", str(tmp_path)]) == 1
    assert "short.wav has 2 frames, but its 3 labels need 5" in capsys.readouterr().out


def test_a_short_file_does_not_stop_the_others(small_run, clip, tmp_path, capsys):
    short = tmp_path / "short.wav"
    write_audio(short, np.zeros(900), 16000)
    assert main(["tag", "--model", str(small_run), str(short), str(clip), "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"ctctag: {short}: lasts 0.056 s, but one frame needs 0.064 s\n"
    assert [result["file"] for result in json.loads(captured.out)] == [str(clip)]


def test_a_data_set_without_folds_says_what_to_do_and_leaves_no_folder(small_data, tmp_path, capsys):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(small_data, data)
    (data / "folds.tsv").unlink()
    train = ["train", str(data), "--out", str(run), "--preset", "tiny", "--epochs", "1", "--batch-size", "4"]
    assert main(train) == 1
    assert "has no folds.tsv, so no fold can be kept for testing; train on every clip with --fold 0" in (
        capsys.readouterr().err
    )
    assert not run.exists()
    assert main([*train, "--fold", "0", "--quiet"]) == 0


def test_changed_data_is_noticed_under_any_name(small_run, small_data, tmp_path, capsys, monkeypatch):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(small_data, data)
    train = ["train", str(data), "--out", str(run), "--preset", "tiny", "--epochs", "1", "--batch-size", "4"]
    assert main([*train, "--quiet"]) == 0
    table = data / "folds.tsv"
    table.write_text(table.read_text().replace("\t1\n", "\t2\n", 1))
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "run", "data", "--quiet"]) == 1
    assert "has changed since run was trained on it" in capsys.readouterr().err


def test_training_clips_are_not_passed_off_as_test_clips(small_run, small_data, capsys):
    assert main(["evaluate", str(small_run), str(small_data), "--fold", "2", "--quiet"]) == 0
    assert "NOTE: the network was trained on some of these clips" in capsys.readouterr().out


def test_weak_labels_have_no_order_to_score(small_run, small_data, tmp_path, capsys):
    data = tmp_path / "weak"
    shutil.copytree(small_data, data)
    for name in ("strong.tsv", "sequential.tsv"):
        (data / name).unlink()
    assert main(["evaluate", str(small_run), str(data), "--quiet"]) == 0
    assert "sequence error rate" not in capsys.readouterr().out


def test_doctor_reads_every_file(small_data, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    broken = sorted((data / "audio").iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:2000])
    assert main(["doctor", str(data)]) == 1
    assert f"BAD   audio: {broken}: " in capsys.readouterr().out


def test_reproduce(tmp_path, capsys):
    out = tmp_path / "experiment"
    command = ["reproduce", "synthetic", str(out), "--quick", "--systems", "crap", "--epochs", "1"]
    command += ["--clips", "16"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Table 1.2: means over the classes; mean ± standard deviation over folds.")
    assert "This is not a replication of the paper: the sounds are synthetic, clips are" in printed.out
    assert "2 of 2 cells are finished" in printed.out
    assert str(out / "report" / "index.html") in printed.out
    assert "crap fold 1: finished" in printed.err
    assert main([*command, "--report-only", "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((out / "report" / "results.json").read_text())
    assert printed.err == ""
    assert main([*command[:-1], "32"]) == 2
    assert "holds another experiment: clips was 16 and is now 32" in capsys.readouterr().err


def test_reproduce_report_of_nothing(tmp_path, capsys):
    assert main(["reproduce", "synthetic", str(tmp_path), "--report-only"]) == 1
    assert "holds no experiment (there is no experiment.json in it)" in capsys.readouterr().err


HANGS = 900  # seconds: no measure of speed, but an end for what would never end


@pytest.fixture
def heeds_interrupts():
    """Let child processes end by SIGINT, which one started in a shell's background would ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_experiment_that_is_stopped_leaves_no_process_behind(tmp_path, number, heeds_interrupts):
    pytest.importorskip("joblib")
    words = ["reproduce", "synthetic", str(tmp_path), "--quick", "--clips", "40", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ctctag", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        while not list(tmp_path.glob("cells/*/log.jsonl")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        process.send_signal(number)
        # Its workers hold the pipe, too: all has been read when the last of them has ended.
        said = process.communicate(timeout=HANGS)[1]
        assert said.rstrip().endswith("ctctag: interrupted")
        assert process.returncode == 130
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
