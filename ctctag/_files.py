"""Files and folders that appear whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ctctag.exceptions import DataError

__all__ = ["atomic_path", "hash_file", "staged_folder"]


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to `path` at the end, removed if anything fails."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out`; renamed to `out` at the end, removed if anything fails.

    Raises
    ------
    DataError
        If `out` is a file or a folder that holds something, or its parent cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, but a new folder was to be written there")
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out}: folder is not empty; choose another name or remove it first")
    out = out.absolute()
    missing = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from error
    try:
        yield staged
        staged.chmod(0o777 & ~_umask())
        if out.is_dir():
            out.rmdir()  # empty; renaming onto it is not allowed on every platform
        os.rename(staged, out)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        with contextlib.suppress(OSError):  # someone else has written there meanwhile
            for parent in missing:
                parent.rmdir()
        raise


def _umask() -> int:
    """Return the process's umask: temporary files are private, what they become should be ordinary."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def hash_file(path: Path) -> bytes:
    """Return the 32-byte BLAKE2b digest of a file's bytes."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32))
    return digest.digest()
