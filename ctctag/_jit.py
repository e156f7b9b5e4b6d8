"""``jit``: Numba's compiler with a disk cache that can never break a run.

Numba raises when it finds no directory to write its cache to (a read-only installation without a home),
and again when a cache file was cut off by a full disk or a killed process. Either way the kernel itself is
fine, so here a cache that does not work is only a slower start: the kernel is compiled in memory.

Numba takes a cached kernel for current while the kernel's own file is unchanged, though the callees compiled
into it may live next door. Here it is current while no private file of its folder, or of the package's own,
has changed.

Numba frees an array after its last use by name, and does not know of its `ctctag._simd.address`. So a kernel
that takes addresses may not make arrays: it gets its working memory from outside, where it lives on.
"""

import contextlib
import functools
import logging
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.compiler_lock import global_compiler_lock

from ctctag._forks import held_over_forks

__all__ = ["jit"]

_logger = logging.getLogger("ctctag")

held_over_forks(global_compiler_lock)

# What makes an array, as a function of NumPy or a method of an array.
_ALLOCATING = frozenset(
    {"arange", "array", "asarray", "ascontiguousarray", "astype", "concatenate", "copy", "cumsum", "empty"}
    | {"empty_like", "eye", "full", "full_like", "hstack", "linspace", "ones", "ones_like", "repeat", "stack"}
    | {"take", "vstack", "zeros", "zeros_like"}
)


class _ForgivingCache:
    """Wrap Numba's cache: whatever goes wrong while loading or saving means "not cached"."""

    def __init__(self, cache: Any, name: str) -> None:
        self._cache = cache
        self._name = name

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return self._cache.load_overload(sig, target_context)
        except Exception as error:  # a cut-off pickle can raise nearly anything
            _logger.info("cache of %s is unreadable and is made anew (%s)", self._name, error)
            with contextlib.suppress(Exception):
                self._cache.flush()  # a broken index would refuse the new kernel, too
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            self._cache.save_overload(sig, data)
        except Exception as error:
            _logger.info("cache of %s cannot be written (%s); compiled in memory", self._name, error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


@functools.lru_cache
def _stamp(file: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, time and size of a file and of each private one beside it and beside this one."""
    files = sorted({file, *file.parent.glob("_*.py"), *Path(__file__).parent.glob("_*.py")})
    return tuple((path.name, (stat := path.stat()).st_mtime_ns, stat.st_size) for path in files)


def jit(function: Any = None, /, **options: Any) -> Any:
    """Compile `function` with ``numba.njit(nogil=True, error_model="numpy")``, cached on disk where possible.

    Parameters
    ----------
    function : callable
        The kernel. It makes no arrays if it takes addresses: its working memory is an argument. Its callees
        must live in private files (``_*.py``) of the same folder or of the package's own: the cache does not
        see changes elsewhere.
    **options
        Further options of ``numba.njit``, e.g. ``fastmath={"contract"}`` or ``inline="always"``.

    Returns
    -------
    callable
        The compiled kernel; with ``NUMBA_DISABLE_JIT=1`` the plain Python function.

    Raises
    ------
    TypeError
        If the kernel calls both `address` and what makes an array.
    """
    if function is None:
        return lambda kernel: jit(kernel, **options)
    names = set(function.__code__.co_names)
    if "address" in names and (made := sorted(names & _ALLOCATING)):
        raise TypeError(
            f"{function.__qualname__} takes addresses and makes arrays ({', '.join(made)}), "
            "which Numba frees after their last use by name (make them an argument)"
        )
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # "cannot cache function ...: no locator available"
        _logger.info("%s; compiled in memory", error)
        return numba.njit(**options)(function)
    if hasattr(compiled, "_cache"):  # a plain function where JIT is disabled
        with contextlib.suppress(AttributeError, OSError):  # Numba's own stamp is the next best
            compiled._cache._cache_file._source_stamp = _stamp(Path(function.__code__.co_filename))
        compiled._cache = _ForgivingCache(compiled._cache, function.__qualname__)
    elif compiled is function:  # JIT is disabled: compiled code would not warn of NaN and overflow, either
        return np.errstate(all="ignore")(function)
    return compiled
