"""Progress of whatever takes over two seconds, and text that any output can show."""

import codecs
import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["plain_output", "printable", "progress_bar", "say"]

_LINE_EVERY = 10.0  # seconds between plain lines


# Control characters, line separators, marks that turn the direction of writing, bytes that are not UTF-8.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PLAIN = {"→": "->", "⇒": "=>", "–": "-", "−": "-", "×": "x", "…": "...", "·": "."}


def printable(text: object) -> str:
    """Return a text on one line, with what a terminal would obey, or cannot show, as escapes of Python."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), str(text))


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Let standard output and error show what their encoding lacks otherwise: ``->`` for an arrow."""
    both: tuple[Any, Any] = sys.stdout, sys.stderr
    streams = [(stream, stream.errors) for stream in both if hasattr(stream, "reconfigure")]
    for stream, _ in streams:
        stream.reconfigure(errors=_ERRORS)
    try:
        yield
    finally:
        for stream, errors in streams:
            if not stream.closed:
                stream.reconfigure(errors=errors)


_ERRORS = "ctctag.plain"


def _in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    place = error.start
    shown = _PLAIN.get(error.object[place])
    if shown is None:
        shown = error.object[place].encode("unicode_escape", "surrogatepass").decode()
    return shown, place + 1


codecs.register_error(_ERRORS, _in_plain_characters)


@contextlib.contextmanager
def progress_bar(what: str, unit: str = "", *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to be called with (done, total).

    On a terminal with tqdm installed (extra ``progress``) a bar is drawn. Otherwise a line is printed every
    ten seconds, and nothing for what ends sooner. All of it goes to standard error.
    """
    if quiet:
        yield lambda done, total: None
        return
    draw = _tqdm_bar(what, unit) if sys.stderr.isatty() else None
    if draw is None:
        yield _plain_lines(what, unit)
        return
    update, close = draw
    try:
        yield update
    finally:
        close()


def _tqdm_bar(what: str, unit: str) -> tuple[Callable[[int, int], None], Callable[[], None]] | None:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    bar: Any = None

    def close() -> None:
        nonlocal bar
        if bar is not None:
            bar.close()
            bar = None

    def update(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(desc=what, unit=f" {unit}" if unit else "", leave=False, dynamic_ncols=True, delay=0.5)
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:  # gone when it is full; called again, it begins anew
            close()

    return update, close


def say(line: str) -> None:
    """Print a line to standard error, above whatever bar is being drawn."""
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            tqdm.write(line, file=sys.stderr)
            return
    print(line, file=sys.stderr, flush=True)


def _plain_lines(what: str, unit: str) -> Callable[[int, int], None]:
    last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LINE_EVERY:
            last = now
            print(f"{what}: {done} of {total} {unit}".rstrip(), file=sys.stderr, flush=True)

    return update
