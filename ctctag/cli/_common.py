"""What several commands share: flags, and how results are printed."""

import argparse
import json
import math
from typing import Any

from ctctag.exceptions import ParameterError

__all__ = ["add_common", "number_range", "print_json", "set_example"]


def add_common(parser: argparse.ArgumentParser, *, seed: int | None = 0, json_output: bool = True) -> None:
    """Add ``--seed``, ``--threads``, ``--quiet`` and ``--json``."""
    if seed is not None:
        parser.add_argument("--seed", type=int, default=seed, help="seed of everything random")
    parser.add_argument("--threads", type=_threads, metavar="N", help="use at most N threads (default: all)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    if json_output:
        parser.add_argument("--json", action="store_true", help="print the result as JSON")


def set_example(parser: argparse.ArgumentParser, *lines: str) -> None:
    """Show an example under the flags."""
    parser.epilog = "example:\n" + "\n".join(f"  {line}" for line in lines)


def number_range(text: str) -> tuple[int, int]:
    """Read ``3`` or ``1-4``."""
    low, dash, high = text.partition("-")
    try:
        pair = int(low), int(high if dash else low)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or a range such as 1-4, got {text!r}") from None
    if not 0 <= pair[0] <= pair[1]:
        raise argparse.ArgumentTypeError(f"expected a rising range such as 1-4, got {text!r}")
    return pair


def print_json(value: Any) -> None:
    """Print a result for machines; NaN, which JSON does not know, becomes null."""
    print(json.dumps(_plain(value), indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _threads(text: str) -> int:
    from ctctag import set_num_threads

    try:
        set_num_threads(int(text))
    except (ValueError, ParameterError):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}") from None
    return int(text)
