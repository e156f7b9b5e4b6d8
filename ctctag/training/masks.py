"""Masks on spectrograms: a training clip loses a few stripes, so that no single cue suffices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer

__all__ = ["SpectrogramMasks"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SpectrogramMasks:
    """Stripes of a standardised spectrogram that are set to 0, which is the mean.

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

    def apply_to_batch(self, x: Array, lengths: Array | None, rng: np.random.Generator) -> None:
        """Mask each clip of a batch, shape (N, T, F), within its valid frames, in place."""
        for n, clip in enumerate(x):
            self.apply(clip if lengths is None else clip[: lengths[n]], rng)
