"""Model files: everything comes back, and what is wrong is named."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from ctctag.audio import LogMel, Standardiser
from ctctag.exceptions import ModelError, ParameterError
from ctctag.models import TrainedModel, build, load_model, save_model


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    network = build("crnn-ctc", n_classes=2, preset="tiny", n_mels=16, seed=4)
    for array in network.state.values():
        array[...] = rng.integers(1, 5, array.shape)
    standardiser = Standardiser(rng.standard_normal(16), rng.uniform(1, 2, 16))
    return TrainedModel(network, ("cough", "keys"), LogMel(n_mels=16), standardiser, {"note": "é"})


def rewrite(path, **changes):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    metadata = json.loads(str(arrays["metadata"]))
    metadata.update(changes.pop("metadata", {}))
    arrays["metadata"] = np.array(json.dumps(metadata))
    for name, array in changes.items():
        if array is None:
            del arrays[name]
        else:
            arrays[name] = array
    np.savez(path, **arrays)


def test_round_trip(model, tmp_path):
    save_model(tmp_path / "m.npz", model)
    back = load_model(tmp_path / "m.npz")
    assert (back.classes, back.log_mel, back.info) == (model.classes, model.log_mel, model.info)
    np.testing.assert_array_equal(back.standardiser.mean, model.standardiser.mean)
    np.testing.assert_array_equal(back.standardiser.std, model.standardiser.std)
    for name, array in {**model.network.params, **model.network.state}.items():
        other = {**back.network.params, **back.network.state}[name]
        np.testing.assert_array_equal(other, array)
        assert other.dtype == array.dtype
    x = np.random.default_rng(1).standard_normal((2, 9, 16))
    np.testing.assert_array_equal(back.network.tag_probs(x), model.network.tag_probs(x))
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]  # nothing temporary is left


def test_how_it_listens_comes_back(model, tmp_path):
    path = tmp_path / "m.npz"
    save_model(path, replace(model, decoder="beam", shifts=3))
    back = load_model(path)
    assert (back.decoder, back.shifts) == ("beam", 3)
    rewrite(path, metadata={"shifts": 0})
    with pytest.raises(
        ModelError, match="not a usable model file: shifts must be at least 1 and at most 9, got 0"
    ):
        load_model(path)
    rewrite(path, metadata={"shifts": 1, "decoder": "greedy"})
    with pytest.raises(ModelError, match="not a usable model file: decoder must be one of"):
        load_model(path)


def test_no_pickle_inside(model, tmp_path):
    save_model(tmp_path / "m.npz", model)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_missing(tmp_path):
    path = tmp_path / "m.npz"
    with pytest.raises(ModelError, match=re.escape(f"{path}: no such file") + "$"):
        load_model(path)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_truncated(model, tmp_path, part):
    path = tmp_path / "m.npz"
    save_model(path, model)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ModelError, match=re.escape(f"{path}: not an .npz file, or cut off (")):
        load_model(path)


def test_one_byte_changed(model, tmp_path):
    path = tmp_path / "m.npz"
    save_model(path, model)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ModelError, match=re.escape(f"{path}: ")):
        load_model(path)


def test_other_version(model, tmp_path):
    path = tmp_path / "m.npz"
    save_model(path, model)
    rewrite(path, metadata={"format_version": 99, "versions": {"ctctag": "7.1"}})
    message = "reads format 1; the file was written by ctctag 7.1"
    with pytest.raises(
        ModelError, match=re.escape(f"{path}: model format 99, but this ctctag ") + ".*" + message
    ):
        load_model(path)


def test_not_a_model(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, a=np.zeros(3))
    message = f"{path}: an .npz file, but not one that ctctag wrote as a model"
    with pytest.raises(ModelError, match=re.escape(message) + "$"):
        load_model(path)


def test_array_missing(model, tmp_path):
    path = tmp_path / "m.npz"
    save_model(path, model)
    rewrite(path, **{"params/dense.bias": None})
    message = f"{path}: params: the names of the arrays do not fit the network: dense.bias"
    with pytest.raises(ModelError, match=re.escape(message) + "$"):
        load_model(path)


def test_array_of_another_shape(model, tmp_path):
    path = tmp_path / "m.npz"
    save_model(path, model)
    rewrite(path, **{"params/dense.bias": np.zeros(7)})
    message = f"{path}: params: dense.bias has shape (7,), but the network wants (3,)"
    with pytest.raises(ModelError, match=re.escape(message) + "$"):
        load_model(path)


def test_metadata_without_system(model, tmp_path):
    path = tmp_path / "m.npz"
    save_model(path, model)
    rewrite(path, metadata={"system": "vgg"})
    with pytest.raises(
        ModelError, match=re.escape(f"{path}: not a usable model file: system must be one of")
    ):
        load_model(path)


def test_classes_must_fit(model):
    with pytest.raises(ParameterError, match=r"^classes has 1 names, but the network has 2 classes$"):
        TrainedModel(model.network, ("cough",), model.log_mel, model.standardiser)
    with pytest.raises(ParameterError, match=r"^log_mel gives 64 bands, but the network takes 16$"):
        TrainedModel(model.network, ("a", "b"), LogMel(), model.standardiser)
