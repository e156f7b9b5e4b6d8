"""The estimator: sound clips in; tags, their order and their times out.

It follows scikit-learn's conventions (``fit``, ``predict``, ``score``, ``get_params``; what is learned ends
in an underscore) without needing scikit-learn. A clip is a path or an array of samples, and clips may differ
in length, so X is a list, not a matrix.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag import metrics
from ctctag.audio import LogMel, read_audio, shift_samples, shifts_of
from ctctag.exceptions import AudioError, CtctagError, DataError, ParameterError
from ctctag.models import TrainedModel, forward_windows, load_model, save_model
from ctctag.models.heads import multi_hot
from ctctag.training import (
    ArrayFeatures,
    Clips,
    SpectrogramMasks,
    Trainer,
    TrainingConfig,
    fit_standardiser,
    hold_out,
)

__all__ = ["Tag", "Tagger", "Tagging"]

Array = npt.NDArray[Any]
Clip = str | Path | npt.ArrayLike

SHIPPED_WEIGHTS = "office16.npz"


@dataclass(frozen=True)
class Tag:
    """One event heard.

    Attributes
    ----------
    label : str
        Name of the class.
    probability : float
        Probability that the class occurs in the clip.
    time : float or None
        Middle of the frame where it is heard best, in seconds; ``None`` from the baseline: it has no frames.
    """

    label: str
    probability: float
    time: float | None


@dataclass(frozen=True)
class Tagging:
    """What was heard in a clip.

    Attributes
    ----------
    tags : tuple of Tag
        In order of occurrence, where the system knows it.
    ordered : bool
        Whether it does. CTC's best path need not spell the likeliest order; its beam nearly always does.
    probabilities : dict
        Probability of every class, by name.
    frame_probs : ndarray, shape (T, C)
        What the system says at each frame: sigmoids of the classes, or softmax with the blank first.
    frame_times : ndarray, shape (T,)
        Middle of each frame, in seconds.
    duration : float
        Length of the clip in seconds.
    """

    tags: tuple[Tag, ...]
    ordered: bool
    probabilities: dict[str, float]
    frame_probs: Array
    frame_times: Array
    duration: float

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the tags, in the order of `tags`."""
        return tuple(tag.label for tag in self.tags)


