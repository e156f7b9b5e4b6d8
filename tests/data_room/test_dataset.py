import re

import numpy as np
import pytest

from ctctag.data import Dataset, TieError
from ctctag.exceptions import AudioError, DataError, ParameterError

STRONG = (
    "filename\tonset\toffset\tevent_label\n"
    "b.wav\t0.2\t0.3\tspeech\nb.wav\t0.0\t0.1\tknock\na.wav\t0\t0.2\tcough\nc.wav\t\t\t\n"
)
SEQUENTIAL = "filename\tevent_sequence\nb.wav\tknock,speech\na.wav\tcough\nc.wav\t\n"
WEAK = "filename\tevent_labels\nb.wav\tspeech,knock\na.wav\tcough\nc.wav\t\n"
FOLDS = "filename\tfold\na.wav\t1\nb.wav\t2\nc.wav\t2\n"


@pytest.fixture
def hand_written(tmp_path, write_sound):
    """A folder with three short clips; call it with the label files to add."""
    for pitch, name in enumerate(("a", "b", "c")):
        write_sound(tmp_path / "audio" / f"{name}.wav", pitch=300.0 + pitch)

    def add(**tables):
        for name, content in tables.items():
            (tmp_path / f"{name}.tsv").write_text(content)
        return tmp_path

    return add


@pytest.mark.parametrize(
    "tables",
    [
        {"strong": STRONG},
        {"sequential": SEQUENTIAL},
        {"strong": STRONG, "sequential": SEQUENTIAL, "weak": WEAK, "folds": FOLDS},
    ],
)
def test_any_labels_with_an_order_give_sequences(hand_written, tables):
    dataset = Dataset.open(hand_written(**tables))
    assert dataset.filenames == ["b.wav", "a.wav", "c.wav"]
    assert dataset.classes == ("cough", "knock", "speech")
    assert dataset.has_order
    assert dataset.sequences == [[1, 2], [0], []]
    assert dataset.tags.tolist() == [[False, True, True], [True, False, False], [False] * 3]
    assert (dataset.strong is None) == ("strong" not in tables)
    assert (dataset.folds is None) == ("folds" not in tables)
    assert dataset.sample_rate == 16000
    assert dataset.duration(0) == pytest.approx(0.3)


def test_weak_labels_give_tags_only(hand_written):
    dataset = Dataset.open(hand_written(weak=WEAK))
    assert not dataset.has_order
    assert dataset.sequences is None
    assert dataset.tag_names(0) == ["knock", "speech"]
    assert dataset.label_sets_or_sequences() == [[1, 2], [0], []]


@pytest.mark.parametrize("separator", [",", ";"])
def test_tables_may_be_a_spreadsheets_csv(hand_written, separator):
    path = hand_written()
    (path / "sequential.csv").write_text(
        f'\ufefffilename{separator}event_sequence\nb.wav{separator}"knock,speech"\na.wav{separator}cough\n'
        f"c.wav{separator}\n"
    )
    (path / "folds.csv").write_text(FOLDS.replace("\t", separator))
    dataset = Dataset.open(path)
    assert dataset.sequences == [[1, 2], [0], []]
    assert dataset.folds.tolist() == [2, 1, 2]


def test_two_tables_of_one_kind_are_refused(hand_written):
    path = hand_written(sequential=SEQUENTIAL)
    (path / "sequential.csv").write_text("filename,event_sequence\n")
    message = f"{path}: has both sequential.tsv and sequential.csv; remove the one that is not meant"
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        Dataset.open(path)


def test_messages_name_the_csv(hand_written):
    path = hand_written(weak=WEAK)
    (path / "sequential.csv").write_text("filename,event_sequence\nb.wav,knock\na.wav,cough\nc.wav,\n")
    message = f"{path}: labels of 'b.wav' disagree: weak.tsv says knock,speech, sequential.csv says knock"
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        Dataset.open(path)


def test_control_characters_are_escaped_in_messages(hand_written):
    tables = {"sequential": SEQUENTIAL, "weak": WEAK.replace("\tcough", "\tcou\x1b[2Jgh")}
    with pytest.raises(DataError, match=re.escape(r"weak.tsv says cou\x1b[2Jgh, sequential.tsv says cough")):
        Dataset.open(hand_written(**tables))


