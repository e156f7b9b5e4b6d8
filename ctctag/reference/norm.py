"""Batch normalisation as its equations read."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["batch_norm", "batch_norm_backward"]

Array = npt.NDArray[Any]


def batch_norm(
    x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    r"""Normalise each channel by its mean and its biased variance.

    .. math:: y = \gamma \, (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta

    Parameters
    ----------
    x : array_like, shape (M, C)
        All the values of each channel: clips, valid frames and bands in one axis.
    weight, bias : array_like, shape (C,)
        γ and β.
    eps : float
        ε.

    Returns
    -------
    y : ndarray, shape (M, C)
        The output.
    mean, variance : ndarray, shape (C,)
        μ and σ².

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithm 1.

    Examples
    --------
    >>> y, mean, variance = batch_norm([[1.0], [3.0]], [1.0], [0.0], eps=0)
    >>> y.ravel(), mean, variance
    (array([-1.,  1.]), array([2.]), array([1.]))
    """
    x = np.asarray(x, dtype=np.float64)
    mean = x.sum(axis=0) / len(x)
    variance = ((x - mean) ** 2).sum(axis=0) / len(x)
    return np.asarray(weight) * (x - mean) / np.sqrt(variance + eps) + np.asarray(bias), mean, variance


def batch_norm_backward(
    dy: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    r"""Return the gradients of input, γ and β, by the chain rule through x̂, σ² and μ, one after the other.

    .. math::

        d\hat x &= dy \, \gamma, \qquad
        d\sigma^2 = -\tfrac12 \sum d\hat x \, (x - \mu) (\sigma^2 + \epsilon)^{-3/2}, \qquad
        d\mu = -\sum d\hat x \, (\sigma^2 + \epsilon)^{-1/2} \\
        dx &= d\hat x \, (\sigma^2 + \epsilon)^{-1/2} + d\sigma^2 \, 2 (x - \mu) / M + d\mu / M

    (The derivative of σ² by μ is a sum of deviations, which is zero.)

    Parameters
    ----------
    dy, x : array_like, shape (M, C)
        The gradient at the output, and the input.
    weight : array_like, shape (C,)
        γ.
    eps : float
        ε.

    Returns
    -------
    dx, dweight, dbias : ndarray
        In the shapes of x, γ and β.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", ICML 2015, section 3.

    Examples
    --------
    >>> dx, dweight, dbias = batch_norm_backward([[1.0], [1.0]], [[1.0], [3.0]], [1.0])
    >>> dx.ravel(), dweight, dbias
    (array([0., 0.]), array([0.]), array([2.]))
    """
    dy, x, weight = (np.asarray(array, dtype=np.float64) for array in (dy, x, weight))
    count = len(x)
    deviation = x - x.mean(axis=0)
    spread = (deviation**2).mean(axis=0) + eps
    dxhat = dy * weight
    dvariance = -0.5 * (dxhat * deviation).sum(axis=0) * spread**-1.5
    dmean = -dxhat.sum(axis=0) * spread**-0.5
    dx = dxhat * spread**-0.5 + dvariance * 2 * deviation / count + dmean / count
    return dx, (dy * deviation * spread**-0.5).sum(axis=0), dy.sum(axis=0)
