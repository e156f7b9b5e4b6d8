"""CTC's textbook: enumeration, plain recursion and NumPy agree, and keep the laws."""

import math

import numpy as np
import pytest

from ctctag.numerics import softmax
from ctctag.reference import (
    best_labelling,
    collapse,
    ctc_alpha,
    ctc_beta,
    ctc_by_enumeration,
    ctc_labellings,
    ctc_lattice_numpy,
    ctc_log_alpha,
    ctc_log_beta,
    ctc_loss_and_grad_numpy,
    ctc_loss_and_grad_plain,
    ctc_occupancy,
)

PROBS = softmax(np.random.default_rng(0).standard_normal((5, 3))).tolist()
TARGETS = [[], [1], [1, 1], [2, 1], [1, 2, 1], [1, 1, 1], [2, 2, 2, 2]]


def test_labellings_sum_to_one():
    assert math.fsum(ctc_labellings(PROBS).values()) == pytest.approx(1, rel=1e-14)
    assert best_labelling(PROBS)[1] == max(ctc_labellings(PROBS).values())
    assert collapse([0, 0]) == ()


@pytest.mark.parametrize("target", TARGETS)
def test_rungs_agree(target):
    oracle = ctc_by_enumeration(PROBS, target)
    alpha, beta = ctc_alpha(PROBS, target), ctc_beta(PROBS, target)
    for a, b in zip(alpha, beta, strict=True):  # P at every frame: each emission is counted once
        assert sum(p * q for p, q in zip(a, b, strict=True)) == pytest.approx(oracle.probability, abs=1e-15)
    log_probs = np.log(PROBS)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(ctc_log_alpha(log_probs, target), np.log(alpha), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(ctc_log_beta(log_probs, target), np.log(beta), rtol=1e-12, atol=1e-13)
        log_alpha, log_beta, states = ctc_lattice_numpy(log_probs, target)
        np.testing.assert_allclose(log_alpha, np.log(alpha), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(log_beta, np.log(beta), rtol=1e-12, atol=1e-13)
    occupancy = np.array(ctc_occupancy(alpha, beta))
    by_class = np.zeros((5, 3))
    np.add.at(by_class, (slice(None), states), occupancy)
    np.testing.assert_allclose(by_class, oracle.occupancy, atol=1e-14)
    for loss, grad in (
        ctc_loss_and_grad_plain(log_probs.tolist(), target),
        ctc_loss_and_grad_numpy(log_probs, target),
    ):
        assert loss == pytest.approx(oracle.loss, rel=1e-12)
        np.testing.assert_allclose(grad, oracle.grad_log_probs, atol=1e-13)


def test_gradients_of_the_oracle_by_difference():
    probs = np.array(PROBS)
    oracle = ctc_by_enumeration(PROBS, [2, 1])
    for t, k in ((0, 0), (2, 1), (4, 2)):
        step = np.zeros_like(probs)
        step[t, k] = 1e-6
        up, down = (ctc_by_enumeration((probs + d).tolist(), [2, 1]).loss for d in (step, -step))
        assert (up - down) / 2e-6 == pytest.approx(oracle.grad_probs[t][k], rel=1e-7)


def test_closed_forms():
    half = math.log(0.5)
    loss, _ = ctc_loss_and_grad_plain([[half, half]] * 7, [])  # all blank
    assert loss == pytest.approx(7 * math.log(2))
    loss, _ = ctc_loss_and_grad_plain([[half, half]] * 7, [1])  # one run of ones, anywhere: 7 · 8 / 2 paths
    assert math.exp(-loss) == pytest.approx(28 / 2**7)
