"""The estimator: sound clips in; tags, their order and their times out.

It follows scikit-learn's conventions (``fit``, ``predict``, ``score``, ``get_params``; what is learned ends
in an underscore) without needing scikit-learn. A clip is a path or an array of samples, and clips may differ
in length, so X is a list, not a matrix.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag import metrics
from ctctag._checks import check_integer
from ctctag.audio import LogMel, read_audio, resample, shift_samples, shifts_of
from ctctag.audio.samples import check_samples
from ctctag.exceptions import AudioError, AudioWarning, CtctagError, DataError, ParameterError
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
    sr : int, optional
        Sample rate in Hz of clips that are arrays, for all methods that are not told another by their own
        ``sr``: `tag`, `fit`, `predict` and so on. So scikit-learn, which hands on no ``sr``, can be used with
        arrays. Files have a rate of their own.
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

    Notes
    -----
    An array does not say how fast it was sampled, and at another rate than the model's every pitch is wrong.
    So say it: ``tagger.tag(y, sr=sr)``; arrays are resampled to the features' rate. Where nobody says it,
    that rate is assumed with an `ctctag.exceptions.AudioWarning`.

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
        sr: int | None = None,
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
        self.sr = sr
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

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn (1.6 or later) asks of an estimator; it is imported only then."""
        from sklearn.utils import InputTags, Tags, TargetTags

        # No classifier to scikit-learn: it would take label sequences for classes, and clips for rows.
        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True, multi_output=True),
            input_tags=InputTags(two_d_array=False, string=True),
        )

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
        sr: int | None = None,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> "Tagger":
        """Learn from clips and their label sequences.

        Parameters
        ----------
        X : sequence of path or array_like, shape (n_samples,)
            Sound files, or samples of one channel, floats with full scale at 1.
        y : sequence of sequences of str
            For each clip the names of its events in order of onset; an empty one for a clip without. Systems
            other than ``crnn-ctc`` use only which names occur.
        sr : int, optional
            Sample rate of arrays in Hz; by default that of the constructor.
        progress : callable, optional
            Called with each epoch's record.

        Returns
        -------
        Tagger
            Itself.

        Raises
        ------
        ParameterError
            If X and y differ in length, an element of y is not a sequence of strings, or samples are not
            floats with full scale at 1. Messages name the clip.
        DataError
            If there are fewer than two clips, or no label at all.
        AudioError
            If a file cannot be read.
        """
        sequences = _check_labels(X, y)
        if not sequences:
            raise DataError("X holds no clips, so there is nothing to learn")
        classes = tuple(sorted({label for labels in sequences for label in labels}))
        if not classes:
            raise DataError("y names no event at all, so there is nothing to learn")
        config = self._config()
        log_mel = self.log_mel or LogMel()
        number = {name: index for index, name in enumerate(classes)}
        targets = [[number[label] for label in labels] for labels in sequences]
        features = ArrayFeatures([log_mel(samples) for samples in self._samples(X, sr, log_mel)])

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

    def tag(self, clip: Clip, *, sr: int | None = None) -> Tagging:
        """Return everything heard in one clip, of any length.

        Parameters
        ----------
        clip : path or array_like, shape (n_samples,)
            A sound file, or samples of one channel, floats with full scale at 1.
        sr : int, optional
            Sample rate of an array in Hz; by default that of the constructor.

        Raises
        ------
        ParameterError
            If the samples are not floats with full scale at 1.
        AudioError
            If the file cannot be read or is shorter than one frame.
        CtctagError
            If the tagger has learned nothing yet.
        """
        model = self._model()
        (samples,) = self._samples([clip], sr, model.log_mel, names=("clip",))
        return self._tagging(samples)

    def _tagging(self, samples: Array) -> Tagging:
        model = self._model()
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

    def predict_proba(self, X: Sequence[Clip], *, sr: int | None = None) -> Array:
        """Return the probability that each class occurs in each clip, shape ``(N, n_classes)``.

        For `X` and `sr` here and in what follows see `fit`.
        """
        rows = [list(tagging.probabilities.values()) for tagging in self._taggings(X, sr)]
        return np.array(rows).reshape(len(rows), len(self._model().classes))

    def predict_sequences(self, X: Sequence[Clip], *, sr: int | None = None) -> list[list[str]]:
        """Return the names of the events heard in each clip, in order where the system knows one."""
        return [list(tagging.labels) for tagging in self._taggings(X, sr)]

    def predict(self, X: Sequence[Clip], *, sr: int | None = None) -> Array:
        """Return which classes are heard in each clip, shape ``(N, n_classes)``, bool."""
        return self._tags(self.predict_sequences(X, sr=sr))

    def score(self, X: Sequence[Clip], y: Sequence[Sequence[str]], *, sr: int | None = None) -> float:
        """Return the F-score of the predicted tags, averaged over the classes (macro).

        A class that neither occurs in y nor is predicted has no F-score and is left out of the mean; a class
        that occurs and was not learned cannot be predicted, so its F-score is 0. Without any event, true or
        predicted, the score is 1.

        Raises
        ------
        ParameterError
            If X and y differ in length, there is no clip, or an element of y is not a sequence of strings.
        """
        sequences = _check_labels(X, y)
        if not sequences:
            raise ParameterError("X holds no clips, so there is nothing to score")
        predicted = self.predict_sequences(X, sr=sr)
        unknown = {label for labels in sequences for label in labels} - set(self.classes_)
        names = [*self.classes_, *sorted(unknown)]
        tags = [_multi_hot(part, names) for part in (sequences, predicted)]
        found = metrics.precision_recall_f(*tags, average="macro", zero_division=float("nan")).f
        return 1.0 if np.isnan(found) else float(found)

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
        del params["log_mel"], params["sr"]
        return TrainingConfig.from_dict(params)

    def _tags(self, sequences: Sequence[Sequence[str]]) -> Array:
        return _multi_hot(sequences, self._model().classes)

    def _taggings(self, X: Sequence[Clip], sr: int | None) -> Iterator[Tagging]:
        model = self._model()
        for samples in self._samples(X, sr, model.log_mel):
            yield self._tagging(samples)

    def _samples(
        self, X: Sequence[Clip], sr: int | None, log_mel: LogMel, names: Sequence[str] = ()
    ) -> Iterator[Array]:
        """Yield the samples of clips at the rate of the features; errors name the clip."""
        if isinstance(X, str | Path):
            raise ParameterError(
                f"X is the path {str(X)!r}, but must be a sequence of clips (did you mean [X]?)"
            )
        sr = self.sr if sr is None else sr
        if sr is not None:
            sr = check_integer(sr, "sr", low=1)
        assumed = sr is None and any(not isinstance(clip, str | Path) for clip in X)
        if assumed:
            warnings.warn(
                f"samples without sr are taken to be at {log_mel.sr} Hz: pass sr, their sample rate in Hz, "
                "as in tag(y, sr=sr), or set it once, as in Tagger(sr=sr)",
                AudioWarning,
                stacklevel=_outside(),
            )
        for n, clip in enumerate(X):
            yield _samples(clip, sr or log_mel.sr, log_mel, names[n] if names else f"X[{n}]")


