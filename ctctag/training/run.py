"""A training run on disk: a folder that says what was done, and can be gone on with.

==================  ====================================================================================
``run.json``        resolved settings, data set and its fingerprint, fold, versions
``log.jsonl``       one line of JSON an epoch
``checkpoint.npz``  everything needed to go on, written after every epoch
``model.npz``       the best weights, when training has ended (see `ctctag.models.files`)
``.lock``           only while a training is at work here
==================  ====================================================================================
"""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctctag._files import atomic_path, clear_leftovers
from ctctag._locks import locked
from ctctag._reading import read_json, reading
from ctctag.audio import LogMel, Standardiser
from ctctag.data import Dataset, Features, open_mixer
from ctctag.exceptions import DataError, ModelError, ParameterError
from ctctag.models import TrainedModel, save_model
from ctctag.models.arrays import read_arrays, write_arrays
from ctctag.models.files import versions
from ctctag.training.batches import Clips, FeatureSource
from ctctag.training.config import TrainingConfig
from ctctag.training.masks import SpectrogramMasks
from ctctag.training.mixtures import FreshClips
from ctctag.training.requirements import (
    check_events,
    check_frames,
    check_spans,
    divide,
    hold_out,
    longest_seconds,
)
from ctctag.training.trainer import Trainer

__all__ = ["Run", "RunFolder", "fit_standardiser", "hold_out", "train_on_dataset"]


class RunFolder:
    """The files of one training run.

    Parameters
    ----------
    path : str or Path
        The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.settings_path = self.path / "run.json"
        self.log_path = self.path / "log.jsonl"
        self.checkpoint_path = self.path / "checkpoint.npz"
        self.model_path = self.path / "model.npz"

    def read_settings(self) -> dict[str, Any]:
        """Return what ``run.json`` says.

        Raises
        ------
        ModelError
            If there is no run here, or ``run.json`` is damaged.
        """
        try:
            settings = read_json(self.settings_path, ModelError, "not readable as JSON ({})")
        except FileNotFoundError:
            raise ModelError(f"{self.path}: not a training run (there is no run.json in it)") from None
        with reading(self.settings_path, ModelError, "not the settings of a training run ({})"):
            TrainingConfig.from_dict(settings["training"])
            if not isinstance(settings["data"]["fingerprint"], str):
                raise ValueError("the fingerprint of the data is no string")
        return settings

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Write ``run.json``."""
        with atomic_path(self.settings_path) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def save(self, trainer: Trainer) -> None:
        """Write the checkpoint and the log; each appears whole or not at all."""
        arrays, values = trainer.state_dict()
        arrays["values"] = np.array(json.dumps(values))
        write_arrays(self.checkpoint_path, arrays, compress=False)
        self._write_log(trainer)

    def _write_log(self, trainer: Trainer) -> None:
        with atomic_path(self.log_path) as temporary:
            lines = [json.dumps(record) for record in trainer.history]
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def resume(self, trainer: Trainer) -> bool:
        """Put the last checkpoint into `trainer`; return whether there was one.

        Raises
        ------
        ModelError
            If the checkpoint cannot be read or is another network's.
        """
        if not self.checkpoint_path.exists():
            return False
        path = self.checkpoint_path
        arrays = read_arrays(path)
        with reading(path, ModelError, "not a checkpoint ({}); remove it to begin again"):
            values = json.loads(str(arrays.pop("values")))
            trainer.load_state_dict(arrays, values, str(path))
        self._write_log(trainer)  # which a killed process may not have come to
        return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings out of this folder, which is made if need be, and clear what killed ones left.

        Raises
        ------
        DataError
            If another training is at work here, or the folder cannot be written.
        """
        missing = [place for place in (self.path, *self.path.parents) if not place.exists()]
        busy = f"{self.path}: another training is at work here; wait for it, or choose another folder"
        try:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{self.path}: cannot be written ({error.strerror})") from error
            with locked(self.path / ".lock", busy):
                for path in (self.settings_path, self.log_path, self.checkpoint_path, self.model_path):
                    clear_leftovers(path)
                yield
        finally:
            with contextlib.suppress(OSError):  # it holds something now
                for place in missing:
                    place.rmdir()


@dataclass
class Run:
    """What `train_on_dataset` gives back.

    Attributes
    ----------
    model : TrainedModel
        With the best weights.
    history : list of dict
        The log of epochs.
    best_epoch : int
        The epoch of the best weights.
    """

    model: TrainedModel
    history: list[dict[str, Any]]
    best_epoch: int


def fit_standardiser(features: FeatureSource, indices: Any) -> Standardiser:
    """Return mean and standard deviation of each band over the given clips."""
    return Standardiser.fit(features[int(index)] for index in indices)


def train_on_dataset(
    dataset: Dataset,
    out: str | Path,
    config: TrainingConfig,
    *,
    fold: int | None = 1,
    validation_fold: int | None = None,
    log_mel: LogMel | None = None,
    resume: bool = False,
    on_features: Callable[[int, int], None] | None = None,
    on_batch: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Train a network on a data set and keep the run in a folder.

    Parameters
    ----------
    dataset : Dataset
        The clips; CRNN-CTC needs their order (strong or sequential labels).
    out : str or Path
        The run's folder, made if need be.
    config : TrainingConfig
        The choices.
    fold : int or None
        The fold kept for testing; ``None`` trains on every clip.
    validation_fold : int, optional
        Another fold to hold out for early stopping, in place of a fraction of the rest. Where folds are over
        recordings, it then stops by recordings that training has not heard.
    log_mel : LogMel, optional
        Feature settings; the paper's by default.
    resume : bool
        Go on from the folder's checkpoint, if there is one. Only ``patience``, what is done after training
        (``blank_penalty``, ``decoder``, ``shifts``), and with a constant schedule ``epochs``, may differ from
        what the run was begun with.
    on_features, on_batch : callable, optional
        Progress: called with (done, total).
    on_epoch : callable, optional
        Called with each epoch's record.

    Returns
    -------
    Run
        The trained model and the log.

    Raises
    ------
    DataError
        If the labels are not enough for the system or do not fit their clips, or the folder holds another
        run, is being written by another training, or cannot be written.
    ParameterError
        If there is no such fold, or no fold is left to learn from.
    ModelError
        If the checkpoint cannot be used.
    """
    check_events(dataset, config.system)
    learned, held = divide(dataset, config, fold, validation_fold)
    log_mel = log_mel or LogMel()
    folder = RunFolder(out)
    settings = _settings(dataset, config, fold, validation_fold, log_mel)
    with folder.locked():
        trained_before = _prepare(folder, settings, resume)
        trainer = _trainer(dataset, config, learned, held, {fold, validation_fold}, log_mel, on_features)
        if trained_before:
            folder.resume(trainer)
        while not trainer.finished:
            record = trainer.run_epoch(on_batch)
            folder.save(trainer)
            if on_epoch is not None:
                on_epoch(record)
        info = settings | {"best_epoch": trainer.best_epoch, "epochs_trained": trainer.epoch}
        model = trainer.best_model(dataset.classes, log_mel, info)
        save_model(folder.model_path, model)
    return Run(model, trainer.history, trainer.best_epoch)


