"""A very small experiment."""

from dataclasses import replace
from pathlib import Path

import pytest

from ctctag.experiment.reproduction import Plan, run_experiment

TRAINING = {"preset": "tiny", "epochs": 3, "patience": 3, "batch_size": 4, "learning_rate": 6e-3}


def small_plan(**changes) -> Plan:
    plan = Plan(
        clips=24,
        folds=2,
        systems=("crmp", "crnn-ctc"),
        mix={"clip_seconds": 3.0, "events_per_clip": [1, 3], "max_event_seconds": 0.8},
        n_mels=32,
        training={
            "crmp": TRAINING,
            "crnn-ctc": TRAINING | {"decoder": "rescored", "shifts": 2, "tag_weight": 1.0},
        },
    )
    return replace(plan, **changes)


@pytest.fixture
def plan() -> Plan:
    return small_plan()


@pytest.fixture(scope="session")
def make_plan():
    """Return the function that makes a small plan, with changes if wanted."""
    return small_plan


@pytest.fixture(scope="session")
def experiment(tmp_path_factory) -> Path:
    """Return the folder of a finished experiment. Do not change it."""
    folder = tmp_path_factory.mktemp("experiment")
    run_experiment(small_plan(), folder, "synthetic", quiet=True)
    return folder
