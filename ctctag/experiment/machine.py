"""What a measurement was made on."""

import os
import platform
from pathlib import Path

from ctctag._threads import get_num_threads

__all__ = ["machine"]


def machine() -> str:
    """Return the processor's name, and how many threads of how many processors are used.

    Examples
    --------
    >>> " of " in machine()
    True
    """
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {get_num_threads()} threads of {os.cpu_count()} processors"
