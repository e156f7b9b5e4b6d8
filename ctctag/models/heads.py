r"""The four systems differ only here: how frame scores become clip tags, and what the loss compares.

=============  ====================================  =======================================
system         clip probability of class k           loss
=============  ====================================  =======================================
``baseline``   σ(z_k), z from the GRU's last states  binary cross entropy
``crap``       mean of σ(z_t,k) over the frames      binary cross entropy
``crmp``       max of σ(z_t,k) over the frames       binary cross entropy
``crnn-ctc``   1 − Π_t (1 − y_t,k), y = softmax(z)   CTC on the sequence of labels
=============  ====================================  =======================================

A head has no parameters. It sees logits and the valid frames of each clip, and hands the derivative by the
logits back to the network.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ctctag import ctc, losses
from ctctag._checks import check_choice
from ctctag.exceptions import ParameterError
from ctctag.layers import GlobalAverage, GlobalMax
from ctctag.numerics import sigmoid, softmax

__all__ = [
    "DECODERS",
    "AveragePoolHead",
    "BaselineHead",
    "CTCHead",
    "Event",
    "Head",
    "JointHead",
    "MaxPoolHead",
    "multi_hot",
]

DECODERS = ("best-path", "beam", "rescored")

Array = npt.NDArray[Any]
Labels = Sequence[Sequence[int]]

_BLANK = 0
_BEAM_WIDTH = 8  # wider beams found the same labellings of real clips
_RESCORED = 32  # labellings that the tags choose from
# What a tag in a labelling counts, in nats, beside its log-odds: chosen on recordings held out from training.
_TAG_BONUS = 1.0


@dataclass(frozen=True)
class Event:
    """One tag heard in a clip.

    Attributes
    ----------
    label : int
        Class index.
    probability : float
        Probability that the class occurs in the clip.
    peak : int or None
        Frame where the class scores highest (for CTC, within the span that was decoded); ``None`` from a
        system without frames.
    """

    label: int
    probability: float
    peak: int | None


class Head(Protocol):
    """What a network needs to know of its system."""

    n_outputs: int
    framewise: bool
    blank: int | None  # the output of the blank, where there is one

    def loss_and_grad(self, logits: Array, targets: Labels, lengths: Array) -> tuple[float, Array]:
        """Return the mean loss of a batch and its derivative by `logits`."""

    def tag_probs(self, logits: Array, lengths: Array) -> Array:
        """Return the probability that each class occurs in each clip, shape ``(N, n_classes)``."""

    def frame_probs(self, logits: Array) -> Array:
        """Return what the system says at each frame, shape ``(N, T, n_outputs)``."""

    def mean_logits(self, logits: Sequence[Array]) -> Array:
        """Return logits of the mean of the probabilities that several `logits` stand for."""

    def decode(self, logits: Array, lengths: Array, decoder: str = "best-path") -> list[list[Event]]:
        """Return the tags heard in each clip: in order of occurrence where the system knows an order.

        Of the `DECODERS`, CTC's best path reads off the likeliest class of each frame, as the paper does; the
        beam adds up the paths that spell the same; rescored, the labellings of the beam are weighed by
        outputs for the tags (`JointHead`). A system without order has no use for any.
        """


def multi_hot(targets: Labels, n_classes: int, dtype: npt.DTypeLike) -> Array:
    """Return the sets of labels as a matrix of zeros and ones, shape ``(N, n_classes)``."""
    tags = np.zeros((len(targets), n_classes), dtype=dtype)
    for row, labels in zip(tags, targets, strict=True):
        row[list(labels)] = 1
    return tags


class _SigmoidHead(ABC):
    """Shared by the three systems that know tags but no order."""

    framewise = True
    blank: int | None = None

    def __init__(self, n_classes: int) -> None:
        self.n_classes = self.n_outputs = n_classes

    def frame_probs(self, logits: Array) -> Array:
        return sigmoid(logits)

    def mean_logits(self, logits: Sequence[Array]) -> Array:
        if len(logits) == 1:
            return logits[0]
        z = np.stack(logits)  # log σ(z) = -log(1 + exp(-z)); the number of them cancels
        yes, no = -np.logaddexp(0, -z), -np.logaddexp(0, z)
        return np.logaddexp.reduce(yes, axis=0) - np.logaddexp.reduce(no, axis=0)

    @abstractmethod
    def tag_probs(self, logits: Array, lengths: Array) -> Array:
        """Return the probability that each class occurs in each clip, shape ``(N, n_classes)``."""

    def decode(self, logits: Array, lengths: Array, decoder: str = "best-path") -> list[list[Event]]:
        """Return the classes of probability 0.5 and more, by the frame of their highest score."""
        clips = []
        for n, probs in enumerate(self.tag_probs(logits, lengths)):
            events = [
                Event(int(k), float(probs[k]), int(logits[n, : lengths[n], k].argmax()))
                for k in np.flatnonzero(probs >= 0.5)
            ]
            clips.append(sorted(events, key=lambda event: (event.peak, event.label)))
        return clips


class BaselineHead(_SigmoidHead):
    """One sigmoid a class on the GRU's last states: no frames at all (paper section 1.3)."""

    framewise = False

    def loss_and_grad(self, logits: Array, targets: Labels, lengths: Array) -> tuple[float, Array]:
        """Return the binary cross entropy of the batch and its derivative by the logits ``(N, C)``."""
        tags = multi_hot(targets, self.n_classes, logits.dtype)
        return losses.binary_cross_entropy_with_logits(logits, tags)

    def tag_probs(self, logits: Array, lengths: Array) -> Array:
        """Return the sigmoid of the logits ``(N, C)``."""
        return sigmoid(logits)

    def decode(self, logits: Array, lengths: Array, decoder: str = "best-path") -> list[list[Event]]:
        """Return the classes of probability 0.5 and more, the most probable first."""
        return [
            [Event(int(k), float(row[k]), None) for k in np.argsort(-row, kind="stable") if row[k] >= 0.5]
            for row in self.tag_probs(logits, lengths)
        ]


