"""The estimator, as its users call it."""

import re

import numpy as np
import pytest

from ctctag import Tagger
from ctctag.audio import read_audio
from ctctag.data import Dataset
from ctctag.exceptions import AudioError, CtctagError, DataError, ParameterError


@pytest.fixture(scope="module")
def clips(small_data):
    dataset = Dataset.open(small_data)
    names = [[dataset.classes[label] for label in labels] for labels in dataset.sequences]
    return [dataset.path_of(index) for index in range(len(dataset))], names


@pytest.fixture(scope="module", params=["crnn-ctc", "crmp", "crap", "baseline"])
def fitted(request, clips):
    tagger = Tagger(request.param, "tiny", epochs=2, batch_size=4, seed=1)
    assert tagger.fit(*clips) is tagger
    return tagger


def test_shapes_and_names(fitted, clips):
    X, y = clips
    assert fitted.classes_ == ("alert", "cough", "knock", "phone")
    probs = fitted.predict_proba(X[:3])
    assert probs.shape == (3, 4)
    assert ((probs >= 0) & (probs <= 1)).all()
    tags = fitted.predict(X[:3])
    assert tags.shape == (3, 4)
    assert tags.dtype == bool
    for sequence, row in zip(fitted.predict_sequences(X[:3]), tags, strict=True):
        assert set(sequence) == {name for name, there in zip(fitted.classes_, row, strict=True) if there}
    assert 0 <= fitted.score(X, y) <= 1
    assert len(fitted.history_) == 2


def test_paths_and_samples_are_the_same_clip(fitted, clips):
    path = clips[0][0]
    samples, _ = read_audio(path, sr=16000)
    np.testing.assert_array_equal(fitted.predict_proba([path]), fitted.predict_proba([samples]))


def test_save_and_load(fitted, clips, tmp_path):
    fitted.save(tmp_path / "tagger.npz")
    again = Tagger.load(tmp_path / "tagger.npz")
    assert again.system == fitted.system
    np.testing.assert_array_equal(again.predict_proba(clips[0][:2]), fitted.predict_proba(clips[0][:2]))


def test_tagging_is_consistent(fitted, clips):
    tagging = fitted.tag(clips[0][0])
    assert tagging.duration == pytest.approx(3.0)
    assert tagging.ordered == (fitted.system == "crnn-ctc")
    if fitted.system == "baseline":
        assert len(tagging.frame_times) == 0
        assert all(tag.time is None for tag in tagging.tags)
    else:
        assert len(tagging.frame_probs) == len(tagging.frame_times)
        times = [tag.time for tag in tagging.tags]
        assert times == sorted(times)
    assert list(tagging.probabilities) == list(fitted.classes_)


def test_fits_what_it_is_given():
    """Two tones and a noise, learned by heart and told apart in their order."""
    rng = np.random.default_rng(0)
    time = np.arange(8000) / 16000
    sounds = {
        "low": np.sin(2 * np.pi * 300 * time),
        "high": np.sin(2 * np.pi * 2500 * time),
        "hiss": rng.standard_normal(8000),
    }
    X, y = [], []
    for index in range(24):
        names = [list(sounds)[k] for k in np.random.default_rng(index).permutation(3)[:2]]
        gap = np.zeros(4000)
        X.append(0.1 * np.concatenate([gap, sounds[names[0]], gap, sounds[names[1]], gap]))
        X[-1] += 1e-3 * rng.standard_normal(len(X[-1]))
        y.append(names)
    tagger = Tagger(preset="tiny", epochs=60, batch_size=6, learning_rate=1e-2, patience=60).fit(X, y)
    assert tagger.score(X, y) > 0.9
    right = sum(heard == truth for heard, truth in zip(tagger.predict_sequences(X), y, strict=True))
    assert right >= 20


def test_shipped_weights_hear_what_they_were_made_for():
    tagger = Tagger.pretrained()
    assert len(tagger.classes_) == 16
    assert tagger.tag(np.zeros(48000)).labels == ()


def test_params_as_scikit_learn_has_them():
    tagger = Tagger(epochs=7)
    params = tagger.get_params()
    assert params["epochs"] == 7
    assert Tagger(**params).get_params() == params
    assert tagger.set_params(epochs=9, system="crap") is tagger
    assert (tagger.epochs, tagger.system) == (9, "crap")
    with pytest.raises(
        ParameterError, match=r"^Tagger has no parameter 'epoch'; it has system, preset, log_mel"
    ):
        tagger.set_params(epoch=3)


def test_scikit_learn_can_clone_it():
    clone = pytest.importorskip("sklearn.base").clone
    tagger = Tagger("crmp", epochs=3)
    assert clone(tagger).get_params() == tagger.get_params()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t.fit(["a"], []), ParameterError, "X has 1 clips, but y has 0 label sequences"),
        (
            lambda t: t.fit(["a"], ["cough"]),
            ParameterError,
            "y[0] is the string 'cough', but must be a sequence of names (did you mean ['cough']?)",
        ),
        (
            lambda t: t.fit(["a", "b"], [[], []]),
            DataError,
            "y names no event at all, so there is nothing to learn",
        ),
        (
            lambda t: t.tag("a.wav"),
            CtctagError,
            "this Tagger has learned nothing yet: call fit, or use Tagger.load",
        ),
    ],
)
def test_messages_of_an_unfitted_tagger(call, error, message):
    with pytest.raises(error, match=re.escape(message) + "$"):
        call(Tagger(preset="tiny"))


def test_messages_of_a_fitted_tagger(fitted, clips, tmp_path):
    message = "y[0] names 'dog', which is not one of the classes: alert, cough, knock, phone"
    with pytest.raises(ParameterError, match=re.escape(message) + "$"):
        fitted.score(clips[0][:1], [["dog"]])
    message = (
        "a clip must be a path or a 1-D array of samples, got an array of shape (2, 3) and dtype float64"
    )
    with pytest.raises(ParameterError, match=re.escape(message) + "$"):
        fitted.tag(np.zeros((2, 3)))
    with pytest.raises(AudioError, match=re.escape(str(tmp_path / "no.wav"))):
        fitted.tag(tmp_path / "no.wav")


def test_what_the_tags_choose_survives_a_file(clips, tmp_path):
    X, y = clips
    tagger = Tagger("crnn-ctc", "tiny", epochs=2, batch_size=4, tag_weight=1.0, decoder="rescored", seed=1)
    tagger.fit(X, y).save(tmp_path / "model.npz")
    loaded = Tagger.load(tmp_path / "model.npz")
    assert (loaded.tag_weight, loaded.decoder) == (1.0, "rescored")
    assert loaded.predict_sequences(X[:4]) == tagger.predict_sequences(X[:4])
    np.testing.assert_array_equal(loaded.predict_proba(X[:4]), tagger.predict_proba(X[:4]))
    assert loaded.tag(X[0]).frame_probs.shape[1] == 5
