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


@given(st.floats(0, 1000), st.floats(0, 0.9e-6))
def test_onsets_closer_than_a_microsecond_are_a_tie(onset, gap):
    events = [Event("knock", onset + gap, 2000.0), Event("speech", onset, 2000.0)]
    message = f"a.wav: knock, speech begin together at {onset:g} s, so their order is unknown"
    with pytest.raises(TieError, match="^" + re.escape(message)):
        strong_to_sequential({"a.wav": events})
    assert strong_to_sequential({"a.wav": events}, ties="alphabetical") == {"a.wav": ["knock", "speech"]}


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_whole_microseconds_apart_is_no_tie(microsecond, gap):
    onset, later = (
        float(f"{whole // 10**6}.{whole % 10**6:06}") for whole in (microsecond, microsecond + gap)
    )
    events = [Event("knock", later, 2000.0), Event("speech", onset, 2000.0)]
    assert strong_to_sequential({"a.wav": events}) == {"a.wav": ["speech", "knock"]}


def test_sums_of_decimals_tie():
    events = [Event("knock", 0.1 + 0.2, 1.0), Event("speech", 0.3, 1.0)]
    with pytest.raises(TieError, match=re.escape("a.wav: knock, speech begin together at 0.3 s")):
        strong_to_sequential({"a.wav": events})


def test_a_chain_of_close_onsets_is_one_tie():
    events = [Event(label, 1 + place * 0.6e-6, 2.0) for place, label in enumerate("cab")]
    assert strong_to_sequential({"a.wav": events}, ties="alphabetical") == {"a.wav": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("convert", "labels", "message"),
    [
        (strong_to_sequential, [Event(1, 0.0, 1.0)], "a\\x1b.wav: label 1 is no text but int (str() first)"),
        (
            strong_to_weak,
            [Event(b"x", 0.0, 1.0)],
            "a\\x1b.wav: label b'x' is no text but bytes (str() first)",
        ),
        (sequential_to_weak, ["x", 1], "a\\x1b.wav: label 1 is no text but int (str() first)"),
        (sequential_to_weak, "knock", "a\\x1b.wav: expected a list of labels, got 'knock'"),
        (
            strong_to_sequential,
            [("x", 0, 1)],
            "a\\x1b.wav: expected events, got ('x', 0, 1) (wrap it in Event)",
        ),
        (
            strong_to_sequential,
            [Event("x", float("nan"), 1.0)],
            "a\\x1b.wav: onset must be a number of seconds",
        ),
    ],
)
def test_labels_of_another_kind_are_refused(convert, labels, message):
    with pytest.raises(DataError, match="^" + re.escape(message)):
        convert({"a\x1b.wav": labels})


def test_equal_labels_at_one_onset_are_no_tie():
    events = [Event("knock", 1.0, 2.0), Event("knock", 1.0, 3.0), Event("cough", 0.0, 1.0)]
    assert strong_to_sequential({"a.wav": events}) == {"a.wav": ["cough", "knock", "knock"]}


def test_another_way_with_ties_is_refused():
    message = "ties must be one of 'raise', 'alphabetical', 'drop', got 'first'"
    with pytest.raises(ParameterError, match=re.escape(message)):
        strong_to_sequential({}, ties="first")
