"""The estimator, as its users call it."""

import re

import numpy as np
import pytest

from ctctag import Tagger
from ctctag.audio import read_audio, resample
from ctctag.data import Dataset
from ctctag.exceptions import AudioError, AudioWarning, CtctagError, DataError, ParameterError


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
    np.testing.assert_array_equal(fitted.predict_proba([path]), fitted.predict_proba([samples], sr=16000))


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
    tagger = Tagger(preset="tiny", epochs=60, batch_size=6, learning_rate=1e-2, patience=60, sr=16000).fit(
        X, y
    )
    assert tagger.score(X, y) > 0.9
    right = sum(heard == truth for heard, truth in zip(tagger.predict_sequences(X), y, strict=True))
    assert right >= 20


def test_shipped_weights_hear_what_they_were_made_for():
    tagger = Tagger.pretrained()
    assert len(tagger.classes_) == 16
    assert tagger.tag(np.zeros(48000), sr=16000).labels == ()


def test_params_as_scikit_learn_has_them():
    tagger = Tagger(epochs=7)
    params = tagger.get_params()
    assert params["epochs"] == 7
    assert Tagger(**params).get_params() == params
    assert tagger.set_params(epochs=9, system="crap") is tagger
    assert (tagger.epochs, tagger.system) == (9, "crap")
    with pytest.raises(
        ParameterError, match=r"^Tagger has no parameter 'epoch'; it has system, preset, log_mel, sr"
    ):
        tagger.set_params(epoch=3)


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
    with pytest.raises(ParameterError, match=re.escape("clip must have shape (n_samples,), got (2, 3)")):
        fitted.tag(np.zeros((2, 3)), sr=16000)
    message = "X[1] lasts 0.010 s at sr=8000, but one frame needs 0.064 s (append zeros if the clip is really"
    with pytest.raises(ParameterError, match=re.escape(message)):
        fitted.predict([np.zeros(8000), np.zeros(80)], sr=8000)
    with pytest.raises(ParameterError, match=r"^X is the path 'a[.]wav', but must be a"):
        fitted.predict("a.wav")
    with pytest.raises(ParameterError, match=re.escape("sr must be an integer, got 22050.5")):
        fitted.tag(np.zeros(8000), sr=22050.5)
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


def test_arrays_are_heard_at_their_own_rate(fitted, clips):
    path = clips[0][0]
    samples, _ = read_audio(path, sr=16000)
    as_file = fitted.predict_proba([path])[0]
    for sr in (8000, 22050, 44100):
        other = read_audio(path, sr=sr)[0]
        said = fitted.predict_proba([other], sr=sr)
        np.testing.assert_array_equal(said[0], list(fitted.tag(other, sr=sr).probabilities.values()))
        assert fitted.tag(other, sr=sr).duration == pytest.approx(3.0, abs=1e-3)
        resampled = resample(other, sr, 16000)
        np.testing.assert_array_equal(said, fitted.predict_proba([resampled], sr=16000))
        assert (said != fitted.predict_proba([other], sr=16000)).any()
    np.testing.assert_array_equal(fitted.predict_proba([path, samples], sr=16000), [as_file, as_file])


def test_a_rate_that_nobody_says_is_not_assumed_in_silence(fitted, clips):
    samples, _ = read_audio(clips[0][0], sr=16000)
    calls = (
        lambda: fitted.tag(samples),
        lambda: fitted.predict([samples]),
        lambda: fitted.predict_proba([samples]),
        lambda: fitted.predict_sequences([clips[0][0], samples]),
        lambda: fitted.score([samples], [["cough"]]),
        lambda: Tagger(preset="tiny", epochs=1).fit([samples] * 2, [["a"], ["b"]]),
    )
    for call in calls:
        with pytest.warns(AudioWarning, match="^samples without sr are taken to be at 16000 Hz: ") as caught:
            call()
        assert (len(caught), caught[0].filename) == (1, __file__)
    fitted.predict([clips[0][0]])  # a file says it itself
    try:
        fitted.set_params(sr=16000).predict([samples])
        np.testing.assert_array_equal(
            fitted.set_params(sr=32000).predict_proba([samples]), fitted.predict_proba([samples], sr=32000)
        )
    finally:
        fitted.set_params(sr=None)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[1, 2], [2]], "y[0][0] is 1 (int), but labels must be strings"),
        ([["a"], ["b", np.int64(2)]], "y[1][1] is np.int64(2) (int64), but labels must be strings"),
        ([[b"a"], [b"b"]], "y[0][0] is b'a' (bytes), but labels must be strings"),
        ([1, 2], "y[0] is 1, but must be a sequence of names in order of onset"),
        ([None, None], "y[0] is None, but must be a sequence of names"),
        (np.array([1, 2]), "y[0] is np.int64(1), but must be a sequence of names"),
        ([["a"], {"b"}], "y[1] is {'b'}, but must be a sequence of names in order of onset"),
        ([{"a": 1}, ["b"]], "y[0] is {'a': 1}, but must be a sequence of names"),
        ([["a"], [" "]], "y[1][0] is ' ', but a label must have a name"),
        ("ab", "y is 'ab', but must be a sequence of label sequences"),
        (None, "y is None, but must be a sequence of label sequences"),
    ],
)
def test_labels_that_are_no_sequences_of_strings(fitted, y, message):
    for call in (Tagger(preset="tiny", epochs=1).fit, fitted.score):
        with pytest.raises(ParameterError, match=re.escape(message)):
            call(["not", "read"], y)


def test_strings_of_numpy_are_strings(tmp_path):
    X = [0.1 * np.random.default_rng(seed).standard_normal(8000) for seed in range(4)]
    y = [np.array(["a", "b"]), (np.str_("b"),), ["a"], []]
    tagger = Tagger(preset="tiny", epochs=1, sr=16000).fit(X, y)
    tagger.save(tmp_path / "model.npz")
    assert Tagger.load(tmp_path / "model.npz").classes_ == ("a", "b")
    assert {type(label) for label in tagger.classes_} == {str}


def test_score_of_classes_that_are_absent():
    tagger = Tagger()
    tagger.classes_ = ("a", "b", "c")
    heard = [["a"], ["a", "b"], []]
    tagger.predict_sequences = lambda X, sr=None: heard[: len(X)]
    X = ["1", "2", "3"]
    assert tagger.score(X, heard) == 1  # c neither occurs nor is heard: no part of the mean
    assert tagger.score(X, [["a"], ["a"], []]) == pytest.approx((1 + 0) / 2)  # b was heard wrongly
    assert tagger.score(X, [["a"], ["a", "b"], ["new"]]) == pytest.approx((1 + 1 + 0) / 3)
    heard = [[], [], []]
    assert tagger.score(X, heard) == 1
    with pytest.raises(ParameterError, match="X holds no clips"):
        tagger.score([], [])


def test_no_clips(fitted):
    assert fitted.predict_proba([]).shape == (0, 4)
    assert fitted.predict([]).shape == (0, 4)
    with pytest.raises(DataError, match="X holds no clips, so there is nothing to learn"):
        Tagger().fit([], [])
