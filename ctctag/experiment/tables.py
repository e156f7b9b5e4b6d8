"""Tables as data, and their faces: plain text for a terminal, Markdown, CSV and HTML.

Numbers stay numbers until they are shown, so a table is formatted in one place only, and its CSV keeps every
digit.
"""

import csv
import html
import io
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ctctag._checks import check_choice
from ctctag.exceptions import ParameterError

__all__ = ["Table"]

_PROSE = 40  # letters; a longer cell is a sentence, not a name or a number


class Table:
    """Rows of text and numbers under headers.

    Parameters
    ----------
    headers : sequence of str
        Names of the columns.
    rows : sequence of sequences
        One value a column: str, int, float, bool or ``None``. ``None`` and NaN mean "not available".
    formats : sequence of (str or None), optional
        For each column how its numbers are written, as in `format`: ``".3f"``, ``"d"``, ``"+.1%"``. ``None``
        leaves a value as ``str`` writes it.
    caption : str
        What the table shows.
    best : dict of str to {"max", "min"}, optional
        Columns (by header) whose best number is set in bold, in Markdown and HTML.
    missing : str
        Stands for a value that is not available.

    Raises
    ------
    ParameterError
        If a row or the formats have another length than the headers, or a format does not fit its number.

    Examples
    --------
    >>> table = Table(["system", "F"], [["CRMP", 0.8771], ["CRNN-CTC", 0.98], ["CRAP", None]], [None, ".3f"])
    >>> print(table)
    system        F
    --------  -----
    CRMP      0.877
    CRNN-CTC  0.980
    CRAP        n/a
    """

    def __init__(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[Any]],
        formats: Sequence[str | None] | None = None,
        *,
        caption: str = "",
        best: Mapping[str, str] | None = None,
        missing: str = "n/a",
    ) -> None:
        self.headers = [str(header) for header in headers]
        self.rows = [list(row) for row in rows]
        self.formats = list(formats) if formats is not None else [None] * len(self.headers)
        self.caption = caption
        self.best = dict(best or {})
        self.missing = missing
        width = len(self.headers)
        if not width:
            raise ParameterError("headers must name at least one column, got none")
        if len(self.formats) != width:
            raise ParameterError(f"formats has {len(self.formats)} entries, but there are {width} headers")
        for number, row in enumerate(self.rows):
            if len(row) != width:
                raise ParameterError(f"rows[{number}] has {len(row)} values, but there are {width} headers")
        for header, direction in self.best.items():
            if header not in self.headers:
                raise ParameterError(
                    f"best names {header!r}, which is not a header: {', '.join(self.headers)}"
                )
            check_choice(direction, f"best[{header!r}]", ("max", "min"))

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"Table({len(self.rows)} rows × {len(self.headers)} columns: {', '.join(self.headers)})"

    def to_text(self) -> str:
        """Return the table for a terminal: columns aligned, numbers to the right, no trailing space."""
        cells = self._cells()
        numeric = self._numeric()
        widths = [
            max(_width(header), *(_width(row[column]) for row in cells), 0)
            for column, header in enumerate(self.headers)
        ]

        def line(row: Sequence[str]) -> str:
            padded = [
                " " * (width - _width(cell)) + cell if right else cell + " " * (width - _width(cell))
                for cell, width, right in zip(row, widths, numeric, strict=True)
            ]
            return "  ".join(padded).rstrip()

        lines = [line(self.headers), "  ".join("-" * width for width in widths), *map(line, cells)]
        return "\n".join([self.caption, "", *lines] if self.caption else lines)

    def to_markdown(self) -> str:
        r"""Return the table in GitHub's Markdown, ending in a line break.

        Examples
        --------
        >>> print(Table(["system", "F"], [["a|b", 0.5]], [None, ".2f"], best={"F": "max"}).to_markdown())
        | system | F |
        | --- | ---: |
        | a\|b | **0.50** |
        <BLANKLINE>
        """
        bold = self._best_cells()
        lines = [
            _markdown_row(map(_escape_markdown, self.headers)),
            _markdown_row("---:" if right else "---" for right in self._numeric()),
        ]
        for number, row in enumerate(self._cells()):
            cells = [_escape_markdown(cell) for cell in row]
            lines.append(_markdown_row(f"**{c}**" if (number, k) in bold else c for k, c in enumerate(cells)))
        caption = [_escape_markdown(self.caption), ""] if self.caption else []
        return "\n".join([*caption, *lines]) + "\n"

    def to_csv(self) -> str:
        """Return the table as CSV: numbers with every digit, an empty field for what is not available."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.headers)
        writer.writerows(["" if _absent(value) else _plain(value) for value in row] for row in self.rows)
        return buffer.getvalue()

    def to_html(self, *, caption: bool = True) -> str:
        """Return the table as an HTML ``table`` element, everything in it escaped.

        Cells are of class ``number`` in columns of numbers, and ``prose`` in columns that hold sentences,
        which a style sheet may let break into lines.

        Parameters
        ----------
        caption : bool
            With its caption, if it has one.

        Examples
        --------
        >>> print(Table(["a<b"], [[1.5]], [".2f"]).to_html())
        <table>
        <thead><tr><th class="number" scope="col">a&lt;b</th></tr></thead>
        <tbody>
        <tr><td class="number">1.50</td></tr>
        </tbody>
        </table>
        """
        shown, bold = self._cells(), self._best_cells()
        columns = zip(self.headers, *shown, strict=True)
        marks = [
            ' class="number"' if right else ' class="prose"' if max(map(len, column)) > _PROSE else ""
            for right, column in zip(self._numeric(), columns, strict=True)
        ]
        head = "".join(
            f'<th{mark} scope="col">{html.escape(header)}</th>'
            for header, mark in zip(self.headers, marks, strict=True)
        )
        body = []
        for number, row in enumerate(shown):
            cells = []
            for column, cell in enumerate(row):
                text = html.escape(cell)
                if (number, column) in bold:
                    text = f"<strong>{text}</strong>"
                cells.append(f"<td{marks[column]}>{text}</td>")
            body.append(f"<tr>{''.join(cells)}</tr>")
        title = [f"<caption>{html.escape(self.caption)}</caption>"] if caption and self.caption else []
        lines = [
            "<table>",
            *title,
            f"<thead><tr>{head}</tr></thead>",
            "<tbody>",
            *body,
            "</tbody>",
            "</table>",
        ]
        return "\n".join(lines)

    # -- pieces --------------------------------------------------------------------------------------------

    def _cells(self) -> list[list[str]]:
        return [
            [self._cell(number, column, value) for column, value in enumerate(row)]
            for number, row in enumerate(self.rows)
        ]

    def _cell(self, number: int, column: int, value: Any) -> str:
        if _absent(value):
            return self.missing
        form = self.formats[column]
        if form is None or isinstance(value, str):
            return str(_plain(value))
        try:
            return format(_plain(value), form)
        except (TypeError, ValueError) as error:
            raise ParameterError(
                f"rows[{number}] holds {value!r} under {self.headers[column]!r}, which the format {form!r} "
                f"does not fit ({error})"
            ) from None

    def _numeric(self) -> list[bool]:
        """Tell for each column whether it holds numbers and nothing else (but what is not available)."""
        columns = []
        for column in range(len(self.headers)):
            present = [row[column] for row in self.rows if not _absent(row[column])]
            columns.append(bool(present) and not any(isinstance(value, str | bool) for value in present))
        return columns

    def _best_cells(self) -> set[tuple[int, int]]:
        """Return (row, column) of each best number; ties, as they are shown, are all best."""
        cells = self._cells()
        found = set()
        for header, direction in self.best.items():
            column = self.headers.index(header)
            numbers = {
                number: row[column]
                for number, row in enumerate(self.rows)
                if not _absent(row[column]) and not isinstance(row[column], str)
            }
            if numbers:
                pick = max if direction == "max" else min
                shown = cells[pick(numbers, key=lambda number: numbers[number])][column]
                found |= {(number, column) for number in numbers if cells[number][column] == shown}
        return found


def _absent(value: Any) -> bool:
    return value is None or (not isinstance(value, str) and isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    """Return NumPy's numbers as Python's, so that they read 0.5 and not np.float64(0.5)."""
    return value.item() if hasattr(value, "item") else value


def _width(text: str) -> int:
    """Return how many columns of a terminal `text` takes: wide letters two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _escape_markdown(text: str) -> str:
    for special in "\\|*_`<":
        text = text.replace(special, "\\" + special)
    return text.replace("\n", " ")


def _markdown_row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"