class MaxPoolHead(_SigmoidHead):
    """CRMP: the loudest frame speaks for the clip.

    The sigmoid is monotonic, so the maximum may be taken of the logits and the cross entropy, too, computed
    from a logit: exact, and stable however sure the network is.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__(n_classes)
        self._pool = GlobalMax()

    def loss_and_grad(self, logits: Array, targets: Labels, lengths: Array) -> tuple[float, Array]:
        """Return the binary cross entropy of the pooled scores and its derivative by ``(N, T, C)``."""
        tags = multi_hot(targets, self.n_classes, logits.dtype)
        pooled, cache = self._pool.forward(logits, lengths=lengths)
        loss, dpooled = losses.binary_cross_entropy_with_logits(pooled, tags)
        dlogits, _ = self._pool.backward(dpooled, cache)
        return loss, dlogits

    def logits(self, logits: Array, lengths: Array) -> Array:
        """Return the logit of each class in each clip, the largest of its frames, ``(N, n_classes)``."""
        return self._pool.forward(logits, lengths=lengths)[0]

    def tag_probs(self, logits: Array, lengths: Array) -> Array:
        """Return the largest frame probability of each class."""
        return sigmoid(self.logits(logits, lengths))


class AveragePoolHead(_SigmoidHead):
    """CRAP: every frame has an equal vote."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(n_classes)
        self._pool = GlobalAverage()

    def loss_and_grad(self, logits: Array, targets: Labels, lengths: Array) -> tuple[float, Array]:
        """Return the binary cross entropy of the mean probability and its derivative by ``(N, T, C)``."""
        tags = multi_hot(targets, self.n_classes, logits.dtype)
        probs = sigmoid(logits)
        pooled, cache = self._pool.forward(probs, lengths=lengths)
        loss, dpooled = losses.binary_cross_entropy(pooled, tags)
        dprobs, _ = self._pool.backward(dpooled, cache)
        return loss, dprobs * probs * (1 - probs)  # dσ/dz = σ (1 − σ)

    def tag_probs(self, logits: Array, lengths: Array) -> Array:
        """Return the mean frame probability of each class."""
        return self._pool.forward(sigmoid(logits), lengths=lengths)[0]


