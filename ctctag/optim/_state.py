"""The check of a state before it is taken over."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_finite, check_integer
from ctctag.exceptions import ParameterError

__all__ = ["check_state"]


def check_state(
    state: Mapping[str, npt.NDArray[Any]], mine: Mapping[str, npt.NDArray[Any]], owner: str
) -> None:
    """Raise `ParameterError` where `state` does not fit `mine`, the state of `owner`.

    It must have the names, shapes and dtypes of `mine`, finite numbers, and no step taken fewer than none.
    """
    if state.keys() != mine.keys():
        odd = sorted(state.keys() ^ mine.keys())
        raise ParameterError(f"state must have the names of this {owner}, but only one has {odd}")
    for name, array in mine.items():
        given = np.asarray(state[name])
        if given.shape != array.shape:
            raise ParameterError(f"state[{name!r}] must have shape {array.shape}, got {given.shape}")
        if given.dtype.kind != array.dtype.kind:  # text, complex and bool would be cast, or fail halfway
            raise ParameterError(f"state[{name!r}] must be {array.dtype}, got {given.dtype}")
        check_finite(given, f"state[{name!r}]")
    check_integer(int(state["steps"]), "state['steps']", low=0)
