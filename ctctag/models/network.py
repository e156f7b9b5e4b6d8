"""The CRNN of the paper (figure 1.2) with one of the four heads."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_choice, check_float_array, check_integer, check_lengths, check_number
from ctctag._threads import single_threaded_blas
from ctctag.exceptions import ModelError, ParameterError
from ctctag.layers import BiGRU, ConvBlock, Dense, Dropout, Flatten, LastStates, Layer, Sequential
from ctctag.models.heads import (
    AveragePoolHead,
    BaselineHead,
    CTCHead,
    Event,
    Head,
    JointHead,
    Labels,
    MaxPoolHead,
)
from ctctag.models.presets import Preset, get_preset

__all__ = ["SYSTEMS", "Network", "build"]

Array = npt.NDArray[Any]

_HEADS: dict[str, Callable[[int], Head]] = {
    "crnn-ctc": CTCHead,
    "crmp": MaxPoolHead,
    "crap": AveragePoolHead,
    "baseline": BaselineHead,
}
SYSTEMS = tuple(_HEADS)


class Network:
    """A CRNN and its head: features in, scores, losses, gradients and tags out.

    Made by `build`. The layers are in ``network.layers``, a `ctctag.layers.Sequential`; its arrays are shared
    with ``network.params`` and ``network.state``.

    Attributes
    ----------
    system : str
        ``"crnn-ctc"``, ``"crmp"``, ``"crap"`` or ``"baseline"``.
    n_classes, n_mels : int
        Numbers of event classes and of mel bands.
    params, state : dict of ndarray
        Weights, and what else forward needs (running statistics, dropout counters), by dotted name.
    """

    def __init__(
        self,
        system: str,
        n_classes: int,
        n_mels: int,
        preset: str,
        layers: Sequential,
        head: Head | None = None,
    ) -> None:
        self.system = system
        self.n_classes = n_classes
        self.n_mels = n_mels
        self.preset = preset
        self.layers = layers
        self.head: Head = head or _HEADS[system](n_classes)

    @property
    def params(self) -> dict[str, Array]:
        """Weights by dotted name, to be changed in place."""
        return self.layers.params

    @property
    def state(self) -> dict[str, Array]:
        """Arrays that forward keeps beside the weights, by dotted name."""
        return self.layers.state

    @property
    def tag_weight(self) -> float:
        """What the loss of the outputs for the tags counts beside CTC's; 0 where there are none."""
        return self.head.weight if isinstance(self.head, JointHead) else 0.0

    @single_threaded_blas()
    def forward(
        self, x: npt.ArrayLike, lengths: npt.ArrayLike | None = None, training: bool = False
    ) -> tuple[Array, Any]:
        """Return the logits of a batch, and what `backward` needs.

        Parameters
        ----------
        x : array_like, shape (N, T, n_mels), float
            Standardised log-mel spectrograms; computed in the dtype of the weights.
        lengths : array_like, shape (N,), int, optional
            Valid frames of each clip; later frames change nothing, NaN included.
        training : bool
            Whether batch norm takes its statistics from the batch and dropout drops.

        Returns
        -------
        scores : ndarray, shape (N, T, C), or (N, C) from the baseline
            Logits; C is ``n_classes``, and one more (the blank, first) for ``crnn-ctc``, followed by
            ``n_classes`` for the tags where it has learned them beside (``head.ctc_logits`` leaves them out).
        cache : object
            For `backward`.

        Raises
        ------
        ParameterError
            If the shape of `x` or a length is wrong.
        ModelError
            If, in inference, a logit is not finite.
        """
        x = check_float_array(x, "x", ("N", "T", self.n_mels))
        lengths = check_lengths(lengths, "lengths", x.shape[0], x.shape[1])
        dtype = next(iter(self.params.values())).dtype
        y, cache = self.layers.forward(
            x[..., np.newaxis].astype(dtype, copy=False), lengths=lengths, training=training
        )
        if not training and not np.isfinite(y).all():  # heads would make "nothing heard" of it
            raise ModelError(
                "the network's outputs are not finite: its weights are too large together, or the features "
                "are (did the training diverge?)"
            )
        return y, cache

    def backward(self, dscores: Array, cache: Any) -> dict[str, Array]:
        """Return the derivative by every weight, given the derivative by the logits."""
        return self.layers.backward(dscores, cache)[1]

    @single_threaded_blas()  # once for all layers: they find it held
    def loss_and_grads(
        self,
        x: npt.ArrayLike,
        targets: Labels,
        lengths: npt.ArrayLike | None = None,
        consistency: float = 0.0,
    ) -> tuple[float, dict[str, Array]]:
        """Return the mean training loss of a batch and its derivative by every weight.

        Parameters
        ----------
        x : array_like, shape (N, T, n_mels), float
            Standardised log-mel spectrograms.
        targets : sequence of sequences of int
            For each clip its class indices, 0 to ``n_classes − 1``, in order of onset. Systems without order
            use the set.
        lengths : array_like, shape (N,), int, optional
            Valid frames of each clip.
        consistency : float
            Not 0: the second half of the batch are other views of the clips of the first, and so much of the
            distance between what CTC says of the two counts beside its loss
            (`ctctag.losses.consistency_with_logits`). Systems other than ``crnn-ctc`` have no use for it.

        Returns
        -------
        loss : float
            Mean over the batch.
        grads : dict of ndarray
            The names and shapes of ``params``.

        Raises
        ------
        ParameterError
            If a shape, a length or a label is wrong, or the halves of a batch of views do not match.
        """
        scores, cache = self.forward(x, lengths, training=True)
        batch, frames = np.shape(x)[:2]
        lengths = check_lengths(lengths, "lengths", batch, frames)
        self._check_targets(targets, batch)
        loss, dscores = self.head.loss_and_grad(scores, targets, lengths)
        if consistency and isinstance(self.head, CTCHead):
            _check_views(targets, lengths)
            distance, dviews = self.head.consistency_and_grad(scores, targets, lengths)
            loss += consistency * distance
            dscores += consistency * dviews
        return loss, self.backward(dscores, cache)

    def lower_blank(self, nats: float) -> None:
        """Take so much off the blank's bias; a system without a blank stays as it is."""
        if self.head.blank is not None:
            self.params["dense.bias"][self.head.blank] -= nats

    def tag_probs(self, x: npt.ArrayLike, lengths: npt.ArrayLike | None = None) -> Array:
        """Return the probability that each class occurs in each clip, shape ``(N, n_classes)``.

        Parameters
        ----------
        x : array_like, shape (N, T, n_mels), float
            Standardised log-mel spectrograms.
        lengths : array_like, shape (N,), int, optional
            Valid frames of each clip.
        """
        scores, _ = self.forward(x, lengths)
        return self.head.tag_probs(scores, check_lengths(lengths, "lengths", *np.shape(x)[:2]))

    def decode(
        self, x: npt.ArrayLike, lengths: npt.ArrayLike | None = None, decoder: str = "best-path"
    ) -> list[list[Event]]:
        """Return the tags heard in each clip; in order of occurrence, except from the baseline.

        Parameters
        ----------
        x : array_like, shape (N, T, n_mels), float
            Standardised log-mel spectrograms.
        lengths : array_like, shape (N,), int, optional
            Valid frames of each clip.
        decoder : {"best-path", "beam", "rescored"}
            How CTC's scores are read: likeliest path, likeliest labelling that a beam search finds, or the
            one of its labellings that outputs for the tags find likeliest, too.
        """
        scores, _ = self.forward(x, lengths)
        return self.head.decode(scores, check_lengths(lengths, "lengths", *np.shape(x)[:2]), decoder)

    def _check_targets(self, targets: Labels, batch: int) -> None:
        if len(targets) != batch:
            raise ParameterError(f"targets has {len(targets)} sequences, but x has {batch} clips")
        for n, labels in enumerate(targets):
            for position, label in enumerate(labels):
                if not 0 <= label < self.n_classes:
                    raise ParameterError(
                        f"targets[{n}][{position}] is {label}, but class indices must lie in "
                        f"[0, {self.n_classes}) (the blank is the model's own business: is the vocabulary "
                        "off by one?)"
                    )


