"""Locks that a forked child finds open.

A child of `os.fork` has one thread, but the memory of all: a lock that another thread held at that moment
stays locked in the child for ever. So every lock of the package comes from here. A `Lock` is made anew in the
child; what it protects must then be usable whatever statement the other thread was at. Where it is not, as
inside a foreign library, `held_over_forks` lets the fork wait until the other thread has left.
"""

import os
import threading
import weakref
from types import TracebackType
from typing import Any

__all__ = ["Lock", "held_over_forks"]


class Lock:
    """A `threading.Lock`, to be used in ``with``, that is made anew in a forked child.

    A child forked by the very thread that holds it holds it, too, and releases it.

    Examples
    --------
    >>> lock = Lock()
    >>> with lock:
    ...     pass
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None
        _known.add(weakref.ref(self, _known.discard))

    def renew(self) -> None:
        """Forget who holds it, unless it is this thread."""
        if self._holder != threading.get_ident():  # which is the same in the parent and in the child
            self._lock = threading.Lock()
            self._holder = None

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder = None
        self._lock.release()


_known: set["weakref.ref[Lock]"] = set()  # to add and to discard are atomic


def _renew_all() -> None:
    for reference in tuple(_known):
        if (lock := reference()) is not None:
            lock.renew()


def held_over_forks(lock: Any = None) -> Any:
    """Return a lock (by default a new one) that every fork of the process waits for, and that it then frees.

    Parameters
    ----------
    lock : object, optional
        What has ``acquire`` and ``release``, and lets the thread that holds it in again: a signal's handler
        may fork while its own thread holds it.
    """
    lock = threading.RLock() if lock is None else lock
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
