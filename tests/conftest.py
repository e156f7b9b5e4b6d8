"""What several tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ctctag", deadline=None)  # no test is judged by the clock
settings.load_profile("ctctag")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Return the folder of real recordings, or skip."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CTCTAG_DATA", default))
    if not (folder / "events").is_dir():
        pytest.skip("no real recordings: set CTCTAG_DATA to a folder that holds events/<class>/*.flac")
    return folder


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    """Return a data set of 16 short synthetic clips of four classes, in two folds. Do not change it."""
    from ctctag.data import mix_dataset

    out = tmp_path_factory.mktemp("data") / "small"
    mix_dataset(
        "synthetic",
        out,
        clips=16,
        folds=2,
        seed=1,
        classes=["alert", "cough", "knock", "phone"],
        clip_seconds=3,
        events_per_clip=(1, 2),
        max_event_seconds=1.0,
    )
    return out


@pytest.fixture(scope="session")
def small_run(small_data, tmp_path_factory) -> Path:
    """Return the folder of a short training on `small_data`. Do not change it."""
    from ctctag.data import Dataset
    from ctctag.training import TrainingConfig, train_on_dataset

    out = tmp_path_factory.mktemp("runs") / "ctc"
    config = TrainingConfig(
        preset="tiny", epochs=2, batch_size=4, learning_rate=1e-3, schedule="constant", seed=3
    )
    train_on_dataset(Dataset.open(small_data), out, config, fold=1)
    return out
