import re
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctctag.exceptions import ParameterError
from ctctag.metrics import edit_counts, exact_sequence_rate, order_accuracy, sequence_error_rate

LABELS = st.lists(st.sampled_from("abc"), max_size=6)
CLIPS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=8)


def shortest_edits(reference, hypothesis):
    """Try every edit at every place; of the shortest ways, the one with most substitutions."""

    @cache
    def best(i, j):
        if i == len(reference) and j == len(hypothesis):
            return 0, 0, 0, 0  # edits, minus substitutions, deletions, insertions
        ways = []
        if i < len(reference) and j < len(hypothesis):
            n, s, d, k = best(i + 1, j + 1)
            wrong = reference[i] != hypothesis[j]
            ways.append((n + wrong, s - wrong, d, k))
        if i < len(reference):
            n, s, d, k = best(i + 1, j)
            ways.append((n + 1, s, d + 1, k))
        if j < len(hypothesis):
            n, s, d, k = best(i, j + 1)
            ways.append((n + 1, s, d, k + 1))
        return min(ways)

    _, substitutions, deletions, insertions = best(0, 0)
    return -substitutions, deletions, insertions


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("", "", (0, 0, 0)),
        ("abc", "abc", (0, 0, 0)),
        ("abc", "", (0, 3, 0)),
        ("", "abc", (0, 0, 3)),
        ("abc", "axc", (1, 0, 0)),
        ("abc", "ac", (0, 1, 0)),
        ("ac", "abc", (0, 0, 1)),
        ("ab", "ba", (2, 0, 0)),
        ("aab", "ab", (0, 1, 0)),
        ("kitten", "sitting", (2, 0, 1)),
        ("abcdef", "badcfe", (2, 1, 1)),
        ("abcd", "bcda", (0, 1, 1)),
    ],
)
def test_known_edits(reference, hypothesis, expected):
    assert edit_counts(reference, hypothesis) == expected


@given(reference=LABELS, hypothesis=LABELS)
@settings(max_examples=200, deadline=None)
def test_edits_are_the_shortest(reference, hypothesis):
    counts = edit_counts(reference, hypothesis)
    assert counts == shortest_edits(tuple(reference), tuple(hypothesis))
    substitutions, deletions, insertions = counts
    assert edit_counts(hypothesis, reference) == (substitutions, insertions, deletions)
    assert edit_counts(reference[::-1], hypothesis[::-1]) == counts
    assert edit_counts([*reference, "z"], [*hypothesis, "z"]) == counts


@given(clips=CLIPS)
@settings(max_examples=60, deadline=None)
def test_error_rate_sums_the_clips(clips):
    references, hypotheses = zip(*clips, strict=True)
    each = np.array([shortest_edits(tuple(r), tuple(h)) for r, h in clips])
    result = sequence_error_rate(references, hypotheses)
    assert (result.substitutions, result.deletions, result.insertions) == tuple(each.sum(axis=0))
    assert result.n_reference == sum(map(len, references))
    assert result.rate == each.sum() / max(result.n_reference, 1)
    perfect = sequence_error_rate(references, references)
    assert (perfect.rate, perfect.substitutions, perfect.deletions, perfect.insertions) == (0, 0, 0, 0)
    assert exact_sequence_rate(references, hypotheses) == np.mean(~each.any(axis=1))


def test_labels_may_be_numbers_names_or_arrays():
    assert edit_counts(np.array([3, 1]), [3, 2]) == (1, 0, 0)
    assert sequence_error_rate([np.array([0, 1])], [(0, 1)]).rate == 0
    assert exact_sequence_rate([np.array([0, 1])], [[0, 1]]) == 1
    assert order_accuracy([np.array([0, 1])], [[0, 1]]) == 1


def test_no_clip_and_no_label():
    assert sequence_error_rate([], []).rate == 0
    assert sequence_error_rate([[]], [["a", "b"]]).rate == 2
    assert np.isnan(order_accuracy([], []))
    assert np.isnan(order_accuracy([["a"]], [["a"]]))


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("abc", "abc", 1.0),
        ("abc", "cba", 0.0),
        ("abc", "acb", 2 / 3),
        ("abcd", "da", 0.0),  # only (a, d) is in both
        ("aba", "aab", 0.5),  # of (a1, b), (b, a2) the second is turned round; (a1, a2) does not count
        ("aab", "ab", 1.0),  # the second a has no partner
        ("ab", "aab", 1.0),
        ("aa", "aa", float("nan")),
        ("ab", "cd", float("nan")),
    ],
)
def test_order_of_pairs(reference, hypothesis, expected):
    np.testing.assert_equal(order_accuracy([list(reference)], [list(hypothesis)]), expected)


@given(clips=CLIPS)
@settings(max_examples=60, deadline=None)
def test_order_accuracy_counts_the_pairs(clips):
    right = total = 0
    for reference, hypothesis in clips:
        matched = [
            (label, k)
            for label in set(reference)
            for k in range(min(reference.count(label), hypothesis.count(label)))
        ]

        def place(sequence, occurrence):
            return [i for i, label in enumerate(sequence) if label == occurrence[0]][occurrence[1]]

        for one, other in combinations(matched, 2):
            if one[0] != other[0]:
                total += 1
                right += (place(reference, one) < place(reference, other)) == (
                    place(hypothesis, one) < place(hypothesis, other)
                )
    references, hypotheses = zip(*clips, strict=True)
    np.testing.assert_equal(order_accuracy(references, hypotheses), right / total if total else float("nan"))
    np.testing.assert_equal(order_accuracy(hypotheses, references), right / total if total else float("nan"))


@pytest.mark.parametrize("metric", [sequence_error_rate, exact_sequence_rate, order_accuracy])
def test_bad_input(metric):
    with pytest.raises(ParameterError, match="must have one sequence a clip, got 1 and 2"):
        metric([["a"]], [["a"], ["b"]])
    with pytest.raises(
        ParameterError,
        match=re.escape(
            "references[1] must be a sequence of labels, got 'a,b' (split a text at its commas first)"
        ),
    ):
        metric([["a"], "a,b"], [["a"], ["b"]])
    with pytest.raises(ParameterError, match=re.escape("hypotheses[0] must be a sequence of labels, got 3")):
        metric([["a"]], [3])


def test_rate_of_no_clips():
    with pytest.raises(ParameterError, match="references is empty, but a rate needs at least one clip"):
        exact_sequence_rate([], [])
