"""Locks between processes: files that the system unlocks when their holder ends, however it ends.

The lock is the system's (``flock``, on Windows ``msvcrt.locking``), not the existence of a file. After
``kill -9`` or a crash it is free again, and the file that is left stands in nobody's way.
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from ctctag.exceptions import DataError

__all__ = ["acquire", "is_still", "locked"]

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # the byte that is locked: behind the text, which others may want to read

    def acquire(handle: int, *, wait: bool = False) -> bool:
        """Lock an open file against all who open it; return whether it is ours now."""
        while True:
            os.lseek(handle, _FAR, os.SEEK_SET)
            try:
                msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                return True
            except OSError:
                if not wait:
                    return False

else:
    import fcntl

    def acquire(handle: int, *, wait: bool = False) -> bool:
        """Lock an open file against all who open it; return whether it is ours now."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_still(handle: int, path: Path) -> bool:
    """Return whether `path` names the open file: its last holder may have removed it before we had it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked(path: Path, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, made if need be and removed at the end.

    Parameters
    ----------
    path : Path
        The file. Its folder must exist.
    busy : str
        What to say when another has it; the holder's process number is added.
    wait : bool
        Wait for the other to end, in place of raising.

    Raises
    ------
    DataError
        If another process, or another thread of this one, holds it, or it cannot be made.

    Warns
    -----
    UserWarning
        If the disk knows no locks. The work goes on then, unprotected.
    """
    handle = _held(path, busy, wait)
    try:
        yield
    finally:
        if sys.platform == "win32":  # where an open file cannot be removed, nor one that another has opened
            os.close(handle)
            with contextlib.suppress(OSError):
                path.unlink()
        else:  # while it is ours: who takes the lock next sees that the file is gone, and makes a new one
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(handle)


def _held(path: Path, busy: str, wait: bool) -> int:
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise DataError(f"{path.parent}: cannot be written ({error.strerror})") from error
        try:
            ours = acquire(handle, wait=wait)
            if ours and not is_still(handle, path):
                os.close(handle)
                continue
        except OSError as error:
            warnings.warn(
                f"{path}: this disk knows no locks ({error.strerror}); take care that no other process "
                "writes here at the same time",
                stacklevel=4,
            )
            return handle
        except BaseException:  # interrupted while it waited
            os.close(handle)
            raise
        if not ours:
            holder = os.read(handle, 20).decode("ascii", "replace").strip()
            os.close(handle)
            raise DataError(f"{busy} (process {holder})" if holder else busy)
        os.lseek(handle, 0, os.SEEK_SET)
        with contextlib.suppress(OSError):  # a full disk: the number is for messages only
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        return handle
