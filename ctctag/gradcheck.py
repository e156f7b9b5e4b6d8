r"""The gradient checker: a hand-written derivative against a difference quotient, both printed.

For a scalar function f and a direction v of length one, the derivative along v is computed twice:

.. math::

    \text{analytic} = \langle \nabla f(x), v \rangle
    \qquad
    \text{numeric} = \frac{f(x + h v) - f(x - h v)}{2 h}

The centred quotient is off by a multiple of :math:`h^2`, and by rounding in f divided by h; in float64 a step
near 1e-5 keeps both below 1e-9 or so for functions of ordinary size. Two traps: a kink (ReLU, a tie in max
pooling) within h of x makes the quotient meaningless, and float32 has too few digits for any of this.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer, check_lengths, check_number
from ctctag.exceptions import CtctagError, ParameterError

__all__ = [
    "GradientCheck",
    "GradientError",
    "GradientReport",
    "PaddingError",
    "check_gradients",
    "check_layer",
    "check_padding",
]

Array = npt.NDArray[Any]


class GradientError(CtctagError, AssertionError):
    """A hand-written gradient and the difference quotient do not agree; the message is the report."""


class PaddingError(CtctagError, AssertionError):
    """A layer's results depend on frames beyond its lengths; the message says which result, and how."""


@dataclass(frozen=True)
class GradientCheck:
    """Both derivatives of one array along one random direction."""

    name: str
    analytic: float
    numeric: float

    @property
    def absolute_error(self) -> float:
        """How far the two are apart."""
        return abs(self.analytic - self.numeric)

    @property
    def relative_error(self) -> float:
        """How far apart, divided by the larger of the two; 0 where both are 0."""
        size = max(abs(self.analytic), abs(self.numeric))
        return self.absolute_error / size if size else 0.0


@dataclass(frozen=True)
class GradientReport:
    """Every derivative that was checked; ``print`` shows them as a table."""

    checks: tuple[GradientCheck, ...]
    rtol: float
    atol: float

    def passed(self, check: GradientCheck) -> bool:
        """Tell whether one pair agrees within the tolerances."""
        return check.absolute_error <= self.atol or check.relative_error <= self.rtol

    @property
    def ok(self) -> bool:
        """Whether every pair agrees."""
        return all(self.passed(check) for check in self.checks)

    @property
    def max_relative_error(self) -> float:
        """The worst relative error, of the pairs further apart than ``atol``."""
        errors = [check.relative_error for check in self.checks if check.absolute_error > self.atol]
        return max(errors, default=0.0)

    def __str__(self) -> str:
        width = max([len(check.name) for check in self.checks] + [len("array")])
        lines = [f"{'array':<{width}}  {'analytic':>16}  {'numeric':>16}  {'relative':>8}  {'absolute':>8}"]
        lines += [
            f"{check.name:<{width}}  {check.analytic:16.9e}  {check.numeric:16.9e}"
            f"  {check.relative_error:8.1e}  {check.absolute_error:8.1e}"
            f"  {'ok' if self.passed(check) else 'WRONG'}"
            for check in self.checks
        ]
        return "\n".join(lines)


