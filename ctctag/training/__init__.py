"""Training: batches, the epoch loop with early stopping, evaluation, and runs that can be resumed."""

from ctctag.training.batches import ArrayFeatures, Batch, Clips, FeatureSource, ahead
from ctctag.training.config import SCHEDULES, TrainingConfig
from ctctag.training.evaluation import Predictions, predict, score_predictions
from ctctag.training.masks import SpectrogramMasks
from ctctag.training.mixtures import FreshClips
from ctctag.training.run import Run, RunFolder, fit_standardiser, hold_out, train_on_dataset
from ctctag.training.trainer import Trainer

__all__ = [
    "SCHEDULES",
    "ArrayFeatures",
    "Batch",
    "Clips",
    "FeatureSource",
    "FreshClips",
    "Predictions",
    "Run",
    "RunFolder",
    "SpectrogramMasks",
    "Trainer",
    "TrainingConfig",
    "ahead",
    "fit_standardiser",
    "hold_out",
    "predict",
    "score_predictions",
    "train_on_dataset",
]
