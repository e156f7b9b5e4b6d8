"""Every public function against its plain twin at shapes around constants of the kernels, tight and loose.

The constants: 8 and 16 lanes (labels of a tile, classes of a vector, clips of a group), 7 labels of the
longest target that is computed beside others, and 32768, the most frames times labels of one
(`_engine._SMALL`).
"""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ctctag.ctc import align, beam_search, best_path, ctc_loss, ctc_loss_and_grad, lattice, tag_probs
from ctctag.ctc._engine import _SMALL
from ctctag.exceptions import ParameterError
from ctctag.numerics import log_softmax, softmax
from ctctag.reference import collapse, ctc_lattice_numpy, ctc_loss_and_grad_numpy, ctc_viterbi

LABELS = [0, 1, 2, 6, 7, 8, 9, 10, 15, 16, 17, 18, 24, 31, 32, 33]
SPARE = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 30]
CLASSES = [2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65]
CLIPS = [1, 2, 7, 8, 9, 17]


class Batch(NamedTuple):
    """What one call gets, and in float64 what its values stand for."""

    inputs: np.ndarray
    targets: list
    lengths: np.ndarray
    blank: int
    kind: str
    log_y: list

    @property
    def options(self):
        return {"blank": self.blank, "inputs_are": self.kind}

    @property
    def tolerance(self):
        """Of sums over a clip: float32 scores have a softmax in float32."""
        return 2e-6 if self.inputs.dtype == np.float32 else 1e-11

    def clip(self, n):
        return self.inputs[n, : self.lengths[n]], self.targets[n]


def draw_batch(seed, N, C, labels, spare, kind="logits", dtype="float64", sharpness=3.0, repeats=0.2):
    """Draw a batch whose longest target has `labels` labels and just `spare` frames more than it needs."""
    rng = np.random.default_rng(seed)
    blank = int(rng.integers(C))
    others = np.delete(np.arange(C), blank)
    targets = []
    for n in range(N):
        target = rng.choice(others, labels if n == N - 1 else rng.integers(labels + 1))
        for i in range(1, len(target)):
            if rng.random() < repeats:
                target[i] = target[i - 1]
        targets.append(target.tolist())
    needed = [len(t) + sum(a == b for a, b in itertools.pairwise(t)) for t in targets]
    lengths = np.array([max(1, frames + spare) for frames in needed])
    logits = sharpness * rng.standard_normal((N, lengths.max(), C))
    change = {"logits": lambda x: x, "log_probs": log_softmax, "probs": softmax}[kind]
    inputs = change(logits).astype(dtype)
    exact = inputs.astype(np.float64)
    with np.errstate(divide="ignore"):
        log_y = {"logits": log_softmax, "log_probs": lambda x: x, "probs": np.log}[kind](exact)
    rows = [log_y[n, :length] for n, length in enumerate(lengths)]
    for n, length in enumerate(lengths):
        inputs[n, length:] = np.nan
    return Batch(inputs, targets, lengths, blank, kind, rows)


batches = st.builds(
    draw_batch,
    seed=st.integers(0, 10**6),
    N=st.sampled_from(CLIPS),
    C=st.sampled_from(CLASSES),
    labels=st.sampled_from(LABELS),
    spare=st.sampled_from(SPARE),
    kind=st.sampled_from(["logits", "log_probs", "probs"]),
    dtype=st.sampled_from(["float32", "float64"]),
    sharpness=st.sampled_from([0.0, 1.0, 3.0, 20.0]),
    repeats=st.sampled_from([0.0, 0.3, 1.0]),
)


@pytest.mark.kernel
@settings(deadline=None, max_examples=60)
@given(batches)
def test_loss_and_gradient(batch):
    inputs, targets, lengths, blank, kind, log_y = batch
    losses, grads = ctc_loss_and_grad(inputs, targets, lengths, reduction="none", **batch.options)
    assert (ctc_loss(inputs, targets, lengths, reduction="none", **batch.options) == losses).all()
    close = {"rtol": 2e-5, "atol": 2e-5} if inputs.dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-9}
    for n, target in enumerate(targets):
        loss, by_log_y = ctc_loss_and_grad_numpy(log_y[n], target, blank)
        np.testing.assert_allclose(losses[n], loss, rtol=batch.tolerance, atol=batch.tolerance)
        y = np.exp(log_y[n])
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float32, and 0 / 0
            expected = {"logits": y + by_log_y, "log_probs": by_log_y, "probs": by_log_y / y}[kind]
            expected = np.where(y > 0, expected, 0.0).astype(inputs.dtype)
        got = np.where(y > 0, grads[n, : lengths[n]], 0.0)
        np.testing.assert_allclose(got, expected, **close)
        assert not grads[n, lengths[n] :].any()


