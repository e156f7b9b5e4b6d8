r"""The CTC loss and its exact gradient.

The loss of a clip is :math:`-\log P`, P the sum over all paths that collapse to the target. With the
occupancy :math:`\gamma_t(k)`, the share of P in class k at frame t, the gradient is

.. math::

    \frac{\partial (-\log P)}{\partial a_t(k)} = y_t(k) - \gamma_t(k), \qquad
    \frac{\partial (-\log P)}{\partial \log y_t(k)} = -\gamma_t(k), \qquad
    \frac{\partial (-\log P)}{\partial y_t(k)} = -\frac{\gamma_t(k)}{y_t(k)}

by logits a under a softmax, by log-probabilities, and by probabilities: whichever was passed.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._arrays import as_integers
from ctctag._checks import check_choice
from ctctag.ctc._extreme import run_of_any_range
from ctctag.ctc._inputs import Scores, Targets, check_scores, check_targets, frames_needed, raise_infeasible
from ctctag.exceptions import ParameterError

__all__ = ["ctc_loss", "ctc_loss_and_grad", "required_frames"]

Array = npt.NDArray[Any]

_REDUCTIONS = ("none", "sum", "mean", "batchmean")
_POLICIES = ("inf", "zero", "raise")


def required_frames(target: npt.ArrayLike) -> int:
    """Return the least number of frames in which a labelling fits: labels plus adjacent repeats.

    Equal neighbours need a blank between them, or they would merge.

    Parameters
    ----------
    target : array_like, shape (L,), int
        The labels.

    Returns
    -------
    int

    Raises
    ------
    ParameterError
        If `target` is not one sequence of integers.

    Examples
    --------
    >>> required_frames([3, 1, 4]), required_frames([1, 1, 1]), required_frames([])
    (3, 5, 0)
    """
    labels = as_integers(target, "target")
    if labels.ndim != 1:
        raise ParameterError(f"target must be one sequence of labels, got shape {labels.shape}")
    return frames_needed(labels)


def ctc_loss(
    inputs: npt.ArrayLike,
    targets: Any,
    input_lengths: npt.ArrayLike | None = None,
    target_lengths: npt.ArrayLike | None = None,
    *,
    blank: int = 0,
    inputs_are: str = "logits",
    reduction: str = "mean",
    infeasible: str = "inf",
    check_normalised: bool = True,
) -> Any:
    r"""Compute the CTC loss, :math:`-\log` of the probability of each target, reduced over the batch.

    Parameters
    ----------
    inputs : array_like, shape (N, T, C) or (T, C), float16, float32 or float64
        Scores of the classes in each frame, of N clips or of one. float16 is computed in float32.
    targets : array_like or list
        Labels, class numbers other than the blank: padded (N, L), or a list of N sequences, or all labels end
        to end with `target_lengths`; for one clip (L,). An empty target is the path of blanks alone.
    input_lengths : array_like, shape (N,), int, optional
        Valid frames of each clip, from 1 to T; T if not given. Later frames are not read.
    target_lengths : array_like, shape (N,), int, optional
        Labels of each clip. For padded targets it is needed unless all rows are full.
    blank : int
        The blank class; negative counts from the end.
    inputs_are : {"logits", "log_probs", "probs"}
        What `inputs` holds: any scores, to be normalised by a softmax; log-probabilities (``-inf`` is legal);
        or probabilities.
    reduction : {"mean", "batchmean", "sum", "none"}
        ``"mean"`` divides each loss by its number of labels (at least 1), then averages over the batch, as
        PyTorch does; ``"batchmean"`` averages; ``"sum"`` adds; ``"none"`` keeps one loss for each clip.
    infeasible : {"inf", "zero", "raise"}
        What to do with a clip whose target has no path: too few frames (see `required_frames`) or only paths
        of probability zero. Its loss is ``inf``, or 0, or an error is raised; its gradient is zero.
    check_normalised : bool
        Raise if probabilities or log-probabilities do not sum to 1 in each frame. Pass False for scores that
        are unnormalised on purpose; the loss may then be negative.

    Returns
    -------
    float or ndarray, shape (N,)
        In the dtype of `inputs`. Summed up in float64. Never NaN; never below zero unless unnormalised.

    Raises
    ------
    ParameterError
        If a shape, length, label, option or score is not as said above, naming the index.

    References
    ----------
    Graves et al., "Connectionist Temporal Classification", ICML 2006, Eqs. 6-8, 12, 14; Hou, Kong, Li 2018,
    Eqs. 1.2 and 1.3.

    Examples
    --------
    Two frames, two classes, all equally likely: three of four paths collapse to "1".

    >>> loss = ctc_loss(np.zeros((2, 2)), [1])
    >>> round(float(np.exp(-loss)), 6)
    0.75
    """
    _check_options(reduction, infeasible)
    scores = check_scores(inputs, input_lengths, blank, inputs_are, check_normalised)
    checked = check_targets(targets, target_lengths, scores)
    losses, _ = run_of_any_range(scores, checked, None)
    return _reduce(losses, _weights(checked, reduction), scores, checked, reduction, infeasible)


def ctc_loss_and_grad(
    inputs: npt.ArrayLike,
    targets: Any,
    input_lengths: npt.ArrayLike | None = None,
    target_lengths: npt.ArrayLike | None = None,
    *,
    blank: int = 0,
    inputs_are: str = "logits",
    reduction: str = "mean",
    infeasible: str = "inf",
    check_normalised: bool = True,
) -> tuple[Any, Array]:
    r"""Compute the CTC loss and its true derivative by `inputs`, whichever kind they are.

    Parameters
    ----------
    inputs, targets, input_lengths, target_lengths
        See `ctc_loss`.
    blank, inputs_are, reduction, infeasible, check_normalised
        See `ctc_loss`.

    Returns
    -------
    loss : float or ndarray, shape (N,)
        As from `ctc_loss`.
    grad : ndarray, the shape and dtype of `inputs`
        The derivative of the reduced loss; for ``reduction="none"`` of each clip's own loss. Softmax minus
        occupancy, minus occupancy, or minus occupancy by probability. Zero beyond `input_lengths` and for
        clips without a path.

    Raises
    ------
    ParameterError
        As `ctc_loss`.

    Notes
    -----
    PyTorch's ``ctc_loss`` gives softmax minus occupancy when asked for the derivative by log-probabilities:
    right only once it has passed through a log-softmax. Here each kind gets its own derivative, and each
    passes a difference quotient.

    References
    ----------
    Graves et al., "Connectionist Temporal Classification", ICML 2006, Eqs. 15 and 16.

    Examples
    --------
    >>> loss, grad = ctc_loss_and_grad(np.zeros((2, 2)), [1])
    >>> grad.round(6)
    array([[ 0.166667, -0.166667],
           [ 0.166667, -0.166667]])
    """
    _check_options(reduction, infeasible)
    scores = check_scores(inputs, input_lengths, blank, inputs_are, check_normalised)
    checked = check_targets(targets, target_lengths, scores)
    weights = _weights(checked, reduction)
    losses, grad = run_of_any_range(scores, checked, weights)
    assert grad is not None
    loss = _reduce(losses, weights, scores, checked, reduction, infeasible)
    grad = grad.astype(scores.dtype, copy=False)
    return loss, grad[0] if scores.single else grad


def _check_options(reduction: str, infeasible: str) -> None:
    check_choice(reduction, "reduction", _REDUCTIONS)
    check_choice(infeasible, "infeasible", _POLICIES)


def _weights(targets: Targets, reduction: str) -> npt.NDArray[np.float64]:
    """Return the factor of each clip's loss in the reduced one, shape (N,)."""
    N = len(targets.sizes)
    if reduction == "mean":
        return 1.0 / (np.maximum(targets.sizes, 1) * N)
    return np.full(N, 1.0 / N if reduction == "batchmean" else 1.0)


def _reduce(
    losses: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    scores: Scores,
    targets: Targets,
    reduction: str,
    infeasible: str,
) -> Any:
    if infeasible != "inf" and (lost := np.isposinf(losses)).any():
        if infeasible == "raise":
            raise_infeasible(int(np.flatnonzero(lost)[0]), scores, targets)
        losses = np.where(lost, 0.0, losses)
    each = losses[0] if scores.single else losses
    if scores.dtype.itemsize == 8 and reduction == "none":
        return each
    with np.errstate(over="ignore"):  # float16 ends at 65504, sums of float64 at 1.8e308
        result = each if reduction == "none" else (losses * weights).sum()
        return result.astype(scores.dtype)
