"""However cells are run, and however often they are interrupted, the numbers are the same."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from ctctag import _locks
from ctctag.audio import write_audio
from ctctag.exceptions import CtctagError, DataError, ParameterError
from ctctag.experiment.reproduction import (
    Cell,
    Plan,
    cell_folder,
    finished_cells,
    run_cell,
    run_experiment,
    write_report,
)
from ctctag.experiment.reproduction import cells as cells_of
from ctctag.experiment.reproduction.watch import _records
from ctctag.training import Trainer

TIMINGS = ("seconds", "clips_per_second")


def numbers(folder):
    """Return what the cells found, without how long it took."""
    plan, found = Plan.read(folder), {}
    for system, fold in plan.cells:
        cell = json.loads((cell_folder(folder, system, fold) / "cell.json").read_text())
        del cell["seconds"], cell["machine"]
        for record in cell["history"]:
            for name in TIMINGS:
                del record[name]
        found[system, fold] = cell
    return found


def test_cells_are_measured_on_their_fold(experiment, plan):
    cells = finished_cells(plan, experiment)
    assert [(cell.system, cell.fold) for cell in cells] == plan.cells
    heard = [name for cell in cells if cell.system == "crmp" for name in cell.filenames]
    assert sorted(heard) == [f"mix_{number:02}.flac" for number in range(24)]
    for cell in cells:
        assert cell.tag_probs.shape == (12, 16)
        assert cell.epochs == 3
        assert cell.scores["clips"] == 12
        for targets, onsets in zip(cell.targets, cell.onsets, strict=True):
            assert len(targets) == len(onsets)
            assert onsets == sorted(onsets)


def test_what_is_finished_is_left_alone(experiment, plan):
    def files():
        return {path: path.stat().st_mtime_ns for path in experiment.rglob("*") if path.is_file()}

    before = files()
    run_experiment(plan, experiment, "synthetic", quiet=True)
    after = files()
    assert {path for path in before if before[path] != after[path]} <= {experiment / "experiment.json"}
    assert before.keys() == after.keys()


def test_plan_and_cells_are_enough_to_go_on_elsewhere(experiment, plan, tmp_path):
    shutil.copy(experiment / "experiment.json", tmp_path)
    for system, fold in plan.cells[1:]:
        place = cell_folder(tmp_path, system, fold)
        place.mkdir(parents=True)
        shutil.copy(cell_folder(experiment, system, fold) / "cell.json", place)
    run_experiment(plan, tmp_path, "synthetic", quiet=True)
    assert numbers(tmp_path) == numbers(experiment)
    assert [path.parent.name for path in tmp_path.rglob("model.npz")] == ["{}-fold{}".format(*plan.cells[0])]


def test_cells_of_other_clips_are_refused(experiment, plan, tmp_path):
    shutil.copytree(experiment, tmp_path / "other")
    path = cell_folder(tmp_path / "other", *plan.cells[2]) / "cell.json"
    cell = json.loads(path.read_text())
    cell["data"]["fingerprint"] = "0" * 32
    path.write_text(json.dumps(cell))
    message = (
        f"{path.parent}: was measured on other clips than those in {tmp_path / 'other' / 'clips'} (mixed "
        "from other recordings?); remove it to measure it again"
    )
    with pytest.raises(DataError, match=re.escape(message) + "$"):
        run_experiment(plan, tmp_path / "other", "synthetic", quiet=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"epochs": 9}}, "training.epochs was 9 and is now 3"),
        ({"config": {"seed": 9}}, "training.seed was 9 and is now 1"),
        ({"protocol": "honest"}, "protocol was 'honest' and is now 'paper'"),
        ({"system": "crap", "config": {"system": "crap"}}, "system was 'crap' and is now 'crmp'"),
        ({"fold": 1}, "fold was 1 and is now 2"),
        ({"data": {"clips": 25}}, "clips was 25 and is now 24"),
        ({"features": {"n_mels": 64}}, "features was {"),
    ],
)
def test_cells_of_other_settings_are_refused(experiment, plan, tmp_path, change, message):
    """A cell of another experiment, put here with its folder, is not taken for this one's."""
    shutil.copytree(experiment, tmp_path / "other")
    path = cell_folder(tmp_path / "other", "crmp", 2) / "cell.json"
    cell = json.loads(path.read_text())
    for name, value in change.items():
        cell[name] = cell[name] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(cell))
    start = f"{path.parent}: was made by other settings than {tmp_path / 'other' / 'experiment.json'} says: "
    wanted = "^" + re.escape(start + message) + ".*; remove it to measure it again$"
    with pytest.raises(DataError, match=wanted):
        run_experiment(plan, tmp_path / "other", "synthetic", quiet=True)
    with pytest.raises(DataError, match=wanted):
        write_report(tmp_path / "other")
    with pytest.raises(DataError, match=wanted):
        run_cell(tmp_path / "other", "crmp", 2)


