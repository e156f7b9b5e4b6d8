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

from ctctag._checks import check_float_array, check_integer, check_number
from ctctag._padding import PaddingError, check_padding, copy_state, restore_state, with_padding
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
    padding: bool = True,
    seed: int = 0,
    **options: Any,
) -> GradientReport:
    """Check a layer's ``backward`` for its input and each of its parameters, and that padding never leaks.

    The scalar is the sum of the layer's output times fixed random weights, so that every output counts. The
    layer's state (running statistics, dropout counters) is put back before every call. If `x` has frames,
    `check_padding` comes first: with `lengths`, or, where these leave no frame beyond them, with two frames
    appended to `x` and clips cut at different lengths.

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
    padding : bool
        Whether to check the padding; not where the axis after the clips is not one of frames.
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
    x = np.array(check_float_array(x, "x"), dtype=np.float64)
    if padding and x.ndim > 2 and x.size:
        check_padding(layer, *with_padding(x, lengths), training=training, seed=seed)
    state = copy_state(layer)

    def forward() -> tuple[Array, Any]:
        restore_state(layer, state)
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
