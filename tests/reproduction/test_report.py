"""The report: its numbers against other code, its files, and what it says of what is missing."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from ctctag.exceptions import CtctagError, ParameterError
from ctctag.experiment.reproduction import Plan, cell_folder, finished_cells, write_report
from ctctag.experiment.reproduction.choices import choices_table
from ctctag.experiment.reproduction.paper_figures import CLASSES, TABLE_1_1, TABLE_1_2
from ctctag.experiment.reproduction.peaks import inside, peak_positions
from ctctag.experiment.reproduction.scores import Results, fold_mean
from ctctag.experiment.reproduction.wording import origin_of, title

FILES = [
    "README.md", "cells.csv", "class_auc.csv", "comparisons.csv", "index.html", "intervals.csv", "order.csv",
    "paper_check.csv", "pictures", "results.json", "table_1_1.csv", "table_1_2.csv",
]  # fmt: skip


@pytest.fixture(scope="module")
def report(experiment, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    write_report(experiment, out, resamples=20)
    return out


@pytest.fixture
def results(experiment, plan):
    return Results(finished_cells(plan, experiment), plan.cells)


def test_its_files(report):
    assert sorted(path.name for path in report.iterdir()) == FILES
    pictures = {path.stem for path in (report / "pictures").iterdir()}
    assert {"roc", "training", "figure_1_1", "figure_1_3", "figure_1_4"} <= pictures


def test_the_page_needs_nothing_else(report):
    page = (report / "index.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert sources
    assert all(source.startswith(("data:image/", "#")) for source in sources)


def test_markdown_shows_every_picture(report):
    shown = re.findall(r"\]\((pictures/[^)]*)\)", (report / "README.md").read_text())
    assert sorted(shown) == sorted(f"pictures/{path.name}" for path in (report / "pictures").iterdir())


def test_no_path_of_this_machine(report, experiment):
    for path in report.iterdir():
        if path.is_file():
            assert str(experiment.parent) not in path.read_text(), path


def test_order_by_both_decoders(report, results):
    with (report / "order.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["decoder"], row["fold"]) for row in rows] == [
        ("rescored", "1"), ("best path", "1"), ("rescored", "2"), ("best path", "2"),
    ]  # fmt: skip
    for cell, row in zip(results.of("crnn-ctc"), rows[1::2], strict=True):
        assert float(row["seq. error rate"]) == pytest.approx(cell.best_path["sequence_error_rate"], abs=5e-4)
        assert row["peak inside"] in ("", "-")
    assert all(cell.best_path is None for cell in results.of("crmp"))


def test_results_json(report, results):
    found = json.loads((report / "results.json").read_text())
    assert (found["protocol"], found["clips"]) == ("paper", 24)
    assert list(found["systems"]) == ["crmp", "crnn-ctc"]
    for system, scores in found["systems"].items():
        assert list(scores) == ["auc", "auc_binary", "precision", "recall", "f", "ser", "seconds"]
        for name, values in scores.items():
            assert values is None if (name, system) == ("ser", "crmp") else len(values) == 2
        assert scores["f"] == [cell.scores["f"] for cell in results.of(system)]


def test_table_1_1_stands_beside_the_papers(report):
    with (report / "table_1_1.csv").open() as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["class", "CRMP", "paper", "CRNN-CTC", "paper"]
    assert [line[0] for line in lines[1:]] == [*CLASSES, "average"]
    assert float(lines[1][4]) == TABLE_1_1["crnn-ctc"][0][0]


@pytest.mark.parametrize("system", TABLE_1_1)
def test_the_papers_tables_were_copied_right(system):
    values, average = TABLE_1_1[system]
    assert len(values) == 16
    # What is printed below each column is the mean of the column, within a digit.
    assert np.mean(values) == pytest.approx(average, abs=2e-3)
    assert TABLE_1_2[system]["auc"] == average


def test_fold_means_are_scikit_learns():
    rng = np.random.default_rng(0)
    truth = (rng.random((60, 3)) < 0.4).astype(int)
    tags = np.where(rng.random((60, 3)) < 0.2, 1 - truth, truth)
    scores = truth + rng.standard_normal((60, 3))
    folds = np.repeat([1, 2], 30)
    together = np.c_[truth, folds]
    parts = [folds == 1, folds == 2]
    f = np.mean([f1_score(truth[part], tags[part], average="macro") for part in parts])
    assert fold_mean("f")(together, tags) == pytest.approx(f, abs=1e-12)
    auc = np.mean([roc_auc_score(truth[part], scores[part], average="macro") for part in parts])
    assert fold_mean("auc")(together, scores) == pytest.approx(auc, abs=1e-12)


def test_intervals_hold_the_mean_over_folds(report, results):
    with (report / "intervals.csv").open() as file:
        rows = {(row["system"], row["score"]): row for row in csv.DictReader(file)}
    expected = np.mean([cell.scores["auc"] for cell in results.of("crmp")])
    assert float(rows["CRMP", "auc"]["value"]) == pytest.approx(expected, abs=6e-4)


def test_peaks_are_held_against_their_own_event():
    # The second knock heard belongs to the second that sounded; a label not there belongs to none.
    positions = peak_positions(
        [[2, 5, 2]], [[2, 9, 2, 2]], [[1.25, 2.0, 7.0, 8.0]], [[(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)]]
    )
    np.testing.assert_allclose(positions, [0.25, 2.0])
    assert inside(positions) == 0.5
    assert np.isnan(inside(np.array([])))


def test_what_is_missing_is_named(experiment, plan, tmp_path):
    for name in ("experiment.json", "clips"):
        (tmp_path / name).symlink_to(experiment / name)
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "crmp-fold1").symlink_to(experiment / "cells" / "crmp-fold1")
    write_report(tmp_path, resamples=5)
    text = (tmp_path / "report" / "README.md").read_text()
    assert "Not finished, and so not in any figure: CRNN-CTC fold 1, CRMP fold 2, CRNN-CTC fold 2." in text
    assert "were not at hand" in text
    found = json.loads((tmp_path / "report" / "results.json").read_text())
    assert found["systems"]["crmp"]["auc"][1] is None


@pytest.fixture
def report_of(experiment, make_plan, tmp_path, monkeypatch):
    """Write the report of the same cells as if their clips had been mixed from other sounds."""
    monkeypatch.setattr("ctctag.experiment.reproduction.report.find_spec", lambda name: None)  # no pictures

    def write(protocol, events, noise, **changes):
        make_plan(protocol=protocol, **changes).save(tmp_path)
        for cell in finished_cells(make_plan(**changes), experiment):
            place = cell_folder(tmp_path, cell.system, cell.fold)
            place.mkdir(parents=True)
            data = cell.data | {"events": events, "noise": noise}
            replace(cell, protocol=protocol, data=data).save(place)
        write_report(tmp_path, resamples=5)
        return (tmp_path / "report" / "README.md").read_text()

    return write


CAUTION = "This is not a replication of the paper: "
HEARD = {
    "synthetic": "Every event is made anew by the synthesiser: no event of a test clip is used in training.",
    "known": "a recording that a test clip is mixed from may be used in training, too",
    "unknown": "training uses no recording of a test clip's events",
    "white": "The background is white noise, made anew for each clip.",
    "known noise": "The background is recorded: a test clip's may be used in training, too.",
    "unknown noise": "The background is recorded and folded, too: training uses none of a test clip's.",
    "no noise": "There is no background.",
}


@pytest.mark.parametrize(
    ("protocol", "events", "noise", "says"),
    [
        ("paper", "synthetic", "white", ["synthetic", "white"]),
        ("honest", "synthetic", "white", ["synthetic", "white"]),
        ("paper", "synthetic", "recordings", ["synthetic", "known noise"]),
        ("paper", "recordings", "white", ["known", "white"]),
        ("paper", "recordings", "recordings", ["known", "known noise"]),
        ("honest", "recordings", "white", ["unknown", "white"]),
        ("honest", "recordings", "recordings", ["unknown", "unknown noise"]),
        ("honest", "recordings", "none", ["unknown", "no noise"]),
    ],
)
def test_it_says_what_training_heard_and_no_more(report_of, protocol, events, noise, says):
    text = report_of(protocol, events, noise)
    assert {name for name, sentence in HEARD.items() if sentence in text} == set(says)
    synthetic = events == "synthetic"
    assert text.startswith("# The paper's systems on synthetic sounds: not a replication\n") == synthetic
    assert (CAUTION + "the sounds are synthetic, clips are shorter" in text) == synthetic
    assert ("ctctag reproduce synthetic OUT" in text) == synthetic
    assert ("--noise BACKGROUNDS" in text) == (noise == "recordings")
    assert ("recordings are understood" in text) == (not synthetic)


def test_what_was_chosen_is_what_was_done(report):
    """Not what the whole experiment would have done."""
    text = (report / "README.md").read_text()
    rows = dict(re.findall(r"^\| ([a-zA-Z -]+) \| [^|]* \| ([^|]*) \|$", text, re.MULTILINE))
    assert rows["features"].startswith(
        "16 kHz, STFT 1024 Hamming, hop 664, no centring: 71 frames for 3 s; 32"
    )
    assert rows["pooling"] == "in frequency only, so that all 71 frames reach the output"
    assert rows["network"] == "preset tiny: 3 × 3 convolutions of 8, 16, 32, 32 maps, BiGRU 32"
    assert rows["optimiser"] == "Adam, one cycle up to 0.006 and back, at most 3 epochs"
    assert rows["noise"] == "white at 20 dB"
    assert rows["events"] == "1 to 3 different classes, cut to 0.8 s, never overlapping"
    assert rows["listening"] == "CRMP: the same; CRNN-CTC: 2 times, parts of a hop apart, and the mean"
    assert rows["decoding"].startswith("of the labellings that a beam search finds, the one likeliest by")
    assert rows["loss"] == "the same; and 1 times CRMP's, of outputs of its own"
    assert rows["folds"] == "over clips, no two of which share an event"


def test_choices_of_the_whole_experiment_are_the_documented_ones():
    sounds = {"events": "recordings", "noise": "recordings"}
    rows = {row[0]: row[2] for row in choices_table(Plan.of_protocol("honest"), sounds, 16).rows}
    assert rows["features"].startswith(
        "32 kHz, STFT 2048 Hamming, hop 1328, no centring: 240 frames for 10 s; 64"
    )
    assert rows["optimiser"] == (
        "AdamW, one cycle up to 0.003 and back, at most 20 epochs, moving average of the weights"
    )
    assert rows["noise"] == "recorded backgrounds at 20 dB"
    assert rows["events"] == (
        "1 to 4 different classes, cut to 2 s, never overlapping; trained on 2400 clips of 2 to 5 events "
        "mixed afresh for every epoch"
    )
    assert rows["decoding"].endswith("; the blank's bias lowered by 0.5 after training")
    assert "0.2 times the distance between" in rows["loss"]
    assert title(Plan.of_protocol("honest"), sounds) == "The paper's experiment, again"


def test_it_names_the_systems_that_it_has(report_of):
    text = report_of("paper", "synthetic", "white", systems=("crmp",))
    assert "\nCRMP says which sounds occur in mixtures. Each is trained" in text
    assert "CRNN-CTC" not in text.partition("## What the paper leaves open")[0].replace(
        "a trained CRNN-CTC", ""
    )


def test_cells_that_do_not_know_their_sounds_ask_the_clips(experiment, plan, tmp_path):
    cells = finished_cells(plan, experiment)
    for cell in cells:
        del cell.data["events"], cell.data["noise"]
    assert origin_of(cells, experiment, plan) == {"events": "synthetic", "noise": "white"}
    assert origin_of(cells, tmp_path, plan) == {"events": "recordings", "noise": "white"}


def test_results_json_says_so_too(report):
    assert json.loads((report / "results.json").read_text())["caution"].startswith(CAUTION)


def test_nothing_to_report(plan, tmp_path):
    plan.save(tmp_path)
    with pytest.raises(CtctagError, match="no cell is finished yet, so there is nothing to report"):
        write_report(tmp_path)


def test_cells_that_do_not_belong_together(experiment, plan):
    cells = finished_cells(plan, experiment)
    with pytest.raises(ParameterError, match="cells must hold at least one finished cell, got none"):
        Results([])
    with pytest.raises(ParameterError, match=r"cells\[1\] is crmp, fold 1, a second time"):
        Results([cells[0], cells[0]])
    with pytest.raises(
        ParameterError, match=r"cells\[1\] has another protocol or other classes than cells\[0\]"
    ):
        Results([cells[0], replace(cells[1], protocol="honest")])