def _check_views(targets: Labels, lengths: Array) -> None:
    half, odd = divmod(len(targets), 2)
    if odd:
        raise ParameterError(
            f"a batch of two views of each clip cannot have {len(targets)} clips, which is odd"
        )
    for n in range(half):
        if list(targets[n]) != list(targets[half + n]) or lengths[n] != lengths[half + n]:
            raise ParameterError(
                f"clips {n} and {half + n} must be two views of one clip, but their targets or lengths "
                "differ (all first views come before all second ones)"
            )


def build(
    system: str,
    n_classes: int = 16,
    preset: str = "small",
    n_mels: int = 64,
    seed: int = 0,
    tag_weight: float = 0.0,
    dtype: npt.DTypeLike = np.float32,
) -> Network:
    """Build one of the paper's four systems with fresh weights.

    Parameters
    ----------
    system : {"crnn-ctc", "crmp", "crap", "baseline"}
        Which head, hence which loss (see `ctctag.models.heads`).
    n_classes : int
        Number of event classes, at least 1.
    preset : {"small", "paper", "tiny"}
        Sizes (see `ctctag.models.presets`).
    n_mels : int
        Number of mel bands; at least 2 to the number of convolution blocks, since each block halves them.
    seed : int
        Seed of the initial weights and of dropout.
    tag_weight : float
        Not 0: ``crnn-ctc`` has outputs more, which learn the tags alone, by so much of CRMP's loss beside
        CTC's (see `ctctag.models.heads.JointHead`). The other systems learn the tags as they are.
    dtype : dtype
        float32, or float64 for gradient checks.

    Returns
    -------
    Network
        The network.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Examples
    --------
    >>> model = build("crnn-ctc", n_classes=3, preset="tiny", n_mels=16)
    >>> scores, cache = model.forward(np.zeros((2, 10, 16)))
    >>> scores.shape
    (2, 10, 4)
    """
    check_choice(system, "system", SYSTEMS)
    check_integer(n_classes, "n_classes", low=1)
    sizes = get_preset(preset)
    check_integer(n_mels, "n_mels", low=2 ** len(sizes.channels))
    check_number(tag_weight, "tag_weight", low=0)
    joint = tag_weight > 0 and system == "crnn-ctc"
    head = JointHead(n_classes, tag_weight) if joint else _HEADS[system](n_classes)
    layers = _layers(system, head.n_outputs, n_mels, sizes, seed, dtype)
    return Network(system, n_classes, n_mels, preset, layers, head)


def _layers(
    system: str, n_outputs: int, n_mels: int, sizes: Preset, seed: int, dtype: npt.DTypeLike
) -> Sequential:
    rng = np.random.default_rng(seed)
    layers: dict[str, Layer] = {}
    channels = 1
    for number, out_channels in enumerate(sizes.channels, start=1):
        first = number == 1  # nothing before it wants a gradient
        layers[f"block{number}"] = ConvBlock(
            channels, out_channels, needs_input_grad=not first, rng=rng, dtype=dtype
        )
        channels = out_channels
    features = channels * (n_mels >> len(sizes.channels))
    layers["flatten"] = Flatten()
    layers["dropout"] = Dropout(sizes.dropout, rng=rng)
    layers["gru"] = BiGRU(features, sizes.hidden, rng=rng, dtype=dtype)
    if system == "baseline":
        layers["last"] = LastStates()
    layers["dense"] = Dense(2 * sizes.hidden, n_outputs, rng=rng, dtype=dtype)
    return Sequential(layers)
