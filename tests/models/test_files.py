"""Model files: everything comes back, and what is wrong is named."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from ctctag.audio import LogMel, Standardiser
from ctctag.exceptions import ModelError, ParameterError
from ctctag.layers import Dropout, Sequential
from ctctag.models import Network, TrainedModel, build, load_model, save_model
from ctctag.models.heads import AveragePoolHead, MaxPoolHead


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


@pytest.mark.parametrize("system", ["crnn-ctc", "crmp", "crap", "baseline"])
@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "params/gru.forward.bias_ih",
            lambda a: a.__setitem__(3, np.nan),
            "params: gru.forward.bias_ih[3] is nan",
        ),
        ("params/dense.weight", lambda a: a.__setitem__((1, 1), np.inf), "params: dense.weight[1, 1] is inf"),
        ("params/dense.weight", lambda a: a.fill(1e38), "params: dense.weight[0, 0] is 1e+38"),
        ("params/dense.weight", lambda a: a.astype(complex), "params: dense.weight is complex128, but"),
        ("params/dense.bias", lambda a: a.astype(bool), "params: dense.bias is bool, but"),
        ("params/dense.bias", lambda a: a.astype(str), "params: dense.bias is <U32, but"),
        ("params/dense.bias", lambda a: a.astype(np.float64), "params: dense.bias is float64, but"),
        ("params/dense.bias", lambda a: a[:-1], "params: dense.bias has shape ("),
        (
            "state/block1.norm.running_mean",
            lambda a: a.fill(np.nan),
            "state: block1.norm.running_mean[0] is nan",
        ),
        (
            "state/block1.norm.running_var",
            lambda a: a.fill(-5),
            "state: block1.norm.running_var[0] is -5, but",
        ),
        ("state/dropout.step", lambda a: a.astype(float), "state: dropout.step is float64, but"),
        ("standardiser/mean", lambda a: a.__setitem__(2, np.nan), "standardiser: mean[2] is nan, but"),
        (
            "standardiser/std",
            lambda a: a.__setitem__(2, 0),
            "not a usable model file: std[2] is 0, but must be above 0",
        ),
        (
            "standardiser/std",
            lambda a: a.__setitem__(2, -1),
            "not a usable model file: std[2] is -1, but must",
        ),
        (
            "standardiser/std",
            lambda a: a.fill(1e-30),
            "standardiser: std[0] is 1e-30, but must be at least 1e-12",
        ),
        ("standardiser/std", lambda a: a.astype(bool), "standardiser: std is bool, but must be float32"),
        ("standardiser/std", lambda a: a[:-1], "not a usable model file: mean and std must have one shape"),
    ],
)
def test_what_no_training_leaves_is_refused_with_its_path(model, system, tmp_path, name, change, words):
    path = tmp_path / "m.npz"
    network = build(system, n_classes=2, preset="tiny", n_mels=16)
    save_model(path, replace(model, network=network))
    with np.load(path) as file:
        array = file[name]
    changed = change(array)
    rewrite(path, **{name: array if changed is None else changed})
    with pytest.raises(ModelError, match=f"^{re.escape(f'{path}: {words}')}"):
        load_model(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ["a", 2]}, "classes must be a list of strings, got ['a', 2]"),
        ({"classes": ["a", "a"]}, "classes has a name twice"),
        ({"classes": "ab"}, "classes must be a list of strings, got ab"),
        ({"info": "x"}, "info must be an object with an object data, got x"),
        ({"info": {"data": ["x"]}}, "info must be an object with an object data, got {'data': ['x']}"),
        ({"info": {"data": {"path": 3}}}, "info: data: path must be a string, got 3"),
        ({"info": {"fold": "1"}}, "info: fold must be an integer, got '1'"),
        ({"features": {}}, "lacks 'n_mels'"),
        ({"features": {"n_mels": 10**9}}, "features: n_mels is 1000000000, but the network takes 16"),
        ({"features": {"n_mels": 16, "n_fft": 1 << 40}}, "features: n_fft must be at most"),
        ({"preset": ["tiny"]}, "preset must be one of"),
        ({"tag_weight": float("nan")}, "tag_weight must be finite, got nan"),
    ],
)
def test_a_description_that_is_damaged(model, tmp_path, changes, words):
    path = tmp_path / "m.npz"
    save_model(path, model)
    rewrite(path, metadata=changes)
    with pytest.raises(ModelError, match=f"^{re.escape(f'{path}: not a usable model file: {words}')}"):
        load_model(path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "7", '"ctctag model"', "{", '{"format": ' + "9" * 5000 + "}"]
)
def test_a_description_that_cannot_be_read(model, tmp_path, text):
    path = tmp_path / "m.npz"
    save_model(path, model)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **arrays | {"metadata": np.array(text)})
    message = f"{path}: an .npz file, but not one that ctctag wrote as a model"
    with pytest.raises(ModelError, match=re.escape(message) + "$"):
        load_model(path)


def test_a_network_in_float64_comes_back_in_float64(model, tmp_path):
    network = build("crnn-ctc", n_classes=2, preset="tiny", n_mels=16, dtype=np.float64)
    save_model(tmp_path / "m.npz", replace(model, network=network))
    back = load_model(tmp_path / "m.npz").network
    for name, array in network.params.items():
        assert back.params[name].dtype == np.float64
        np.testing.assert_array_equal(back.params[name], array)


def foreign_networks():
    """Networks whose file would describe another one."""
    other = build("crmp", n_classes=2, preset="tiny", n_mels=16)
    network = build("crmp", n_classes=2, preset="tiny", n_mels=16)
    network.preset = "small"
    yield "of another size", network, "params: block1.conv.weight has shape (3, 3, 1, 8), but"
    network = build("crmp", n_classes=2, preset="tiny", n_mels=16)
    network.layers.layers["dropout"] = Dropout(0.9)
    yield (
        "of another dropout",
        network,
        "its layers or its head are not those of system 'crmp' and preset 'tiny'",
    )
    network = Network("crmp", 2, 16, "tiny", other.layers, AveragePoolHead(2))
    yield (
        "of another head",
        network,
        "its layers or its head are not those of system 'crmp' and preset 'tiny'",
    )
    layers = {name: layer for name, layer in other.layers.layers.items() if name != "block4"}
    network = Network("crmp", 2, 16, "tiny", Sequential(layers), MaxPoolHead(2))
    yield (
        "of fewer layers",
        network,
        "params: the names of the arrays do not fit the network: block4.conv.weight",
    )
    network = Network("mine", 2, 16, "tiny", other.layers, MaxPoolHead(2))
    yield "of an own name", network, "system must be one of"


@pytest.mark.parametrize(
    ("network", "words"), [pytest.param(*rest, id=name) for name, *rest in foreign_networks()]
)
def test_what_could_not_be_loaded_is_not_saved(model, tmp_path, network, words):
    path = tmp_path / "m.npz"
    with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: cannot be saved.*: {re.escape(words)}"):
        save_model(path, replace(model, network=network))
    assert not any(tmp_path.iterdir())


def test_a_diverged_network_is_not_saved(model, tmp_path):
    path = tmp_path / "m.npz"
    save_model(path, model)
    before = path.read_bytes()
    model.network.params["dense.bias"][1] = np.nan
    message = f"{path}: cannot be saved: params: dense.bias[1] is nan, but must be finite"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}"):
        save_model(path, model)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": (np.int64(1), np.int64(2))}, "classes must be a list of strings"),
        ({"classes": ("a", "a")}, "classes has a name twice"),
        ({"info": {"made": {1, 2}}}, "info must hold plain JSON values (Object of type set is not"),
    ],
)
def test_descriptions_that_could_not_be_read_are_not_saved(model, tmp_path, changes, words):
    with pytest.raises(ModelError, match=re.escape(words)):
        save_model(tmp_path / "m.npz", replace(model, **changes))
    assert not any(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("system", ["crnn-ctc", "crmp", "crap", "baseline"])
def test_outputs_that_are_not_finite_are_no_silence(system):
    network = build(system, n_classes=2, preset="tiny", n_mels=16)
    for array in network.params.values():
        array[...] = 1e6  # each for itself within bounds
    for array in network.state.values():
        array[...] = 0
    x = np.random.default_rng(0).standard_normal((1, 9, 16))
    for listen in (network.decode, network.tag_probs):
        with pytest.raises(ModelError, match=r"^the network's outputs are not finite"):
            listen(x)
