"""Training clips that are mixed afresh for every epoch, in memory, ahead of the network.

A few hundred recordings make an endless supply of mixtures. A network that never meets a mixture twice has
less to learn by heart, and keeps what it learns on recordings it has never heard.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer, check_number
from ctctag.audio import LogMel, Standardiser, resample
from ctctag.data import Augment, Mixer
from ctctag.training.batches import Batch, ahead, check_views
from ctctag.training.masks import SpectrogramMasks

__all__ = ["FreshClips"]

Array = npt.NDArray[Any]


class FreshClips:
    """New mixtures for every epoch; takes the place of `Clips` in a `Trainer`.

    Parameters
    ----------
    mixer : Mixer
        Where clips come from.
    log_mel : LogMel
        How they become features.
    clips_per_epoch : int
        How many make an epoch.
    folds : collection of int, optional
        Mix only recordings of these folds.
    augment : Augment, optional
        Vary each event.
    masks : SpectrogramMasks, optional
        Mask each clip.
    views : int
        How often each clip is in a batch, under other masks each time.
    narrow : float
        Probability that a mixture sounds as if it had been recorded at half the rate: nothing is left above
        a quarter of it. A network that hears up to 16 kHz then learns to do without, as it must on speech
        recorders and old files.
    seed : int
        With epoch and clip number it decides everything about a clip.
    standardiser : Standardiser, optional
        By default fitted to the first `clips_per_epoch` mixtures, but at most 500, without masks.

    Attributes
    ----------
    standardiser : Standardiser
        Applied to every clip.

    Raises
    ------
    ParameterError
        If a number is out of its range, or there are several views and no masks that would tell them apart.
    """

    def __init__(
        self,
        mixer: Mixer,
        log_mel: LogMel,
        clips_per_epoch: int,
        *,
        folds: Collection[int] | None = None,
        augment: Augment | None = None,
        masks: SpectrogramMasks | None = None,
        views: int = 1,
        narrow: float = 0.0,
        seed: int = 0,
        standardiser: Standardiser | None = None,
    ) -> None:
        self.mixer = mixer
        self.log_mel = log_mel
        self.clips_per_epoch = check_integer(clips_per_epoch, "clips_per_epoch", low=1)
        self.folds = folds
        self.augment = augment
        self.masks = masks
        self.views = check_views(views, masks)
        self.narrow = check_number(narrow, "narrow", low=0, high=1)
        self.seed = check_integer(seed, "seed", low=0)
        self._number = {label: index for index, label in enumerate(mixer.classes)}
        self.standardiser = standardiser or Standardiser.fit(
            self.mix(0, index)[0] for index in range(min(clips_per_epoch, 500))
        )

    def __len__(self) -> int:
        return self.clips_per_epoch

    def mix(self, epoch: int, index: int) -> tuple[Array, list[int]]:
        """Return features, shape (T, F), not standardised, and label sequence of one mixture."""
        clip = self.mixer.mix([self.seed, epoch, index], folds=self.folds, augment=self.augment)
        samples = clip.samples
        if self.narrow and np.random.default_rng([self.seed, epoch, index, 2]).random() < self.narrow:
            rate = self.mixer.sr
            samples = resample(resample(samples, rate, rate // 2), rate // 2, rate)[: samples.size]
        return self.log_mel(samples), [self._number[label] for label in clip.labels]

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, mixed ahead on a thread of their own; `seed` has no part in it."""
        return ahead(self._batches(batch_size, epoch), depth=4)

    def _batches(self, batch_size: int, epoch: int) -> Iterator[Batch]:
        for start in range(0, self.clips_per_epoch, batch_size):
            stop = min(start + batch_size, self.clips_per_epoch)
            mixed = [self.mix(epoch, index) for index in range(start, stop)]
            x = self.standardiser(np.stack([features for features, _ in mixed]))
            batch = Batch(x, [labels for _, labels in mixed], np.full(len(mixed), x.shape[1]))
            if self.masks is not None:
                seeds = [[self.seed, epoch, start, 1 + 2 * view] for view in range(self.views)]
                batch = batch.masked(self.masks, [np.random.default_rng(seed) for seed in seeds])
            yield batch
