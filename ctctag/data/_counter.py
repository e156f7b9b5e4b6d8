"""Progress of work that many threads share."""

from collections.abc import Callable

from ctctag._forks import Lock

__all__ = ["Counter", "Progress"]

Progress = Callable[[int, int], None]
"""Called with (done, total), one thread at a time."""


class Counter:
    """Count finished tasks of many threads, and tell `progress` of each."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total = total
        self.progress = progress
        self.done = 0
        self._lock = Lock()

    def step(self) -> None:
        """Note that one more is done."""
        with self._lock:
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, self.total)