_PARAMETERS = tuple(inspect.signature(Tagger).parameters)


def _check_labels(X: Sequence[Clip], y: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the label sequences as lists of plain strings."""
    if isinstance(y, str) or not hasattr(y, "__len__"):
        raise ParameterError(f"y is {y!r}, but must be a sequence of label sequences")
    if len(X) != len(y):
        raise ParameterError(f"X has {len(X)} clips, but y has {len(y)} label sequences")
    return [_check_sequence(labels, f"y[{n}]") for n, labels in enumerate(y)]


def _check_sequence(labels: Any, name: str) -> list[str]:
    if isinstance(labels, str):
        raise ParameterError(
            f"{name} is the string {labels!r}, but must be a sequence of names (did you mean [{labels!r}]?)"
        )
    if isinstance(labels, set | frozenset | Mapping | bytes) or not np.iterable(labels):
        raise ParameterError(f"{name} is {labels!r}, but must be a sequence of names in order of onset")
    sequence = list(labels)
    for place, label in enumerate(sequence):
        if not isinstance(label, str):
            raise ParameterError(
                f"{name}[{place}] is {label!r} ({type(label).__name__}), but labels must be strings (write "
                "the name of the class, or str(label))"
            )
        if not label.strip():
            raise ParameterError(f"{name}[{place}] is {label!r}, but a label must have a name")
    return [str(label) for label in sequence]  # also of NumPy's strings, which JSON does not know


def _multi_hot(sequences: Sequence[Sequence[str]], names: Sequence[str]) -> Array:
    number = {name: index for index, name in enumerate(names)}
    return multi_hot([[number[label] for label in labels] for labels in sequences], len(number), bool)


def _samples(clip: Clip, sr: int, log_mel: LogMel, name: str) -> Array:
    if isinstance(clip, str | Path):
        samples, rate = read_audio(clip, sr=log_mel.sr)
        if log_mel.n_frames(len(samples)) < 1:
            raise AudioError(
                f"{clip}: lasts {len(samples) / rate:.3f} s, but one frame needs {log_mel.n_fft / rate:.3f} s"
            )
        return samples
    samples = check_samples(clip, name)
    if sr != log_mel.sr:
        samples = resample(samples, sr, log_mel.sr)
    if log_mel.n_frames(len(samples)) < 1:
        raise ParameterError(
            f"{name} lasts {len(samples) / log_mel.sr:.3f} s at sr={sr}, but one frame needs "
            f"{log_mel.n_fft / log_mel.sr:.3f} s (append zeros if the clip is really that short)"
        )
    return samples


def _outside() -> int:
    """Return the stack level, for a warning given by the caller, of the first frame outside this file."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    return level
