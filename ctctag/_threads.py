"""One bound on threads for the whole package, and the pool that honours it.

Kernels are compiled with ``nogil``, so ordinary Python threads run them side by side and no Numba threading
layer is ever started: that keeps us safe under the caller's own threads and after a fork. Work is cut into
tasks by the *problem*, never by the number of threads, and each task writes its own part of the output;
results are therefore bit-identical for every thread count.

BLAS libraries keep pools of their own (the wheels of NumPy and SciPy carry one each). Inside
`single_threaded_blas` they are held to one thread, so that our tasks and theirs never compete.
"""

import contextlib
import ctypes
import functools
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ctctag._forks import Lock, held_over_forks
from ctctag.exceptions import ParameterError

__all__ = ["get_num_threads", "openblas_threads", "run_tasks", "set_num_threads", "single_threaded_blas"]

_ENVIRONMENT = "CTCTAG_NUM_THREADS"


def _usable_cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every platform
        return os.cpu_count() or 1


def _checked(num_threads: Any, name: str) -> int:
    try:
        number = int(num_threads)
    except (TypeError, ValueError):
        number = 0
    if number < 1 or (not isinstance(num_threads, str) and number != num_threads):
        raise ParameterError(f"{name} must be a whole number of at least 1, got {num_threads!r}")
    return number


def _initial() -> int:
    text = os.environ.get(_ENVIRONMENT)
    return _usable_cpus() if not text else _checked(text, _ENVIRONMENT)


class _Pool:
    """The shared workers; forgotten after a fork, where their threads do not exist.

    A kernel may take no longer than it takes to make a future and wake up its owner, so there are none: work
    goes to the workers through a queue, and word of its end comes back through another.
    """

    def __init__(self) -> None:
        self.num_threads: int | None = None
        self.lock = Lock()
        self.forget()

    def forget(self) -> None:
        self.queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.size = 0

    def hand_over(self, jobs: Sequence[Callable[[], None]]) -> None:
        if self.size < len(jobs):
            # RuntimeError: no more threads, or the interpreter is shutting down. What cannot be handed over,
            # the caller does itself.
            with self.lock, contextlib.suppress(RuntimeError):
                while self.size < len(jobs):
                    name = f"ctctag-{self.size}"
                    threading.Thread(target=_serve, args=(self.queue,), name=name, daemon=True).start()
                    self.size += 1
        for job in jobs:
            self.queue.put(job)


def _serve(queue: "SimpleQueue[Callable[[], None]]") -> None:
    while True:
        job = queue.get()
        job()
        del job  # or its arrays would live on until the next one


_pool = _Pool()
_inside = threading.local()  # .task is True on a thread that is running one of our tasks


def set_num_threads(num_threads: int) -> None:
    """Bound the threads that the package uses, its BLAS calls included.

    Parameters
    ----------
    num_threads : int
        At least 1. The default is the environment variable ``CTCTAG_NUM_THREADS``, or else the number of
        processors this process may use. Results do not depend on it, bit for bit.

    Raises
    ------
    ParameterError
        If `num_threads` is not a whole number of at least 1.

    Examples
    --------
    >>> import ctctag
    >>> before = ctctag.get_num_threads()
    >>> ctctag.set_num_threads(1)
    >>> ctctag.get_num_threads()
    1
    >>> ctctag.set_num_threads(before)
    """
    _pool.num_threads = _checked(num_threads, "num_threads")


def get_num_threads() -> int:
    """Return the number of threads the package may use (see `set_num_threads`)."""
    if _pool.num_threads is None:
        _pool.num_threads = _initial()
    return _pool.num_threads