def check_gradients(
    function: Callable[[], float],
    arrays: Mapping[str, Array],
    gradients: Mapping[str, Array],
    *,
    step: float = 1e-5,
    directions: int = 3,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    seed: int = 0,
    verbose: bool = True,
    raises: bool = True,
) -> GradientReport:
    """Compare hand-written gradients with centred differences, along random directions.

    Parameters
    ----------
    function : callable
        Takes nothing and returns the scalar, computed from `arrays` as they are at that moment.
    arrays : dict of ndarray, float64
        What the scalar is differentiated by. They are changed in place during the check and restored from a
        copy, to the bit.
    gradients : dict of ndarray
        The derivative by each array: the same names and shapes.
    step : float
        The step h, along a direction of length one.
    directions : int
        Random directions tried for each array.
    rtol, atol : float
        A pair passes if its relative or its absolute error is at most this.
    seed : int
        Seed of the directions.
    verbose : bool
        Print the report.
    raises : bool
        Raise `GradientError` if a pair fails.

    Returns
    -------
    GradientReport
        Both numbers for each array and direction.

    Raises
    ------
    GradientError
        If a pair disagrees and `raises` is true. The message holds both numbers.
    ParameterError
        If the names or shapes differ, or an array is not a writable float64 array.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> report = check_gradients(lambda: float((x**2).sum()), {"x": x}, {"x": 2 * x}, verbose=False)
    >>> report.ok
    True
    """
    check_number(step, "step", low=0, exclude_low=True)
    check_integer(directions, "directions", low=1)
    if arrays.keys() != gradients.keys():
        odd = sorted(arrays.keys() ^ gradients.keys())
        raise ParameterError(f"arrays and gradients must have the same names, but only one has {odd}")
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise ParameterError(
                f"arrays[{name!r}] is {array.dtype}, but differences need float64 (build the layer with "
                "dtype=np.float64)"
            )
        if not array.flags.writeable:
            raise ParameterError(f"arrays[{name!r}] is read-only, but must be changed in place")
        if np.shape(gradients[name]) != array.shape:
            raise ParameterError(
                f"gradients[{name!r}] has shape {np.shape(gradients[name])}, "
                f"but arrays[{name!r}] has {array.shape}"
            )

    rng = np.random.default_rng(seed)
    checks = []
    for name, array in arrays.items():
        saved = array.copy()
        for _ in range(directions):
            direction = rng.standard_normal(array.shape)
            direction /= np.linalg.norm(direction) or 1.0
            try:
                array[...] = saved + step * direction
                above = float(function())
                array[...] = saved - step * direction
                below = float(function())
            finally:
                array[...] = saved
            analytic = float((np.asarray(gradients[name]) * direction).sum())
            checks.append(GradientCheck(name, analytic, (above - below) / (2 * step)))

    report = GradientReport(tuple(checks), rtol, atol)
    if verbose:
        print(report)
    if raises and not report.ok:
        raise GradientError(f"gradients disagree with centred differences (step {step:g})\n{report}")
    return report


def check_layer(
    layer: Any,
    x: npt.ArrayLike,
    *,
    lengths: npt.ArrayLike | None = None,
    training: bool = True,
    seed: int = 0,
    **options: Any,
) -> GradientReport:
    """Check a layer's ``backward`` for its input and each of its parameters, and that padding never leaks.

    The scalar is the sum of the layer's output times fixed random weights, so that every output counts. The
    layer's state (running statistics, dropout counters) is put back before every call. Where `lengths` are
    given, `check_padding` comes first.

    Parameters
    ----------
    layer : Layer
        Anything with ``forward``, ``backward``, ``params`` and ``state`` (see `ctctag.layers`), in float64.
    x : ndarray, float64
        The input.
    lengths : array_like, int, optional
        Valid frames of each clip.
    training : bool
        Passed to ``forward``.
    seed : int
        Seed of the weights and the directions.
    **options
        For `check_gradients`.

    Returns
    -------
    GradientReport
        With the input under the name ``"x"``.

    Raises
    ------
    GradientError, ParameterError
        See `check_gradients`.
    PaddingError
        See `check_padding`.

    Examples
    --------
    >>> from ctctag.layers import Dense
    >>> rng = np.random.default_rng(0)
    >>> layer = Dense(3, 2, rng=rng, dtype=np.float64)
    >>> check_layer(layer, rng.standard_normal((4, 5, 3)), verbose=False).ok
    True
    """
    x = np.array(x, dtype=np.float64)
    if lengths is not None:
        check_padding(layer, x, lengths, training=training, seed=seed)
    state = _copy_state(layer)

    def forward() -> tuple[Array, Any]:
        _restore_state(layer, state)
        return layer.forward(x, lengths=lengths, training=training)

    y, cache = forward()
    weights = np.random.default_rng([seed, 1]).standard_normal(y.shape)
    dx, grads = layer.backward(weights, cache)
    if grads.keys() != layer.params.keys():
        raise ParameterError(f"backward gave gradients for {sorted(grads)}, not for {sorted(layer.params)}")
    return check_gradients(
        lambda: float((forward()[0] * weights).sum()),
        {"x": x, **layer.params},
        {"x": dx, **grads},
        seed=seed,
        **options,
    )


