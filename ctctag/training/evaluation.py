"""What a network hears in clips, and how right it is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag import metrics
from ctctag.models import DECODERS, Event, Network
from ctctag.models.heads import multi_hot
from ctctag.training.batches import Clips

__all__ = ["Predictions", "predict", "score_predictions"]

Array = npt.NDArray[Any]


@dataclass
class Predictions:
    """What a network says of some clips.

    Attributes
    ----------
    tag_probs : ndarray, shape (N, n_classes)
        Probability that each class occurs.
    events : list of list of Event
        The tags heard, in order where the system knows one.
    targets : list of list of int
        The true label sequences.
    loss : float
        Mean loss a clip.
    blank_mass : float
        Mean probability of the blank over all valid frames; NaN for a system without one.
    ordered : bool
        Whether `events` come in order of occurrence.
    """

    tag_probs: Array
    events: list[list[Event]] = field(repr=False)
    targets: list[list[int]] = field(repr=False)
    loss: float
    blank_mass: float
    ordered: bool

    @property
    def sequences(self) -> list[list[int]]:
        """Class indices of `events`."""
        return [[event.label for event in events] for events in self.events]

    @property
    def true_tags(self) -> Array:
        """The sets of true labels, ``(N, n_classes)`` bool."""
        return multi_hot(self.targets, self.tag_probs.shape[1], bool)

    @property
    def decoded_tags(self) -> Array:
        """The sets of tags heard, ``(N, n_classes)`` bool."""
        return multi_hot(self.sequences, self.tag_probs.shape[1], bool)


def predict(
    network: Network,
    clips: Clips | Sequence[Clips],
    *,
    decoder: str = DECODERS[0],
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Run a network over clips.

    Parameters
    ----------
    network : Network
        The network; used as in inference.
    clips : Clips or sequence of Clips
        The clips; of several, such as the same clips shifted by a part of a frame, the probabilities of each
        frame are averaged.
    decoder : {"best-path", "beam", "rescored"}
        How CTC's scores become tags (see `ctctag.models.heads`).
    batch_size : int
        Clips at a time.
    progress : callable, optional
        Called with (clips done, clips in all) after each batch.

    Returns
    -------
    Predictions
        In the order of the clips.
    """
    probs, events, targets = [], [], []
    loss = blank = frames = 0.0
    blank_index = network.head.blank
    views = [clips] if isinstance(clips, Clips) else list(clips)
    for batches in zip(*(view.in_order(batch_size) for view in views), strict=True):
        batch = batches[0]
        scores = network.head.mean_logits([network.forward(view.x, view.lengths)[0] for view in batches])
        probs.append(network.head.tag_probs(scores, batch.lengths))
        events += network.head.decode(scores, batch.lengths, decoder)
        targets += batch.targets
        loss += network.head.loss_and_grad(scores, batch.targets, batch.lengths)[0] * len(batch.targets)
        if blank_index is not None:
            valid = np.arange(scores.shape[1]) < batch.lengths[:, np.newaxis]
            blank += float(network.head.frame_probs(scores)[..., blank_index][valid].sum(dtype=np.float64))
            frames += float(batch.lengths.sum())
        if progress is not None:
            progress(len(targets), len(views[0]))
    return Predictions(
        tag_probs=np.concatenate(probs),
        events=events,
        targets=targets,
        loss=loss / len(targets),
        blank_mass=blank / frames if frames else float("nan"),
        ordered=blank_index is not None,
    )


def score_predictions(predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
    """Return every score of the paper, and those of order, as plain JSON values.

    Parameters
    ----------
    predictions : Predictions
        From `predict`.
    classes : sequence of str
        Names of the classes.

    Returns
    -------
    dict
        What `ctctag.metrics.evaluate_tags` gives, with ``loss``, and for a system that knows the order
        ``sequence_error_rate``, ``substitutions``, ``deletions``, ``insertions``, ``exact_sequence_rate`` and
        ``order_accuracy``.
    """
    scores = metrics.evaluate_tags(predictions.true_tags, predictions.tag_probs, predictions.decoded_tags)
    loss = (
        predictions.loss if math.isfinite(predictions.loss) else None
    )  # inf: a clip too short for its labels
    result = {"clips": len(predictions.targets), "classes": list(classes), "loss": loss, **scores}
    if predictions.ordered:
        errors = metrics.sequence_error_rate(predictions.targets, predictions.sequences)
        order = metrics.order_accuracy(predictions.targets, predictions.sequences)
        result |= {
            "sequence_error_rate": errors.rate,
            "substitutions": errors.substitutions,
            "deletions": errors.deletions,
            "insertions": errors.insertions,
            "reference_labels": errors.n_reference,
            "exact_sequence_rate": metrics.exact_sequence_rate(predictions.targets, predictions.sequences),
            "order_accuracy": None if math.isnan(order) else order,  # no clip has two labels in common
            "blank_mass": predictions.blank_mass,
        }
    return result
