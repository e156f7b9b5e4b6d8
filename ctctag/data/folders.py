"""The kinds of folders that events and noise are read from, and how they are told apart."""

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ctctag.data.labels import nearest_match, parse_fold
from ctctag.data.sources import EventSource, RecordedSource, Recording
from ctctag.data.synthetic import SyntheticSource
from ctctag.data.tsv import naming, quoted, read_text, shown
from ctctag.exceptions import DataError

__all__ = ["find_recordings", "open_source"]

SUFFIXES = (".wav", ".flac", ".ogg")
_FLAT_NAME = re.compile(r"([A-Za-z][A-Za-z_ -]*?)[_-]?\d+")
_KINDS = (
    "a folder of class folders (cough/*.wav), files named class and number (cough01.wav), ESC-50 "
    "(meta/esc50.csv), or 'synthetic'"
)


def open_source(source: str | Path | EventSource, classes: Sequence[str] | None = None) -> EventSource:
    """Open a supply of isolated sound events, recognising its kind.

    Parameters
    ----------
    source : str, path-like or EventSource
        One of

        - ``"synthetic"``: the built-in synthesiser of 16 classes (`SyntheticSource`);
        - a folder of class folders, ``cough/*.wav|flac|ogg``, or one that has them in ``events/``;
        - a folder of files named by class and number as in DCASE 2013, ``cough01.wav``;
        - ESC-50: a folder with ``meta/esc50.csv`` and ``audio/``;
        - a source that is open already, which is handed back.

        A ``manifest.csv`` in the folder or above it (columns ``path`` and any of ``class``, ``source_id``,
        ``cv_fold``, ``license``) says which files were cut from one recording. Without it, each file counts
        as a recording of its own.
    classes : sequence of str, optional
        Keep only these classes.

    Returns
    -------
    EventSource
        The source, with ``classes`` sorted.

    Raises
    ------
    DataError
        If the folder is missing, unreadable or of no known kind, a class has no usable file, or the manifest
        is malformed.

    Examples
    --------
    >>> open_source("synthetic").classes[:4]
    ('alert', 'clearthroat', 'cough', 'doorslam')
    """
    if isinstance(source, EventSource):
        return source
    if str(source) == SyntheticSource.name:
        return SyntheticSource(classes)
    root = Path(source)
    _check_folder(root, f"expected {_KINDS}")
    if (root / "meta" / "esc50.csv").is_file():
        return RecordedSource(root, _esc50(root), classes)
    if (root / "events").is_dir():
        root = root / "events"
    folders = [entry for entry in _entries(root) if entry.is_dir()]
    files = [entry for entry in _entries(root) if _is_audio(entry)]
    if folders and not files:
        return RecordedSource(root, _class_folders(root, folders, classes), classes)
    if files and all(_FLAT_NAME.fullmatch(path.stem) for path in files):
        labels = [_flat_label(path) for path in files]
        return RecordedSource(root, _with_manifest(root, files, labels), classes)
    if files:
        odd = next((path.name for path in files if not _FLAT_NAME.fullmatch(path.stem)), files[0].name)
        raise DataError(
            f"{root}: cannot tell the class of {odd!r}; expected {_KINDS} (files beside class folders?)"
        )
    raise DataError(f"{root}: holds no sound events; expected {_KINDS}")


def find_recordings(root: Path) -> list[Recording]:
    """Return every recording below a folder, in order of path, e.g. of background noise.

    Parameters
    ----------
    root : Path
        The folder; ``manifest.csv`` in it or above it is honoured as in `open_source`.

    Returns
    -------
    list of Recording
        With the manifest's class, or else the file's folder, as label.

    Raises
    ------
    DataError
        If the folder is missing or holds no audio.
    """
    _check_folder(root, "expected a folder of recordings")
    files = sorted(path for path in root.rglob("*") if _is_audio(path))
    if not files:
        raise DataError(f"{root}: holds no usable recording ({' '.join(SUFFIXES)})")
    labels = ["" if path.parent == root else path.parent.name for path in files]
    return _with_manifest(root, files, labels, check_class=False)


def _check_folder(root: Path, expected: str) -> None:
    if not root.exists():
        raise DataError(f"{shown(str(root))}: no such folder; {expected}")
    if not root.is_dir():
        raise DataError(f"{shown(str(root))}: is a file; {expected}")
    _check_name(str(root))


