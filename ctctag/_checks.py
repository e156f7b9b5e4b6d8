"""One wording for every check of an argument: what was expected, what came, where."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._arrays import as_array, as_integers
from ctctag.exceptions import ParameterError

__all__ = [
    "check_choice",
    "check_finite",
    "check_float_array",
    "check_integer",
    "check_lengths",
    "check_number",
    "check_shape",
]


def check_integer(value: Any, name: str, *, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int in ``low <= value <= high``."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ParameterError(f"{name} must be an integer, got {value!r}") from None
    if isinstance(value, bool | np.bool_):
        raise ParameterError(f"{name} must be an integer, got {value!r}")
    if (low is not None and number < low) or (high is not None and number > high):
        raise ParameterError(f"{name} must be {_range(low, high)}, got {number}")
    return number


def check_number(
    value: Any,
    name: str,
    *,
    low: float | None = None,
    high: float | None = None,
    exclude_low: bool = False,
    exclude_high: bool = False,
) -> float:
    """Return `value` as a finite float between `low` and `high`, ends included unless excluded."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ParameterError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ParameterError(f"{name} must be finite, got {number}")
    too_low = low is not None and (number <= low if exclude_low else number < low)
    too_high = high is not None and (number >= high if exclude_high else number > high)
    if too_low or too_high:
        wanted = _range(low, high, exclude_low, exclude_high)
        raise ParameterError(f"{name} must be {wanted}, got {number:g}")
    return number


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ParameterError(f"{name} must be one of {listed}, got {value!r}")
    return value


def check_float_array(
    value: Any, name: str, shape: Sequence[int | str | None] | None = None
) -> npt.NDArray[Any]:
    """Return `value` as a float array (integers become float64) of the wanted shape.

    `shape` lists the axes: an int must be met, a string such as ``"T"`` only names the axis in the message.
    """
    array = as_array(value, name)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise ParameterError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if shape is not None:
        check_shape(array, name, shape)
    return array


def check_shape(array: npt.NDArray[Any], name: str, shape: Sequence[int | str | None]) -> None:
    """Raise if `array` has another shape; an int must be met, a string only names the axis in the message."""
    fits = array.ndim == len(shape) and all(
        not isinstance(want, int) or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ParameterError(
            f"{name} must have shape ({wanted}{',' if len(shape) == 1 else ''}), got {array.shape}"
        )


def check_finite(array: npt.NDArray[Any], name: str) -> None:
    """Raise, naming the first index, if `array` holds NaN or infinity."""
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        where = ", ".join(map(str, index))
        raise ParameterError(f"{name}[{where}] is {array[index]}, but every value must be finite")


def check_lengths(
    value: Any, name: str, batch: int, longest: int, *, shortest: int = 1
) -> npt.NDArray[np.int64]:
    """Return valid frames a clip as int64, shape ``(batch,)``; ``None`` means that all are `longest`."""
    if value is None:
        return np.full(batch, longest, dtype=np.int64)
    lengths = as_integers(value, name)
    if lengths.shape != (batch,):
        raise ParameterError(
            f"{name} must have shape ({batch},), one length for each clip, got {lengths.shape}"
        )
    wrong = np.flatnonzero((lengths < shortest) | (lengths > longest))
    if wrong.size:
        index = int(wrong[0])
        raise ParameterError(f"{name}[{index}] is {lengths[index]}, but must lie in [{shortest}, {longest}]")
    return lengths


def _range(
    low: float | None, high: float | None, exclude_low: bool = False, exclude_high: bool = False
) -> str:
    parts = []
    if low is not None:
        parts.append(f"{'above' if exclude_low else 'at least'} {low:g}")
    if high is not None:
        parts.append(f"{'below' if exclude_high else 'at most'} {high:g}")
    return " and ".join(parts)