@pytest.mark.kernel
@settings(deadline=None, max_examples=60)
@given(batches)
@example(draw_batch(0, N=1, C=16, labels=9, spare=0, sharpness=0.0, repeats=0.0))
def test_align(batch):
    inputs, targets, lengths, blank, _, log_y = batch
    best = [ctc_viterbi(rows.tolist(), target, blank) for rows, target in zip(log_y, targets, strict=True)]
    if any(score == -np.inf for score, _ in best):  # a probability that float32 has rounded to 0
        with pytest.raises(ParameterError, match="has probability zero: every path meets a class of"):
            align(inputs, targets, lengths, **batch.options)
        return
    found = align(inputs, targets, lengths, **batch.options)
    for n, alignment in enumerate(found):
        score, path = best[n]
        np.testing.assert_allclose(alignment.score, score, rtol=batch.tolerance, atol=batch.tolerance)
        assert list(collapse(alignment.path.tolist(), blank)) == targets[n]
        # Another path may be as probable to the last bits; the one found has the score that it claims.
        own = log_y[n][np.arange(lengths[n]), alignment.path].sum()
        np.testing.assert_allclose(own, score, rtol=1e-9, atol=1e-9)
        assert alignment.path.tolist() == path or np.isclose(own, score, rtol=1e-12)
        assert len(alignment.spans) == len(targets[n])
        for (first, last), label in zip(alignment.spans.tolist(), targets[n], strict=True):
            assert (alignment.path[first : last + 1] == label).all()


