r"""Standardisation: each band of the training set to mean 0 and standard deviation 1.

Mean and sum of squared deviations are carried in float64 from block to block by Chan's update. For two sets A
and B of n_A and n_B rows,

.. math::

    \delta = \mu_B - \mu_A, \qquad
    \mu = \mu_A + \delta \frac{n_B}{n}, \qquad
    S = S_A + S_B + \delta^2 \frac{n_A n_B}{n}, \qquad n = n_A + n_B,

which is exact in real numbers and, other than :math:`\sum x^2 - n \mu^2`, loses no digits where the mean is
large beside the deviation. So a training set never has to be in memory.

References
----------
T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_finite, check_float_array
from ctctag.exceptions import ParameterError

__all__ = ["Moments", "Standardiser"]


class Moments:
    """Count, mean and variance of each column of rows that come in blocks.

    Attributes
    ----------
    count : int
        Rows so far.
    mean : ndarray, shape (F,), float64
        Mean of each column.

    Examples
    --------
    >>> moments = Moments()
    >>> moments.update([[1.0, 10.0], [3.0, 10.0]])
    >>> moments.update([[5.0, 10.0]])
    >>> moments.count, moments.mean, moments.variance
    (3, array([ 3., 10.]), array([2.66666667, 0.        ]))
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: npt.NDArray[np.float64] = np.empty(0)
        self._squares: npt.NDArray[np.float64] = np.empty(0)  # sums of squared deviations

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """Variance of each column, shape (F,): the mean squared deviation, as of a whole population."""
        if not self.count:
            raise ParameterError("no rows have come yet, so there is no variance")
        return self._squares / self.count

    def update(self, block: npt.ArrayLike) -> None:
        """Take in the rows of `block`, shape (T, F); a block without rows changes nothing."""
        rows = check_float_array(block, "block", ("T", "F"))
        check_finite(rows, "block")
        if not len(rows):
            return
        other = Moments()
        other.count = len(rows)
        other.mean = rows.mean(axis=0, dtype=np.float64)
        other._squares = np.square(rows - other.mean).sum(axis=0)
        self.merge(other)

    def merge(self, other: "Moments") -> None:
        """Take in all rows that `other` has seen."""
        if not other.count:
            return
        if not self.count:
            self.count, self.mean, self._squares = other.count, other.mean.copy(), other._squares.copy()
            return
        if other.mean.shape != self.mean.shape:
            raise ParameterError(
                f"block has {len(other.mean)} columns, but those before had {len(self.mean)} (features of "
                "other settings?)"
            )
        total = self.count + other.count
        delta = other.mean - self.mean
        self.mean = self.mean + delta * (other.count / total)
        self._squares = self._squares + other._squares + delta**2 * (self.count * other.count / total)
        self.count = total


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Subtract each band's mean and divide by its standard deviation.

    Parameters
    ----------
    mean : array_like, shape (F,), float
        Mean of each band; kept as float32.
    std : array_like, shape (F,), float
        Standard deviation of each band, above 0; kept as float32.

    Raises
    ------
    ParameterError
        If the arrays differ in shape, are not finite, or a deviation is not above 0.

    Examples
    --------
    >>> standardise = Standardiser.fit([np.array([[1.0, 5.0], [3.0, 5.0]])])
    >>> standardise.mean, standardise.std
    (array([2., 5.], dtype=float32), array([1., 1.], dtype=float32))
    >>> standardise([[1.0, 5.0]])
    array([[-1.,  0.]], dtype=float32)
    """

    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            given = check_float_array(getattr(self, name), name, ("F",))
            check_finite(given, name)
            array = given.astype(np.float32)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.mean.shape != self.std.shape:
            raise ParameterError(
                f"mean and std must have one shape, got {self.mean.shape} and {self.std.shape}"
            )
        wrong = np.flatnonzero(self.std <= 0)
        if wrong.size:
            raise ParameterError(f"std[{wrong[0]}] is {self.std[wrong[0]]:g}, but must be above 0")

    @classmethod
    def fit(cls, blocks: Iterable[npt.ArrayLike] | Moments) -> Self:
        """Return the standardiser of a training set.

        Parameters
        ----------
        blocks : iterable of array_like, shape (T, F), or Moments
            Features of the training clips, one after the other (any sizes; valid frames only), or what
            `Moments` made of them.

        Returns
        -------
        Standardiser
            A band that never changes gets the deviation 1, so that it becomes 0.

        Raises
        ------
        ParameterError
            If there is no frame at all, a value is not finite, or clips differ in bands.
        """
        if isinstance(blocks, Moments):
            moments = blocks
        else:
            moments = Moments()
            for block in blocks:
                moments.update(block)
        if not moments.count:
            raise ParameterError(
                "blocks hold no frame, so there is nothing to standardise by (an empty training set?)"
            )
        std = np.sqrt(moments.variance).astype(np.float32)
        return cls(moments.mean.astype(np.float32), np.where(std > 0, std, np.float32(1)))

    def __call__(
        self, features: npt.ArrayLike, out: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return standardised features.

        Parameters
        ----------
        features : array_like, shape (..., F), float
            Features, bands last.
        out : ndarray, float32, optional
            Where to write; may be `features` itself.

        Returns
        -------
        ndarray, shape (..., F), float32
            ``(features - mean) / std``.
        """
        x = check_float_array(features, "features")
        if x.ndim < 1 or x.shape[-1] != len(self.mean):
            raise ParameterError(
                f"features must have {len(self.mean)} bands on the last axis, got shape {x.shape} (features "
                "of other settings?)"
            )
        out = np.subtract(x, self.mean, out=out, dtype=np.float32, casting="same_kind")
        return np.divide(out, self.std, out=out)
