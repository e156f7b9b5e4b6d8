"""Stochastic gradient descent, Adam and AdamW."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_number
from ctctag.exceptions import ParameterError
from ctctag.optim import _kernels as kernels
from ctctag.optim._state import check_state

__all__ = ["SGD", "Adam", "AdamW", "Optimiser"]

Array = npt.NDArray[Any]
Rate = float | Callable[[int], float]


class Optimiser:
    """What optimisers share: parameters, learning rate, the count of steps, and a state to resume from.

    Attributes
    ----------
    params : dict of ndarray
        The very arrays of the model, changed in place by ``step``.
    lr : float or callable
        The learning rate, or a function from the number of steps taken to it (see `ctctag.optim.one_cycle`).
        May be set at any time.
    steps : int
        Steps taken.
    """

    slots: tuple[str, ...] = ()  # what is remembered of every parameter

    def __init__(self, params: Mapping[str, Array], lr: Rate) -> None:
        for name, array in params.items():
            if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
                raise ParameterError(f"params[{name!r}] must be a float32 or float64 array, got {array!r}")
            if not (array.flags.c_contiguous and array.flags.writeable):
                raise ParameterError(
                    f"params[{name!r}] must be contiguous and writable, to change it in place"
                )
        self.params = dict(params)
        self.lr = lr if callable(lr) else check_number(lr, "lr", low=0)
        self.steps = 0
        self._slots = {
            slot: {name: np.zeros_like(array) for name, array in params.items()} for slot in self.slots
        }

    def step(self, grads: Mapping[str, Array]) -> None:
        """Change every parameter by its gradient, in place.

        Parameters
        ----------
        grads : dict of ndarray
            One for each parameter, of its shape.

        Raises
        ------
        ParameterError
            If names or shapes differ. Nothing is changed then.
        """
        if grads.keys() != self.params.keys():
            odd = sorted(grads.keys() ^ self.params.keys())
            raise ParameterError(f"grads must have the names of the parameters, but only one has {odd}")
        for name, array in self.params.items():
            if np.shape(grads[name]) != array.shape:
                raise ParameterError(
                    f"grads[{name!r}] must have shape {array.shape}, got {np.shape(grads[name])}"
                )
        rate = check_number(self.lr(self.steps), "lr(step)", low=0) if callable(self.lr) else self.lr
        self.steps += 1
        for name, array in self.params.items():
            gradient = np.ascontiguousarray(grads[name], dtype=array.dtype).reshape(-1)
            slots = [self._slots[slot][name].reshape(-1) for slot in self.slots]
            self._update(array.reshape(-1), gradient, slots, rate)

    def _update(self, parameter: Array, gradient: Array, slots: list[Array], rate: float) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all that is remembered, flat: ``"steps"`` and ``"<slot>.<parameter>"``."""
        state = {"steps": np.array(self.steps, dtype=np.int64)}
        for slot, arrays in self._slots.items():
            state.update({f"{slot}.{name}": array.copy() for name, array in arrays.items()})
        return state

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned; the next steps are then the same, bit for bit.

        Raises
        ------
        ParameterError
            If names, shapes or dtypes differ, or a value is not finite or, where squares are remembered,
            negative. Nothing is changed then.
        """
        check_state(state, self.state_dict(), "optimiser")
        for name in self._slots.get("square", {}):
            if np.min(state[f"square.{name}"], initial=0) < 0:
                raise ParameterError(f"state['square.{name}'] holds a negative number, but no square is one")
        self.steps = int(state["steps"])
        for slot, arrays in self._slots.items():
            for name, array in arrays.items():
                array[...] = state[f"{slot}.{name}"]


class SGD(Optimiser):
    r"""Descend with momentum: :math:`v \leftarrow \mu v + g`, :math:`\theta \leftarrow \theta - \eta v`.

    Parameters
    ----------
    params : dict of ndarray
        Changed in place.
    lr : float or callable
        η, at least 0, or a function from the number of steps taken to it.
    momentum : float
        μ, in [0, 1).
    nesterov : bool
        Step by :math:`g + \mu v` in place of v.
    weight_decay : float
        Adds this times θ to the gradient.

    Examples
    --------
    >>> params = {"w": np.array([1.0])}
    >>> SGD(params, lr=0.1).step({"w": np.array([2.0])})
    >>> params["w"]
    array([0.8])
    """

    slots = ("velocity",)

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: Rate = 0.1,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        self.momentum = check_number(momentum, "momentum", low=0, high=1, exclude_high=True)
        self.nesterov = bool(nesterov)
        self.weight_decay = check_number(weight_decay, "weight_decay", low=0)
        if self.nesterov and not self.momentum:
            raise ParameterError("nesterov needs a momentum above 0")

    def _update(self, parameter: Array, gradient: Array, slots: list[Array], rate: float) -> None:
        number = parameter.dtype.type
        kernels.sgd(
            parameter,
            gradient,
            *slots,
            number(rate),
            number(self.momentum),
            self.nesterov,
            number(self.weight_decay),
        )


class Adam(Optimiser):
    r"""Divide a running mean of the gradient by the root of a running mean of its square.

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        \theta \leftarrow \theta - \eta \,
        \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    params : dict of ndarray
        Changed in place.
    lr : float or callable
        η, at least 0, or a function from the number of steps taken to it.
    betas : (float, float)
        β1 and β2, in [0, 1).
    eps : float
        ε, above 0.
    weight_decay : float
        Adds this times θ to the gradient (an L2 penalty; for decay beside the gradient see `AdamW`).

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Examples
    --------
    >>> params = {"w": np.array([1.0])}
    >>> optimiser = Adam(params, lr=0.1)
    >>> optimiser.step({"w": np.array([2.0])})
    >>> params["w"].round(6), optimiser.steps
    (array([0.9]), 1)
    """

    slots = ("mean", "square")
    decoupled = False

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: Rate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        if np.shape(betas) != (2,):
            raise ParameterError(f"betas must be two numbers, got {betas!r}")
        self.betas = tuple(check_number(beta, "betas", low=0, high=1, exclude_high=True) for beta in betas)
        self.eps = check_number(eps, "eps", low=0, exclude_low=True)
        self.weight_decay = check_number(weight_decay, "weight_decay", low=0)

    def _update(self, parameter: Array, gradient: Array, slots: list[Array], rate: float) -> None:
        number = parameter.dtype.type
        beta1, beta2 = self.betas
        step_size = rate / (1 - beta1**self.steps)
        root = (1 - beta2**self.steps) ** 0.5
        coupled = 0.0 if self.decoupled else self.weight_decay
        shrink = 1 - rate * self.weight_decay if self.decoupled else 1.0
        numbers = (step_size, beta1, beta2, root, self.eps, coupled, shrink)
        kernels.adam(parameter, gradient, *slots, *(number(value) for value in numbers))


class AdamW(Adam):
    r"""Adam with decoupled weight decay: :math:`\theta` is first multiplied by :math:`1 - \eta \lambda`.

    Parameters
    ----------
    params : dict of ndarray
        Changed in place.
    lr : float or callable
        η, at least 0, or a function from the number of steps taken to it.
    betas : (float, float)
        β1 and β2, in [0, 1).
    eps : float
        ε, above 0.
    weight_decay : float
        λ, at least 0.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.

    Examples
    --------
    >>> params = {"w": np.array([1.0])}
    >>> AdamW(params, lr=0.1, weight_decay=0.5).step({"w": np.array([0.0])})
    >>> params["w"]
    array([0.95])
    """

    decoupled = True

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: Rate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)
