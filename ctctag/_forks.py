"""Locks that a forked child finds open.

A child of `os.fork` has one thread, but the memory of all: a lock that another thread held at that moment
stays locked in the child for ever. Every lock of the package is a `Lock` from here, and in a child all are
new. What a lock protects must therefore be usable whatever statement the other thread was at.
"""

import os
import threading
import weakref
from types import TracebackType

__all__ = ["Lock"]


class Lock:
    """A `threading.Lock`, to be used in ``with``, that is made anew in a forked child.

    Examples
    --------
    >>> lock = Lock()
    >>> with lock:
    ...     pass
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _known.add(weakref.ref(self, _known.discard))

    def renew(self) -> None:
        """Forget who holds it."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


_known: set["weakref.ref[Lock]"] = set()  # to add and to discard are atomic


def _renew_all() -> None:
    for reference in tuple(_known):
        if (lock := reference()) is not None:
            lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
