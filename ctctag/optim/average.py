"""An exponential moving average of the weights, to evaluate with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_number
from ctctag.optim import _kernels as kernels
from ctctag.optim._state import check_state

__all__ = ["ExponentialMovingAverage"]

Array = npt.NDArray[Any]


class ExponentialMovingAverage:
    r"""Follow parameters: :math:`s \leftarrow \rho s + (1 - \rho)\,\theta` after every step.

    It starts at the parameters of the moment. `swapped` lends the average to the model.

    Parameters
    ----------
    params : dict of ndarray
        The very arrays of the model.
    decay : float
        ρ, in [0, 1). Over t steps it is held at (1 + t) / (10 + t) or less, so that the first weights are
        soon forgotten.

    Examples
    --------
    >>> params = {"w": np.array([0.0])}
    >>> average = ExponentialMovingAverage(params, decay=0.998)
    >>> params["w"][...] = 1.0
    >>> average.update()
    >>> with average.swapped():
    ...     print(params["w"].round(3))
    [0.818]
    >>> params["w"]
    array([1.])
    """

    def __init__(self, params: Mapping[str, Array], decay: float = 0.998) -> None:
        self.params = dict(params)
        self.decay = check_number(decay, "decay", low=0, high=1, exclude_high=True)
        self.steps = 0
        self.shadow = {name: array.copy() for name, array in params.items()}

    def update(self) -> None:
        """Move the average towards the parameters."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, array in self.params.items():
            kernels.average(self.shadow[name].reshape(-1), array.reshape(-1), array.dtype.type(keep))

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Put the average in the parameters' place, in place, for the length of a ``with`` block."""
        saved = {name: array.copy() for name, array in self.params.items()}
        for name, array in self.params.items():
            array[...] = self.shadow[name]
        try:
            yield
        finally:
            for name, array in self.params.items():
                array[...] = saved[name]

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all that is remembered, flat: ``"steps"`` and ``"shadow.<parameter>"``."""
        state = {f"shadow.{name}": array.copy() for name, array in self.shadow.items()}
        return {"steps": np.array(self.steps, dtype=np.int64), **state}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ParameterError
            If names, shapes or dtypes differ, or a value is not finite. Nothing is changed then.
        """
        check_state(state, self.state_dict(), "average")
        self.steps = int(state["steps"])
        for name, array in self.shadow.items():
            array[...] = state[f"shadow.{name}"]