def test_settings_without_a_part_in_the_system_may_differ(experiment, plan, tmp_path):
    """As those of a version that did not know them; CRNN-CTC, which they are for, is held to them."""
    shutil.copytree(experiment, tmp_path / "other")
    for system in ("crmp", "crnn-ctc"):
        path = cell_folder(tmp_path / "other", system, 1) / "cell.json"
        cell = json.loads(path.read_text())
        del cell["config"]["consistency"], cell["features"]
        cell["config"] |= {"decoder": "beam", "blank_penalty": 0.5}
        path.write_text(json.dumps(cell))
    assert len(finished_cells(replace(plan, systems=("crmp",)), tmp_path / "other")) == 2
    with pytest.raises(DataError, match=r"training.blank_penalty was 0.5 and is now 0.0"):
        finished_cells(plan, tmp_path / "other")


def test_a_cell_of_settings_that_are_none_is_named(experiment, plan, tmp_path):
    shutil.copytree(experiment, tmp_path / "other")
    path = cell_folder(tmp_path / "other", "crmp", 1) / "cell.json"
    for config in ({"speed": 3}, {"epochs": "many"}, []):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"config": config}))
        with pytest.raises(DataError, match="^" + re.escape(f"{path}: not a finished cell (")):
            finished_cells(plan, tmp_path / "other")


def test_probabilities_are_kept_as_they_were(experiment, plan, tmp_path):
    """Rounded ones would tie, and the intervals be of other scores than the tables'."""
    cell = finished_cells(plan, experiment)[0]
    probs = np.random.default_rng(0).random((12, 16), np.float32) ** 9
    probs[0, :2] = 1e-7, 1 - 6e-8
    replace(cell, tag_probs=probs).save(tmp_path)
    np.testing.assert_array_equal(Cell.read(tmp_path).tag_probs.astype(np.float32), probs)


