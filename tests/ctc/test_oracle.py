"""Everything in ctctag.ctc against the enumeration of all paths."""

import numpy as np
import pytest

from ctctag.ctc import align, beam_search, best_path, ctc_loss, ctc_loss_and_grad, lattice, tag_probs
from ctctag.numerics import log_softmax, softmax
from ctctag.reference import (
    collapse,
    ctc_by_enumeration,
    ctc_labellings,
    ctc_paths,
    tag_probs_by_enumeration,
)

pytestmark = pytest.mark.kernel


def cases(count=25):
    rng = np.random.default_rng(1)
    for _ in range(count):
        T, C, L = int(rng.integers(1, 6)), int(rng.integers(2, 5)), int(rng.integers(0, 4))
        blank = int(rng.integers(C))
        labels = [k for k in range(C) if k != blank]
        yield 2 * rng.standard_normal((T, C)), rng.choice(labels, L).tolist(), blank


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 3e-6)])
@pytest.mark.parametrize("kind", ["logits", "log_probs", "probs"])
def test_loss_and_gradient(kind, dtype, tolerance):
    possible = 0
    for logits, target, blank in cases():
        logits = logits.astype(dtype).astype(np.float64)
        inputs = {"logits": lambda x: x, "log_probs": log_softmax, "probs": softmax}[kind](logits).astype(
            dtype
        )
        exact = inputs.astype(np.float64)
        probs = {"logits": softmax, "log_probs": np.exp, "probs": lambda x: x}[kind](exact)
        oracle = ctc_by_enumeration(probs.tolist(), target, blank)
        options = {"blank": blank, "inputs_are": kind, "reduction": "sum"}
        loss, grad = ctc_loss_and_grad(inputs, target, **options)
        assert loss.dtype == grad.dtype == dtype
        assert ctc_loss(inputs, target, **options) == loss
        np.testing.assert_allclose(loss, oracle.loss, rtol=tolerance, atol=tolerance)
        expected = getattr(oracle, f"grad_{kind}")
        np.testing.assert_allclose(grad, expected, rtol=tolerance, atol=tolerance)
        possible += np.isfinite(oracle.loss)
    assert 10 < possible < 25  # both sorts were met


def test_derivative_by_a_probability_of_zero():
    probs = np.array([[0.5, 0.5, 0.0], [0.25, 0.0, 0.75], [0.0, 0.5, 0.5]])
    for target in ([1], [2], [1, 2], [2, 1], []):
        oracle = ctc_by_enumeration(probs.tolist(), target)
        loss, grad = ctc_loss_and_grad(probs, target, inputs_are="probs", reduction="sum")
        np.testing.assert_allclose(loss, oracle.loss, rtol=1e-12)
        np.testing.assert_allclose(grad, oracle.grad_probs, rtol=1e-12, atol=1e-12)


def test_impossible_classes():
    log_probs = np.log(softmax(np.random.default_rng(2).standard_normal((5, 4))))
    log_probs[1, 2] = log_probs[3, 0] = -np.inf
    log_probs = log_softmax(log_probs)
    for target in ([1], [2, 1], [3, 3], []):
        oracle = ctc_by_enumeration(np.exp(log_probs).tolist(), target)
        loss, grad = ctc_loss_and_grad(log_probs, target, inputs_are="log_probs", reduction="sum")
        np.testing.assert_allclose(loss, oracle.loss, rtol=1e-12)
        np.testing.assert_allclose(grad, oracle.grad_log_probs, atol=1e-12)


def test_lattice():
    for logits, target, blank in cases(12):
        oracle = ctc_by_enumeration(softmax(logits).tolist(), target, blank)
        trellis = lattice(logits, target, blank=blank)
        np.testing.assert_allclose(trellis.loss, oracle.loss, rtol=1e-12)
        np.testing.assert_allclose(trellis.class_occupancy, oracle.occupancy, atol=1e-12)


def test_align():
    for logits, target, blank in cases(15):
        log_y = log_softmax(logits)
        spelling = [p for p in ctc_paths(*logits.shape) if collapse(p, blank) == tuple(target)]
        if not spelling:
            continue
        best = max(spelling, key=lambda p: sum(log_y[t, k] for t, k in enumerate(p)))
        for kind, inputs in (("logits", logits), ("log_probs", log_y), ("probs", np.exp(log_y))):
            alignment = align(inputs, target, blank=blank, inputs_are=kind)
            assert alignment.path.tolist() == list(best)
            np.testing.assert_allclose(
                alignment.score, sum(log_y[t, k] for t, k in enumerate(best)), rtol=1e-12
            )
        heard = [
            (int(best[t]), t)
            for t in range(len(best))
            if best[t] != blank and (t == 0 or best[t - 1] != best[t])
        ]
        assert [(k, int(span[0])) for k, span in zip(target, alignment.spans, strict=True)] == heard
        assert all(
            (alignment.path[a : b + 1] == k).all() for (a, b), k in zip(alignment.spans, target, strict=True)
        )


def test_decoding():
    for logits, _, blank in cases(10):
        labellings = ctc_labellings(softmax(logits).tolist(), blank)
        decoded = best_path(logits, blank=blank)
        assert tuple(decoded.labels) == collapse(logits.argmax(axis=1).tolist(), blank)
        np.testing.assert_allclose(decoded.score, np.log(labellings[tuple(decoded.labels)]), rtol=1e-10)
        ranked = sorted(labellings, key=labellings.get, reverse=True)
        found = beam_search(logits, blank=blank, beam_width=500, n_best=4)
        assert [tuple(d.labels) for d in found] == ranked[: len(found)]
        np.testing.assert_allclose(
            [d.score for d in found], np.log([labellings[k] for k in ranked[: len(found)]]), rtol=1e-10
        )


def test_tag_probs():
    for logits, _, blank in cases(10):
        expected = tag_probs_by_enumeration(softmax(logits).tolist(), blank)
        np.testing.assert_allclose(tag_probs(logits), expected, rtol=1e-12)
