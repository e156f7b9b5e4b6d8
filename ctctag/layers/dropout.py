"""Dropout whose mask is a function of seed, step and place, and so depends on nothing else."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_number
from ctctag._jit import jit
from ctctag._threads import run_tasks
from ctctag.layers._base import Array, Layer, all_lengths, as_gradient, as_input, default_rng, valid_frames
from ctctag.layers._buffers import empty

__all__ = ["Dropout"]


class Dropout(Layer):
    """In training, set a share p of all values to zero and divide the others by 1 - p; else do nothing.

    Which values are dropped is a hash of (seed, step, clip, frame, feature): the mask is never stored, and is
    the same however long the padding is, however many threads there are, and after a resumed training.

    Parameters
    ----------
    p : float
        Share of the values that are dropped, in [0, 1).
    rng : numpy.random.Generator, optional
        Draws the seed. By default a generator of seed 0.

    Attributes
    ----------
    state : dict
        ``seed`` and ``step``, uint64 of shape (). ``forward`` in training counts the step up by one.

    References
    ----------
    Srivastava et al., "Dropout", JMLR 2014, section 4 (scaled at training time). The hash is the finaliser of
    splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

    Examples
    --------
    >>> layer = Dropout(0.5)
    >>> y, cache = layer.forward(np.ones((1, 2, 500)), training=True)
    >>> np.unique(y)
    array([0., 2.])
    >>> layer.state["step"]
    array(1, dtype=uint64)
    """

    def __init__(
        self,
        p: float = 0.5,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self.p = check_number(p, "p", low=0, high=1, exclude_high=True)
        seed = default_rng(rng).integers(2**63, dtype=np.uint64)
        self.state = {"seed": np.array(seed), "step": np.array(0, dtype=np.uint64)}

    def forward(
        self, x: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return `x`, (N, T, ...) or (N, C), with some of its values dropped; see `Layer.forward`."""
        x = as_input(x)
        frames = valid_frames(lengths, x)
        if training and self.p:
            key = (int(self.state["seed"]), int(self.state["step"]))
            self.state["step"] += np.uint64(1)
        else:
            key = None
        return self._drop(x, frames, key), (x.shape, x.dtype, frames, key)

    def backward(self, dy: npt.ArrayLike, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Return `dy` under the same mask; see `Layer.backward`."""
        shape, dtype, frames, key = cache
        return self._drop(as_gradient(dy, shape, dtype), frames, key), {}

    def _drop(self, x: Array, frames: Array | None, key: tuple[int, int] | None) -> Array:
        if key is None and frames is None:
            return x
        view = x[:, None] if x.ndim == 2 else x.reshape(*x.shape[:2], -1)  # (N, T, features)
        lengths = all_lengths(None if x.ndim == 2 else frames, view)
        y = empty(view.shape, view.dtype)
        scale = x.dtype.type(1 / (1 - self.p))
        threshold = np.uint64(self.p * 2**64) if key else np.uint64(0)
        seed, step = (np.uint64(number) for number in key or (0, 0))

        def clip(n: int) -> None:
            y[n, lengths[n] :] = 0
            if key is None:
                y[n, : lengths[n]] = view[n, : lengths[n]]
            else:
                with np.errstate(over="ignore"):  # the hash wraps around, and plain NumPy would warn
                    _drop(view[n, : lengths[n]], seed, step, np.uint64(n), threshold, scale, y[n])

        run_tasks(clip, range(len(x)))
        return y.reshape(x.shape)

    def __repr__(self) -> str:
        return f"Dropout({self.p:g})"


@jit
def _mix(z):
    """Return a hash of 64 bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def _drop(x, seed, step, clip, threshold, scale, y):
    """Write the kept values of x (T, features), scaled, into y, and zero where the hash is too low."""
    key = _mix(_mix(_mix(seed) ^ step) ^ clip)
    for t in range(x.shape[0]):
        row = _mix(key ^ np.uint64(t))
        for i in range(x.shape[1]):
            kept = _mix(row + np.uint64(i) * np.uint64(0x9E3779B97F4A7C15)) >= threshold
            y[t, i] = x[t, i] * scale if kept else 0
