import csv
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ctctag.exceptions import ParameterError
from ctctag.experiment.tables import Table


class Cells(HTMLParser):
    """The text of each cell, row by row, as a browser would show it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def scores() -> Table:
    return Table(
        ["system", "F", "clips"],
        [["CRMP", np.float32(0.877), 10], ["CRNN-CTC", 0.98, np.int64(1200)], ["CRAP", math.nan, None]],
        [None, ".3f", "d"],
        best={"F": "max"},
    )


def test_text_is_aligned():
    assert str(scores()).splitlines() == [
        "system        F  clips",
        "--------  -----  -----",
        "CRMP      0.877     10",
        "CRNN-CTC  0.980   1200",
        "CRAP        n/a    n/a",
    ]


def test_text_counts_the_columns_of_a_terminal():
    table = Table(["class", "n"], [["咳", 1], ["e\u0301cho", 2]])
    assert str(table).splitlines()[2:] == ["咳     1", "e\u0301cho   2"]


def test_caption_comes_first():
    table = Table(["a"], [["b"]], caption="What it shows")
    assert str(table).splitlines()[:2] == ["What it shows", ""]
    assert table.to_markdown().startswith("What it shows\n\n| a |")
    assert "<caption>What it shows</caption>" in table.to_html()
    assert "What it shows" not in table.to_html(caption=False)


def test_html_marks_columns_of_sentences():
    table = Table(["what", "why"], [["a", "so that a page as narrow as this may break it"], ["b", "c"]])
    assert re.findall('<t[hd] class="prose"[^>]*>(.*?)</t[hd]>', table.to_html()) == [
        "why",
        "so that a page as narrow as this may break it",
        "c",
    ]


def test_markdown_marks_the_best_and_escapes():
    table = Table(["a|b", "F"], [["x*y_z", 0.5], ["`<b>`", 0.25]], [None, ".2f"], best={"F": "min"})
    assert table.to_markdown().splitlines() == [
        r"| a\|b | F |",
        "| --- | ---: |",
        r"| x\*y\_z | 0.50 |",
        r"| \`\<b>\` | **0.25** |",
    ]


def test_csv_keeps_every_digit():
    third = 1 / 3
    table = Table(["name", "value"], [['a,"b"\n', third], ["c", None], ["d", np.float64(0.1)]], [None, ".1f"])
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows == [["name", "value"], ['a,"b"\n', repr(third)], ["c", ""], ["d", "0.1"]]


def test_html_has_the_numbers_in_the_right_cells():
    page = scores().to_html()
    assert Cells(page).rows == [
        ["system", "F", "clips"],
        ["CRMP", "0.877", "10"],
        ["CRNN-CTC", "0.980", "1200"],
        ["CRAP", "n/a", "n/a"],
    ]
    assert re.findall("<strong>(.*?)</strong>", page) == ["0.980"]


def test_html_escapes_everything():
    table = Table(["<script>"], [["a & <b>"]], caption="<i>")
    page = table.to_html()
    assert "<script>" not in page
    assert "<i>" not in page
    assert Cells(page).rows == [["<script>"], ["a & <b>"]]


def test_values_that_look_equal_are_all_best():
    table = Table(["F"], [[0.98001], [0.98049], [0.9]], [".3f"], best={"F": "max"})
    assert table.to_html().count("<strong>0.980</strong>") == 2


def test_a_table_without_rows():
    table = Table(["a", "b"], [])
    assert str(table).splitlines() == ["a  b", "-  -"]
    assert table.to_csv() == "a,b\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "headers must name at least one column, got none"),
        ((["a", "b"], [[1, 2], [3]]), "rows[1] has 1 values, but there are 2 headers"),
        ((["a"], [[1]], [".1f", "d"]), "formats has 2 entries, but there are 1 headers"),
    ],
)
def test_wrong_lengths(arguments, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        Table(*arguments)


def test_wrong_best():
    with pytest.raises(ParameterError, match=re.escape("best names 'G', which is not a header: F")):
        Table(["F"], [], best={"G": "max"})
    with pytest.raises(ParameterError, match=re.escape("best['F'] must be one of 'max', 'min', got 'most'")):
        Table(["F"], [], best={"F": "most"})


def test_a_format_that_does_not_fit():
    message = "rows[0] holds 0.5 under 'clips', which the format 'd' does not fit"
    with pytest.raises(ParameterError, match=re.escape(message)):
        Table(["clips"], [[0.5]], ["d"]).to_text()
