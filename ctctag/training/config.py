"""Every choice that a training run depends on, in one place and one file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ctctag._checks import check_choice, check_integer, check_number
from ctctag.audio.shifts import check_shifts
from ctctag.data import Augment
from ctctag.exceptions import ParameterError
from ctctag.models import DECODERS, PRESETS, SYSTEMS, Network, build

__all__ = ["SCHEDULES", "TrainingConfig"]

SCHEDULES = ("constant", "one-cycle", "cosine")


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    The paper (section 1.5.1) uses Adam at a constant 0.001 for at most 1000 epochs and early stopping:
    ``TrainingConfig(epochs=1000, learning_rate=1e-3, schedule="constant")``. The defaults are one cycle of a
    higher rate instead, which comes to the same scores in a fraction of the epochs.

    Attributes
    ----------
    system : {"crnn-ctc", "crmp", "crap", "baseline"}
        The system.
    preset : {"small", "paper", "tiny"}
        The size of the network.
    epochs : int
        At most so many passes over the training clips.
    batch_size : int
        Clips in a batch.
    learning_rate : float
        Adam's step, the peak of the schedule.
    schedule : {"constant", "one-cycle", "cosine"}
        How the learning rate moves over ``epochs``.
    weight_decay : float
        Decoupled weight decay a step, times the learning rate (AdamW); 0 is plain Adam.
    clip_norm : float
        Gradients of a larger norm are scaled down to it; 0 leaves them.
    ema : float
        Decay of the moving average of the weights that is evaluated and kept; 0 evaluates the weights.
    patience : int
        Training ends after so many epochs without a better validation score (early stopping).
    validation : float
        Fraction of the training clips held out for early stopping.
    masks : bool
        Mask stripes of the training clips (see `ctctag.training.SpectrogramMasks`).
    fresh : int
        Train on so many clips mixed afresh for every epoch, from the recordings that the data set was mixed
        from, in place of its own training clips (see `ctctag.training.FreshClips`); 0 trains on the latter.
    fresh_events : (int, int), optional
        Least and most events of a fresh clip; ``None``: as many as a clip of the data set may have.
    augment : bool or dict
        Vary each event of the fresh clips; a dict has parameters of `ctctag.data.Augment` that are not its
        defaults, such as ``{"layered": 0}``.
    tag_weight : float
        CRNN-CTC learns which classes a clip has beside their order, by outputs of its own: what CRMP's loss
        counts beside CTC's; 0 leaves it out. The other systems learn nothing else anyway.
    consistency : float
        CRNN-CTC hears each training clip twice, under different masks, and learns to say the same of both:
        what the distance between the two counts beside its loss (see `ctctag.losses`); 0 hears it once. A
        step takes twice the time. The other systems hear each clip once anyway.
    blank_penalty : float
        When training has ended, so much is taken off the blank's bias, in nats; systems without a blank have
        nothing to take it from. A network that is not sure says blank: on recordings it never heard, half a
        nat turns more deletions into tags than it makes insertions.
    decoder : {"best-path", "beam", "rescored"}
        How the trained CRNN-CTC's scores become tags: by the likeliest path, as in the paper; by the
        likeliest labelling that a beam search finds; or by the one of its labellings that the outputs for the
        tags find likeliest, too (which needs ``tag_weight``). Each hears more that is true than the one
        before, and takes longer.
    shifts : int
        How often the trained network listens to a clip (see `ctctag.models.TrainedModel`).
    seed : int
        Seed of weights, dropout, held-out clips and order of the clips.
    """

    system: str = "crnn-ctc"
    preset: str = "small"
    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 3e-3
    schedule: str = "one-cycle"
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    ema: float = 0.0
    patience: int = 20
    validation: float = 0.1
    masks: bool = False
    fresh: int = 0
    fresh_events: tuple[int, int] | None = None
    augment: bool | dict[str, Any] = False
    tag_weight: float = 0.0
    consistency: float = 0.0
    blank_penalty: float = 0.0
    decoder: str = DECODERS[0]
    shifts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        checked = {
            "epochs": check_integer(self.epochs, "epochs", low=1),
            "batch_size": check_integer(self.batch_size, "batch_size", low=1),
            "learning_rate": check_number(self.learning_rate, "learning_rate", low=0, exclude_low=True),
            "weight_decay": check_number(self.weight_decay, "weight_decay", low=0),
            "clip_norm": check_number(self.clip_norm, "clip_norm", low=0),
            "ema": check_number(self.ema, "ema", low=0, high=1, exclude_high=True),
            "patience": check_integer(self.patience, "patience", low=1),
            "validation": check_number(self.validation, "validation", low=0, high=0.5, exclude_low=True),
            "masks": bool(self.masks),
            "fresh": check_integer(self.fresh, "fresh", low=0),
            "fresh_events": _checked_counts(self.fresh_events),
            "augment": _checked_augment(self.augment),
            "tag_weight": check_number(self.tag_weight, "tag_weight", low=0),
            "consistency": check_number(self.consistency, "consistency", low=0),
            "blank_penalty": check_number(self.blank_penalty, "blank_penalty", low=0),
            "shifts": check_shifts(self.shifts, "shifts"),
            "seed": check_integer(self.seed, "seed", low=0),
        }
        if checked["augment"] and not checked["fresh"]:
            raise ParameterError(
                "augment varies the events of fresh clips: set fresh, too, to how many make an epoch"
            )
        if checked["fresh_events"] and not checked["fresh"]:
            raise ParameterError(
                "fresh_events is how many events a fresh clip has: set fresh, too, to how many make an epoch"
            )
        if checked["consistency"] and not checked["masks"]:
            raise ParameterError(
                "consistency compares what is heard of a clip under different masks: set masks, too"
            )
        check_choice(self.system, "system", SYSTEMS)
        check_choice(self.preset, "preset", tuple(PRESETS))
        if check_choice(self.decoder, "decoder", DECODERS) == "rescored" and not checked["tag_weight"]:
            raise ParameterError(
                "decoder 'rescored' weighs labellings by outputs for the tags: set tag_weight, too, so that "
                "there are some"
            )
        check_choice(self.schedule, "schedule", SCHEDULES)
        for name, value in checked.items():  # plain numbers, whatever was given: they are written as JSON
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return the choices as plain JSON values."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainingConfig":
        """Return the configuration that `to_dict` described.

        Raises
        ------
        ParameterError
            If a name is unknown or a value out of range.
        """
        _check_names(values, cls, "{} is no training setting")
        return cls(**values)

    @property
    def views(self) -> int:
        """How often the network hears each training clip in an epoch, under other masks each time."""
        return 2 if self.consistency and self.system == "crnn-ctc" else 1

    def augmentation(self) -> Augment | None:
        """Return how the events of fresh clips are varied, or ``None``."""
        if not self.augment:
            return None
        return Augment(**(self.augment if isinstance(self.augment, dict) else {}))

    def build_network(self, n_classes: int, n_mels: int) -> Network:
        """Return the network that is to be trained, with fresh weights."""
        return build(
            self.system, n_classes, self.preset, n_mels=n_mels, seed=self.seed, tag_weight=self.tag_weight
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _check_names(values: Mapping[str, Any], cls: type, complaint: str) -> None:
    known = [field.name for field in fields(cls)]
    unknown = sorted(values.keys() - set(known))
    if unknown:
        raise ParameterError(f"{complaint.format(repr(unknown[0]))}; there are {', '.join(known)}")


def _checked_augment(value: Any) -> bool | dict[str, Any]:
    if not isinstance(value, Mapping):
        return bool(value)
    _check_names(value, Augment, "augment: {} is no variation")
    given: dict[str, Any] = {
        name: tuple(part) if isinstance(part, list) else part for name, part in value.items()
    }
    Augment(**given)  # checks them
    return given or True


def _checked_counts(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if np.shape(value) != (2,):
        raise ParameterError(f"fresh_events must be a pair (least, most), got {value!r}")
    low = check_integer(value[0], "fresh_events[0]", low=0)
    return low, check_integer(value[1], "fresh_events[1]", low=low)
