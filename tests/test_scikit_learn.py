"""The tagger in scikit-learn's tools."""

import subprocess
import sys

import numpy as np
import pytest

from ctctag import Tagger

base = pytest.importorskip("sklearn.base")
model_selection = pytest.importorskip("sklearn.model_selection")
pipeline = pytest.importorskip("sklearn.pipeline")

CLIPS = [0.1 * np.random.default_rng(seed).standard_normal(8000 + 500 * seed) for seed in range(6)]
LABELS = [["a", "b"], ["b"], ["a"], ["b", "a"], ["a", "b"], []]


def tagger(**params):
    return Tagger(**{"preset": "tiny", "epochs": 1, "sr": 16000, **params})


def test_clone():
    original = tagger(system="crmp")
    clone = base.clone(original)
    assert clone is not original
    assert clone.get_params() == original.get_params()


def test_cross_val_score():
    scores = model_selection.cross_val_score(tagger(), CLIPS, LABELS, cv=3, error_score="raise")
    assert scores.shape == (3,)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_cross_validation_with_a_class_that_only_the_test_clips_have():
    labels = [["rare"], ["rare"], ["a"], ["a", "b"], ["b"], ["a"]]
    scores = model_selection.cross_val_score(
        tagger(), CLIPS, labels, cv=model_selection.KFold(3), error_score="raise"
    )
    assert np.isfinite(scores).all()
    assert scores[0] == 0  # what was not learned is not heard


def test_grid_search():
    search = model_selection.GridSearchCV(tagger(), {"system": ["crmp", "crap"]}, cv=2, error_score="raise")
    search.fit(CLIPS, LABELS)
    assert search.best_params_["system"] in ("crmp", "crap")
    assert search.best_estimator_.system == search.best_params_["system"]
    assert search.predict(CLIPS).shape == (6, 2)
    assert search.predict_proba(CLIPS[:1]).shape == (1, 2)
    assert 0 <= search.score(CLIPS, LABELS) <= 1


def test_pipeline():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    quieter = preprocessing.FunctionTransformer(lambda X: [0.5 * x for x in X])
    chain = pipeline.make_pipeline(quieter, tagger())
    chain.fit(CLIPS, LABELS)
    assert chain.predict(CLIPS[:2]).shape == (2, 2)
    expected = chain[-1].predict_proba([0.5 * x for x in CLIPS[:2]])
    np.testing.assert_array_equal(chain.predict_proba(CLIPS[:2]), expected)
    assert 0 <= chain.score(CLIPS, LABELS) <= 1
    assert base.clone(chain).set_params(tagger__epochs=3)[-1].epochs == 3


def test_it_is_not_taken_for_a_classifier():
    assert not base.is_classifier(tagger())
    assert not base.is_regressor(tagger())


def test_it_is_not_imported_unless_it_is_used():
    code = "import sys, ctctag; ctctag.Tagger(); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
