"""What training refuses, doctor finds; what it does not, doctor lets pass."""

import re
import shutil

import numpy as np
import pytest

from ctctag.audio import write_audio
from ctctag.data import Dataset, mix_dataset
from ctctag.exceptions import CtctagError
from ctctag.experiment.doctor import examine_data
from ctctag.training import TrainingConfig, train_on_dataset

STRONG = "filename\tonset\toffset\tevent_label\n"
SEQUENTIAL = "filename\tevent_sequence\n"
WEAK = "filename\tevent_labels\n"
TINY = {"preset": "tiny", "epochs": 1, "batch_size": 4}


@pytest.fixture
def data_set(tmp_path):
    """Write a data set of clips of one second, a.wav to d.wav, with the tables given."""

    def write(seconds=1.0, sr=16000, **tables):
        rng = np.random.default_rng(0)
        (tmp_path / "data" / "audio").mkdir(parents=True)
        for name in "abcd":
            write_audio(
                tmp_path / "data" / "audio" / f"{name}.wav",
                0.1 * rng.standard_normal(round(sr * seconds)),
                sr,
            )
        for name, text in tables.items():
            (tmp_path / "data" / f"{name}.tsv").write_text(text)
        return tmp_path / "data"

    return write


def train(path, fold=None, system="crnn-ctc"):
    """Train for an epoch; return what training has against the data, or None."""
    try:
        dataset = Dataset.open(path)
        train_on_dataset(dataset, path.parent / "run", TrainingConfig(system=system, **TINY), fold=fold)
    except CtctagError as error:
        return str(error)
    return None


def bad(path):
    return [(finding.what, finding.detail) for finding in examine_data(path) if finding.state == "bad"]


SEQUENCES = SEQUENTIAL + "a.wav\tx,y\nb.wav\ty\nc.wav\tx\nd.wav\ty\n"
SPANS = STRONG + "a.wav\t0\t0.5\tx\nb.wav\t0.1\t0.5\ty\nc.wav\t0.5\t0.9\tx\nd.wav\t0\t1\ty\n"


@pytest.mark.parametrize(
    ("tables", "what", "message"),
    [
        (
            {"strong": SPANS.replace("0.5\t0.9", "100.5\t101.0")},
            "times",
            "x begins at 100.5 s in c.wav, which lasts ",
        ),
        (
            {"sequential": SEQUENTIAL + "a.wav\t\nb.wav\t\nc.wav\t\nd.wav\t\n"},
            "events",
            "no clip has an event, so there is nothing to learn",
        ),
        (
            {"sequential": SEQUENCES.replace("x,y", ",".join("x" * 40))},
            "order",
            "a.wav has 23 frames, but its 40 labels need 79 (between repeats comes a blank)",
        ),
        (
            {"sequential": SEQUENTIAL + "a.wav\tx\n"},
            "folds",
            "training needs at least 2 clips (one is held out)",
        ),
        (
            {"sequential": SEQUENCES.replace("b.wav", "e.wav")},
            "data",
            "lists 'e.wav', but there is no such file",
        ),
        ({"sequential": SEQUENCES, "seconds": 0.05}, "audio", ": lasts 0.050 s, less than one frame"),
        (
            {"sequential": SEQUENCES, "sr": 8000},
            "audio",
            ": is sampled at 8000 Hz, but the features are of",
        ),
        (
            {"strong": SPANS.replace("0.1\t0.5\ty", "0.1\t0.5\ty\nb.wav\t0.1\t0.4\tx")},
            "data",
            "b.wav: x, y begin together at 0.1 s",
        ),
    ],
)
def test_doctor_finds_what_training_refuses(data_set, tables, what, message):
    path = data_set(**tables)
    assert re.search(re.escape(message), train(path) or "")
    found = bad(path)
    assert found[0][0] == what
    assert message in found[0][1]


def test_a_fold_that_leaves_too_little_to_learn_from(data_set):
    path = data_set(sequential=SEQUENCES, folds="filename\tfold\na.wav\t1\nb.wav\t1\nc.wav\t1\nd.wav\t2\n")
    message = "training needs at least 2 clips (one is held out), got 1"
    assert train(path, fold=1) == message
    assert bad(path) == [("folds", message)]


@pytest.mark.parametrize("tables", [{"strong": SPANS}, {"sequential": SEQUENCES}])
def test_what_can_be_trained_on_is_not_bad(data_set, tables):
    path = data_set(**tables)
    assert train(path) is None
    assert bad(path) == []
    notes = {finding.what: finding.remedy for finding in examine_data(path) if finding.state == "note"}
    assert notes == {
        "folds": "add folds.tsv to keep a fold for testing, or train on every clip with --fold 0"
    }


def test_weak_labels_are_no_fault(data_set):
    path = data_set(weak=WEAK + "a.wav\tx;y\nb.wav\ty\nc.wav\tx\nd.wav\ty\n")
    assert train(path, system="crmp") is None
    assert bad(path) == []
    assert "only weak labels" in [finding.detail for finding in examine_data(path)]


def test_an_event_that_ends_late_is_noted(data_set):
    path = data_set(strong=SPANS.replace("0.5\t0.9", "0.5\t1.75"))
    assert train(path) is None
    (finding,) = [finding for finding in examine_data(path) if finding.what == "times"]
    assert (finding.state, finding.detail) == (
        "note",
        "1 events end after their clip, one in c.wav by 0.75 s",
    )


def test_every_broken_file_is_named(data_set):
    path = data_set(sequential=SEQUENCES)
    for name in ("a.wav", "c.wav"):
        (path / "audio" / name).write_bytes(b"no sound")
    first, second = bad(path)
    assert str(path / "audio" / "a.wav") in first[1]
    assert str(path / "audio" / "c.wav") in second[1]


def test_recordings_that_are_gone_are_noted(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("bell", "hum"):
        (tmp_path / "events" / label).mkdir(parents=True)
        for take in range(2):
            write_audio(tmp_path / "events" / label / f"{take}.wav", 0.1 * rng.standard_normal(8000), 16000)
    path = mix_dataset(
        tmp_path / "events", tmp_path / "data", clips=8, folds=2, protocol="honest", clip_seconds=3,
        events_per_clip=1,
    ).path  # fmt: skip
    assert "those that the clips were mixed from are there" in examine_data(path)[-1].detail
    shutil.rmtree(tmp_path / "events")
    finding = examine_data(path)[-1]
    assert (finding.what, finding.state) == ("recordings", "note")
    assert "no such folder" in finding.detail