@pytest.mark.kernel
@settings(deadline=None, max_examples=40)
@given(batches)
def test_lattice(batch):
    n = len(batch.targets) - 1
    x, target = batch.clip(n)
    trellis = lattice(x, target, **batch.options)
    alpha, beta, states = ctc_lattice_numpy(batch.log_y[n], target, batch.blank)
    assert (trellis.states == states).all()
    np.testing.assert_allclose(trellis.alpha, alpha, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(trellis.beta, beta, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(trellis.occupancy.sum(axis=1), np.isfinite(trellis.loss), atol=1e-10)


@pytest.mark.kernel
@settings(deadline=None, max_examples=40)
@given(batches)
def test_best_path(batch):
    inputs, _, lengths, blank, _, log_y = batch
    for n, decoded in enumerate(best_path(inputs, lengths, **batch.options)):
        classes = inputs[n, : lengths[n]].argmax(axis=1).tolist()
        assert decoded.labels.tolist() == list(collapse(classes, blank))
        loss, _ = ctc_loss_and_grad_numpy(log_y[n], decoded.labels, blank)
        np.testing.assert_allclose(decoded.score, -loss, rtol=batch.tolerance, atol=batch.tolerance)
        for (first, last), label in zip(decoded.spans.tolist(), decoded.labels.tolist(), strict=True):
            assert classes[first : last + 1] == [label] * (last + 1 - first)


@pytest.mark.kernel
@settings(deadline=None, max_examples=20)
@given(batches)
@example(draw_batch(0, N=1, C=16, labels=9, spare=0, sharpness=0.0))
def test_beam_search(batch):
    """Every answer is spelt by its spans, and has the exact probability that it claims."""
    n = len(batch.targets) - 1
    x, _ = batch.clip(n)
    found = beam_search(x, beam_width=4, n_best=4, **batch.options)
    assert 1 <= len(found) <= 4
    scores = [decoded.score for decoded in found]
    assert scores == sorted(scores, reverse=True)
    for decoded in found:
        loss, _ = ctc_loss_and_grad_numpy(batch.log_y[n], decoded.labels, batch.blank)
        np.testing.assert_allclose(decoded.score, -loss, rtol=batch.tolerance, atol=batch.tolerance)
        assert len(decoded.spans) == len(decoded.labels)
        assert (decoded.spans[:, 0] <= decoded.spans[:, 1]).all()
        assert (decoded.spans[1:, 0] > decoded.spans[:-1, 1]).all()


@pytest.mark.kernel
@settings(deadline=None, max_examples=40)
@given(batches)
def test_tag_probs(batch):
    inputs, _, lengths, _, kind, log_y = batch
    probs = tag_probs(inputs, lengths, inputs_are=kind)
    for n in range(len(lengths)):
        expected = 1 - np.prod(1 - np.exp(log_y[n]), axis=0)
        np.testing.assert_allclose(probs[n], expected, atol=2e-6 if inputs.dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("labels", [6, 7, 8])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_around_the_largest_of_the_small(labels, more, kind):
    """Clips change their kernel where frames times labels reach 32768; both know the same numbers."""
    frames = _SMALL // (labels + 1) + more
    batch = draw_batch(labels, N=1, C=9, labels=labels, spare=frames - labels, kind=kind, repeats=0.0)
    x, target, log_y = batch.inputs[0, :frames], batch.targets[0], batch.log_y[0][:frames]
    assert len(x) == frames
    loss, grad = ctc_loss_and_grad(x, target, reduction="sum", **batch.options)
    expected, by_log_y = ctc_loss_and_grad_numpy(log_y, target, batch.blank)
    y = np.exp(log_y)
    np.testing.assert_allclose(loss, expected, rtol=1e-11)
    np.testing.assert_allclose(grad, y + by_log_y if kind == "logits" else by_log_y / y, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", [1, 9])
@pytest.mark.parametrize("size", [1e7, 1e8, 1e9, 1e13, 1e14, 1e15, 1e30])
def test_losses_of_any_size(size, labels, dtype):
    """The blank is more probable by `size` in each of 3 spare frames and as many as there are labels."""
    x = np.zeros((labels + 3, labels + 1), dtype)
    x[:, 0] = size
    target = list(range(1, labels + 1))
    loss, grad = ctc_loss_and_grad(x, target, reduction="sum")
    assert loss == pytest.approx(labels * size, rel=1e-6)
    # Every path of one frame a label is as probable as the next, and each label gets its share.
    np.testing.assert_allclose(-grad[:, 1:].sum(axis=0), 1, rtol=2e-6)
    np.testing.assert_allclose(grad.sum(axis=1), 0, atol=1e-6)
    trellis = lattice(x, target)
    assert trellis.loss == pytest.approx(labels * size, rel=1e-6)
    np.testing.assert_allclose(trellis.occupancy.sum(axis=1), 1, rtol=1e-6)
    by_log_y, derivative = ctc_loss_and_grad(log_softmax(x), target, inputs_are="log_probs", reduction="sum")
    assert by_log_y == pytest.approx(labels * size, rel=1e-6)
    np.testing.assert_allclose(-derivative.sum(axis=1), 1, rtol=1e-6)
    assert best_path(x).score == 0
    assert align(x, target).score == pytest.approx(-labels * size, rel=1e-6)


def test_impossible_is_not_taken_for_improbable():
    x = np.zeros((4, 3))
    x[:, 0], x[:, 1] = 1e15, -np.inf
    assert ctc_loss(x, [1]) == np.inf
    assert ctc_loss(x, [2, 2, 2]) == np.inf  # too few frames
    assert ctc_loss(x, [2]) == pytest.approx(1e15)


def test_one_extreme_clip_leaves_the_others_as_they_are():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 5, 4)).astype(np.float32)
    x[1, :, 0] = 1e15
    targets = [[1, 2], [3], [2]]
    losses, grads = ctc_loss_and_grad(x, targets, reduction="none")
    for n in range(3):
        loss, grad = ctc_loss_and_grad(x[n], targets[n], reduction="none")
        assert losses[n] == loss
        assert (grads[n] == grad).all()
    assert losses[1] == pytest.approx(1e15, rel=1e-6)


@pytest.mark.parametrize("place", [0, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 38, 2**24 + 39])
def test_best_path_of_more_classes_than_float32_counts(place):
    x = np.zeros((1, 2**24 + 40), np.float32)
    x[0, place] = 5
    assert best_path(x, blank=1, with_scores=False).labels.tolist() == [place]


def test_best_path_of_many_equal_classes_is_the_first():
    x = np.zeros((1, 2**24 + 40), np.float32)
    assert best_path(x, blank=-1, with_scores=False).labels.tolist() == [0]


@pytest.mark.kernel
@pytest.mark.parametrize("labels", [1, 9])
@pytest.mark.parametrize("p", [1e-37, 6e-39, 3e-39, 2e-40, 1e-45])
def test_derivatives_up_to_the_end_of_float32(p, labels):
    """The derivative by a probability that every path needs is -1 / p, as float32 rounds it."""
    probs = np.zeros((labels, labels + 1), np.float32)
    probs[np.arange(labels), np.arange(1, labels + 1)] = 1
    probs[0, :2] = 1, p
    _, grad = ctc_loss_and_grad(probs, range(1, labels + 1), inputs_are="probs", reduction="sum")
    with np.errstate(over="ignore"):
        expected = np.float32(-1 / np.float64(np.float32(p)))
    np.testing.assert_allclose(grad[0, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(grad[1:].min(axis=1, initial=0), -1 if labels > 1 else [], rtol=1e-6)
