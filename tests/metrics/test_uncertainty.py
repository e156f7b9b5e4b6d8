import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctctag.exceptions import ParameterError
from ctctag.metrics import (
    auc,
    bootstrap_interval,
    compare_systems,
    exact_sequence_rate,
    order_accuracy,
    sequence_error_rate,
)


def share(truth, answers):
    return float(np.mean(np.asarray(truth) == np.asarray(answers)))


def test_interval_of_a_mean_is_the_textbooks():
    values = np.random.default_rng(0).standard_normal(400)
    interval = bootstrap_interval(np.mean, values, n_resamples=2000, seed=1)
    margin = 1.96 * values.std() / 20
    np.testing.assert_allclose(
        [interval.low, interval.high], values.mean() + np.array([-margin, margin]), atol=0.01
    )
    assert interval.value == values.mean()
    assert (interval.confidence, interval.n_resamples) == (0.95, 2000)


def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(150):
        interval = bootstrap_interval(
            np.mean, rng.standard_normal(60) + 3, n_resamples=200, confidence=0.8, seed=trial
        )
        covered += interval.low <= 3 <= interval.high
    assert 0.68 <= covered / 150 <= 0.9  # 0.8, four standard errors either way


def test_one_seed_one_interval():
    truth = np.arange(30) % 2
    answers = truth.copy()
    answers[:5] ^= 1
    first = bootstrap_interval(share, truth, answers, n_resamples=50, seed=3)
    assert bootstrap_interval(share, truth, answers, n_resamples=50, seed=3) == first
    assert bootstrap_interval(share, truth, answers, n_resamples=50, seed=4) != first
    assert first.low <= first.value <= first.high


def test_clips_stay_together():
    """Truth and answers of one clip are drawn together, arrays and lists alike."""
    truth = np.arange(20)
    assert bootstrap_interval(share, truth, list(range(20)), n_resamples=20).low == 1


def test_undefined_resamples_are_left_out():
    truth = np.zeros((6, 1))
    truth[0] = 1  # often not drawn
    interval = bootstrap_interval(
        lambda t, s: auc(t, s).mean, truth, np.arange(6)[:, None], n_resamples=200, seed=0
    )
    assert 0 < interval.n_resamples < 200
    assert np.isfinite([interval.low, interval.high]).all()
    nothing = bootstrap_interval(lambda t: float("nan"), truth, n_resamples=5)
    assert nothing.n_resamples == 0
    assert np.isnan([nothing.low, nothing.high]).all()


@pytest.mark.parametrize("worst", [np.inf, -np.inf])
def test_an_end_among_infinite_resamples_is_infinite(worst):
    """One clip of 20 is infinite and drawn in two resamples of three; every mean with it is infinite."""
    values = np.append(np.random.default_rng(0).standard_normal(19), worst)
    interval = bootstrap_interval(np.mean, values, n_resamples=200)
    ends = {interval.low, interval.high}
    assert worst in ends
    assert sum(map(np.isfinite, ends)) == 1
    assert interval.n_resamples == 200


@given(
    st.lists(st.floats(-9, 9) | st.sampled_from([np.inf, -np.inf, np.nan]), min_size=1, max_size=40),
    st.floats(0.01, 0.99),
)
def test_ends_are_those_of_the_order_statistics(drawn, confidence):
    values = iter([0.0, *drawn])
    interval = bootstrap_interval(lambda _: next(values), [1], n_resamples=len(drawn), confidence=confidence)
    defined = np.sort([value for value in drawn if not np.isnan(value)])
    assert interval.n_resamples == len(defined)
    if not len(defined):
        assert np.isnan([interval.low, interval.high]).all()
        return
    for end, share in ((interval.low, (1 - confidence) / 2), (interval.high, (1 + confidence) / 2)):
        place = share * (len(defined) - 1)
        below, above = defined[int(np.floor(place))], defined[int(np.ceil(place))]
        if np.isfinite([below, above]).all():
            assert end == pytest.approx(below + (above - below) * (place % 1), abs=1e-9)
        else:
            assert end in (below, above)
            if abs(place % 1 - 0.5) > 1e-6:
                assert end == (above if place % 1 > 0.5 else below)
    assert interval.low <= interval.high


def test_one_infinite_resample_of_many_moves_no_end():
    values = iter([0.5, *np.linspace(0, 1, 99), np.inf])
    interval = bootstrap_interval(lambda _: next(values), [1], n_resamples=100, confidence=0.9)
    assert interval.high == pytest.approx(94.05 / 98)


def test_an_undefined_difference_is_not_significant():
    truth = [["a"]] * 20  # one label each: no pair whose order could be right
    comparison = compare_systems(order_accuracy, truth, [["a"]] * 20, [["b"]] * 20, n_resamples=20)
    assert np.isnan([comparison.difference, comparison.p_value, comparison.low, comparison.high]).all()