def _trainer(
    dataset: Dataset,
    config: TrainingConfig,
    learned: np.ndarray,
    held: np.ndarray,
    left_out: Collection[int | None],
    log_mel: LogMel,
    on_features: Callable[[int, int], None] | None,
) -> Trainer:
    """Return a new network with the clips that it learns from and is validated on."""
    features = Features.build(dataset, log_mel, progress=on_features)
    check_spans(dataset, longest_seconds(log_mel, features.lengths))
    if config.system == "crnn-ctc":
        check_frames(dataset, features.lengths)
    targets = dataset.label_sets_or_sequences()
    masks = SpectrogramMasks() if config.masks else None
    training: Clips | FreshClips
    if config.fresh:
        training = _fresh_clips(dataset, config, left_out, log_mel, masks)
    else:
        training = Clips(features, targets, fit_standardiser(features, learned), learned, masks, config.views)
    network = config.build_network(len(dataset.classes), log_mel.n_mels)
    return Trainer(network, config, training, Clips(features, targets, training.standardiser, held))


def _fresh_clips(
    dataset: Dataset,
    config: TrainingConfig,
    left_out: Collection[int | None],
    log_mel: LogMel,
    masks: SpectrogramMasks | None,
) -> FreshClips:
    """Return endless mixtures of the recordings that `dataset` was mixed from.

    Where the folds are over recordings (protocol ``honest``), those of some folds are left out; where
    they are over clips, a recording may be heard in training and in test, as in the clips themselves.
    """
    mixer = open_mixer(dataset.path, sr=log_mel.sr, events_per_clip=config.fresh_events)
    mixer.preload()
    folds = [number for number in range(1, mixer.folds + 1) if number not in left_out] or None
    return FreshClips(
        mixer,
        log_mel,
        config.fresh,
        folds=folds,
        augment=config.augmentation(),
        masks=masks,
        views=config.views,
        seed=config.seed,
    )


def _settings(
    dataset: Dataset, config: TrainingConfig, fold: int | None, validation_fold: int | None, log_mel: LogMel
) -> dict[str, Any]:
    return {
        "training": config.to_dict(),
        "fold": fold,
        "validation_fold": validation_fold,
        "data": {
            "path": str(dataset.path.resolve()),
            "clips": len(dataset),
            "classes": list(dataset.classes),
            "fingerprint": dataset.fingerprint(),
        },
        "features": log_mel.to_dict(),
        "versions": versions(),
    }


def _prepare(folder: RunFolder, settings: dict[str, Any], resume: bool) -> bool:
    """Make the folder ready; return whether an earlier run is gone on with."""
    exists = folder.settings_path.exists() and folder.checkpoint_path.exists()  # else nothing would be lost
    if exists and not resume:
        raise DataError(
            f"{folder.path}: holds a training run already; pass --resume (resume=True) to go on with it, or "
            "choose another folder"
        )
    if exists:
        _check_same(folder, folder.read_settings(), settings)
    folder.write_settings(settings)
    return exists


def _check_same(folder: RunFolder, old: dict[str, Any], new: dict[str, Any]) -> None:
    free = {"patience", "blank_penalty", "decoder", "shifts"}  # the last three come after training
    if new["training"]["schedule"] == "constant":  # one that bends over all epochs cannot be lengthened
        free.add("epochs")
    before = TrainingConfig.from_dict(old["training"]).to_dict()  # with what an older version did not know
    pairs = [(f"training.{name}", before[name], value) for name, value in new["training"].items()]
    pairs += [(name, old.get(name), new[name]) for name in ("fold", "validation_fold", "features")]
    pairs += [("data.fingerprint", old["data"]["fingerprint"], new["data"]["fingerprint"])]
    for name, then, now in pairs:
        if name.removeprefix("training.") not in free and then != now:
            raise ParameterError(
                f"{folder.path}: cannot be resumed: {name} was {then!r} and is now {now!r}; use the same "
                "settings, or choose another folder"
            )
