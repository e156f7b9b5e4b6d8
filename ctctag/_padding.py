"""The padding contract, checked: frames beyond a clip's length are never used, and come out as zero."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_float_array, check_lengths
from ctctag.exceptions import CtctagError, ParameterError

__all__ = ["PaddingError", "check_padding", "copy_state", "restore_state", "with_padding"]

Array = npt.NDArray[Any]


class PaddingError(CtctagError, AssertionError):
    """A layer's results depend on frames beyond its lengths; the message says which result, and how."""


def check_padding(
    layer: Any, x: npt.ArrayLike, lengths: npt.ArrayLike, *, training: bool = True, seed: int = 0
) -> None:
    """Check that frames beyond the lengths change nothing, come out as zero and get no gradient.

    The layer is called with zeros, with numbers, with NaN and with more frames beyond the lengths, and its
    backward pass with gradients there of zero, of numbers and of NaN. Outputs, gradients and the state after
    the call must be the same to the bit, with more frames to rounding.

    Parameters
    ----------
    layer : Layer
        Anything with ``forward``, ``backward``, ``params`` and ``state`` (see `ctctag.layers`), and with
        ``output_lengths`` if it changes the number of frames.
    x : ndarray, shape (N, T, ...), float
        The input.
    lengths : array_like, shape (N,), int
        Valid frames of each clip, of one at least fewer than T.
    training : bool
        Passed to ``forward``.
    seed : int
        Seed of the gradient at the output.

    Raises
    ------
    PaddingError
        If a result depends on what lies beyond the lengths, or is not zero there, or if the layer raises an
        error because of it.
    ParameterError
        If `x` has no frames, or every frame is valid, so that nothing would be checked.

    Examples
    --------
    >>> from ctctag.gradcheck import check_padding
    >>> from ctctag.layers import Dense
    >>> check_padding(Dense(3, 2), np.ones((2, 5, 3)), [5, 4])
    """
    x = check_float_array(x, "x")
    if x.ndim < 3:
        raise ParameterError(f"x must have frames, (N, T, ...), got shape {x.shape}")
    frames = check_lengths(lengths, "lengths", x.shape[0], x.shape[1])
    if (frames == x.shape[1]).all():
        raise ParameterError("lengths leave no frame beyond them: nothing about padding would be checked")
    state = copy_state(layer)
    run = _PaddedRun(layer, x, frames, training, seed)
    try:
        plain = run(0.0, 0.0)
        _check_zero(plain["the output"], run.outside, "the output")
        if "the gradient at the input" in plain:
            _check_zero(plain["the gradient at the input"], frames, "the gradient at the input")
        for what, inside, outside in (
            ("the input holds numbers", 1e3, 0.0),
            ("the input holds NaN", np.nan, 0.0),
            ("the gradient at the output holds numbers", 0.0, 1e3),
            ("the gradient at the output holds NaN", 0.0, np.nan),
        ):
            try:
                found = run(inside, outside)
            except Exception as error:
                raise PaddingError(
                    f"the layer raises {type(error).__name__} where {what} beyond the lengths: {error}"
                ) from error
            for name, array in found.items():
                if not np.array_equal(array, plain[name]):
                    raise PaddingError(
                        f"{name} changes where {what} beyond the lengths (are the lengths used?)"
                    )
        for name, array in run(np.nan, 0.0, more=3).items():
            wanted = plain[name]
            if name in ("the output", "the gradient at the input") and array.ndim > 2:
                array = array[:, : wanted.shape[1]]
            if array.shape != wanted.shape or not np.allclose(array, wanted, rtol=1e-9, atol=1e-12):
                raise PaddingError(f"{name} changes where clips have more frames beyond the lengths")
    finally:
        restore_state(layer, state)


class _PaddedRun:
    """Call a layer forward and backward, with chosen values beyond the lengths.

    Attributes
    ----------
    outside : ndarray or None
        Valid frames of the output, after the first call; ``None`` where it has no frames.
    """

    def __init__(self, layer: Any, x: Array, frames: Array, training: bool, seed: int) -> None:
        self.layer, self.x, self.frames = layer, x, frames
        self.training, self.seed = training, seed
        self.state = copy_state(layer)
        self.outside: Array | None = None

    def __call__(self, in_input: float, in_gradient: float, more: int = 0) -> dict[str, Array]:
        """Return output, gradients and state, by what messages call them."""
        restore_state(self.layer, self.state)
        x = np.zeros((len(self.x), self.x.shape[1] + more, *self.x.shape[2:]), self.x.dtype)
        x[:, : self.x.shape[1]] = self.x
        _fill_beyond(x, self.frames, in_input)
        y, cache = self.layer.forward(x, lengths=self.frames, training=self.training)
        after = copy_state(self.layer)
        self.outside = self._frames_of(y, x.shape[1])
        rng = np.random.default_rng([self.seed, 2])
        dy = np.zeros_like(y)
        for n in range(len(y)):  # clip by clip: the same gradient, whatever number of frames there is
            part = dy[n] if self.outside is None else dy[n, : self.outside[n]]
            part[...] = rng.standard_normal(part.shape)
        if self.outside is not None:
            _fill_beyond(dy, self.outside, in_gradient)
        dx, grads = self.layer.backward(dy, cache)
        return {
            "the output": y,
            **({} if dx is None else {"the gradient at the input": dx}),
            **{f"the gradient of {name}": array for name, array in grads.items()},
            **{f"the state {name}": array for name, array in after.items()},
        }

    def _frames_of(self, y: Array, frames: int) -> Array | None:
        if hasattr(self.layer, "output_lengths"):
            found = self.layer.output_lengths(self.frames)
        else:
            found = self.frames if y.ndim > 2 and y.shape[1] == frames else None
        if found is None:
            return None
        outside = np.asarray(found)
        if y.ndim < 3 or (outside > y.shape[1]).any():
            raise PaddingError(
                f"output_lengths gives up to {outside.max()} frames for an output of shape {y.shape}"
            )
        return outside


def _fill_beyond(array: Array, frames: Array, size: float) -> None:
    """Write zeros, NaN, or numbers of both signs and about this size into the padded frames, in place."""
    rng = np.random.default_rng(0)
    for clip, count in zip(array, frames, strict=True):
        clip[count:] = size * rng.standard_normal(clip[count:].shape) if size else 0.0


def _check_zero(array: Array, frames: Array | None, name: str) -> None:
    for n, count in enumerate(() if frames is None else frames):
        if array[n, count:].any():
            raise PaddingError(f"{name} of clip {n} is not zero beyond its {count} frames")


def with_padding(x: Array, lengths: npt.ArrayLike | None) -> tuple[Array, Array]:
    """Return an input and lengths that leave frames beyond them: those given, if they do."""
    clips, frames = x.shape[:2]
    checked = check_lengths(lengths, "lengths", clips, frames)
    if (checked < frames).any():
        return x, checked
    longer = np.zeros((clips, frames + 2, *x.shape[2:]))
    longer[:, :frames] = x
    return longer, frames - np.arange(clips) % frames


def copy_state(layer: Any) -> dict[str, Array]:
    """Return copies of a layer's state."""
    return {name: array.copy() for name, array in layer.state.items()}


def restore_state(layer: Any, state: dict[str, Array]) -> None:
    """Write `state` back into a layer, in place."""
    for name, array in state.items():
        layer.state[name][...] = array