class CTCHead:
    """CRNN-CTC: a softmax over the classes and a blank, trained on the order of the labels.

    The blank is output 0, so class index k is output k + 1.
    """

    framewise = True
    blank: int | None = _BLANK

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes
        self.n_outputs = n_classes + 1

    def loss_and_grad(self, logits: Array, targets: Labels, lengths: Array) -> tuple[float, Array]:
        """Return the CTC loss, each clip's divided by its number of labels, and its derivative."""
        shifted = [[label + 1 for label in labels] for labels in targets]
        loss, dlogits = ctc.ctc_loss_and_grad(logits, shifted, lengths, blank=_BLANK, reduction="mean")
        return float(loss), dlogits

    def consistency_and_grad(self, logits: Array, targets: Labels, lengths: Array) -> tuple[float, Array]:
        """Return how far the second half of a batch is from the first, views of the same clips.

        What `ctctag.losses.consistency_with_logits` finds in a clip's frames is divided by its number of
        labels, as its CTC loss is; the mean over the clips is returned, and its derivative.
        """
        clips = len(targets) // 2
        valid = np.arange(logits.shape[1]) < lengths[:clips, np.newaxis]
        labels = np.array([max(len(sequence), 1) for sequence in targets[:clips]])
        weights = valid / (clips * labels[:, np.newaxis])
        loss, *dviews = losses.consistency_with_logits(logits[:clips], logits[clips:], weights)
        return loss, np.concatenate(dviews)

    def tag_probs(self, logits: Array, lengths: Array) -> Array:
        """Return the exact probability that each class occurs in the collapsed sequence."""
        return ctc.tag_probs(logits, lengths)[:, 1:]

    def ctc_logits(self, logits: Array) -> Array:
        """Return what the softmax is of, blank first: all outputs but those for the tags."""
        return logits

    def frame_probs(self, logits: Array) -> Array:
        """Return the softmax, blank first."""
        return softmax(logits)

    def mean_logits(self, logits: Sequence[Array]) -> Array:
        """Return logits of the mean softmax."""
        if len(logits) == 1:
            return logits[0]
        z = np.stack(logits)
        return np.logaddexp.reduce(z - np.logaddexp.reduce(z, axis=-1, keepdims=True), axis=0)

    def decode(self, logits: Array, lengths: Array, decoder: str = "best-path") -> list[list[Event]]:
        """Return the labels of the best path, or the likeliest labelling that a prefix beam search finds.

        The peak of an event is the likeliest frame of its label's span.

        Raises
        ------
        ParameterError
            If the decoder is unknown, or wants outputs for the tags, which only a `JointHead` has.
        """
        if check_choice(decoder, "decoder", DECODERS) == "rescored":
            raise ParameterError(
                "decoder 'rescored' weighs labellings by outputs for the tags, and this network has none: "
                "train with tag_weight (--tag-weight), or read it by 'beam'"
            )
        if decoder == "beam":
            found = ctc.beam_search(logits, lengths, beam_width=_BEAM_WIDTH, blank=_BLANK)
            return _events(logits, lengths, [labellings[0] for labellings in found])
        return _events(logits, lengths, ctc.best_path(logits, lengths, blank=_BLANK))


def _events(logits: Array, lengths: Array, labellings: Sequence[ctc.Decoded]) -> list[list[Event]]:
    probs = ctc.tag_probs(logits, lengths)
    clips = []
    for n, decoded in enumerate(labellings):
        events = []
        for label, (first, last) in zip(decoded.labels, decoded.spans, strict=True):
            # by probability, not by logit: frames are normalised each by itself
            peak = first + int(softmax(logits[n, first : last + 1])[:, label].argmax())
            events.append(Event(int(label) - 1, float(probs[n, label]), peak))
        clips.append(events)
    return clips


