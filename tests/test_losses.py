"""Binary cross entropy, and the distance of two views: gradients, extremes, bad input."""

import re

import numpy as np
import pytest

from ctctag.exceptions import ParameterError
from ctctag.gradcheck import check_gradients
from ctctag.losses import binary_cross_entropy, binary_cross_entropy_with_logits, consistency_with_logits
from ctctag.numerics import log_softmax, softmax

TARGETS = np.array([[1.0, 0.0, 0.25], [0.0, 1.0, 1.0]])
LOGITS = np.array([[0.3, -1.0, 2.0], [1.5, 0.0, -0.7]])
WEIGHTS = np.array([1.0, 2.0, 0.0])


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    ("function", "scores"),
    [(binary_cross_entropy_with_logits, LOGITS), (binary_cross_entropy, 1 / (1 + np.exp(-LOGITS)))],
)
def test_gradient_agrees_with_differences(function, scores, weights):
    x = scores.copy()
    _, gradient = function(x, TARGETS, weights)
    report = check_gradients(
        lambda: function(x, TARGETS, weights)[0], {"x": x}, {"x": gradient}, verbose=False
    )
    assert report.max_relative_error < 1e-6


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_both_forms_agree(weights):
    probs = 1 / (1 + np.exp(-LOGITS))
    loss, gradient = binary_cross_entropy_with_logits(LOGITS, TARGETS, weights)
    other, by_probs = binary_cross_entropy(probs, TARGETS, weights)
    assert loss == pytest.approx(other, rel=1e-12)
    np.testing.assert_allclose(gradient, by_probs * probs * (1 - probs), rtol=1e-12)


def test_definition():
    p = 1 / (1 + np.exp(-LOGITS))
    wanted = -np.mean(TARGETS * np.log(p) + (1 - TARGETS) * np.log(1 - p))
    assert binary_cross_entropy_with_logits(LOGITS, TARGETS)[0] == pytest.approx(wanted, rel=1e-13)


def test_extremes_stay_finite():
    loss, gradient = binary_cross_entropy_with_logits([[1e4, -1e4, 1e4]], [[1, 0, 0]])
    assert loss == pytest.approx(1e4 / 3)
    np.testing.assert_allclose(gradient, [[0, 0, 1 / 3]])
    loss, gradient = binary_cross_entropy([[1.0, 0.0, 1.0]], [[1, 0, 0]])
    assert loss == pytest.approx(100 / 3)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("function", [binary_cross_entropy, binary_cross_entropy_with_logits])
def test_float32_stays(function):
    assert function(np.full((2, 2), 0.5, np.float32), np.ones((2, 2)))[1].dtype == np.float32


@pytest.mark.parametrize(
    ("scores", "targets", "weights", "message"),
    [
        ([[0.5, 0.5]], [[1]], None, "targets must have shape (1, 2), got (1, 1)"),
        (
            [[0.5, 0.5]],
            [[1, 3]],
            None,
            "targets[0, 1] is 3, but must lie in [0, 1] (are these class numbers?)",
        ),
        ([[0.5, 1.5]], [[1, 0]], None, "probs[0, 1] is 1.5, but must lie in [0, 1] (are these logits?)"),
        ([[0.5, np.nan]], [[1, 0]], None, "probs[0, 1] is nan, but must lie in [0, 1] (are these logits?)"),
        ([[0.5, 0.5]], [[1, 0]], [1, 2, 3], "weights must broadcast to (1, 2), got shape (3,)"),
        ([[0.5, 0.5]], [[1, 0]], [1, -2], "weights must be at least 0, got -2"),
        (np.zeros((0, 2)), np.zeros((0, 2)), None, "probs must hold at least one entry, got shape (0, 2)"),
    ],
)
def test_bad_input(scores, targets, weights, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        binary_cross_entropy(scores, targets, weights)


FRAMES = np.array([[1.0, 0.5, 0.0], [2.0, 1.0, 1.0]])


def two_views(shape=(2, 3, 4)):
    return 2 * np.random.default_rng(1).standard_normal((2, *shape))


def test_each_view_is_drawn_to_what_the_other_says():
    # The derivative by one view is that of w / 2 KL(the other, as given || it), by differences.
    a, b = two_views()
    loss, da, db = consistency_with_logits(a, b, FRAMES)
    given = {"a": softmax(b), "b": softmax(a)}

    def both():
        parts = [given[name] * (np.log(given[name]) - log_softmax(z)) for name, z in (("a", a), ("b", b))]
        return sum((FRAMES[..., None] / 2 * part).sum() for part in parts)

    assert loss == pytest.approx(both(), rel=1e-13)
    report = check_gradients(both, {"a": a, "b": b}, {"a": da, "b": db}, verbose=False)
    assert report.max_relative_error < 1e-6


def test_consistency_agrees_with_torch():
    torch = pytest.importorskip("torch")
    a, b = two_views()
    loss, da, db = consistency_with_logits(a, b, FRAMES)
    ta, tb = (torch.from_numpy(z).requires_grad_() for z in (a, b))
    la, lb = ta.log_softmax(-1), tb.log_softmax(-1)
    distance = [
        torch.nn.functional.kl_div(ours, theirs.detach(), reduction="none", log_target=True).sum(-1)
        for ours, theirs in ((la, lb), (lb, la))
    ]
    wanted = (torch.from_numpy(FRAMES) * sum(distance) / 2).sum()
    wanted.backward()
    assert loss == pytest.approx(wanted.item(), rel=1e-13)
    np.testing.assert_allclose(da, ta.grad.numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(db, tb.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_equal_views_are_no_distance_apart_and_sure_ones_finite():
    a, b = two_views()
    loss, da, db = consistency_with_logits(a, a + 3)  # a constant changes no softmax
    assert loss == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose([da, db], 0, atol=1e-15)
    loss, da, _ = consistency_with_logits(np.array([[800.0, 0]], np.float32), [[0, 800.0]])
    assert loss == pytest.approx(800)
    np.testing.assert_allclose(da, [[0.5, -0.5]])
    assert da.dtype == np.float32
    assert consistency_with_logits(a, b)[0] == consistency_with_logits(a, b, np.ones(3))[0]


@pytest.mark.parametrize(
    ("second", "weights", "message"),
    [
        (np.zeros((2, 3, 5)), None, "second must have shape (2, 3, 4), got (2, 3, 5)"),
        (np.zeros((2, 3, 4)), np.ones(4), "weights must broadcast to (2, 3), got shape (4,)"),
        (np.zeros((2, 3, 4)), [-1, 0, 1], "weights must be at least 0, got -1"),
    ],
)
def test_bad_views(second, weights, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        consistency_with_logits(np.zeros((2, 3, 4)), second, weights)
    with pytest.raises(
        ParameterError, match=re.escape("first must hold at least one frame, got shape (0, 4)")
    ):
        consistency_with_logits(np.zeros((0, 4)), np.zeros((0, 4)))
