import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctctag.data import (
    Event,
    read_folds,
    read_sequential,
    read_strong,
    read_weak,
    write_folds,
    write_sequential,
    write_strong,
    write_weak,
)
from ctctag.exceptions import DataError

CLASSES = ("cough", "knock", "speech")

names = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\t\r\n,;\0"), min_size=1
).filter(lambda name: name == name.strip() and not name.startswith("\ufeff"))
seconds = st.floats(0, 1e6, allow_nan=False)
spans = st.tuples(seconds, seconds).map(sorted)
events = st.builds(lambda label, span: Event(label, *span), names, spans)


def written_and_read(write, read, labels):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.tsv"
        write(path, labels)
        return read(path)


@given(st.dictionaries(names, st.lists(events, max_size=3), max_size=4))
def test_strong_labels_come_back_as_they_were_written(labels):
    expected = {name: sorted(of, key=lambda event: event.onset) for name, of in labels.items()}
    assert written_and_read(write_strong, read_strong, labels) == expected


@given(st.dictionaries(names, st.lists(names, max_size=4), max_size=4))
def test_sequential_labels_come_back_as_they_were_written(labels):
    assert written_and_read(write_sequential, read_sequential, labels) == labels


@given(st.dictionaries(names, st.sets(names, max_size=4), max_size=4))
def test_weak_labels_come_back_sorted(labels):
    expected = {name: sorted(tags) for name, tags in labels.items()}
    assert written_and_read(write_weak, read_weak, labels) == expected


@given(st.dictionaries(names, st.integers(1, 99), max_size=4))
def test_folds_come_back_as_they_were_written(folds):
    assert written_and_read(write_folds, read_folds, folds) == folds


def test_the_files_are_those_of_the_documentation(tmp_path):
    strong = {"a.wav": [Event("cough", 0.5, 1.25), Event("knock", 2.0, 2.5)], "b.wav": []}
    write_strong(tmp_path / "strong.tsv", strong)
    write_sequential(tmp_path / "sequential.tsv", {"a.wav": ["cough", "knock"], "b.wav": []})
    assert (tmp_path / "strong.tsv").read_bytes() == (
        b"filename\tonset\toffset\tevent_label\na.wav\t0.5\t1.25\tcough\na.wav\t2.0\t2.5\tknock\nb.wav\t\t\t\n"
    )
    assert (tmp_path / "sequential.tsv").read_bytes() == (
        b"filename\tevent_sequence\na.wav\tcough,knock\nb.wav\t\n"
    )


def test_byte_order_mark_windows_line_ends_and_blank_lines_are_tolerated(text):
    path = text("s.tsv", b"\xef\xbb\xbffilename\tevent_sequence\r\n\r\na.wav\tknock,cough\r\nb.wav\t\r\n\r\n")
    assert read_sequential(path, CLASSES) == {"a.wav": ["knock", "cough"], "b.wav": []}


def test_columns_may_come_in_any_order_and_be_more(text):
    path = text("s.tsv", "event_sequence\tnote\tfilename\nknock\tloud, twice\ta.wav\n")
    assert read_sequential(path) == {"a.wav": ["knock"]}


def test_stripped_trailing_fields_are_empty(text):
    path = text("strong.tsv", "filename\tonset\toffset\tevent_label\na.wav\n")
    assert read_strong(path) == {"a.wav": []}


def test_weak_labels_may_be_joined_by_semicolons(text):
    path = text("weak.tsv", "filename\tevent_labels\na.wav\tspeech;cough\nb.wav\tspeech, cough\n")
    assert read_weak(path, CLASSES) == {"a.wav": ["cough", "speech"], "b.wav": ["cough", "speech"]}


def test_strong_events_are_sorted_by_onset(text):
    path = text(
        "strong.tsv", "filename\tonset\toffset\tevent_label\na.wav\t2\t3\tknock\na.wav\t0\t9\tcough\n"
    )
    assert [event.label for event in read_strong(path)["a.wav"]] == ["cough", "knock"]


SEQUENTIAL = "filename\tevent_sequence\n"
STRONG = "filename\tonset\toffset\tevent_label\n"