def test_two_infinite_scores_have_no_difference():
    comparison = compare_systems(lambda t, x: np.inf, [1] * 5, [1] * 5, [0] * 5, n_resamples=20)
    assert np.isnan([comparison.difference, comparison.p_value]).all()


def test_an_infinite_difference_of_one_clip_is_not_significant():
    """Exchanging answers turns it round as often as not: it is never larger than before."""
    a = np.append(np.zeros(9), np.inf)
    comparison = compare_systems(
        lambda t, x: float(np.mean(x)), np.zeros(10), a, np.zeros(10), n_resamples=99
    )
    assert comparison.difference == np.inf
    assert comparison.p_value == 1
    assert (comparison.low, comparison.high) == (0, np.inf)


def test_undefined_exchanges_are_left_out():
    """A system with both 8 and 9 has no score, so half of the exchanges have no difference."""

    def mean(truth, answers):
        return float("nan") if 9 in answers and 8 in answers else float(np.mean(answers))

    a, b = np.array([9.0, 1, 1, -1, 1, -1, 1]), np.array([0.0, 8, 0, 0, 0, 0, 0])
    comparison = compare_systems(mean, np.zeros(7), a, b, n_resamples=4000)
    every = []
    for bits in range(128):
        exchanged = np.array([bits >> i & 1 for i in range(7)], bool)
        every.append(mean(0, np.where(exchanged, b, a)) - mean(0, np.where(exchanged, a, b)))
    every = np.array(every)
    exact = np.mean(np.abs(every[~np.isnan(every)]) >= abs(comparison.difference) - 1e-12)
    assert np.isnan(every).sum() == 64
    assert comparison.p_value == pytest.approx(exact, abs=0.04)


def test_sequences_may_be_compared():
    truth = [["a", "b"]] * 40
    good = [["a", "b"]] * 38 + [["a"]] * 2
    poor = [["a", "b"]] * 20 + [["b"]] * 20

    def rate(references, hypotheses):
        return sequence_error_rate(references, hypotheses).rate

    comparison = compare_systems(rate, truth, good, poor, n_resamples=200)
    assert comparison.difference == pytest.approx(2 / 80 - 20 / 80)
    assert comparison.low < comparison.difference < comparison.high < 0
    assert comparison.p_value == 1 / 201
    other_way = compare_systems(rate, truth, poor, good, n_resamples=200)
    assert other_way.difference == -comparison.difference
    assert other_way.p_value == comparison.p_value


def test_equal_systems_differ_by_nothing():
    truth = np.arange(20)
    comparison = compare_systems(share, truth, truth, truth, n_resamples=20)
    assert (comparison.difference, comparison.low, comparison.high, comparison.p_value) == (0, 0, 0, 1)


def test_p_values_of_equally_good_systems_are_uniform():
    rng = np.random.default_rng(5)
    truth = np.ones(40)
    p_values = [
        compare_systems(
            share, truth, rng.integers(0, 2, 40), rng.integers(0, 2, 40), n_resamples=60, seed=trial
        ).p_value
        for trial in range(120)
    ]
    assert np.mean(np.array(p_values) <= 0.2) <= 0.35  # 0.2 and four standard errors
    assert 0.35 <= np.mean(p_values) <= 0.75


def test_permutation_test_equals_all_exchanges():
    truth, a, b = np.ones(6), np.array([1, 1, 1, 1, 1, 0]), np.array([0, 1, 0, 1, 0, 1])
    every = []
    for bits in range(64):
        exchanged = np.array([bits >> i & 1 for i in range(6)], bool)
        every.append(share(truth, np.where(exchanged, b, a)) - share(truth, np.where(exchanged, a, b)))
    exact = np.mean(np.abs(every) >= abs(share(truth, a) - share(truth, b)) - 1e-12)
    comparison = compare_systems(share, truth, a, b, n_resamples=3000)
    np.testing.assert_allclose(comparison.p_value, exact, atol=0.04)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval(np.mean), "clips must hold at least one clip to draw from"),
        (lambda: bootstrap_interval(np.mean, []), "clips must hold at least one clip to draw from"),
        (
            lambda: bootstrap_interval(exact_sequence_rate, [["a"]], [["a"], ["b"]]),
            "every argument needs one entry a clip, got 1, 2 entries",
        ),
        (lambda: bootstrap_interval(np.mean, [1], n_resamples=0), "n_resamples must be at least 1, got 0"),
        (
            lambda: bootstrap_interval(np.mean, [1], confidence=1),
            "confidence must be above 0 and below 1, got 1",
        ),
        (
            lambda: compare_systems(share, [1], [1], [1, 0]),
            "every argument needs one entry a clip, got 1, 1, 2",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        call()
