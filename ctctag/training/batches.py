"""Batches of standardised features, made ahead of the network on a thread of their own."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer
from ctctag.audio import Standardiser
from ctctag.exceptions import CtctagError, ParameterError
from ctctag.training.masks import SpectrogramMasks

__all__ = ["ArrayFeatures", "Batch", "Clips", "FeatureSource", "ahead", "check_views"]

Array = npt.NDArray[Any]
T = TypeVar("T")


class FeatureSource(Protocol):
    """Where feature matrices come from: memory (`ArrayFeatures`) or disk (`ctctag.data.features`)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Array:
        """Return one clip, shape ``(T, F)``."""

    def batch(self, indices: npt.ArrayLike) -> tuple[Array, Array]:
        """Return clips padded with zeros, ``(N, T, F)``, and their frames, ``(N,)``."""


class ArrayFeatures:
    """Feature matrices in memory, of any lengths.

    Parameters
    ----------
    matrices : sequence of ndarray, shape (T_i, F)
        One for each clip.
    """

    def __init__(self, matrices: Sequence[Array]) -> None:
        self.matrices = matrices

    def __len__(self) -> int:
        return len(self.matrices)

    def __getitem__(self, index: int) -> Array:
        return self.matrices[index]

    def batch(self, indices: npt.ArrayLike) -> tuple[Array, Array]:
        """Return clips padded with zeros, ``(N, T, F)``, and their frames, ``(N,)``."""
        chosen = [self.matrices[index] for index in np.asarray(indices)]
        lengths = np.array([len(matrix) for matrix in chosen])
        x = np.zeros((len(chosen), lengths.max(), chosen[0].shape[1]), dtype=np.float32)
        for row, matrix in zip(x, chosen, strict=True):
            row[: len(matrix)] = matrix
        return x, lengths


class Batch(NamedTuple):
    """What the network trains on."""

    x: Array  # (N, T, F), standardised
    targets: list[list[int]]
    lengths: Array  # (N,)

    def masked(self, masks: SpectrogramMasks, rngs: Sequence[np.random.Generator]) -> "Batch":
        """Return a view of the clips for each of `rngs`, all first views first, masked as it decides."""
        views = [self.x.copy() for _ in rngs[1:]] + [self.x]
        for x, rng in zip(views, rngs, strict=True):
            masks.apply_to_batch(x, self.lengths, rng)
        if len(views) == 1:
            return self
        n = len(views)
        return Batch(np.concatenate(views), self.targets * n, np.tile(self.lengths, n))


def check_views(views: int, masks: SpectrogramMasks | None) -> int:
    """Return `views`, how often each clip is in a batch, if there are masks that tell them apart."""
    if check_integer(views, "views", low=1) > 1 and masks is None:
        raise ParameterError(f"views is {views}, but nothing tells views of a clip apart: give masks, too")
    return views


class Clips:
    """Features and label sequences of some clips, as batches.

    Parameters
    ----------
    features : FeatureSource
        Features of all clips.
    targets : sequence of sequences of int
        Label sequence of each clip of `features`.
    standardiser : Standardiser
        Applied to every batch.
    indices : array_like of int
        The clips meant.
    masks : SpectrogramMasks, optional
        Applied to shuffled batches: those that are learned from.
    views : int
        How often each clip is in a shuffled batch, under other masks each time.

    Raises
    ------
    ParameterError
        If there are several views and no masks that would tell them apart.
    """

    def __init__(
        self,
        features: FeatureSource,
        targets: Sequence[Sequence[int]],
        standardiser: Standardiser,
        indices: npt.ArrayLike,
        masks: SpectrogramMasks | None = None,
        views: int = 1,
    ) -> None:
        self.masks = masks
        self.views = check_views(views, masks)
        self.features = features
        self.targets = targets
        self.standardiser = standardiser
        self.indices = np.asarray(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Yield every clip once, as listed."""
        return ahead(self._batches(self.indices, batch_size))

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield every clip once, in an order that depends on `seed` and `epoch` alone."""
        rng = np.random.default_rng([seed, epoch])
        return ahead(self._masked(self._batches(rng.permutation(self.indices), batch_size), rng))

    def _masked(self, batches: Iterable[Batch], rng: np.random.Generator) -> Iterator[Batch]:
        for batch in batches:
            yield batch if self.masks is None else batch.masked(self.masks, [rng] * self.views)

    def _batches(self, order: Array, batch_size: int) -> Iterator[Batch]:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            x, lengths = self.features.batch(chosen)
            yield Batch(self.standardiser(x), [list(self.targets[i]) for i in chosen], lengths)


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yield `items`, made up to `depth` ahead on a thread of their own; their errors are raised here.

    A forked child has no such thread: where it goes on with an iteration of its parent, it gets a
    `CtctagError`.
    """
    ready: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    room: SimpleQueue[None] = SimpleQueue()  # one entry for each further item that may be made
    for _ in range(depth):
        room.put(None)
    process, gone = os.getpid(), False

    def produce() -> None:
        try:
            for item in items:
                ready.put((True, item))
                room.get()
                if gone:
                    return
        except BaseException as error:
            ready.put((False, error))
        else:
            ready.put((False, None))

    producer = threading.Thread(target=produce, name="ctctag-ahead", daemon=True)
    producer.start()
    try:
        while True:
            if os.getpid() != process:
                raise CtctagError(
                    f"these batches are made by a thread of process {process}, which its forked child "
                    f"{os.getpid()} does not have (begin the iteration in the child)"
                )
            more, value = ready.get()
            room.put(None)
            if more:
                yield value
            elif value is None:
                return
            else:
                raise value
    finally:  # also when the consumer goes away early
        gone = True
        room.put(None)
        producer.join()
