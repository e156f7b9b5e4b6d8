"""The settings file of a data set: the standard library reads TOML, this writes the little that is needed."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctctag._files import atomic_path
from ctctag._reading import reading
from ctctag.exceptions import DataError

__all__ = ["read_toml", "write_toml"]


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the tables and values of a TOML file.

    Raises
    ------
    DataError
        If the file cannot be read or is not TOML; the message names the line.
    """
    with reading(path, DataError, "is not valid TOML ({})"):
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))


def write_toml(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write strings, numbers, booleans, lists of them, and tables of them (one level), whole or not at all.

    Values that are None are left out, as TOML has no such thing.
    """
    lines = [f"{key} = {_literal(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    for name, table in values.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {_literal(value)}" for key, value in table.items() if value is not None]
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _literal(value: Any) -> str:
    # JSON's strings, numbers, booleans and lists are TOML's too.
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False, allow_nan=False)
