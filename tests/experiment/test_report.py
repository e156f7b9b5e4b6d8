import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ctctag.exceptions import CtctagError, DataError, ParameterError
from ctctag.experiment.report import Report
from ctctag.experiment.tables import Table

pytest.importorskip("matplotlib")

from ctctag.experiment.figures import plot_training


class Page(HTMLParser):
    """Tags that must be closed, addresses used, anchors offered, and visible text."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                self.addresses.append(value)
            if name == "id":
                self.anchors.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def report() -> Report:
    figure = plot_training([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}])
    return (
        Report('Tags & "order"', "2 < 3 clips")
        .section("Scores")
        .text("First <b>paragraph</b>\nof two lines.\n\nSecond one.")
        .table(Table(["system", "F"], [["<CTC>", 0.98]], [None, ".3f"]))
        .section("Scores")
        .code("ctctag demo  --out x\n")
        .figure(figure, 'How "it" went')
        .figure(figure, form="png")
    )


def test_page_is_well_formed_and_stands_alone(report):
    page = Page(report.to_html())
    assert page.open == []
    inside = [address for address in page.addresses if address.startswith("#")]
    assert [address[1:] for address in inside] == page.anchors == ["scores", "scores-2"]
    pictures = [address for address in page.addresses if not address.startswith("#")]
    assert [address.partition(";")[0] for address in pictures] == ["data:image/svg+xml", "data:image/png"]
    assert "url(" not in report.to_html()


def test_everything_is_escaped(report):
    html = report.to_html()
    assert "<title>Tags &amp; &quot;order&quot;</title>" in html
    assert 'alt="Figure 1. How &quot;it&quot; went"' in html
    assert "<b>" not in html
    page = Page(html)
    for text in ("2 < 3 clips", "First <b>paragraph</b> of two lines.", "<CTC>", "ctctag demo  --out x"):
        assert text in page.text


def test_paragraphs_and_figures_are_counted(report):
    html = report.to_html()
    assert html.count("<p>") == 2
    assert re.findall("<figcaption>(.*?)</figcaption>", html) == [
        "Figure 1. How &quot;it&quot; went",
        "Figure 2",
    ]


def test_a_wide_table_does_not_take_its_caption_along():
    html = Report("a").section("b").table(Table(["c"], [["d"]], caption="What < it shows")).to_html()
    assert "<figcaption>What &lt; it shows</figcaption>" in html
    assert html.index("</figcaption>") < html.index('<div class="wide"') < html.index("<table>")
    assert html.count("What &lt; it shows") == 1


def test_same_content_same_bytes(report):
    assert report.to_html() == report.to_html()


def test_one_section_needs_no_contents():
    assert "<nav" not in Report("a").section("b").to_html()
    assert "<nav" in Report("a").section("b").section("c").to_html()


def test_save_is_whole_or_not_at_all(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    report.save(path)
    before = path.read_text(encoding="utf-8")
    assert before == report.to_html()

    def fail():
        raise OSError("disk full")

    monkeypatch.setattr(report, "to_html", fail)
    with pytest.raises(DataError, match=re.escape(f"{path}: cannot be written (disk full)")):
        report.save(path)
    assert path.read_text(encoding="utf-8") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_save_names_the_path_that_cannot_be_written(report, tmp_path):
    with pytest.raises(CtctagError, match=re.escape(str(tmp_path / "nowhere" / "report.html"))):
        report.save(tmp_path / "nowhere" / "report.html")


def test_only_tables_are_tables():
    with pytest.raises(
        ParameterError, match=re.escape("table must be a ctctag.experiment.Table, got ndarray")
    ):
        Report("a").table(np.zeros((2, 2)))
