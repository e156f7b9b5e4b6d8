"""Large arrays that are used again: the operating system clears every new page, which costs more than a pass.

A training step asks for the same sizes every time. `empty` keeps the memory it has handed out and hands it
out again as soon as no array refers to it any more, which Python's reference count tells exactly: a cache
that somebody still holds keeps its memory. Arrays start at a multiple of 64 bytes, the size of a vector.
"""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._forks import Lock

__all__ = ["Spares", "empty", "zeros"]

_SMALL = 1 << 16  # bytes; below this the ordinary allocator is as good
_ALIGNMENT = 64


class _Store:
    """Raw memory by size, and the least bytes of it that are kept idle when a new size is asked for."""

    keep = 1 << 28

    def __init__(self) -> None:
        self.lock = Lock()
        self.raw: dict[int, list[npt.NDArray[Any]]] = {}
        self.idle_count = 0
        self.idle_count = self._count(self._probe())

    @staticmethod
    def _probe() -> list[npt.NDArray[Any]]:
        return [np.empty(1, dtype=np.uint8)]

    @staticmethod
    def _count(buffers: list[npt.NDArray[Any]], index: int = 0) -> int:
        """Return the references to one buffer, counted the same way every time."""
        return sys.getrefcount(buffers[index])

    def take(self, size: int) -> npt.NDArray[Any]:
        with self.lock:
            buffers = self.raw.setdefault(size, [])
            for index in range(len(buffers)):
                if self._count(buffers, index) == self.idle_count:
                    return buffers[index]
            self._drop_idle()
            buffer = np.empty(size + _ALIGNMENT, dtype=np.uint8)
            self.raw.setdefault(size, []).append(buffer)
            return buffer

    def _drop_idle(self) -> None:
        idle = {
            size: [i for i in range(len(buffers)) if self._count(buffers, i) == self.idle_count]
            for size, buffers in self.raw.items()
        }
        if sum(size * len(indices) for size, indices in idle.items()) > self.keep:
            for size, indices in idle.items():
                for index in reversed(indices):
                    del self.raw[size][index]


_store = _Store()


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an uninitialised array whose memory is used again once nothing refers to it.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its dtype.

    Returns
    -------
    ndarray
        Contiguous, from a multiple of 64 bytes on where it is large.

    Examples
    --------
    >>> empty((2, 3), np.float32).shape
    (2, 3)
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _SMALL:
        return np.empty(shape, dtype)
    raw = _store.take(size)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array of zeros whose memory is used again once nothing refers to it (see `empty`)."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


class Spares:
    """Scratch memory for tasks that run side by side: made when none is idle, then handed from task to task.

    Parameters
    ----------
    make : callable
        Returns new scratch memory.

    Examples
    --------
    >>> spares = Spares(lambda: np.empty(3))
    >>> with spares.one() as first:
    ...     pass
    >>> with spares.one() as second:
    ...     first is second
    True
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.idle: list[Any] = []  # pop and append are atomic

    @contextlib.contextmanager
    def one(self) -> Iterator[Any]:
        """Lend one for the length of a task."""
        try:
            scratch = self.idle.pop()
        except IndexError:
            scratch = self.make()
        yield scratch
        self.idle.append(scratch)
