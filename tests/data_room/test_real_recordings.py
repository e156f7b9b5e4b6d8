"""Both protocols on real recordings: those CTCTAG_DATA names, or ../shared/data beside the project."""

import csv
import os
from pathlib import Path

import pytest

from ctctag.data import mix_dataset, read_recipe, remix

pytestmark = pytest.mark.data

DATA = Path(os.environ.get("CTCTAG_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture(scope="module")
def source_ids():
    """The source recording of each file, by its path below events/ or background/."""
    if not (DATA / "manifest.csv").is_file():
        pytest.skip(f"no recordings in {DATA} (set CTCTAG_DATA)")
    with (DATA / "manifest.csv").open(newline="") as stream:
        return {row["path"].split("/", 1)[1]: row["source_id"] for row in csv.DictReader(stream)}


@pytest.mark.parametrize("protocol", ["paper", "honest"])
def test_both_protocols(tmp_path, source_ids, protocol):
    options = {"clips": 60, "protocol": protocol, "seed": 1, "noise": DATA / "background"}
    dataset = mix_dataset(DATA, tmp_path / "out", **options)
    assert len(dataset.classes) == 16
    recipes = read_recipe(dataset.path / "recipe.tsv")
    heard = {fold: set() for fold in (1, 2, 3, 4)}
    for name, fold in zip(dataset.filenames, dataset.folds.tolist(), strict=True):
        heard[fold] |= {source_ids[part.source] for part in recipes[name]}
    shared = {one for a in heard for b in heard if a < b for one in heard[a] & heard[b]}
    if protocol == "honest":
        assert not shared
    else:
        assert shared

    again = remix(dataset.path, tmp_path / "again")
    for index in range(0, 60, 10):
        assert (again / dataset.filenames[index]).read_bytes() == dataset.path_of(index).read_bytes()