@pytest.mark.parametrize("name", ["x" * 5000 + ".wav", "a\x07.wav", "\ufeffb.wav"])
def test_names_that_no_file_has(hand_written, name):
    path = hand_written(sequential=f"filename\tevent_sequence\na.wav\tcough\n{name}\tcough\n")
    with pytest.raises(DataError, match=re.escape(f"{path / 'sequential.tsv'}: lists {name!r}"[:100])):
        Dataset.open(path)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("cough", "classes must be a sequence of strings, got 'cough'"),
        ([1, 2], "classes must be a sequence of strings, got [1, 2]"),
        (["cough", "cough"], "classes must be different, got ['cough', 'cough']"),
    ],
)
def test_wrong_classes_are_refused(hand_written, classes, message):
    with pytest.raises(ParameterError, match="^" + re.escape(message)):
        Dataset.open(hand_written(sequential=SEQUENTIAL), classes)


@pytest.mark.parametrize("rate", ['"16k"', "0", "1.5", "[16000]"])
def test_a_wrong_sample_rate_names_the_settings(hand_written, rate):
    path = hand_written(sequential=SEQUENTIAL)
    (path / "dataset.toml").write_text(f"sample_rate = {rate}\n")
    with pytest.raises(DataError, match=re.escape(f"{path / 'dataset.toml'}: sample_rate must be ")):
        assert Dataset.open(path).sample_rate


def test_classes_are_given_or_in_the_settings(hand_written):
    path = hand_written(sequential=SEQUENTIAL)
    classes = ["speech", "knock", "cough", "drawer"]
    assert Dataset.open(path, classes).sequences == [[1, 0], [2], []]
    (path / "dataset.toml").write_text('classes = ["speech", "knock", "cough"]\nsample_rate = 8000\n')
    dataset = Dataset.open(path)
    assert dataset.classes == ("speech", "knock", "cough")
    assert dataset.sample_rate == 8000


def test_audio_may_lie_beside_the_labels(hand_written):
    path = hand_written(weak=WEAK)
    (path / "audio" / "a.wav").rename(path / "a.wav")
    assert Dataset.open(path).path_of(1) == path / "a.wav"


def test_split_and_subset(hand_written):
    dataset = Dataset.open(hand_written(strong=STRONG, folds=FOLDS))
    train, test = dataset.split(2)
    assert (train.tolist(), test.tolist()) == ([1], [0, 2])
    part = dataset.subset(test)
    assert part.filenames == ["b.wav", "c.wav"]
    assert part.sequences == [[1, 2], []]
    assert part.classes == dataset.classes
    assert part.folds.tolist() == [2, 2]
    assert list(part.strong) == part.filenames
    with pytest.raises(ParameterError, match=re.escape("fold must be one of 1, 2, got 3")):
        dataset.split(3)
    with pytest.raises(ParameterError, match=re.escape("indices must be at least 0 and at most 2, got 3")):
        dataset.subset([0, 3])
    with pytest.raises(ParameterError, match=re.escape("indices must be different, but one is there twice")):
        dataset.subset([0, 0])


def test_without_folds_there_is_no_split(hand_written):
    path = hand_written(weak=WEAK)
    message = f"{path}: has no folds.tsv, so there is no fold to test on"
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        Dataset.open(path).split(1)