class Tagger:
    """Learn to tag clips from label sequences.

    Parameters
    ----------
    system : {"crnn-ctc", "crmp", "crap", "baseline"}
        The system of the paper.
    preset : {"small", "paper", "tiny"}
        Size of the network.
    log_mel : LogMel, optional
        Feature settings; the paper's by default.
    epochs, batch_size, learning_rate, schedule, weight_decay : optional
        See `ctctag.training.TrainingConfig`.
    clip_norm, ema, patience, validation, masks, tag_weight, consistency, blank_penalty, decoder, shifts,
    seed : optional
        See there, too.

    Attributes
    ----------
    model_ : TrainedModel
        Network, classes and feature settings.
    classes_ : tuple of str
        Names of the classes, sorted.
    history_ : list of dict
        The log of training, one record an epoch.

    Examples
    --------
    >>> tagger = Tagger(preset="tiny", epochs=2)
    >>> tagger.get_params()["preset"]
    'tiny'
    """

    def __init__(
        self,
        system: str = "crnn-ctc",
        preset: str = "small",
        *,
        log_mel: LogMel | None = None,
        epochs: int = 40,
        batch_size: int = 32,
        learning_rate: float = 3e-3,
        schedule: str = "one-cycle",
        weight_decay: float = 0.0,
        clip_norm: float = 5.0,
        ema: float = 0.0,
        patience: int = 20,
        validation: float = 0.1,
        masks: bool = False,
        tag_weight: float = 0.0,
        consistency: float = 0.0,
        blank_penalty: float = 0.0,
        decoder: str = "best-path",
        shifts: int = 1,
        seed: int = 0,
    ) -> None:
        self.system = system
        self.preset = preset
        self.log_mel = log_mel
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.ema = ema
        self.patience = patience
        self.validation = validation
        self.masks = masks
        self.tag_weight = tag_weight
        self.consistency = consistency
        self.blank_penalty = blank_penalty
        self.decoder = decoder
        self.shifts = shifts
        self.seed = seed

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor; `deep` is accepted for scikit-learn's sake."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> "Tagger":
        """Set parameters of the constructor and return the tagger.

        Raises
        ------
        ParameterError
            If there is no parameter of that name.
        """
        for name, value in params.items():
            if name not in _PARAMETERS:
                raise ParameterError(f"Tagger has no parameter {name!r}; it has {', '.join(_PARAMETERS)}")
            setattr(self, name, value)
        return self

    def fit(
        self,
        X: Sequence[Clip],
        y: Sequence[Sequence[str]],
        *,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> "Tagger":
        """Learn from clips and their label sequences.

        Parameters
        ----------
        X : sequence of path or array_like, shape (n_samples,)
            Sound files, or samples at the sample rate of `log_mel` (16 kHz by default).
        y : sequence of sequences of str
            For each clip the names of its events in order of onset; an empty one for a clip without. Systems
            other than ``crnn-ctc`` use only which names occur.
        progress : callable, optional
            Called with each epoch's record.

        Returns
        -------
        Tagger
            Itself.

        Raises
        ------
        ParameterError
            If X and y differ in length, or an element of y is a string instead of a sequence of strings.
        DataError
            If there are fewer than two clips, or no label at all.
        AudioError
            If a file cannot be read.
        """
        sequences = _check_labels(X, y)
        classes = tuple(sorted({label for labels in sequences for label in labels}))
        if not classes:
            raise DataError("y names no event at all, so there is nothing to learn")
        config = self._config()
        log_mel = self.log_mel or LogMel()
        number = {name: index for index, name in enumerate(classes)}
        targets = [[number[label] for label in labels] for labels in sequences]
        features = ArrayFeatures([_features(clip, log_mel) for clip in X])

        learned, held = hold_out(np.arange(len(features)), config.validation, config.seed)
        standardiser = fit_standardiser(features, learned)
        masks = SpectrogramMasks() if config.masks else None
        network = config.build_network(len(classes), log_mel.n_mels)
        trainer = Trainer(
            network,
            config,
            Clips(features, targets, standardiser, learned, masks, config.views),
            Clips(features, targets, standardiser, held),
        )
        while not trainer.finished:
            record = trainer.run_epoch()
            if progress is not None:
                progress(record)
        self.history_ = trainer.history
        return self._adopt(trainer.best_model(classes, log_mel, {"training": config.to_dict()}))

    def tag(self, clip: Clip) -> Tagging:
        """Return everything heard in one clip, of any length.

        Parameters
        ----------
        clip : path or array_like, shape (n_samples,)
            A sound file, or samples at the sample rate of the features.

        Raises
        ------
        AudioError
            If the file cannot be read or is shorter than one frame.
        CtctagError
            If the tagger has learned nothing yet.
        """
        model = self._model()
        samples = _samples(clip, model.log_mel)
        views = [
            model.standardiser(model.log_mel(shift_samples(samples, shift)))
            for shift in shifts_of(model.shifts, model.log_mel.hop_length)
        ]
        head = model.network.head
        logits = head.mean_logits([forward_windows(model.network, x) for x in views])
        times = model.log_mel.frame_times(len(views[0]))
        scores = logits[np.newaxis] if head.framewise else logits
        lengths = np.array([len(views[0])])
        events = head.decode(scores, lengths, model.decoder)[0]
        probs = head.tag_probs(scores, lengths)[0]
        return Tagging(
            tags=tuple(
                Tag(
                    model.classes[event.label],
                    event.probability,
                    None if event.peak is None else float(times[event.peak]),
                )
                for event in events
            ),
            ordered=model.network.system == "crnn-ctc",
            probabilities=dict(zip(model.classes, map(float, probs), strict=True)),
            frame_probs=head.frame_probs(logits),
            frame_times=times if head.framewise else np.zeros(0),
            duration=len(samples) / model.log_mel.sr,
        )

    def predict_proba(self, X: Sequence[Clip]) -> Array:
        """Return the probability that each class occurs in each clip, shape ``(N, n_classes)``."""
        return np.array([list(self.tag(clip).probabilities.values()) for clip in X])

    def predict_sequences(self, X: Sequence[Clip]) -> list[list[str]]:
        """Return the names of the events heard in each clip, in order where the system knows one."""
        return [list(self.tag(clip).labels) for clip in X]

    def predict(self, X: Sequence[Clip]) -> Array:
        """Return which classes are heard in each clip, shape ``(N, n_classes)``, bool."""
        return self._tags(self.predict_sequences(X))

    def score(self, X: Sequence[Clip], y: Sequence[Sequence[str]]) -> float:
        """Return the F-score of the tags heard, averaged over the classes (macro).

        Raises
        ------
        ParameterError
            If X and y differ in length, or y names an unknown class.
        """
        truth = self._tags(_check_labels(X, y))
        return float(metrics.precision_recall_f(truth, self.predict(X), average="macro").f)

    def save(self, path: str | Path) -> None:
        """Write the model to a file (see `ctctag.models.save_model`)."""
        save_model(path, self._model())

    @classmethod
    def load(cls, path: str | Path) -> "Tagger":
        """Return a tagger with the model of a file or of a run's folder.

        Raises
        ------
        ModelError
            If the file cannot be used.
        """
        path = Path(path)
        return cls.from_model(load_model(path / "model.npz" if path.is_dir() else path))

    @classmethod
    def pretrained(cls) -> "Tagger":
        """Return the tagger that comes with the package: the 16 office sounds of DCASE 2013."""
        with resources.as_file(resources.files("ctctag") / "weights" / SHIPPED_WEIGHTS) as path:
            return cls.load(path)

    @classmethod
    def from_model(cls, model: TrainedModel) -> "Tagger":
        """Return a tagger with a trained model."""
        tagger = cls(
            model.network.system,
            model.network.preset,
            log_mel=model.log_mel,
            tag_weight=model.network.tag_weight,
            decoder=model.decoder,
            shifts=model.shifts,
        )
        return tagger._adopt(model)

    def _adopt(self, model: TrainedModel) -> "Tagger":
        self.model_ = model
        self.classes_ = model.classes
        return self

    def _model(self) -> TrainedModel:
        if not hasattr(self, "model_"):
            raise CtctagError("this Tagger has learned nothing yet: call fit, or use Tagger.load")
        return self.model_

    def _config(self) -> TrainingConfig:
        params = self.get_params()
        del params["log_mel"]
        return TrainingConfig.from_dict(params)

    def _tags(self, sequences: Sequence[Sequence[str]]) -> Array:
        number = {name: index for index, name in enumerate(self._model().classes)}
        for n, labels in enumerate(sequences):
            for label in labels:
                if label not in number:
                    known = ", ".join(number)
                    raise ParameterError(f"y[{n}] names {label!r}, which is not one of the classes: {known}")
        return multi_hot([[number[label] for label in labels] for labels in sequences], len(number), bool)


_PARAMETERS = tuple(inspect.signature(Tagger).parameters)


def _check_labels(X: Sequence[Clip], y: Sequence[Sequence[str]]) -> list[list[str]]:
    if len(X) != len(y):
        raise ParameterError(f"X has {len(X)} clips, but y has {len(y)} label sequences")
    for n, labels in enumerate(y):
        if isinstance(labels, str):
            raise ParameterError(
                f"y[{n}] is the string {labels!r}, but must be a sequence of names "
                f"(did you mean [{labels!r}]?)"
            )
    return [list(labels) for labels in y]


def _samples(clip: Clip, log_mel: LogMel) -> Array:
    if isinstance(clip, str | Path):
        samples, sr = read_audio(clip, sr=log_mel.sr)
        if log_mel.n_frames(len(samples)) < 1:
            raise AudioError(
                f"{clip}: lasts {len(samples) / sr:.3f} s, but one frame needs {log_mel.n_fft / sr:.3f} s"
            )
        return samples
    samples = np.asarray(clip)
    if samples.ndim != 1 or samples.dtype.kind not in "fiu":
        raise ParameterError(
            f"a clip must be a path or a 1-D array of samples, got an array of shape {samples.shape} and "
            f"dtype {samples.dtype}"
        )
    return samples


def _features(clip: Clip, log_mel: LogMel) -> Array:
    return log_mel(_samples(clip, log_mel))