class JointHead(CTCHead):
    """CRNN-CTC with outputs beside CTC's that learn as CRMP's do which classes a clip has.

    Recordings are few, and a spike teaches the layers below it one frame. The tags' loss, from outputs of its
    own, teaches them what tells the classes apart. When the network is read, everything is CTC's alone, but
    for the decoder ``"rescored"``: of a beam's labellings it takes the one whose log-probability, together
    with the log-odds of each of its tags and a bonus a tag, is greatest.

    Parameters
    ----------
    n_classes : int
        Number of classes. Outputs 0 to ``n_classes`` are CTC's, the rest the tags'.
    weight : float
        What the tags' loss, a mean over the classes, counts beside CTC's.
    """

    def __init__(self, n_classes: int, weight: float) -> None:
        super().__init__(n_classes)
        self.weight = weight
        self.n_outputs = 2 * n_classes + 1
        self._tags = MaxPoolHead(n_classes)

    def split(self, logits: Array) -> tuple[Array, Array]:
        """Return CTC's logits and those of the tags."""
        cut = self.n_classes + 1
        return np.ascontiguousarray(logits[..., :cut]), np.ascontiguousarray(logits[..., cut:])

    def loss_and_grad(self, logits: Array, targets: Labels, lengths: Array) -> tuple[float, Array]:
        """Return the CTC loss and ``weight`` times the tags' cross entropy, and the derivative of the sum."""
        ordered, unordered = self.split(logits)
        loss, dordered = super().loss_and_grad(ordered, targets, lengths)
        tag_loss, dtags = self._tags.loss_and_grad(unordered, targets, lengths)
        return loss + self.weight * tag_loss, np.concatenate([dordered, self.weight * dtags], axis=-1)

    def consistency_and_grad(self, logits: Array, targets: Labels, lengths: Array) -> tuple[float, Array]:
        """Return how far apart CTC's frames are in two views, and the derivative: 0 by the tags' logits."""
        ordered, unordered = self.split(logits)
        loss, dordered = super().consistency_and_grad(ordered, targets, lengths)
        return loss, np.concatenate([dordered, np.zeros_like(unordered)], axis=-1)

    def tag_probs(self, logits: Array, lengths: Array) -> Array:
        """Return CTC's probability of each class."""
        return super().tag_probs(self.split(logits)[0], lengths)

    def ctc_logits(self, logits: Array) -> Array:
        """Return CTC's logits, blank first."""
        return self.split(logits)[0]

    def frame_probs(self, logits: Array) -> Array:
        """Return CTC's softmax, blank first."""
        return super().frame_probs(self.split(logits)[0])

    def mean_logits(self, logits: Sequence[Array]) -> Array:
        """Return logits of the means, those of CTC and those of the tags."""
        parts = zip(*(self.split(part) for part in logits), strict=True)
        ordered, unordered = (list(part) for part in parts)
        return np.concatenate([super().mean_logits(ordered), self._tags.mean_logits(unordered)], axis=-1)

    def decode(self, logits: Array, lengths: Array, decoder: str = DECODERS[0]) -> list[list[Event]]:
        """Return what CTC hears; rescored, also by what the tags' outputs say."""
        ordered, unordered = self.split(logits)
        if decoder != "rescored":
            return super().decode(ordered, lengths, decoder)
        evidence = self._tags.logits(unordered, lengths) + _TAG_BONUS
        found = ctc.beam_search(ordered, lengths, beam_width=_RESCORED, n_best=_RESCORED, blank=_BLANK)
        best = [
            max(labellings, key=lambda one: one.score + evidence[n, np.unique(one.labels) - 1].sum())
            for n, labellings in enumerate(found)
        ]
        return _events(ordered, lengths, best)
