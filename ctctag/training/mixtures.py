"""Training clips that are mixed afresh for every epoch, in memory, ahead of the network.

A few hundred recordings make an endless supply of mixtures. A network that never meets a mixture twice has
less to learn by heart, and keeps what it learns on recordings it has never heard.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer
from ctctag.audio import LogMel, Standardiser
from ctctag.data import Augment, Mixer
from ctctag.training.batches import Batch, ahead

__all__ = ["FreshClips", "SpectrogramMasks"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SpectrogramMasks:
    """Stripes of a standardised spectrogram that are set to 0, the mean, so that no single cue suffices.

    Attributes
    ----------
    time_masks, max_frames : int
        How many stripes across time, and how many frames the widest may have.
    mel_masks, max_bands : int
        How many stripes across the bands, and how many bands the widest may have.

    References
    ----------
    Park et al., "SpecAugment", Interspeech 2019, section 2.
    """

    time_masks: int = 2
    max_frames: int = 12
    mel_masks: int = 2
    max_bands: int = 8

    def __post_init__(self) -> None:
        for name in ("time_masks", "max_frames", "mel_masks", "max_bands"):
            check_integer(getattr(self, name), name, low=0)

    def apply(self, x: Array, rng: np.random.Generator) -> None:
        """Mask one clip, shape (T, F), in place."""
        for axis, masks, widest in (
            (0, self.time_masks, self.max_frames),
            (1, self.mel_masks, self.max_bands),
        ):
            for _ in range(masks):
                width = int(rng.integers(min(widest, x.shape[axis]) + 1))
                start = int(rng.integers(x.shape[axis] - width + 1))
                stripe = slice(start, start + width)
                x[(stripe, slice(None)) if axis == 0 else (slice(None), stripe)] = 0


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
    seed : int
        With epoch and clip number it decides everything about a clip.
    standardiser : Standardiser, optional
        By default fitted to the first `clips_per_epoch` mixtures, but at most 500, without masks.

    Attributes
    ----------
    standardiser : Standardiser
        Applied to every clip.
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
        seed: int = 0,
        standardiser: Standardiser | None = None,
    ) -> None:
        self.mixer = mixer
        self.log_mel = log_mel
        self.clips_per_epoch = check_integer(clips_per_epoch, "clips_per_epoch", low=1)
        self.folds = folds
        self.augment = augment
        self.masks = masks
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
        return self.log_mel(clip.samples), [self._number[label] for label in clip.labels]

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, mixed ahead on a thread of their own; `seed` has no part in it."""
        return ahead(self._batches(batch_size, epoch), depth=4)

    def _batches(self, batch_size: int, epoch: int) -> Iterator[Batch]:
        for start in range(0, self.clips_per_epoch, batch_size):
            stop = min(start + batch_size, self.clips_per_epoch)
            mixed = [self.mix(epoch, index) for index in range(start, stop)]
            x = self.standardiser(np.stack([features for features, _ in mixed]))
            if self.masks is not None:
                rng = np.random.default_rng([self.seed, epoch, start, 1])
                for clip in x:
                    self.masks.apply(clip, rng)
            yield Batch(x, [labels for _, labels in mixed], np.full(len(mixed), x.shape[1]))