def test_other_recordings_than_the_clips_were_mixed_from_are_refused(experiment, plan, tmp_path):
    noise = np.random.default_rng(0).standard_normal(16000 * 4) / 20
    for number in range(2):
        write_audio(tmp_path / f"hum{number}.wav", noise, 16000)
    message = (
        f"{tmp_path}: the backgrounds are not those that {experiment / 'clips'} was mixed from (their "
        "contents differ)"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        run_experiment(plan, experiment, "synthetic", tmp_path, quiet=True)


def test_interrupted_anywhere_it_ends_with_the_same_numbers(experiment, plan, tmp_path, monkeypatch):
    epochs = 0
    whole = Trainer.run_epoch

    def interrupted(self, progress=None):
        nonlocal epochs
        epochs += 1
        if epochs % 2 == 0:  # in the midst of every other epoch
            raise KeyboardInterrupt
        return whole(self, progress)

    monkeypatch.setattr(Trainer, "run_epoch", interrupted)
    interruptions = 0
    while True:
        try:
            run_experiment(plan, tmp_path, "synthetic", quiet=True)
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions >= 10
    assert numbers(tmp_path) == numbers(experiment)


@pytest.mark.slow
def test_side_by_side_in_processes(experiment, plan, tmp_path):
    pytest.importorskip("joblib")
    run_experiment(plan, tmp_path, "synthetic", jobs=2, quiet=True)
    assert numbers(tmp_path) == numbers(experiment)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the cluster's own, when a worker goes
def test_on_a_cluster_one_of_whose_workers_is_killed(plan, tmp_path):
    distributed = pytest.importorskip("distributed")
    plan = replace(plan, systems=("crmp",))
    run_experiment(plan, tmp_path / "here", "synthetic", quiet=True)
    folder, killed = tmp_path / "there", tmp_path / "killed"

    def die_after_an_epoch(killed):
        """Let the first process that has done an epoch of a cell kill itself, without a word."""
        import os
        import signal

        from ctctag.training import Trainer

        run_epoch = Trainer.run_epoch

        def run_epoch_or_die(self, *args, **options):
            if self.epoch == 1:
                try:
                    killed.touch(exist_ok=False)
                except FileExistsError:
                    pass  # it has happened
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            return run_epoch(self, *args, **options)

        Trainer.run_epoch = run_epoch_or_die

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with cluster.get_client() as client:
            assert len(client.run(die_after_an_epoch, killed)) == 2
        run_experiment(plan, folder, "synthetic", scheduler=cluster.scheduler_address, quiet=True)
    assert killed.exists()
    assert numbers(folder) == numbers(tmp_path / "here")


def test_progress_is_said_cell_by_cell(plan, tmp_path, capsys):
    run_experiment(plan, tmp_path, "synthetic")
    said = capsys.readouterr().err.splitlines()
    for system, fold in plan.cells:
        of_cell = [line for line in said if line.startswith(f"{system} fold {fold}: ")]
        assert re.fullmatch(r".*: finished, auc 0\.\d{3}, F 0\.\d{3}.*, 3 epochs in \d+\.\d min", of_cell[-1])


def test_what_cannot_be_run(plan, tmp_path):
    with pytest.raises(ParameterError, match="jobs and scheduler both say where cells run: give one of them"):
        run_experiment(plan, tmp_path, "synthetic", jobs=2, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ParameterError, match="jobs must be at least 1, got 0"):
        run_experiment(plan, tmp_path, "synthetic", jobs=0)
    assert not any(tmp_path.iterdir())


def test_no_scheduler_there(experiment, plan, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    message = "^nowhere: no dask scheduler answers there"
    with pytest.raises(CtctagError, match=message):
        run_experiment(plan, tmp_path, "synthetic", scheduler="nowhere", quiet=True)


def test_a_broken_cell_is_named(plan, tmp_path):
    plan.save(tmp_path)
    folder = cell_folder(tmp_path, "crmp", 1)
    folder.mkdir(parents=True)
    (folder / "cell.json").write_text("{}")
    message = (
        f"{folder / 'cell.json'}: not a finished cell (lacks 'tag_probs'); remove it to measure it again"
    )
    with pytest.raises(DataError, match="^" + re.escape(message)):
        finished_cells(plan, tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
@pytest.mark.parametrize("renamed", [3, 9], ids=["in the first cell", "in the second cell"])
def test_killed_it_ends_with_the_same_numbers(experiment, plan, tmp_path, renamed):
    plan.save(tmp_path)
    code = (
        "import os, signal, sys\n"
        "from ctctag.experiment.reproduction import Plan, run_experiment\n"
        "replace, left = os.replace, int(sys.argv[2])\n"
        "def deadly(*paths):\n"
        "    global left\n"
        "    left -= str(paths[1]).endswith(('checkpoint.npz', 'log.jsonl', 'model.npz', 'cell.json'))\n"
        "    if not left:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    replace(*paths)\n"
        "os.replace = deadly\n"
        "from pathlib import Path\n"
        "run_experiment(Plan.read(Path(sys.argv[1])), sys.argv[1], 'synthetic', quiet=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(renamed)], capture_output=True, text=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (tmp_path / ".lock").exists()  # which nobody holds
    run_experiment(plan, tmp_path, "synthetic", quiet=True)
    assert numbers(tmp_path) == numbers(experiment)
    left = {
        path.name for path in tmp_path.rglob("*") if ".partial" in path.name or path.name.endswith("lock")
    }
    assert not left


def test_of_two_that_carry_out_one_experiment_the_first_does(plan, tmp_path):
    refused = []
    message = (
        f"{tmp_path}: another process carries out this experiment; wait for it, or choose another folder "
        f"(process {os.getpid()})"
    )

    def begin_another(done, total):
        if not refused:
            refused.append(done)
            with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
                run_experiment(plan, tmp_path, "synthetic", quiet=True)
            raise KeyboardInterrupt  # enough

    with pytest.raises(KeyboardInterrupt):
        run_experiment(plan, tmp_path, "synthetic", quiet=True, on_mix=begin_another)
    assert refused


def test_a_worker_that_only_seemed_dead_is_waited_for(experiment, plan, tmp_path, monkeypatch):
    """A cluster gives its cell to another, who must neither train beside it nor fail."""
    shutil.copytree(experiment, tmp_path / "copy")
    folder, cell = tmp_path / "copy", plan.cells[0]
    place = cell_folder(folder, *cell)
    (place / "cell.json").rename(kept := tmp_path / "cell.json")
    asked, acquire = threading.Event(), _locks.acquire

    def acquire_and_say(handle, *, wait=False):
        if wait and threading.current_thread() is second:
            asked.set()
        return acquire(handle, wait=wait)

    monkeypatch.setattr(_locks, "acquire", acquire_and_say)
    monkeypatch.setattr(cells_of, "_run", lambda *args: pytest.fail("both train it"))
    second = threading.Thread(target=run_cell, args=(folder, *cell))
    with _locks.locked(place / ".cell.lock", "busy"):  # the first is at work
        second.start()
        assert asked.wait(60)
        shutil.copy(kept, place / "cell.json")  # and ends
    second.join()
    assert numbers(folder) == numbers(experiment)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ([], "holds a list, but names with values were expected"),
        ({"history": 3}, "history is 3, but must be of type list"),
        ({"scores": []}, "scores is [], but must be of type dict"),
        ({"fold": "1"}, "fold is 1, but must be of type int"),
        ({"tag_probs": [[0.5]]}, "tag_probs has shape (1, 1), but there are 12 clips of 16 classes"),
        ({"targets": []}, "targets must be 12 lists, one a clip"),
        ({"times": [3] * 12}, "times must be 12 lists, one a clip"),
        ({"data": {}}, "lacks 'fingerprint'"),
        ({"data": {"fingerprint": 3}}, "the fingerprint of the clips is no string"),
        ({"speed": 1}, ""),
        ({"classes": list(range(16))}, "classes and filenames must be strings"),
        ({"sequences": [[16]] * 12}, "targets[0] and sequences[0] must be indices of classes"),
        ({"sequences": [["a"]] * 12}, "targets[0] and sequences[0] must be indices of classes"),
        ({"onsets": [[]] * 12}, "onsets[0] must be a pair of numbers for each target"),
        ({"tag_probs": [[2.0] * 16] * 12}, "tag_probs must be probabilities"),
        ({"tag_probs": [[float("nan")] * 16] * 12}, "tag_probs must be probabilities"),
        ({"scores": {"f": "high"}}, "f is high, but must be a number, or one for each class"),
        ({"scores": {"classes_f": [1.0]}}, "classes_f must be 16 numbers"),
        ({"scores": {"classes_auc": 0.5}}, "classes_auc must be 16 numbers"),
        ({"scores": {"classes_auc": [0.5] * 16}}, "lacks 'classes_auc_binary'"),
        ({"history": []}, "epochs is 3, but history has 0"),
        ({"history": [{}] * 3}, "lacks 'epoch'"),
    ],
)
def test_a_damaged_cell_is_named(experiment, plan, tmp_path, change, words):
    folder = cell_folder(tmp_path, *plan.cells[0])
    folder.mkdir(parents=True)
    path = folder / "cell.json"
    cell = json.loads((cell_folder(experiment, *plan.cells[0]) / "cell.json").read_text())
    path.write_text(json.dumps(change if isinstance(change, list) else cell | change))
    with pytest.raises(DataError, match=re.escape(f"{path}: not a finished cell ({words}")):
        finished_cells(plan, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "{}\n", '{"loss": "a"}'])
def test_a_damaged_log_shows_nothing(tmp_path, text):
    (tmp_path / "log.jsonl").write_text(text)
    assert _records(tmp_path) == []
