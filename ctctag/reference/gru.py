"""The gated recurrent unit as its equations read, a frame at a time, for one clip."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.numerics import sigmoid

__all__ = ["gru", "gru_backward"]

Array = npt.NDArray[Any]


def gru(x: npt.ArrayLike, params: Mapping[str, Array]) -> Array:
    r"""Run the recurrence from a state of zeros, reset applied *after* the recurrent product.

    .. math::

        r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n_t &= \tanh(W_{in} x_t + b_{in} + r_t (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t)\, n_t + z_t\, h_{t-1}

    Parameters
    ----------
    x : array_like, shape (T, D)
        One clip. For the reverse direction turn x and the result around: ``gru(x[::-1], ...)[::-1]``.
    params : dict of ndarray
        ``weight_ih`` (3H, D), ``weight_hh`` (3H, H), ``bias_ih`` and ``bias_hh`` (3H,), gates r, z, n.

    Returns
    -------
    ndarray, shape (T, H)
        The states.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014, equations 5-8.

    Examples
    --------
    >>> weights = {"weight_ih": np.ones((3, 1)), "weight_hh": np.ones((3, 1))}
    >>> gru([[0.0], [1.0]], {**weights, "bias_ih": np.zeros(3), "bias_hh": np.zeros(3)}).round(4).ravel()
    array([0.    , 0.2048])
    """
    x = np.asarray(x, dtype=np.float64)
    h = np.zeros(params["weight_hh"].shape[1])
    states = []
    for frame in x:
        *_, h = _step(frame, h, params)
        states.append(h)
    return np.array(states)


def gru_backward(
    dy: npt.ArrayLike, x: npt.ArrayLike, params: Mapping[str, Array]
) -> tuple[Array, dict[str, Array]]:
    """Return the gradients of input and parameters: the recurrence unrolled, walked back frame by frame.

    Parameters
    ----------
    dy : array_like, shape (T, H)
        The gradient at the states.
    x : array_like, shape (T, D)
        The input.
    params : dict of ndarray
        As for `gru`.

    Returns
    -------
    dx : ndarray, shape (T, D)
        The gradient at the input.
    grads : dict of ndarray
        Those of the parameters.

    Examples
    --------
    >>> params = {"weight_ih": np.ones((3, 1)), "weight_hh": np.ones((3, 1))}
    >>> params |= {"bias_ih": np.zeros(3), "bias_hh": np.zeros(3)}
    >>> dx, grads = gru_backward([[0.0], [1.0]], [[0.0], [1.0]], params)
    >>> dx.round(4).ravel()
    array([ 0.3319, -0.0368])
    """
    dy, x = np.asarray(dy, dtype=np.float64), np.asarray(x, dtype=np.float64)
    states = gru(x, params)
    size = states.shape[1]
    grads = {name: np.zeros(array.shape) for name, array in params.items()}
    dx, dh = np.zeros_like(x), np.zeros(size)
    for t in reversed(range(len(x))):
        before = states[t - 1] if t else np.zeros(size)
        r, z, n, hn, _ = _step(x[t], before, params)
        dh = dh + dy[t]
        # h = (1 - z) n + z h_before
        dn = dh * (1 - z) * (1 - n**2)  # through tanh
        dz = dh * (before - n) * z * (1 - z)  # through the sigmoid
        dr = dn * hn * r * (1 - r)
        at_input = np.concatenate([dr, dz, dn])  # the gradient at W_i x + b_i
        at_state = np.concatenate([dr, dz, dn * r])  # the gradient at W_h h + b_h: n passes the reset gate
        grads["weight_ih"] += np.outer(at_input, x[t])
        grads["weight_hh"] += np.outer(at_state, before)
        grads["bias_ih"] += at_input
        grads["bias_hh"] += at_state
        dx[t] = params["weight_ih"].T @ at_input
        dh = dh * z + params["weight_hh"].T @ at_state
    return dx, grads


def _step(frame: Array, h: Array, params: Mapping[str, Array]) -> tuple[Array, Array, Array, Array, Array]:
    """Return r, z, n, the recurrent share of n, and the next state."""
    from_input = np.split(params["weight_ih"] @ frame + params["bias_ih"], 3)
    from_state = np.split(params["weight_hh"] @ h + params["bias_hh"], 3)
    r = sigmoid(from_input[0] + from_state[0])
    z = sigmoid(from_input[1] + from_state[1])
    n = np.tanh(from_input[2] + r * from_state[2])
    return r, z, n, from_state[2], (1 - z) * n + z * h
