"""Files and folders that appear whole or not at all; what a killed process left half-written is cleared."""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ctctag._locks import acquire, is_still, locked
from ctctag.exceptions import CtctagError, DataError

__all__ = ["atomic_path", "clear_leftovers", "hash_file", "staged_folder"]


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to `path` at the end, removed if anything fails.

    Raises
    ------
    DataError
        If it cannot be written, now or in the middle (a full disk). What was there before is whole then.
    """
    try:
        clear_leftovers(path)
        temporary, handle = _claimed(path)
    except OSError as error:
        raise DataError(_unwritten(path, error)) from error
    with contextlib.ExitStack() as held:
        held.callback(os.close, handle)
        try:
            yield temporary
            if os.name == "nt":  # where no open file can be renamed
                held.close()
            os.replace(temporary, path)  # elsewhere while it is ours, so that nobody clears it
        except BaseException as error:
            held.close()
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise DataError(_unwritten(path, error)) from error
            raise


@contextlib.contextmanager
def staged_folder(out: Path, *, wait: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `out`; renamed to `out` at the end, removed if anything fails.

    Of several processes that want to write `out`, one does.

    Parameters
    ----------
    out : Path
        The folder to be.
    wait : bool
        Whether the others wait for that one to end; by default they are refused.

    Raises
    ------
    DataError
        If `out` is a file or a folder that holds something, another process is writing it, or it cannot be
        written, now or in the middle.
    """
    out = out.absolute()
    _check_free(out)
    missing = [parent for parent in out.parents if not parent.exists()]
    busy = f"{out}: another process is writing it; wait until it has ended, or choose another name"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with locked(out.with_name(f".{out.name}.lock"), busy, wait=wait):
            _check_free(out)  # nobody has been faster
            for leftover in _named_like(out, ""):
                shutil.rmtree(leftover, ignore_errors=True)
            staged = _temporary(out, "")
            staged.mkdir()
            try:
                yield staged
                if out.is_dir():
                    out.rmdir()  # empty; renaming onto it is not allowed on every platform
                os.rename(staged, out)
            except BaseException as error:
                shutil.rmtree(staged, ignore_errors=True)
                if isinstance(error, CtctagError) and str(staged) in str(error):
                    # a name that is gone tells nobody anything
                    raise type(error)(str(error).replace(str(staged), str(out))) from error
                raise
    except BaseException as error:
        with contextlib.suppress(OSError):  # someone else has written there meanwhile
            for parent in missing:
                parent.rmdir()
        if isinstance(error, OSError):
            raise DataError(_unwritten(out, error)) from error
        raise


def clear_leftovers(path: Path) -> None:
    """Remove what killed processes left of `path`: temporary files that nobody holds any more."""
    for leftover in _named_like(path, path.suffix):
        with contextlib.suppress(OSError):
            handle = os.open(leftover, os.O_RDWR)
            try:
                dead = acquire(handle)
                if dead and os.name != "nt":
                    leftover.unlink()  # while it is ours, so that no writer can be just before its lock
            finally:
                os.close(handle)
            if dead:
                leftover.unlink(missing_ok=True)


def hash_file(path: Path) -> bytes:
    """Return the 32-byte BLAKE2b digest of a file's bytes."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32))
    return digest.digest()


def _claimed(path: Path) -> tuple[Path, int]:
    """Return a new temporary file, with the rights of an ordinary one, and a handle that holds its lock."""
    while True:
        temporary = _temporary(path, path.suffix)
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with contextlib.suppress(OSError):  # a disk without locks
            acquire(handle, wait=True)
        if is_still(handle, temporary):  # nobody took it for a leftover just before it was locked
            return temporary, handle
        os.close(handle)


def _temporary(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial{suffix}")


def _named_like(path: Path, suffix: str) -> list[Path]:
    """Return what `_temporary` has named so."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.partial{re.escape(suffix)}")
    return [entry for entry in path.parent.iterdir() if name.fullmatch(entry.name)]


def _check_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, but a new folder was to be written there")
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out}: folder is not empty; choose another name or remove it first")


def _unwritten(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written ({error.strerror or error})"
