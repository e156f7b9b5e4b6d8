"""What a measurement was made on."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from ctctag._threads import get_num_threads

__all__ = ["machine", "processor", "software"]


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def machine() -> str:
    """Return the processor's name, and how many threads of how many processors are used.

    Examples
    --------
    >>> " processor" in machine()
    True
    """
    threads, processors = get_num_threads(), os.cpu_count() or 1
    return f"{processor()}, {_counted(threads, 'thread')} of {_counted(processors, 'processor')}"


def software(versions: Mapping[str, str]) -> str:
    """Return names and versions, such as those of `ctctag.models.files.versions`, as one line.

    Examples
    --------
    >>> software({"ctctag": "1.0", "numpy": "2.3.1"})
    'ctctag 1.0, numpy 2.3.1'
    """
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