def check_padding(
    layer: Any, x: npt.ArrayLike, lengths: npt.ArrayLike, *, training: bool = True, seed: int = 0
) -> None:
    """Check that frames beyond the lengths change nothing, come out as zero and get no gradient.

    The layer is called with zeros, with NaN and with more frames beyond the lengths, and its backward pass
    with gradients there of zero and of NaN. Outputs, gradients and the state after the call must be the same
    to the bit, with more frames to rounding.

    Parameters
    ----------
    layer : Layer
        Anything with ``forward``, ``backward``, ``output_lengths``, ``params`` and ``state`` (see
        `ctctag.layers`).
    x : ndarray, shape (N, T, ...), float
        The input.
    lengths : array_like, shape (N,), int
        Valid frames of each clip, one at least fewer than T.
    training : bool
        Passed to ``forward``.
    seed : int
        Seed of the gradient at the output.

    Raises
    ------
    PaddingError
        If a result depends on what lies beyond the lengths, or is not zero there.
    ParameterError
        If every frame is valid, so that nothing would be checked.

    Examples
    --------
    >>> from ctctag.layers import Dense
    >>> check_padding(Dense(3, 2), np.ones((2, 5, 3)), [5, 4])
    """
    x = np.array(x)
    frames = check_lengths(lengths, "lengths", x.shape[0], x.shape[1])
    valid = np.arange(x.shape[1]) < frames[:, None]  # (N, T)
    if valid.all():
        raise ParameterError("lengths leave no frame beyond them: nothing about padding would be checked")
    outside = layer.output_lengths(frames)
    state = _copy_state(layer)

    def run(x: Array, dy_outside: float) -> dict[str, Array]:
        _restore_state(layer, state)
        y, cache = layer.forward(x, lengths=frames, training=training)
        after = _copy_state(layer)
        rng = np.random.default_rng([seed, 2])
        dy = np.empty_like(y)
        for n in range(len(y)):  # clip by clip: the same gradient, whatever number of frames there is
            count = len(y[n]) if outside is None else int(outside[n])
            dy[n] = dy_outside
            dy[n, :count] = rng.standard_normal(y[n, :count].shape)
        dx, grads = layer.backward(dy, cache)
        inputs = {} if dx is None else {"the gradient at the input": dx}
        parameters = {f"the gradient of {name}": array for name, array in grads.items()}
        states = {f"the state {name}": array for name, array in after.items()}
        return {"the output": y, **inputs, **parameters, **states}

    def padded(value: float, more: int = 0) -> Array:
        longer = np.full((len(x), x.shape[1] + more, *x.shape[2:]), value, dtype=x.dtype)
        longer[:, : x.shape[1]][valid] = x[valid]
        return longer

    try:
        plain = run(padded(0.0), 0.0)
        for name, ends in (("the output", outside), ("the gradient at the input", frames)):
            if ends is None or name not in plain:
                continue
            for n, end in enumerate(ends):
                if plain[name][n, end:].any():
                    raise PaddingError(f"{name} of clip {n} is not zero beyond its {end} frames")
        for what, values in (
            ("the input holds NaN beyond the lengths", run(padded(np.nan), 0.0)),
            ("the gradient at the output holds NaN beyond the lengths", run(padded(0.0), np.nan)),
        ):
            for name, array in values.items():
                if not np.array_equal(array, plain[name]):
                    raise PaddingError(f"{name} changes where {what} (are the lengths used?)")
        for name, array in run(padded(np.nan, more=3), 0.0).items():
            wanted = plain[name]
            if array.shape != wanted.shape:  # cut to the frames of before
                array = array[:, : wanted.shape[1]]
            if not np.allclose(array, wanted, rtol=1e-9, atol=1e-12):
                raise PaddingError(f"{name} changes where clips have more frames beyond the lengths")
    finally:
        _restore_state(layer, state)


def _copy_state(layer: Any) -> dict[str, Array]:
    return {name: array.copy() for name, array in layer.state.items()}


def _restore_state(layer: Any, state: dict[str, Array]) -> None:
    for name, array in state.items():
        layer.state[name][...] = array
