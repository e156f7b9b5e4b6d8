"""The training loop: epochs, validation, early stopping, and a state that can be saved and resumed.

Nothing of the loop's state is hidden: weights, layer states, optimiser, moving average, best weights so far
and the log of epochs. What is random depends on the seed and the epoch alone. A run that was interrupted
after any epoch therefore goes on bit for bit as if it had not been.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag import metrics, optim
from ctctag._checks import check_integer
from ctctag._reading import reading
from ctctag._threads import single_threaded_blas
from ctctag.audio import LogMel
from ctctag.exceptions import CtctagError, ModelError
from ctctag.models import Network, TrainedModel
from ctctag.models.arrays import arrays_under, check_arrays, check_values, copy_arrays
from ctctag.training.batches import Clips
from ctctag.training.config import TrainingConfig
from ctctag.training.evaluation import Predictions, predict
from ctctag.training.mixtures import FreshClips

__all__ = ["Trainer"]

_PARTS = ("now", "best", "optimiser", "average")

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]


class Trainer:
    """Train a network, an epoch at a time.

    Parameters
    ----------
    network : Network
        Trained in place.
    config : TrainingConfig
        How.
    training : Clips or FreshClips
        Clips learned from.
    validation : Clips
        Clips held out for early stopping.

    Attributes
    ----------
    history : list of dict
        One record an epoch: ``epoch``, ``loss``, ``validation_loss``, ``validation_auc``,
        ``learning_rate``, ``gradient_norm``, ``clips_per_second``, ``seconds``, and for CRNN-CTC
        ``sequence_error_rate`` (of the validation clips) and ``blank_mass`` (mean probability of the blank:
        near 1 on the plateau where the network hears nothing yet, and below it when labels come).
    best_epoch : int
        The epoch whose weights are the best so far; 0 before the first.
    """

    def __init__(
        self, network: Network, config: TrainingConfig, training: Clips | FreshClips, validation: Clips
    ) -> None:
        self.network = network
        self.config = config
        self.training = training
        self.validation = validation
        self.history: list[dict[str, Any]] = []
        self.best_epoch = 0
        self._best_score = (math.inf, math.inf)
        self._best = self._weights()
        self._batches = -(-len(training) // config.batch_size)
        self._rate = _schedule(config, config.epochs * self._batches)
        self._optimiser = optim.AdamW(network.params, lr=self._rate, weight_decay=config.weight_decay)
        self._average = optim.ExponentialMovingAverage(network.params, config.ema) if config.ema else None

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none of the last ``patience`` was better."""
        return self.epoch >= self.config.epochs or self.epoch - self.best_epoch >= self.config.patience

    @single_threaded_blas()  # set once, not at each layer
    def run_epoch(self, progress: Progress | None = None) -> dict[str, Any]:
        """Train for one epoch, validate, and return the epoch's record.

        Parameters
        ----------
        progress : callable, optional
            Called with (batches done, batches in all) after each training batch.

        Raises
        ------
        CtctagError
            If the loss is no longer finite. The last checkpoint is as good as before.
        """
        started = time.perf_counter()
        losses, norms = [], []
        batches = self.training.shuffled(self.config.batch_size, self.config.seed, self.epoch)
        for number, batch in enumerate(batches, start=1):
            loss, norm = self._step(batch.x, batch.targets, batch.lengths)
            losses.append(loss * len(batch.targets) / self.config.views)
            norms.append(norm)
            if progress is not None:
                progress(number, self._batches)
        seconds = time.perf_counter() - started

        predictions = self._validate()
        record = {
            "epoch": self.epoch + 1,
            "loss": math.fsum(losses) / len(self.training),
            "validation_loss": predictions.loss,
            "validation_auc": _number(metrics.auc(predictions.true_tags, predictions.tag_probs).mean),
            "learning_rate": self._rate(self._optimiser.steps - 1),
            "gradient_norm": math.fsum(norms) / len(norms),
            "clips_per_second": len(self.training) / seconds,
            "seconds": time.perf_counter() - started,
        }
        if predictions.ordered:
            errors = metrics.sequence_error_rate(predictions.targets, predictions.sequences)
            record |= {"sequence_error_rate": float(errors.rate), "blank_mass": predictions.blank_mass}
        self.history.append(record)
        self._keep_best(record)
        return record

    def restore_best(self) -> None:
        """Give the network the best weights seen, with the blank's bias as much lower as the settings say."""
        self._load_weights(self._best)
        self.network.lower_blank(self.config.blank_penalty)

    def best_model(self, classes: Sequence[str], log_mel: LogMel, info: dict[str, Any]) -> TrainedModel:
        """Restore the best weights, and return what is kept of the training: a model as the settings want it.

        Parameters
        ----------
        classes : sequence of str
            Names of the classes.
        log_mel : LogMel
            The features that were learned from.
        info : dict
            What to note in the model's file.
        """
        self.restore_best()
        return TrainedModel(
            self.network,
            tuple(classes),
            log_mel,
            self.training.standardiser,
            info,
            decoder=self.config.decoder,
            shifts=self.config.shifts,
        )

    # -- saving and resuming -------------------------------------------------------------------------------

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return everything the run depends on: arrays by name, and plain JSON values."""
        arrays = {f"now/{name}": array for name, array in self._weights(copy=False).items()}
        arrays |= {f"best/{name}": array for name, array in self._best.items()}
        arrays |= {f"optimiser/{name}": array for name, array in self._optimiser.state_dict().items()}
        if self._average is not None:
            arrays |= {f"average/{name}": array for name, array in self._average.state_dict().items()}
        values = {
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_score": self._best_score,
        }
        return arrays, values

    def load_state_dict(
        self, arrays: dict[str, Array], values: dict[str, Any], where: str = "checkpoint"
    ) -> None:
        """Go on from what `state_dict` gave.

        Parameters
        ----------
        arrays, values : dict
            The two parts of the state.
        where : str
            Where they come from, for messages.

        Raises
        ------
        ModelError
            If an array is missing, too many, of another shape or dtype than this network's, or holds what no
            training leaves; or if the log of epochs is damaged.
        """
        parts = {name: arrays_under(arrays, f"{name}/") for name in _PARTS}
        known = {f"{part}/{name}" for part, of in parts.items() for name in of}
        if odd := sorted(arrays.keys() - known):
            raise ModelError(f"{where}: holds {odd[0]!r}, which no checkpoint has")
        if parts["average"] and self._average is None:
            raise ModelError(f"{where}: holds averaged weights, but this run has none")
        check_arrays(self._best, parts["best"], f"{where}: best")
        check_values(parts["best"], f"{where}: best")
        with reading(where, ModelError, "its log of epochs is damaged ({})"):
            history, best_epoch, best_score = _checked_log(values)
        copy_arrays(self._weights(copy=False), parts["now"], f"{where}: now")
        with reading(where, ModelError, "optimiser: {}"):
            self._optimiser.load_state_dict(parts["optimiser"])
        if self._optimiser.steps != len(history) * self._batches:
            raise ModelError(
                f"{where}: optimiser: steps is {self._optimiser.steps}, but {len(history)} epochs of "
                f"{self._batches} batches are {len(history) * self._batches}"
            )
        if self._average is not None:
            with reading(where, ModelError, "average: {}"):
                self._average.load_state_dict(parts["average"])
        self._best = parts["best"]
        self.history, self.best_epoch, self._best_score = history, best_epoch, best_score

    # -- pieces --------------------------------------------------------------------------------------------

    def _step(self, x: Array, targets: list[list[int]], lengths: Array) -> tuple[float, float]:
        loss, grads = self.network.loss_and_grads(x, targets, lengths, self.config.consistency)
        if not math.isfinite(loss):
            raise CtctagError(
                f"the training loss became {loss} in epoch {self.epoch + 1} (step "
                f"{self._optimiser.steps + 1}): the learning rate of {self.config.learning_rate:g} may "
                "be too high, or a clip has fewer frames than its labels need"
            )
        clip = self.config.clip_norm
        norm = optim.clip_gradient_norm(grads, clip) if clip else optim.gradient_norm(grads)
        self._optimiser.step(grads)
        if self._average is not None:
            self._average.update()
        return loss, norm

    def _validate(self) -> Predictions:
        if self._average is None:
            return predict(self.network, self.validation, batch_size=self.config.batch_size)
        with self._average.swapped():
            return predict(self.network, self.validation, batch_size=self.config.batch_size)

    def _keep_best(self, record: dict[str, Any]) -> None:
        # Equal error rates are common on few clips; the loss decides between them.
        score = (record.get("sequence_error_rate", 0.0), record["validation_loss"])
        if score >= self._best_score and self.best_epoch:
            return
        self._best_score = score
        self.best_epoch = record["epoch"]
        if self._average is None:
            self._best = self._weights()
        else:
            with self._average.swapped():
                self._best = self._weights()

    def _weights(self, copy: bool = True) -> dict[str, Array]:
        named = {f"params/{name}": array for name, array in self.network.params.items()}
        named |= {f"state/{name}": array for name, array in self.network.state.items()}
        return {name: np.array(array) for name, array in named.items()} if copy else named

    def _load_weights(self, arrays: dict[str, Array]) -> None:
        copy_arrays(self._weights(copy=False), arrays, "checkpoint")


def _number(value: float) -> float | None:
    """Return `value` for JSON, which has no NaN: too few held-out clips leave the AUC undefined."""
    return None if math.isnan(value) else float(value)


def _checked_log(values: dict[str, Any]) -> tuple[list[dict[str, Any]], int, tuple[float, float]]:
    """Return history, best epoch and best score, if they are what the trainer writes."""
    history = list(values["history"])
    for number, record in enumerate(history, start=1):
        if record["epoch"] != number:
            raise ValueError(f"epoch {record['epoch']!r} where {number} was expected")
        for name in ("loss", "validation_loss", "clips_per_second", "seconds"):
            _check_float(record[name], name)
        for name in ("validation_auc", "sequence_error_rate", "blank_mass"):
            if record.get(name) is not None:
                _check_float(record[name], name)
        record["validation_auc"]  # None where it is undefined, but never missing
    done = len(history)
    best_epoch = check_integer(values["best_epoch"], "best_epoch", low=min(1, done), high=done)
    errors, loss = (_check_float(value, "best_score") for value in values["best_score"])
    return history, best_epoch, (errors, loss)


def _check_float(value: Any, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        raise ValueError(f"{name} is {value!r}, but must be a number")
    return value


def _schedule(config: TrainingConfig, steps: int) -> Callable[[int], float]:
    if config.schedule == "one-cycle":
        return optim.one_cycle(config.learning_rate, max(steps, 2))
    if config.schedule == "cosine":
        return optim.cosine(config.learning_rate, steps)
    return optim.constant(config.learning_rate)
