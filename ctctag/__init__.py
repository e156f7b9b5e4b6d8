"""Audio tagging with sequentially labelled data, by CRNN-CTC, from scratch on NumPy and Numba.

Submodules and the names below are imported when they are first used, so that ``import ctctag`` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = (
    "audio",
    "cli",
    "ctc",
    "data",
    "exceptions",
    "experiment",
    "gradcheck",
    "layers",
    "losses",
    "metrics",
    "models",
    "numerics",
    "optim",
    "reference",
    "training",
)
_NAMES = {
    "Tagger": "ctctag.tagger",
    "get_num_threads": "ctctag._threads",
    "set_num_threads": "ctctag._threads",
    **dict.fromkeys(
        ("AudioError", "CtctagError", "DataError", "ModelError", "ParameterError"), "ctctag.exceptions"
    ),
}

__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"ctctag.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ctctag' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
