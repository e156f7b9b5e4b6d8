"""Tables of text, as spreadsheets write them: UTF-8, one header row. Errors name the path and the line.

Columns are separated by tabs; in a file whose name ends in ``.csv`` by whatever its header has, commas,
semicolons or tabs. A cell may stand in quotation marks, as spreadsheets put it there when it holds a comma;
quotation marks inside are doubled then. A mark within a cell that does not begin with one means itself.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ctctag._files import atomic_path
from ctctag.exceptions import CtctagError, DataError

__all__ = ["TextRow", "naming", "quoted", "read_table", "read_text", "shown", "write_table"]

TextRow = tuple[int, dict[str, str]]
"""The line number of a row, counted from 1 as editors do, and its fields by column."""

_FORBIDDEN = re.compile(r"[\t\r\n\0]")
_QUOTED = re.compile(r' *"((?:[^"]|"")*)" *')
_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon"}


def shown(text: str) -> str:
    r"""Return a name or label fit for a message: on one line, without characters that act on a terminal.

    Examples
    --------
    >>> print(shown("knock\x1b[31m"))
    knock\x1b[31m
    """
    return _short("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def quoted(value: object) -> str:
    """Return the repr of what stands in a table, cut where it is too long to be shown."""
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]}... ({len(text)} characters)"


@contextlib.contextmanager
def naming(where: str | Path) -> Iterator[None]:
    """Let whatever goes wrong in the body be a `DataError` that names the place.

    Parsers fail in more ways than can be listed; one that nobody thought of must name its file, too.
    """
    try:
        yield
    except (CtctagError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from error
    except Exception as error:
        raise DataError(f"{where}: cannot be read ({type(error).__name__}: {error})") from error


def read_table(path: str | Path, columns: Sequence[str]) -> list[TextRow]:
    """Read the rows of a table that has at least the wanted columns, in any order.

    A byte-order mark, line ends of any system, blank lines, and empty cells to the right of the table are
    tolerated, and so are trailing empty fields that an editor has stripped. Fields come back without
    surrounding spaces and quotation marks.

    Parameters
    ----------
    path : path-like
        The file.
    columns : sequence of str
        Columns that must be there; others are kept too.

    Returns
    -------
    list of (int, dict)
        For each row its line number and its fields.

    Raises
    ------
    DataError
        If the file is missing or not UTF-8, a column is missing or named twice, a quotation mark is not
        closed, or a row has too few or too many fields.
    """
    path = Path(path)
    with naming(shown(str(path))):
        lines = _lines(path)
        if not lines:
            raise DataError(f"{path}: is empty, but a header row {_listed(columns)} was expected")
        number, text = lines[0]
        separator = max("\t;,", key=text.count) if path.suffix.lower() == ".csv" else "\t"
        header = _fields(text, separator, f"{path}, line {number}")
        while header and not header[-1]:
            header.pop()
        _check_header(path, number, text, header, columns, separator)
        rows = []
        for number, text in lines[1:]:
            where = f"{path}, line {number}"
            fields = _fitted(_fields(text, separator, where), header, text, separator, where)
            if any(fields):
                rows.append((number, dict(zip(header, fields, strict=True))))
        return rows


def write_table(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table with tabs between its columns, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; replaced if it exists.
    columns : sequence of str
        The header.
    rows : iterable of sequences of str
        Fields in the order of `columns`. The first must not be empty.

    Raises
    ------
    DataError
        If a field is no text, holds a tab, a line break or what UTF-8 cannot write, or begins or ends with a
        space: it could not be read back.
    """
    path = Path(path)
    lines = ["\t".join(columns)]
    for index, row in enumerate(rows):
        for column, field in zip(columns, row, strict=True):
            _check_field(field, f"{path}, row {index}: {column} {quoted(field)}")
        if not row[0]:
            raise DataError(f"{path}, row {index}: {columns[0]} is empty")
        lines.append("\t".join(map(_cell, row)))
    with atomic_path(path) as temporary:
        temporary.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))


def _check_field(field: object, what: str) -> None:
    if not isinstance(field, str):
        raise DataError(f"{what} is no text but {type(field).__name__}; convert it by str() first")
    if _FORBIDDEN.search(field) or field != field.strip():
        raise DataError(f"{what} holds a tab or a line break, or begins or ends with a space")
    try:
        field.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{what} cannot be written as UTF-8; rename it") from None


def _cell(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if field.startswith('"') else field


def read_text(path: Path) -> str:
    """Return what a text file holds, without a byte-order mark.

    Raises
    ------
    DataError
        If it cannot be read or is not UTF-8.
    """
    with naming(shown(str(path))):
        data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: is UTF-16 ('Unicode text' of a spreadsheet?); save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {number}: is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        ) from error
    if "\0" in text:
        number = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path}, line {number}: holds a NUL character (not a text file?)")
    return text


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that are not blank, each with its number."""
    # Not str.splitlines: that also splits at characters a label may hold, such as U+2028.
    numbered = enumerate(re.split("\r\n|\r|\n", read_text(path)), start=1)
    return [(number, line) for number, line in numbered if line.strip()]


def _fields(text: str, separator: str, where: str) -> list[str]:
    """Return the cells of a line, without the quotation marks that are not theirs."""
    fields, place = [], 0
    while True:
        mark = _QUOTED.match(text, place)
        if mark is not None:
            field, end = mark[1].replace('""', '"').strip(), mark.end()
            if end < len(text) and text[end] != separator:
                raise DataError(
                    f"{where}: expected a {_NAMES[separator]} after the quotation mark that closes a cell, "
                    f"got {quoted(text[end:])} (leave such marks out, or double those inside the cell)"
                )
        else:
            end = text.find(separator, place)
            end = len(text) if end < 0 else end
            field = text[place:end].strip()
            if field.startswith('"'):
                raise DataError(
                    f"{where}: a quotation mark is opened and not closed in {quoted(field)} (a cell with a "
                    "line break? one that is meant is doubled, and its cell put into quotation marks)"
                )
        fields.append(field)
        if end >= len(text):
            return fields
        place = end + 1


def _fitted(fields: list[str], header: list[str], text: str, separator: str, where: str) -> list[str]:
    """Return one field a column, if nothing is lost or guessed by it."""
    if len(fields) == 1 and not re.search(r"\s", fields[0]):
        fields = fields + [""] * (len(header) - 1)
    while len(fields) > len(header) and not fields[-1]:
        fields = fields[:-1]
    if len(fields) != len(header):
        slip = ""
        if len(fields) < len(header) and separator == "\t" and " " in text:
            slip = " (spaces for tabs?)"
        elif len(fields) > len(header) and separator != "\t":
            slip = f" (put a cell that holds a {_NAMES[separator]} into quotation marks)"
        raise DataError(
            f"{where}: expected {len(header)} {_NAMES[separator]}-separated fields, got {len(fields)} in "
            f"{quoted(text)}{slip}"
        )
    return fields


def _check_header(
    path: Path, number: int, text: str, header: list[str], columns: Sequence[str], separator: str
) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        if len(header) == 1 and all(name in text for name in columns):
            found = next((name for mark, name in _NAMES.items() if mark in text), "space")
            slip = f" ({found}s for {_NAMES[separator]}s?)"
        elif not set(header) & set(columns):
            slip = " (no header row?)"
        else:
            slip = ""
        raise DataError(
            f"{path}, line {number}: expected {_NAMES[separator]}-separated columns {_listed(columns)}, "
            f"but {_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing in {quoted(text)}{slip}"
        )
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{path}, line {number}: column {quoted(twice[0])} is there twice")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)