@pytest.mark.parametrize(
    ("reader", "content", "message"),
    [
        (
            read_sequential,
            "filename event_sequence\na.wav cough\n",
            ", line 1: expected tab-separated columns 'filename', 'event_sequence', but 'filename', "
            "'event_sequence' are missing in 'filename event_sequence' (spaces for tabs?)",
        ),
        (
            read_sequential,
            SEQUENTIAL + "a.wav cough,knock\n",
            ", line 2: expected 2 tab-separated fields, got 1 in 'a.wav cough,knock' (spaces for tabs?)",
        ),
        (
            read_sequential,
            "filename,event_sequence\na.wav,cough\n",
            ", line 1: expected tab-separated columns 'filename', 'event_sequence', but 'filename', "
            "'event_sequence' are missing in 'filename,event_sequence' (commas for tabs?)",
        ),
        (
            read_strong,
            "a.wav\t0\t1\tcough\n",
            ", line 1: expected tab-separated columns 'filename', 'onset', 'offset', 'event_label', but "
            "'filename', 'onset', 'offset', 'event_label' are missing in 'a.wav\\t0\\t1\\tcough' "
            "(no header row?)",
        ),
        (
            read_strong,
            "filename\tonset\tevent_label\na.wav\t0\tcough\n",
            ", line 1: expected tab-separated columns 'filename', 'onset', 'offset', 'event_label', but "
            "'offset' is missing in 'filename\\tonset\\tevent_label'",
        ),
        (
            read_sequential,
            SEQUENTIAL + "a.wav\tcough\tknock\n",
            ", line 2: expected 2 tab-separated fields, got 3 in 'a.wav\\tcough\\tknock'",
        ),
        (
            read_sequential,
            "filename\tfilename\tevent_sequence\n",
            ", line 1: column 'filename' is there twice",
        ),
        (
            read_sequential,
            SEQUENTIAL + "a.wav\tcough\n\nb.wav\t\na.wav\tknock\n",
            ", line 5: filename 'a.wav' is there twice (first in line 2)",
        ),
        (read_weak, "filename\tevent_labels\n\tcough\n", ", line 2: the filename is missing"),
        (
            read_sequential,
            SEQUENTIAL + "a.wav\tcough,speach\n",
            ", line 2: label 'speach' is not one of the 3 classes (did you mean 'speech'?)",
        ),
        (
            read_sequential,
            SEQUENTIAL + "a.wav\tcough,,knock\n",
            ", line 2: a label is empty (a comma too many?)",
        ),
        (
            read_strong,
            STRONG + "a.wav\t0.5\t1.0\tCough\n",
            ", line 2: label 'Cough' is not one of the 3 classes (did you mean 'cough'?)",
        ),
        (
            read_strong,
            STRONG + "a.wav\t2.5\t1.5\tcough\n",
            ", line 2: onset 2.5 s is after offset 1.5 s (columns swapped, or a duration in place "
            "of the offset?)",
        ),
        (
            read_strong,
            STRONG + "a.wav\thalf\t1.5\tcough\n",
            ", line 2: onset must be a number of seconds, got 'half'",
        ),
        (
            read_strong,
            STRONG + "a.wav\t0.5\t1,5\tcough\n",
            ", line 2: offset must be a number of seconds, got '1,5' (a decimal comma?)",
        ),
        (
            read_strong,
            STRONG + "a.wav\t0.5\tnan\tcough\n",
            ", line 2: offset must be a number of seconds of at least 0, got 'nan'",
        ),
        (
            read_strong,
            STRONG + "a.wav\t-1\t1\tcough\n",
            ", line 2: onset must be a number of seconds of at least 0, got '-1'",
        ),
        (read_strong, STRONG + "a.wav\t0\t1\t\n", ", line 2: a label is empty (a comma too many?)"),
        (
            read_strong,
            STRONG + "a.wav\t0\t1\tcough\na.wav\t\t\t\n",
            ", line 3: 'a.wav' has events, but also a row without any (line 3)",
        ),
        (read_sequential, "", ": is empty, but a header row 'filename', 'event_sequence' was expected"),
        (
            read_sequential,
            SEQUENTIAL.encode() + b"a.wav\tcough\nb\xe9.wav\tcough\n",
            ", line 3: is not UTF-8 (byte 0xe9); save the file as UTF-8",
        ),
    ],
)
def test_bad_input_is_named_by_path_and_line(text, reader, content, message):
    path = text("labels.tsv", content)
    with pytest.raises(DataError, match="^" + re.escape(f"{path}{message}") + "$"):
        reader(path, CLASSES)


@pytest.mark.parametrize("fold", ["0", "-1", "1.5", "one", ""])
def test_a_fold_is_a_number_from_one_on(text, fold):
    path = text("folds.tsv", f"filename\tfold\na.wav\t{fold}\n")
    with pytest.raises(
        DataError, match=re.escape(f"{path}, line 2: fold must be a whole number of at least 1, got {fold!r}")
    ):
        read_folds(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'no.tsv'}: cannot be read (No such file")):
        read_strong(tmp_path / "no.tsv")


@pytest.mark.parametrize("label", ["", "a,b", "a;b", " a"])
def test_a_label_that_cannot_be_read_back_is_not_written(tmp_path, label):
    path = tmp_path / "sequential.tsv"
    with pytest.raises(DataError, match=re.escape(f"{path}: label {label!r} cannot be written")):
        write_sequential(path, {"a.wav": [label]})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "folds.tsv"
    write_folds(path, {"a.wav": 1})
    with pytest.raises(DataError, match=re.escape(f"{path}, row 1: filename 'b\\t.wav' holds a tab")):
        write_folds(path, {"a.wav": 2, "b\t.wav": 2})
    assert read_folds(path) == {"a.wav": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["folds.tsv"]