def test_the_fingerprint_is_of_audio_and_labels(hand_written, write_sound):
    path = hand_written(sequential=SEQUENTIAL)
    first = Dataset.open(path).fingerprint()
    assert Dataset.open(path).fingerprint() == first
    hand_written(sequential=SEQUENTIAL.replace("knock,speech", "speech,knock"))
    second = Dataset.open(path).fingerprint()
    hand_written(sequential=SEQUENTIAL)
    write_sound(path / "audio" / "a.wav", pitch=301.0)
    third = Dataset.open(path).fingerprint()
    assert len({first, second, third}) == 3


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, ": has no labels; expected strong.tsv, sequential.tsv or weak.tsv"),
        ({"weak": "filename\tevent_labels\n"}, "/weak.tsv: lists no clip"),
        (
            {"sequential": SEQUENTIAL, "weak": "filename\tevent_labels\na.wav\tcough\nc.wav\t\n"},
            "/weak.tsv: has no row for 'b.wav', which sequential.tsv lists",
        ),
        (
            {"sequential": SEQUENTIAL, "folds": "filename\tfold\na.wav\t1\nb.wav\t1\nc.wv\t1\n"},
            "/folds.tsv: has no row for 'c.wav', which sequential.tsv lists (did you mean 'c.wv'?)",
        ),
        (
            {"sequential": SEQUENTIAL, "strong": STRONG.replace("0.2\t0.3\tspeech", "0.2\t0.3\tcough")},
            ": labels of 'b.wav' disagree: sequential.tsv says knock,speech, strong.tsv says knock,cough",
        ),
        (
            {"sequential": SEQUENTIAL.replace("knock,speech", "speech,knock"), "strong": STRONG},
            ": labels of 'b.wav' disagree: sequential.tsv says speech,knock, strong.tsv says knock,speech",
        ),
        (
            {"sequential": SEQUENTIAL, "weak": WEAK.replace("\tcough", "\t")},
            ": labels of 'a.wav' disagree: weak.tsv says no events, sequential.tsv says cough",
        ),
        (
            {"strong": STRONG, "weak": WEAK.replace("c.wav\t", "c.wav\tknock")},
            ": labels of 'c.wav' disagree: weak.tsv says knock, strong.tsv says no events",
        ),
    ],
)
def test_disagreements_are_named(hand_written, tables, message):
    path = hand_written(**tables)
    with pytest.raises(DataError, match="^" + re.escape(f"{path}{message}") + "$"):
        Dataset.open(path)


def test_a_missing_file_is_named_with_the_nearest(hand_written):
    path = hand_written(weak=WEAK.replace("a.wav", "a1.wav"))
    message = (
        f"{path / 'weak.tsv'}: lists 'a1.wav', but there is no such file in {path / 'audio'} or {path} "
        "(did you mean 'a.wav'?)"
    )
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        Dataset.open(path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(
        DataError, match=re.escape(f"{tmp_path / 'none'}: no such folder; expected a data set")
    ):
        Dataset.open(tmp_path / "none")


def test_a_label_outside_the_classes_is_named(hand_written):
    path = hand_written(sequential=SEQUENTIAL)
    message = f"{path / 'sequential.tsv'}, line 2: label 'speech' is not one of the 2 classes"
    with pytest.raises(DataError, match="^" + re.escape(message)):
        Dataset.open(path, ["cough", "knock"])


@pytest.mark.parametrize("classes", ['"cough"', "[]", "[1, 2]", '["cough", "cough"]', '["a,b"]', '[""]'])
def test_wrong_classes_in_the_settings(hand_written, classes):
    path = hand_written(weak=WEAK)
    (path / "dataset.toml").write_text(f"classes = {classes}\n")
    with pytest.raises(DataError, match=re.escape(f"{path / 'dataset.toml'}: classes")):
        Dataset.open(path)


def test_ties_are_settled_by_the_sequential_labels_or_by_choice(hand_written):
    tied = STRONG.replace("0.2\t0.3\tspeech", "0.0\t0.3\tspeech")
    path = hand_written(strong=tied)
    with pytest.raises(TieError, match=re.escape("b.wav: knock, speech begin together at 0 s")):
        Dataset.open(path)
    assert Dataset.open(path, ties="drop").filenames == ["a.wav", "c.wav"]
    assert Dataset.open(path, ties="alphabetical").sequences[0] == [1, 2]
    hand_written(sequential=SEQUENTIAL.replace("knock,speech", "speech,knock"))
    assert Dataset.open(path).sequences[0] == [2, 1]


def test_a_corrupt_file_is_found_when_it_is_needed(hand_written):
    path = hand_written(weak=WEAK)
    (path / "audio" / "b.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match=re.escape(str(path / "audio" / "b.wav"))):
        assert Dataset.open(path).sample_rate


def test_tags_are_boolean(hand_written):
    assert Dataset.open(hand_written(weak=WEAK)).tags.dtype == np.bool_
