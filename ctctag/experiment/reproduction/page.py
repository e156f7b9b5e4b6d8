"""The page and the README: one list of pieces, two faces."""

from pathlib import Path
from typing import Any

from ctctag._files import atomic_path
from ctctag.experiment.figures import save_figure
from ctctag.experiment.report import Report
from ctctag.experiment.tables import Table

__all__ = ["Page"]


class Page:
    """Collects pieces for an HTML page with everything inside, and for Markdown with files beside it."""

    def __init__(self, title: str, subtitle: str, folder: Path) -> None:
        self.folder = folder
        self.report = Report(title, subtitle)
        self.markdown = [f"# {title}", subtitle]

    def section(self, title: str) -> None:
        """Begin a section."""
        self.report.section(title)
        self.markdown.append(f"## {title}")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self.report.text(text)
        self.markdown.append(text)

    def code(self, text: str) -> None:
        """Add text that keeps its line breaks."""
        self.report.code(text)
        self.markdown.append(f"```\n{text}\n```")

    def table(self, table: Table, name: str = "") -> None:
        """Add a table; with a name it is written as CSV, too."""
        self.report.table(table)
        self.markdown.append(table.to_markdown().rstrip())
        if name:
            write(self.folder / f"{name}.csv", table.to_csv())

    def picture(self, name: str, figure: Any, caption: str) -> None:
        """Add a picture, and write it to the folder ``pictures``."""
        (self.folder / "pictures").mkdir(exist_ok=True)
        self.report.figure(figure, caption, form="png")
        save_figure(figure, self.folder / "pictures" / f"{name}.png", dpi=110)
        self.markdown.append(f"![{caption}](pictures/{name}.png)\n\n{caption}")

    def save(self) -> Path:
        """Write both, and return the path of the page."""
        write(self.folder / "README.md", "\n\n".join(self.markdown) + "\n")
        self.report.save(self.folder / "index.html")
        return self.folder / "index.html"


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
