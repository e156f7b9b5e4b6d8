import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctctag.data import Event, TieError, sequential_to_weak, strong_to_sequential, strong_to_weak
from ctctag.exceptions import DataError, ParameterError

labels = st.sampled_from("abc")
onsets = st.integers(0, 5).map(float)
clips = st.lists(st.builds(lambda label, onset: Event(label, onset, onset + 1), labels, onsets), max_size=6)


@given(clips)
def test_order_is_that_of_the_onsets(events):
    try:
        (sequence,) = strong_to_sequential({"a": events}).values()
    except TieError:
        tied = {(x.onset) for x in events for y in events if x.onset == y.onset and x.label != y.label}
        assert tied
        return
    assert sequence == [event.label for event in sorted(events, key=lambda event: event.onset)]


@given(clips)
def test_both_ways_to_weak_labels_agree(events):
    strong = {"a": events}
    assert strong_to_weak(strong) == sequential_to_weak(strong_to_sequential(strong, ties="alphabetical"))


TIED = {
    "a.wav": [Event("knock", 0.0, 1.0)],
    "b.wav": [Event("speech", 1.5, 2.0), Event("knock", 1.5, 3.0), Event("cough", 0.5, 1.0)],
    "c.wav": [Event("speech", 0.0, 2.0), Event("cough", 0.0, 3.0)],
}


def test_a_tie_is_reported_with_clip_labels_and_onset():
    message = (
        "b.wav: knock, speech begin together at 1.5 s, so their order is unknown (ties='alphabetical' or "
        "ties='drop' settles it; 1 further clips have ties)"
    )
    with pytest.raises(TieError, match="^" + re.escape(message) + "$"):
        strong_to_sequential(TIED)
    assert issubclass(TieError, DataError)


def test_a_tie_can_be_settled_by_the_alphabet_or_dropped():
    assert strong_to_sequential(TIED, ties="alphabetical") == {
        "a.wav": ["knock"],
        "b.wav": ["cough", "knock", "speech"],
        "c.wav": ["cough", "speech"],
    }
    assert strong_to_sequential(TIED, ties="drop") == {"a.wav": ["knock"]}


def test_equal_labels_at_one_onset_are_no_tie():
    events = [Event("knock", 1.0, 2.0), Event("knock", 1.0, 3.0), Event("cough", 0.0, 1.0)]
    assert strong_to_sequential({"a.wav": events}) == {"a.wav": ["cough", "knock", "knock"]}


def test_another_way_with_ties_is_refused():
    message = "ties must be one of 'raise', 'alphabetical', 'drop', got 'first'"
    with pytest.raises(ParameterError, match=re.escape(message)):
        strong_to_sequential({}, ties="first")
