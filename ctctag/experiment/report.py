"""One self-contained HTML page: text, tables and pictures, with no address outside itself."""

import html
import re
from pathlib import Path
from typing import Any

from ctctag._files import atomic_path
from ctctag.exceptions import ParameterError
from ctctag.experiment.figures import data_uri
from ctctag.experiment.tables import Table

__all__ = ["Report"]

# Colours follow the reader's setting; pictures are drawn on white, so in the dark they stand on a white card.
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2228; --soft: #59636e; --line: #d5dae0; --paper: #ffffff;
  --band: #f4f6f8; --link: #0b63a5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --soft: #a3adb8; --line: #3b434c;
  --paper: #16191d; --band: #1f242a; --link: #7fbcf0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink);  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem;
  padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
p, figcaption { max-width: 52rem; }
p { margin: .6rem 0; overflow-wrap: anywhere; }
.subtitle, figcaption { color: var(--soft); font-size: .9rem; }
.subtitle { margin: 0 0 1rem; }
nav ul { list-style: none; margin: 0; padding: .6rem .9rem; background: var(--band); border-radius: .4rem;
  display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
a { color: var(--link); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .28rem .6rem; text-align: left; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; vertical-align: top; }
.prose { white-space: normal; min-width: 9rem; }
thead th { border-bottom: 2px solid var(--soft); vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--band); }
.number { text-align: right; }
figure { margin: 1.2rem 0; }
figure img { display: block; width: 100%; height: auto; background: #ffffff; border-radius: .3rem; }
figcaption { margin: .4rem 0; }
pre { background: var(--band); padding: .7rem .9rem; border-radius: .4rem; overflow-x: auto;
  font: .85rem/1.45 ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", monospace; }
@media (max-width: 40rem) { figure .wide img { width: 40rem; max-width: none; }
  h1 { font-size: 1.4rem; } th, td { padding: .25rem .45rem; } }
@media print { :root { --ink: #000000; --soft: #444444; --line: #bbbbbb; --paper: #ffffff; --band: #f4f4f4;
  --link: #000000; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; }
  h2 { break-after: avoid; } figure, tr, pre { break-inside: avoid; } .wide { overflow: visible; }
  figure .wide img { width: 100%; max-height: 13cm;
    object-fit: contain; object-position: left; }
  table { font-size: 8pt; } th, td { padding: .15rem .35rem; }
  pre { white-space: pre-wrap; } }
"""


class Report:
    """Build a page piece by piece, then save it.

    Everything given is text, and escaped: no markup passes through.

    Parameters
    ----------
    title : str
        Title of the page.
    subtitle : str
        One line under it.

    Examples
    --------
    >>> report = Report("Tags of clip 7")
    >>> _ = report.section("Scores").text("Ours is 3 < 4.").table(Table(["F"], [[0.5]], [".3f"]))
    >>> '<td class="number">0.500</td>' in report.to_html()
    True
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._sections: list[tuple[str, str]] = []  # anchor, title
        self._body: list[str] = []
        self._figures = 0

    def section(self, title: str) -> "Report":
        """Begin a section; the list of contents at the top names it."""
        anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        used = {name for name, _ in self._sections}
        unique = next(
            name for number in range(1, len(used) + 2)
            if (name := anchor if number == 1 else f"{anchor}-{number}") not in used
        )  # fmt: skip
        self._sections.append((unique, title))
        self._body.append(f'<h2 id="{unique}">{html.escape(title)}</h2>')
        return self

    def text(self, text: str) -> "Report":
        """Add paragraphs, separated by empty lines."""
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            self._body.append(f"<p>{html.escape(' '.join(paragraph.split()))}</p>")
        return self

    def code(self, text: str) -> "Report":
        """Add text that keeps its spaces and line breaks: a command, a log, a configuration."""
        self._body.append(f"<pre>{html.escape(text)}</pre>")
        return self

    def table(self, table: Table) -> "Report":
        """Add a table, with its caption."""
        if not isinstance(table, Table):
            raise ParameterError(f"table must be a ctctag.experiment.Table, got {type(table).__name__}")
        # The caption stands outside what scrolls: in a wide table it would be as wide and cut off, too.
        caption = f"<figcaption>{html.escape(table.caption)}</figcaption>\n" if table.caption else ""
        self._body.append(
            f'<figure>\n{caption}<div class="wide" tabindex="0">\n'
            f"{table.to_html(caption=False)}\n</div></figure>"
        )
        return self

    def figure(self, figure: Any, caption: str = "", *, form: str = "svg") -> "Report":
        """Add a picture, numbered, inside the page itself.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            From any function of `ctctag.experiment.figures`.
        caption : str
            Written below; read aloud in place of the picture.
        form : {"svg", "png"}
            See `ctctag.experiment.figures.data_uri`.
        """
        self._figures += 1
        label = f"Figure {self._figures}" + (f". {caption}" if caption else "")
        self._body.append(
            f'<figure><div class="wide" tabindex="0"><img src="{data_uri(figure, form)}" '
            f'alt="{html.escape(label, quote=True)}"></div>\n'
            f"<figcaption>{html.escape(label)}</figcaption></figure>"
        )
        return self

    def to_html(self) -> str:
        """Return the whole page."""
        links = "".join(
            f'<li><a href="#{anchor}">{html.escape(title)}</a></li>' for anchor, title in self._sections
        )
        contents = f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if len(self._sections) > 1 else ""
        subtitle = f'<p class="subtitle">{html.escape(self.subtitle)}</p>' if self.subtitle else ""
        parts = [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(self.title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            f"<header><h1>{html.escape(self.title)}</h1>{subtitle}</header>",
            contents,
            "<main>",
            *self._body,
            "</main>",
            "</body>",
            "</html>",
        ]
        return "\n".join(part for part in parts if part) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the page to a file, whole or not at all.

        Raises
        ------
        DataError
            If the folder cannot be written.
        """
        with atomic_path(Path(path)) as temporary:
            temporary.write_text(self.to_html(), encoding="utf-8")
