"""The check of a state before it is taken over."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.exceptions import ParameterError

__all__ = ["check_state"]


def check_state(
    state: Mapping[str, npt.NDArray[Any]], mine: Mapping[str, npt.NDArray[Any]], owner: str
) -> None:
    """Raise `ParameterError` where `state` has not the names and shapes of `mine`, the state of `owner`."""
    if state.keys() != mine.keys():
        odd = sorted(state.keys() ^ mine.keys())
        raise ParameterError(f"state must have the names of this {owner}, but only one has {odd}")
    for name, array in mine.items():
        if np.shape(state[name]) != array.shape:
            raise ParameterError(
                f"state[{name!r}] must have shape {array.shape}, got {np.shape(state[name])}"
            )
