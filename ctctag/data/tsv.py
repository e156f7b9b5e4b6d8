"""Tab-separated tables: UTF-8, one header row, no quoting. Errors name the path and the line."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ctctag._files import atomic_path
from ctctag.exceptions import DataError

__all__ = ["TextRow", "read_table", "write_table"]

TextRow = tuple[int, dict[str, str]]
"""The line number of a row, counted from 1 as editors do, and its fields by column."""

_FORBIDDEN = re.compile(r"[\t\r\n]")


def read_table(path: str | Path, columns: Sequence[str]) -> list[TextRow]:
    """Read the rows of a table that has at least the wanted columns, in any order.

    A byte-order mark, Windows line ends and blank lines are tolerated, and so are trailing empty fields that
    an editor has stripped. Fields come back without surrounding spaces.

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
        If the file is missing or not UTF-8, a column is missing or named twice, or a row has too few or too
        many fields.
    """
    path = Path(path)
    lines = _lines(path)
    if not lines:
        raise DataError(f"{path}: is empty, but a header row {_quoted(columns)} was expected")
    number, text = lines[0]
    header = [name.strip() for name in text.split("\t")]
    _check_header(path, number, text, header, columns)

    rows = []
    for number, text in lines[1:]:
        fields = [field.strip() for field in text.split("\t")]
        if len(fields) < len(header) and not re.search(r"\s", text.strip()):
            fields += [""] * (len(header) - len(fields))
        if len(fields) != len(header):
            slip = " (spaces for tabs?)" if len(fields) < len(header) and " " in text else ""
            raise DataError(
                f"{path}, line {number}: expected {len(header)} tab-separated fields, "
                f"got {len(fields)} in {text!r}{slip}"
            )
        rows.append((number, dict(zip(header, fields, strict=True))))
    return rows


def write_table(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; replaced if it exists.
    columns : sequence of str
        The header.
    rows : iterable of sequences of str
        Fields in the order of `columns`.

    Raises
    ------
    DataError
        If a field holds a tab or a line break, or begins or ends with a space: it could not be read back.
    """
    path = Path(path)
    lines = ["\t".join(columns)]
    for index, row in enumerate(rows):
        for column, field in zip(columns, row, strict=True):
            if _FORBIDDEN.search(field) or field != field.strip():
                raise DataError(
                    f"{path}, row {index}: {column} {field!r} holds a tab or a line break, or begins or ends "
                    "with a space"
                )
        lines.append("\t".join(row))
    with atomic_path(path) as temporary:
        temporary.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {number}: is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        ) from error
    # Not str.splitlines: that also splits at characters a label may hold, such as U+2028.
    numbered = enumerate((line.removesuffix("\r") for line in text.split("\n")), start=1)
    return [(number, line) for number, line in numbered if line.strip()]


def _check_header(path: Path, number: int, text: str, header: list[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        if len(header) == 1 and all(name in text for name in columns):
            slip = " (spaces for tabs?)" if "," not in text else " (commas for tabs?)"
        elif not set(header) & set(columns):
            slip = " (no header row?)"
        else:
            slip = ""
        raise DataError(
            f"{path}, line {number}: expected tab-separated columns {_quoted(columns)}, "
            f"but {_quoted(missing)} {'is' if len(missing) == 1 else 'are'} missing in {text!r}{slip}"
        )
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{path}, line {number}: column {twice[0]!r} is there twice")


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
