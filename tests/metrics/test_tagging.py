import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ctctag.exceptions import ParameterError
from ctctag.metrics import auc, auc_binary, average_precision, precision_recall_f, roc_curve

SHAPES = st.tuples(st.integers(1, 25), st.integers(1, 4))
TAGS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))
# Few distinct scores, so that ties are common.
NUMBERS = st.integers(-3, 3)
SCORED = SHAPES.flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(np.int64, shape, elements=NUMBERS))
)


def test_worked_example():
    y_true = [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    y_pred = [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    scores = precision_recall_f(y_true, y_pred)
    np.testing.assert_allclose(scores.precision, [1, 0.5, 0])
    np.testing.assert_allclose(scores.recall, [0.5, 1, 0])
    np.testing.assert_allclose(scores.f, [2 / 3, 2 / 3, 0])
    assert scores.support.tolist() == [2, 1, 0]
    macro = precision_recall_f(y_true, y_pred, average="macro")
    assert (macro.precision, macro.recall, macro.support) == (0.5, 0.5, 3)
    assert macro.f == pytest.approx(4 / 9)
    micro = precision_recall_f(y_true, y_pred, average="micro")
    assert (micro.precision, micro.recall, micro.f) == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_zero_division():
    """A class that is neither there nor heard: 0 / 0 three times."""
    for value in (0.0, 1.0):
        scores = precision_recall_f([[0]], [[0]], zero_division=value)
        assert (scores.precision, scores.recall, scores.f) == (value, value, value)
    scores = precision_recall_f([[0, 1]], [[0, 1]], zero_division=np.nan)
    np.testing.assert_array_equal(scores.precision, [np.nan, 1])
    assert precision_recall_f([[0, 1]], [[0, 1]], average="macro", zero_division=np.nan).precision == 1


@pytest.mark.parametrize("average", [None, "macro", "micro"])
@pytest.mark.parametrize("zero_division", [0.0, 1.0])
@given(tags=TAGS)
@settings(max_examples=25, deadline=None)
def test_precision_recall_f_equals_sklearn(average, zero_division, tags):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    y_true, y_pred = tags
    if y_true.shape[1] == 1:  # one column means something else there
        y_true, y_pred = np.tile(y_true, 2), np.tile(y_pred, 2)
    p, r, f, support = sklearn_metrics.precision_recall_fscore_support(
        y_true, y_pred, average=average, zero_division=zero_division
    )
    ours = precision_recall_f(y_true, y_pred, average=average, zero_division=zero_division)
    np.testing.assert_allclose(ours.precision, p, rtol=1e-12)
    np.testing.assert_allclose(ours.recall, r, rtol=1e-12)
    np.testing.assert_allclose(ours.f, f, rtol=1e-12)
    if average is None:
        np.testing.assert_array_equal(ours.support, support)


@given(scored=SCORED)
@settings(max_examples=60, deadline=None)
def test_curves_and_areas_equal_sklearn(scored):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    y_true, scores = scored
    areas, precisions = auc(y_true, scores), average_precision(y_true, scores)
    for k in range(y_true.shape[1]):
        if y_true[:, k].any() and not y_true[:, k].all():
            expected = sklearn_metrics.roc_curve(y_true[:, k], scores[:, k], drop_intermediate=False)
            for ours, theirs in zip(roc_curve(y_true[:, k], scores[:, k]), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-12)
            np.testing.assert_allclose(
                areas.values[k], sklearn_metrics.roc_auc_score(y_true[:, k], scores[:, k])
            )
        else:
            assert np.isnan(areas.values[k])
        if y_true[:, k].any():
            np.testing.assert_allclose(
                precisions.values[k], sklearn_metrics.average_precision_score(y_true[:, k], scores[:, k])
            )
        else:
            assert np.isnan(precisions.values[k])


@given(scored=SCORED)
@settings(max_examples=60, deadline=None)
def test_laws_of_auc(scored):
    y_true, scores = scored
    areas = auc(y_true, scores)
    defined = ~np.isnan(areas.values)
    assert areas.n_defined == defined.sum()
    assert ((areas.values[defined] >= 0) & (areas.values[defined] <= 1)).all()
    np.testing.assert_allclose(auc(y_true, np.exp(scores / 3)).values, areas.values)  # only ranks count
    np.testing.assert_allclose(auc(y_true, -scores).values, 1 - areas.values)
    np.testing.assert_allclose(auc(~y_true, scores).values, 1 - areas.values)
    np.testing.assert_allclose(auc(y_true[::-1], scores[::-1]).values, areas.values)
    for k in np.flatnonzero(defined):
        false_rate, true_rate, thresholds = roc_curve(y_true[:, k], scores[:, k])
        np.testing.assert_allclose(np.trapezoid(true_rate, false_rate), areas.values[k])
        assert (np.diff(thresholds) < 0).all()
        assert (false_rate[-1], true_rate[-1]) == (1, 1)
        wins = np.sign(scores[y_true[:, k], k][:, None] - scores[~y_true[:, k], k])
        np.testing.assert_allclose((wins.mean() + 1) / 2, areas.values[k])  # the probability itself


@given(tags=TAGS)
@settings(max_examples=40, deadline=None)
def test_auc_of_decoded_tags_has_one_corner(tags):
    y_true, y_pred = tags
    result = auc_binary(y_true, y_pred)
    for k, value in enumerate(result.values):
        there, absent = y_pred[y_true[:, k], k], y_pred[~y_true[:, k], k]
        if len(there) and len(absent):
            np.testing.assert_allclose(value, (there.mean() + 1 - absent.mean()) / 2)
        else:
            assert np.isnan(value)


def test_undefined_classes_are_named_and_left_out():
    y_true = [[1, 0, 1], [0, 0, 1]]
    result = auc(y_true, [[2.0, 1.0, 1.0], [1.0, 2.0, 2.0]])
    np.testing.assert_array_equal(result.values, [1, np.nan, np.nan])
    assert (result.mean, result.n_defined) == (1, 1)
    nothing = auc([[1]], [[0.5]])
    assert np.isnan(nothing.mean)
    assert nothing.n_defined == 0


def test_roc_of_a_class_with_one_value():
    false_rate, true_rate, _ = roc_curve([1, 1], [0.2, 0.1])
    np.testing.assert_array_equal(false_rate, [np.nan] * 3)
    np.testing.assert_array_equal(true_rate, [0, 0.5, 1])
    assert np.isnan(roc_curve([0, 0], [0.2, 0.1])[1]).all()


def test_infinite_scores_are_only_high_or_low():
    assert auc([[1], [0]], [[np.inf], [-np.inf]]).mean == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auc([[0.5]], [[0.5]]), "y_true[0, 0] is 0.5, but a tag is 0 or 1 (are these scores?)"),
        (
            lambda: auc([[1]], [[np.nan]]),
            "scores[0, 0] is nan, but every clip needs a score (did training diverge?)",
        ),
        (
            lambda: auc(np.ones((2, 3)), np.ones((3, 2))),
            "y_true and scores must have one shape, got (2, 3) and (3, 2) (is one of them transposed, or of "
            "another fold?)",
        ),
        (lambda: auc([1, 0], [0.5, 0.1]), "y_true must have shape (N, C), got (2,)"),
        (lambda: roc_curve([[1], [0]], [[0.5], [0.1]]), "y_true must have shape (N,), got (2, 1)"),
        (
            lambda: auc(np.ones((0, 3)), np.ones((0, 3))),
            "y_true is empty, but a metric needs at least one clip",
        ),
        (lambda: auc_binary([[1]], [[0.7]]), "y_pred[0, 0] is 0.7, but a tag is 0 or 1 (are these scores?)"),
        (lambda: precision_recall_f([[1]], [[2]]), "y_pred[0, 0] is 2, but a tag is 0 or 1"),
        (
            lambda: precision_recall_f([[1]], [[1]], average="weighted"),
            "average must be one of 'macro', 'micro', got 'weighted'",
        ),
        (
            lambda: precision_recall_f([[1]], [[1]], zero_division=0.5),
            "zero_division must be 0, 1 or nan, got 0.5",
        ),
        (lambda: average_precision([["a"]], [[1]]), "y_true must hold real numbers, got dtype <U1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        call()
