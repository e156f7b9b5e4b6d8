"""One net under every reader of a file: whatever its parser raises becomes an error that names the file.

A damaged file can make a parser raise nearly anything: `RecursionError` for brackets in brackets,
`MemoryError` for a huge number, `tokenize.TokenError` for half a header. No list of them is ever complete.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctctag.exceptions import CtctagError

__all__ = ["read_json", "reading"]

_LONGEST = 200  # characters of a parser's message


@contextlib.contextmanager
def reading(path: str | Path, kind: type[CtctagError], problem: str) -> Iterator[None]:
    """Turn every error of a parser into one of `kind`.

    Parameters
    ----------
    path : str or Path
        The file, with which the message begins.
    kind : type of CtctagError
        What is raised. An error that is of this kind already passes: its message names the place.
    problem : str
        What is wrong with the file; ``{}`` in it stands for the parser's own words.

    Examples
    --------
    >>> import tomllib
    >>> from ctctag.exceptions import DataError
    >>> with reading("a.toml", DataError, "is not valid TOML ({})"):
    ...     tomllib.loads("a = " + 5000 * "[")
    Traceback (most recent call last):
    ctctag.exceptions.DataError: a.toml: is not valid TOML (nested too deeply)
    """
    try:
        yield
    except kind:
        raise
    except OSError as error:
        reason = f"cannot be read ({error.strerror})" if error.strerror else problem.format(_words(error))
        raise kind(f"{path}: {reason}") from error
    except Exception as error:
        raise kind(f"{path}: {problem.format(_words(error))}") from error


def read_json(path: Path, kind: type[CtctagError], problem: str) -> dict[str, Any]:
    """Return the object that a JSON file holds; see `reading` for the rest.

    Raises
    ------
    FileNotFoundError
        If there is no such file: each caller knows what that means.
    CtctagError
        Of `kind`, if it cannot be read, is not JSON, or holds another thing than an object.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    with reading(path, kind, problem):
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"holds a {type(values).__name__}, but names with values were expected")
    return values


def _words(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, KeyError):
        return f"lacks {error}"
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _LONGEST else words[:_LONGEST] + "…"