def run_tasks(function: Callable[..., Any], tasks: Sequence[Any]) -> None:
    """Call ``function(task)`` for every task, on at most `get_num_threads` threads, and wait for all.

    The calling thread works too. A task that itself calls `run_tasks` runs its own tasks in place. The first
    error raised by a task is raised here, after all running tasks have ended; no further ones are begun.

    Parameters
    ----------
    function : callable
        Called with one task; its result is ignored, so it must write to arrays of its own.
    tasks : sequence
        Taken in order: put the dearest first.
    """
    helpers = min(get_num_threads(), len(tasks)) - 1
    if helpers < 1 or getattr(_inside, "task", False):
        for task in tasks:
            function(task)
        return

    turn = itertools.count()  # next() on it is atomic
    failed: list[BaseException] = []

    def work() -> None:
        _inside.task = True
        try:
            while not failed and (index := next(turn)) < len(tasks):
                function(tasks[index])
        except BaseException as error:
            failed.append(error)
        finally:
            _inside.task = False

    ended: SimpleQueue[None] = SimpleQueue()
    tickets = [itertools.count() for _ in range(helpers)]  # who draws 0: its helper, or we, too late

    def help_with(ticket: "itertools.count[int]") -> None:
        if next(ticket) == 0:
            work()
            ended.put(None)

    _pool.hand_over([functools.partial(help_with, ticket) for ticket in tickets])
    work()
    for ticket in tickets:
        if next(ticket) > 0:
            ended.get()
    if failed:
        raise failed[0]


class _OwnDepth(threading.local):
    """How deep one thread is in `single_threaded_blas`."""

    depth = 0


class _Blas:
    """The OpenBLAS libraries of the NumPy and SciPy wheels, and how deep we are in `single_threaded_blas`.

    OpenBLAS sets its number of threads under a lock of its own, which a forked child would find locked for
    ever. So our lock is held while we set it, and while the process forks.
    """

    def __init__(self) -> None:
        self.lock = held_over_forks()
        self.depth = 0  # of all threads
        self.own = _OwnDepth()
        self.saved: list[int] = []
        self.libraries: list[tuple[Any, Any]] | None = None

    def find(self) -> list[tuple[Any, Any]]:
        if self.libraries is None:
            self.libraries = [pair for path in _blas_paths() if (pair := _blas_functions(path))]
        return self.libraries

    def enter(self) -> None:
        libraries = self.find()
        with self.lock:
            if self.depth == 0:
                self.saved = [get() for get, _ in libraries]
                self._set([1] * len(libraries))
            self.depth += 1
        self.own.depth += 1

    def leave(self) -> None:
        self.own.depth -= 1
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self._set(self.saved)

    def _set(self, numbers: list[int]) -> None:
        for (_, put), number in zip(self.find(), numbers, strict=True):
            put(number)

    def after_fork_in_child(self) -> None:
        """Forget the other threads; give back the limit if it was theirs alone."""
        held, self.depth = self.depth, self.own.depth
        if held and not self.depth:
            self._set(self.saved)


def _blas_paths() -> list[Path]:
    import numpy
    import scipy

    paths = []
    for package in (numpy, scipy):
        folder = Path(package.__path__[0])
        for libraries in (folder.with_name(folder.name + ".libs"), folder / ".dylibs"):
            paths += sorted(libraries.glob("*openblas*"))
    return paths


def _blas_functions(path: Path) -> tuple[Any, Any] | None:
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return None
    for prefix, suffix in itertools.product(("scipy_openblas", "openblas"), ("64_", "_64", "")):
        get = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
        put = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
        if get and put:
            return get, put
    return None


_blas = _Blas()


def openblas_threads() -> list[int]:
    """Return the present number of threads of each OpenBLAS library that can be bounded."""
    return [get() for get, _ in _blas.find()]


class _SingleThreaded(contextlib.ContextDecorator):
    def __enter__(self) -> None:
        _blas.enter()

    def __exit__(self, *error: object) -> None:
        _blas.leave()


def single_threaded_blas() -> _SingleThreaded:
    """Hold the BLAS libraries of NumPy and SciPy to one thread, in ``with`` or as a decorator.

    May be nested and entered by many threads.
    """
    return _SingleThreaded()


def _after_fork_in_child() -> None:
    _pool.forget()
    _inside.task = False
    _blas.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
