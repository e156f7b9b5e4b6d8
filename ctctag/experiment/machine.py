"""What a measurement was made on."""

import os
import platform
from pathlib import Path

from ctctag._threads import get_num_threads

__all__ = ["machine", "processor"]


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
    >>> " threads of " in machine()
    True
    """
    return f"{processor()}, {get_num_threads()} threads of {os.cpu_count()} processors"