def _check_name(name: str) -> None:
    """Refuse a name that a data set could not write down: its tables are UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{shown(name)}: this name is not UTF-8; rename the file or folder") from None


def _entries(root: Path) -> list[Path]:
    try:
        return sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error.strerror})") from error


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _class_folders(root: Path, folders: Iterable[Path], classes: Sequence[str] | None) -> list[Recording]:
    files: list[Path] = []
    for folder in folders:
        if classes is not None and folder.name not in classes:
            continue
        found = [path for path in _entries(folder) if _is_audio(path)]
        if not found:
            raise DataError(f"{folder}: class {folder.name!r} has no usable file ({' '.join(SUFFIXES)})")
        files += found
    return _with_manifest(root, files, [path.parent.name for path in files])


def _flat_label(path: Path) -> str:
    match = _FLAT_NAME.fullmatch(path.stem)
    assert match is not None
    return match[1].lower()


def _esc50(root: Path) -> list[Recording]:
    """Read ``meta/esc50.csv``: the Freesound clip is the source recording, ESC-50's own folds are kept."""
    table = root / "meta" / "esc50.csv"
    recordings: list[Recording] = []
    for where, row in _read_csv(table, ("filename", "fold", "category", "src_file")):
        path = root / "audio" / row["filename"]
        if not os.path.isfile(path):  # unlike Path.is_file, false where a name is too long
            raise DataError(f"{where}: {shown(str(path))} does not exist")
        if path in {recording.path for recording in recordings}:
            raise DataError(f"{where}: filename {quoted(row['filename'])} is there twice")
        recordings.append(
            Recording(
                key=f"audio/{row['filename']}",
                label=row["category"],
                path=path,
                source_id=f"freesound:{row['src_file']}",
                fold=parse_fold(row["fold"], where),
                license="CC-BY-NC-3.0",
            )
        )
    return recordings


def _with_manifest(
    root: Path, files: Sequence[Path], labels: Sequence[str], *, check_class: bool = True
) -> list[Recording]:
    rows = _manifest(root)
    recordings = []
    for path, label in zip(files, labels, strict=True):
        key = path.relative_to(root).as_posix()
        _check_name(key)
        where, row = rows.get(path.resolve(), ("", {}))
        said = row.get("class", "")
        if check_class and said and said != label:
            raise DataError(
                f"{where}: says class {quoted(said)} of {shown(key)}, which lies in folder {quoted(label)}"
            )
        recordings.append(
            Recording(
                key=key,
                label=label if check_class else said or label,
                path=path,
                source_id=row.get("source_id") or key,
                fold=parse_fold(row["cv_fold"], where) if row.get("cv_fold") else None,
                license=row.get("license", ""),
            )
        )
    return recordings


def _manifest(root: Path) -> dict[Path, tuple[str, dict[str, str]]]:
    """Return the manifest's rows by resolved path: of ``manifest.csv`` in the folder, or else just above."""
    for folder in (root, root.resolve().parent):
        table = folder / "manifest.csv"
        if not table.is_file():
            continue
        rows: dict[Path, tuple[str, dict[str, str]]] = {}
        for where, row in _read_csv(table, ("path",)):
            with naming(where):  # a link may lead to itself
                path = (folder / row["path"]).resolve()
            if path in rows:
                raise DataError(f"{where}: path {quoted(row['path'])} is there twice")
            if path.is_relative_to(root.resolve()) and not os.path.isfile(path):
                raise DataError(f"{where}: {quoted(row['path'])} does not exist")
            rows[path] = (where, row)
        return rows
    return {}


def _read_csv(table: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a table of commas, or of the semicolons or tabs that some spreadsheets write."""
    text = read_text(table)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    where = f"{table}, line 1"
    with naming(where):
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        header = reader.fieldnames or []
    for column in columns:
        if column not in header:
            raise DataError(f"{where}: column {column!r} is missing{nearest_match(column, header)}")
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{where}: column {quoted(twice[0])} is there twice")
    rows: list[tuple[str, dict[str, str]]] = []
    while True:
        with naming(f"{table}, line {reader.line_num + 1}"):
            row = next(reader, None)
        if row is None:
            return rows
        where = f"{table}, line {reader.line_num}"
        if None in row or None in row.values():
            kind = {",": "comma", ";": "semicolon", "\t": "tab"}[separator]
            raise DataError(f"{where}: expected {len(header)} {kind}-separated fields")
        rows.append((where, row))
