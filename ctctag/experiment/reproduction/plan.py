"""What an experiment consists of: clips, folds, systems and how each is trained."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ctctag._checks import check_choice, check_integer
from ctctag._files import atomic_path
from ctctag._reading import read_json, reading
from ctctag.audio import LogMel
from ctctag.data import Dataset, mix_dataset, open_mixer
from ctctag.data.mixing import MOST_CLIPS
from ctctag.exceptions import DataError, ParameterError
from ctctag.models import SYSTEMS
from ctctag.training import TrainingConfig

__all__ = ["Plan"]

_FILE = "experiment.json"

# All four systems are trained alike; what a protocol sets here was chosen on clips held out from training.
_TRAINING: dict[str, dict[str, Any]] = {
    "paper": {"epochs": 50, "patience": 50, "weight_decay": 1e-2, "ema": 0.998, "masks": True},
    "honest": {
        "epochs": 20,
        "patience": 20,
        "weight_decay": 1e-3,
        "ema": 0.998,
        "masks": True,
        "fresh": 2400,
        "fresh_events": [2, 5],
        "augment": True,
        "tag_weight": 2.0,
        "consistency": 0.2,
        "blank_penalty": 0.5,
        "decoder": "rescored",
        "shifts": 3,
    },
}
# What tells a dropped pen from keys lies above the 8 kHz that the paper's rate leaves, too.
_MIX: dict[str, dict[str, Any]] = {"paper": {}, "honest": {"sr": 32000}}


@dataclass(frozen=True)
class Plan:
    """Everything that the numbers of an experiment depend on, recordings apart.

    Attributes
    ----------
    protocol : {"paper", "honest"}
        How clips and recordings are folded (see `ctctag.data.mix_dataset`).
    clips : int
        Clips to mix; the paper's 7.1 hours are 2556 of ten seconds.
    folds : int
        Into how many folds, each of which is kept for testing once.
    systems : tuple of str
        Which of the four, in the paper's order.
    mix : dict
        Further parameters of `ctctag.data.Mixer`, other than the paper's. Features are computed at ``sr``,
        too.
    n_mels : int
        Bands of the features.
    training : dict of str to dict
        Of each system, what differs from the defaults of `ctctag.training.TrainingConfig`.
    seed : int
        Seed of clips and trainings.
    """

    protocol: str = "paper"
    clips: int = 2556
    folds: int = 4
    systems: tuple[str, ...] = tuple(reversed(SYSTEMS))
    mix: dict[str, Any] = field(default_factory=dict)
    n_mels: int = 64
    training: dict[str, dict[str, Any]] = field(default_factory=dict)
    seed: int = 1

    def __post_init__(self) -> None:
        check_choice(self.protocol, "protocol", tuple(_TRAINING))
        check_integer(self.folds, "folds", low=2)
        check_integer(self.clips, "clips", low=4 * self.folds)
        check_integer(self.clips, "clips", high=MOST_CLIPS)
        check_integer(self.seed, "seed", low=0)
        if not self.systems:
            raise ParameterError(f"systems must name at least one of {', '.join(SYSTEMS)}")
        for system in self.systems:
            check_choice(system, "systems", SYSTEMS)
        object.__setattr__(self, "systems", tuple(s for s in reversed(SYSTEMS) if s in self.systems))
        for system in self.systems:
            self.config(system)

    @classmethod
    def of_protocol(
        cls,
        protocol: str,
        training: Mapping[str, Any] | None = None,
        *,
        sr: int | None = None,
        **options: Any,
    ) -> "Plan":
        """Return the plan of a protocol, where `training` replaces settings of every system, `sr` its rate.

        Examples
        --------
        >>> Plan.of_protocol("honest", {"epochs": 3}).config("crmp").epochs
        3
        """
        check_choice(protocol, "protocol", tuple(_TRAINING))
        settings = _TRAINING[protocol] | dict(training or {})
        mix = options.pop("mix", _MIX[protocol])
        options["mix"] = {**mix, "sr": sr} if sr is not None else dict(mix)
        if "epochs" in (training or {}) and "patience" not in (training or {}):
            settings["patience"] = settings["epochs"]
        return cls(protocol, training={system: dict(settings) for system in SYSTEMS}, **options)

    @classmethod
    def quick(
        cls, protocol: str = "paper", training: Mapping[str, Any] | None = None, **options: Any
    ) -> "Plan":
        """Return a plan that is carried out in minutes, and whose numbers mean little.

        Clips are shorter and fewer, folds two, and networks smaller than the paper's.
        """
        small: dict[str, Any] = {"preset": "tiny", "epochs": 40, "batch_size": 16, "learning_rate": 6e-3}
        # so few steps need no restraint
        small |= {"ema": 0.9, "masks": False, "consistency": 0.0, "weight_decay": 0.0}
        if protocol == "honest":
            small |= {"fresh": 288, "fresh_events": [2, 4]}  # five would not fit into six seconds
        mix = {"clip_seconds": 6.0, "events_per_clip": [1, 3], "max_event_seconds": 1.5}
        usual: dict[str, Any] = {"clips": 640, "folds": 2, "mix": mix, "n_mels": 32}
        return cls.of_protocol(protocol, small | dict(training or {}), **usual | options)

    @property
    def cells(self) -> list[tuple[str, int]]:
        """The (system, fold) of every cell: all systems of a fold, then the next fold."""
        return [(system, fold) for fold in range(1, self.folds + 1) for system in self.systems]

    def config(self, system: str) -> TrainingConfig:
        """Return the settings of a system's training."""
        values = {"system": system, "seed": self.seed, **self.training.get(system, {})}
        return TrainingConfig.from_dict(values)

    @property
    def command(self) -> str:
        """The command line that carries out this plan on recordings.

        Examples
        --------
        >>> Plan.of_protocol("honest", {"epochs": 9}).command
        'ctctag reproduce EVENTS OUT --protocol honest --noise BACKGROUNDS --epochs 9'
        >>> Plan.of_protocol("honest", sr=16000).command
        'ctctag reproduce EVENTS OUT --protocol honest --noise BACKGROUNDS --sample-rate 16000'
        """
        return self.command_on("recordings", "recordings" if self.protocol == "honest" else "white")

    def command_on(self, events: str, noise: str) -> str:
        """Return the command line that carries out this plan on recorded or synthetic events, noise likewise.

        Examples
        --------
        >>> Plan.quick("paper").command_on("synthetic", "white")
        'ctctag reproduce synthetic OUT --quick'
        """
        words = ["ctctag reproduce", "EVENTS" if events == "recordings" else events, "OUT"]
        if self.protocol == "honest":
            words.append("--protocol honest")
        if noise == "recordings":
            words.append("--noise BACKGROUNDS")
        usual = Plan.of_protocol(self.protocol)
        if set(self.mix) - {"sr"}:
            usual = Plan.quick(self.protocol)
            words.append("--quick")
        if self.systems != usual.systems:
            words.append("--systems " + " ".join(self.systems))
        of, usually = self.config(self.systems[0]), usual.config(self.systems[0])
        pairs = [(name, getattr(self, name), getattr(usual, name)) for name in ("clips", "folds", "seed")]
        pairs.append(("sample-rate", self.log_mel().sr, usual.log_mel().sr))
        pairs += [(name, getattr(of, name), getattr(usually, name)) for name in ("preset", "epochs", "fresh")]
        return " ".join([*words, *(f"--{name} {value}" for name, value, common in pairs if value != common)])

    def log_mel(self) -> LogMel:
        """Return the features: the paper's frames, at the sample rate of the clips."""
        return LogMel.at_rate(self.mix.get("sr", LogMel.sr), n_mels=self.n_mels)

    def mixer_options(self) -> dict[str, Any]:
        """Return the parameters of `ctctag.data.Mixer` that are not its defaults."""
        return {name: tuple(value) if isinstance(value, list) else value for name, value in self.mix.items()}

    def mixed(self, folder: Path, source: Any, noise: Any, progress: Any = None) -> Dataset:
        """Return the experiment's clips in ``folder/clips``; they are mixed when they are not there.

        Raises
        ------
        DataError
            If the clips that are there were mixed from other recordings.
        """
        clips = folder / "clips"
        if clips.exists():
            open_mixer(clips, source=source, noise=noise)  # it compares the recordings
            return Dataset.open(clips)
        return mix_dataset(
            source,
            clips,
            clips=self.clips,
            protocol=self.protocol,
            folds=self.folds,
            seed=self.seed,
            noise=noise,
            progress=progress,
            **self.mixer_options(),
        )

    # -- on disk -------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"systems": list(self.systems)}

    def save(self, folder: Path) -> None:
        """Write ``experiment.json``, unless it is there and says the same.

        Raises
        ------
        ParameterError
            If another experiment was begun in this folder; the message names what differs. More or fewer
            systems are no difference.
        """
        path = folder / _FILE
        plan = self.to_dict()
        if path.exists():
            before = Plan.read(folder).to_dict()
            for name in before:
                if name != "systems" and before[name] != plan[name]:
                    raise ParameterError(
                        f"{folder}: holds another experiment: {name} was {before[name]!r} and is now "
                        f"{plan[name]!r}; use the same settings, or choose another folder"
                    )
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """Return the plan of an experiment's folder.

        Raises
        ------
        DataError
            If there is none, or it is of another version.
        """
        path = folder / _FILE
        try:
            values = read_json(path, DataError, "not readable ({})")
        except FileNotFoundError:
            raise DataError(f"{folder}: holds no experiment (there is no {_FILE} in it)") from None
        known = {entry.name for entry in fields(cls)}
        if set(values) != known:
            raise DataError(f"{path}: written by another version ({sorted(set(values) ^ known)[0]!r})")
        with reading(path, DataError, "not readable ({})"):
            plan = cls(**values | {"systems": tuple(values["systems"])})
            plan.log_mel()
            return plan
