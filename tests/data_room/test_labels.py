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
SEQUENTIAL = "filename\tevent_sequence\n"
STRONG = "filename\tonset\toffset\tevent_label\n"

# Nasty ones, too: quotes, control characters, byte-order marks, what other code takes for a line end.
marks = st.text(st.sampled_from("\"'ab \x1b\x85\u2028\ufeff=#"), min_size=1)
names = (
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\t\r\n,;\0"), min_size=1) | marks
).filter(lambda name: name == name.strip())
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
    expected = {name: sorted(dict.fromkeys(of), key=lambda event: event.onset) for name, of in labels.items()}
    assert written_and_read(write_strong, read_strong, labels) == expected


@given(st.dictionaries(names, st.lists(names, max_size=4), max_size=4))
def test_sequential_labels_come_back_as_they_were_written(labels):
    assert written_and_read(write_sequential, read_sequential, labels) == labels


@given(st.dictionaries(names, st.sets(names, max_size=4), max_size=4))
def test_weak_labels_come_back_sorted(labels):
    expected = {name: sorted(tags) for name, tags in labels.items()}
    assert written_and_read(write_weak, read_weak, labels) == expected


@given(st.dictionaries(names, st.lists(events, min_size=1, max_size=3), min_size=1, max_size=3), st.data())
def test_the_same_row_twice_is_one_event(labels, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "strong.tsv"
        write_strong(path, labels)
        expected = read_strong(path)
        header, *rows = path.read_bytes().removesuffix(b"\n").split(b"\n")
        again = data.draw(st.lists(st.sampled_from(rows), max_size=4))
        path.write_bytes(b"\n".join([header, *rows, *again]))
        assert read_strong(path) == expected
        assert sum(map(len, expected.values())) == len(set(rows))


@given(st.dictionaries(names, st.integers(1, 99), max_size=4))
def test_folds_come_back_as_they_were_written(folds):
    assert written_and_read(write_folds, read_folds, folds) == folds


cells = st.text(st.sampled_from('a1.,;"_ \t\r\n\0\ufeff\u2028-e'), max_size=6)


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
@given(
    header=st.sampled_from(
        ["filename\tonset\toffset\tevent_label", "filename,event_sequence", "filename;fold"]
    ),
    rows=st.lists(st.lists(cells, max_size=5), max_size=4),
    separator=st.sampled_from("\t,;"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
)
def test_any_table_is_read_or_refused_by_name(suffix, header, rows, separator, encoding):
    text = "\n".join([header, *(separator.join(row) for row in rows)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table{suffix}"
        path.write_bytes(text.encode(encoding, "replace"))
        said = []
        for read in (read_strong, read_sequential, read_weak, read_folds):
            try:
                read(path)
            except DataError as error:
                said.append(str(error))
        assert all(message.startswith(str(path)) and message.isprintable() for message in said)


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


@pytest.mark.parametrize("joined", ["knock;speech", "knock; speech", '"knock,speech"', '"knock;speech"'])
def test_sequences_may_be_joined_and_quoted_as_spreadsheets_do(text, joined):
    path = text("s.tsv", SEQUENTIAL + f"a.wav\t{joined}\n")
    assert read_sequential(path) == {"a.wav": ["knock", "speech"]}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_a_csv_is_read_as_spreadsheets_write_it(text, separator, ends):
    rows = ["filename{}onset{}offset{}event_label{}", "a.wav{}0.5{}1{}knock{}", "{}{}{}{}", "b.wav{}{}{}{}"]
    content = "\ufeff" + ends.join(row.replace("{}", separator) for row in rows) + ends
    assert read_strong(text("strong.csv", content)) == {"a.wav": [Event("knock", 0.5, 1.0)], "b.wav": []}


def test_a_csv_of_commas_has_sequences_in_quotes(text):
    path = text("s.csv", 'filename,event_sequence\na.wav,"knock,speech"\nb.wav,knock\n')
    assert read_sequential(path) == {"a.wav": ["knock", "speech"], "b.wav": ["knock"]}


def test_doubled_quotes_are_one(text):
    path = text("s.tsv", SEQUENTIAL + 'a.wav\t"""big"" bang, 5"" pipe"\nb.wav\t5" pipe\n')
    assert read_sequential(path) == {"a.wav": ['"big" bang', '5" pipe'], "b.wav": ['5" pipe']}


def test_strong_events_are_sorted_by_onset(text):
    path = text(
        "strong.tsv", "filename\tonset\toffset\tevent_label\na.wav\t2\t3\tknock\na.wav\t0\t9\tcough\n"
    )
    assert [event.label for event in read_strong(path)["a.wav"]] == ["cough", "knock"]


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
        (
            read_sequential,
            (SEQUENTIAL + "a.wav\tcough\n").encode("utf-16"),
            ": is UTF-16 ('Unicode text' of a spreadsheet?); save the file as UTF-8",
        ),
        (
            read_sequential,
            SEQUENTIAL + "a.wav\tcough\nb.wav\tcou\0gh\n",
            ", line 3: holds a NUL character (not a text file?)",
        ),
        (
            read_sequential,
            SEQUENTIAL + 'a.wav\t"cough\nknock"\n',
            ", line 2: a quotation mark is opened and not closed in '\"cough' (a cell with a line break? one "
            "that is meant is doubled, and its cell put into quotation marks)",
        ),
        (
            read_sequential,
            SEQUENTIAL + 'a.wav\t"cough","knock"\n',
            ", line 2: expected a tab after the quotation mark that closes a cell, got ',\"knock\"' (leave "
            "such marks out, or double those inside the cell)",
        ),
        (
            read_sequential,
            "filename;event_sequence\na.wav;cough\n",
            ", line 1: expected tab-separated columns 'filename', 'event_sequence', but 'filename', "
            "'event_sequence' are missing in 'filename;event_sequence' (semicolons for tabs?)",
        ),
        (
            read_strong,
            STRONG + "a.wav\t0\t1\tcough;knock\n",
            ", line 2: an event has one label, got 'cough;knock'; write a row for each event (a label holds "
            "no comma or semicolon)",
        ),
        (
            read_strong,
            STRONG + "a.wav\t0\t1_0\tcough\n",
            ", line 2: offset must be a number of seconds, got '1_0'",
        ),
        (
            read_sequential,
            SEQUENTIAL + "a.wav\tcou\x1b[2Jgh\n",
            ", line 2: label 'cou\\x1b[2Jgh' is not one of the 3 classes (did you mean 'cough'?)",
        ),
        (
            read_folds,
            "filename\tfold\na.wav\t1\nb.wav\t" + 5000 * "9" + "\n",
            ", line 3: fold must be a whole number of at most 1000000, got '"
            + 99 * "9"
            + "... (5002 characters)",
        ),
    ],
)
def test_bad_input_is_named_by_path_and_line(text, reader, content, message):
    path = text("labels.tsv", content)
    with pytest.raises(DataError, match="^" + re.escape(f"{path}{message}") + "$"):
        reader(path, CLASSES) if reader is not read_folds else reader(path)


def test_a_csv_row_with_bare_commas_says_what_to_do(text):
    path = text("s.csv", "filename,event_sequence\na.wav,knock,speech\n")
    message = (
        f"{path}, line 2: expected 2 comma-separated fields, got 3 in 'a.wav,knock,speech' (put a cell that "
        "holds a comma into quotation marks)"
    )
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        read_sequential(path)


def test_whatever_a_parser_raises_names_the_file():
    with pytest.raises(DataError, match=re.escape(r"no\x00.tsv: cannot be read (ValueError: embedded null")):
        read_strong("no\0.tsv")


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


@pytest.mark.parametrize("label", ["", "a,b", "a;b", " a", 1, None, b"a", float("nan")])
def test_a_label_that_cannot_be_read_back_is_not_written(tmp_path, label):
    path = tmp_path / "sequential.tsv"
    with pytest.raises(DataError, match=re.escape(f"{path}: label {label!r} ")):
        write_sequential(path, {"a.wav": [label]})
    with pytest.raises(DataError, match=re.escape(f"{path}: label {label!r} ")):
        write_weak(path, {"a.wav": ["b", label]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("write", "labels", "message"),
    [
        (write_sequential, {"a.wav": "knock"}, ": labels of a clip must be a list of labels, got 'knock'"),
        (write_sequential, {7: ["a"]}, ", row 0: filename 7 is no text but int; convert it by str() first"),
        (write_sequential, {"": ["a"]}, ", row 0: filename is empty"),
        (
            write_sequential,
            {"\udce9.wav": []},
            ", row 0: filename '\\udce9.wav' cannot be written as UTF-8; rename it",
        ),
        (write_sequential, {"a\0.wav": []}, ", row 0: filename 'a\\x00.wav' holds a tab"),
        (write_folds, {"a.wav": 1.5}, ": 'a.wav': fold must be a whole number, got 1.5"),
        (write_folds, {"a.wav": 0}, ": 'a.wav': fold must be a whole number of at least 1, got '0'"),
        (
            write_strong,
            {"a.wav": [Event("b", float("nan"), 1)]},
            ": 'a.wav': a time must be a number of seconds of at least 0, got nan",
        ),
        (write_strong, {"a.wav": [Event("b", 2, 1)]}, ": 'a.wav': onset 2 s is after offset 1 s"),
        (write_strong, {"a.wav": [Event("b", "x", 1)]}, ": 'a.wav': a time must be a number of seconds"),
    ],
)
def test_what_cannot_be_read_back_is_not_written(tmp_path, write, labels, message):
    path = tmp_path / "table.tsv"
    with pytest.raises(DataError, match="^" + re.escape(f"{path}{message}")):
        write(path, labels)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "folds.tsv"
    write_folds(path, {"a.wav": 1})
    with pytest.raises(DataError, match=re.escape(f"{path}, row 1: filename 'b\\t.wav' holds a tab")):
        write_folds(path, {"a.wav": 2, "b\t.wav": 2})
    assert read_folds(path) == {"a.wav": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["folds.tsv"]
