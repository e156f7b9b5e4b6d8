"""Optimisers: descent, exact resume, arrays shared in place, bad input."""

import re

import numpy as np
import pytest

from ctctag.exceptions import ParameterError
from ctctag.layers import Dense
from ctctag.optim import SGD, Adam, AdamW, ExponentialMovingAverage, clip_gradient_norm, cosine

pytestmark = pytest.mark.kernel

MAKERS = {
    "sgd": lambda p: SGD(p, 0.05),
    "momentum": lambda p: SGD(p, 0.02, momentum=0.9, nesterov=True),
    "adam": lambda p: Adam(p, 0.05),
    "adamw": lambda p: AdamW(p, 0.05, weight_decay=0.01),
    "scheduled": lambda p: Adam(p, cosine(0.1, 60)),
}
every_optimiser = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def start():
    return {"a": np.array([[3.0, -2.0]], dtype=np.float32), "b": np.array([1.5])}


def gradient(params):
    return {key: 2 * array for key, array in params.items()}  # of the sum of squares


@every_optimiser
def test_finds_the_bottom_of_a_bowl(make):
    params = start()
    arrays = dict(params)
    optimiser = make(params)
    before = sum(float((a**2).sum()) for a in params.values())
    for _ in range(60):
        optimiser.step(gradient(params))
    assert sum(float((a**2).sum()) for a in params.values()) < 0.1 * before
    assert all(params[key] is arrays[key] for key in params)
    assert params["a"].dtype == np.float32


@every_optimiser
def test_resumes_bit_for_bit(make):
    unbroken, broken = start(), start()
    first = make(unbroken)
    for _ in range(20):
        first.step(gradient(unbroken))
    second = make(broken)
    for _ in range(7):
        second.step(gradient(broken))
    state = second.state_dict()
    saved = {key: array.copy() for key, array in broken.items()}
    second.step(gradient(broken))  # what was saved is a copy: this does not touch it
    third = make(resumed_params := saved)
    third.load_state_dict(state)
    for _ in range(13):
        third.step(gradient(resumed_params))
    for key in unbroken:
        np.testing.assert_array_equal(resumed_params[key], unbroken[key])
    assert third.steps == 20


def test_updates_the_arrays_of_a_layer():
    layer = Dense(2, 1)
    before = layer.params["weight"].copy()
    Adam(layer.params).step({key: np.ones_like(a) for key, a in layer.params.items()})
    np.testing.assert_allclose(layer.params["weight"], before - 1e-3, rtol=1e-5)


def test_rate_can_be_changed():
    params = {"a": np.array([0.0])}
    optimiser = SGD(params, 1.0)
    optimiser.lr = 0.25
    optimiser.step({"a": np.array([1.0])})
    assert params["a"] == -0.25


def test_average():
    params = {"a": np.array([1.0])}
    average = ExponentialMovingAverage(params, decay=0.5)
    keeps = [min(0.5, (1 + t) / (10 + t)) for t in (1, 2, 3)]
    wanted = 1.0
    for keep, value in zip(keeps, (2.0, 3.0, 4.0), strict=True):
        params["a"][...] = value
        average.update()
        wanted = keep * wanted + (1 - keep) * value
    np.testing.assert_allclose(average.shadow["a"], wanted, rtol=1e-14)
    other = ExponentialMovingAverage({"a": np.array([0.0])}, decay=0.5)
    other.load_state_dict(average.state_dict())
    assert other.steps == 3
    np.testing.assert_array_equal(other.shadow["a"], average.shadow["a"])
    with average.swapped():
        np.testing.assert_array_equal(params["a"], average.shadow["a"])
    assert params["a"] == 4.0


def test_clipping_leaves_small_gradients_alone():
    grads = {"a": np.array([0.3, 0.4], dtype=np.float32)}
    assert clip_gradient_norm(grads, 1.0) == pytest.approx(0.5)
    np.testing.assert_array_equal(grads["a"], np.array([0.3, 0.4], dtype=np.float32))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Adam({"a": [1.0]}), "params['a'] must be a float32 or float64 array, got [1.0]"),
        (lambda: Adam({"a": np.zeros(2, int)}), "params['a'] must be a float32 or float64 array, got array("),
        (
            lambda: Adam({"a": np.zeros((2, 2)).T[:1]}),
            "params['a'] must be contiguous and writable, to change it in place",
        ),
        (lambda: Adam(start(), -1), "lr must be at least 0, got -1"),
        (lambda: Adam(start(), betas=0.9), "betas must be two numbers, got 0.9"),
        (lambda: Adam(start(), betas=(0.9, 1)), "betas must be at least 0 and below 1, got 1"),
        (lambda: SGD(start(), nesterov=True), "nesterov needs a momentum above 0"),
        (
            lambda: Adam(start()).step({}),
            "grads must have the names of the parameters, but only one has ['a', 'b']",
        ),
        (
            lambda: Adam({"a": np.zeros(2)}).step({"a": np.zeros(3)}),
            "grads['a'] must have shape (2,), got (3,)",
        ),
        (
            lambda: Adam({"a": np.zeros(2)}).load_state_dict({"steps": 1}),
            "state must have the names of this optimiser, but only one has ['mean.a', 'square.a']",
        ),
        (
            lambda: SGD({"a": np.zeros(2)}).load_state_dict({"steps": 1, "velocity.a": np.zeros(3)}),
            "state['velocity.a'] must have shape (2,), got (3,)",
        ),
        (
            lambda: ExponentialMovingAverage({"a": np.zeros(2)}).load_state_dict({"steps": 1}),
            "state must have the names of this average, but only one has ['shadow.a']",
        ),
        (
            lambda: clip_gradient_norm({"a": np.array([np.nan])}, 1),
            "grads['a'] holds NaN or infinity, so they cannot be clipped (is the learning rate too high?)",
        ),
        (lambda: clip_gradient_norm({}, 0), "max_norm must be above 0, got 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        call()


def test_a_refused_step_changes_nothing():
    params = start()
    optimiser = Adam(params)
    with pytest.raises(ParameterError):
        optimiser.step({"a": np.zeros((1, 2)), "b": np.zeros(2)})
    assert optimiser.steps == 0
    for key, array in start().items():
        np.testing.assert_array_equal(params[key], array)
