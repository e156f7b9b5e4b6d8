"""Label formats and conversions, event sources, the mixer, data sets on disk, and their cached features."""

from ctctag.data.augment import Augment, Variation, vary
from ctctag.data.convert import TieError, sequential_to_weak, strong_to_sequential, strong_to_weak
from ctctag.data.dataset import Dataset
from ctctag.data.features import Features
from ctctag.data.folders import open_source
from ctctag.data.label_writers import write_folds, write_sequential, write_strong, write_weak
from ctctag.data.labels import Event, read_folds, read_sequential, read_strong, read_weak
from ctctag.data.mixer import Clip, Mixer
from ctctag.data.mixing import mix_dataset, open_mixer, remix
from ctctag.data.noise import NoiseSource, RecordedNoise, WhiteNoise, open_noise
from ctctag.data.recipe import Part, read_recipe, write_recipe
from ctctag.data.sources import EventSource, RecordedSource, Recording
from ctctag.data.synthetic import SyntheticSource, synthesize

__all__ = [
    "Augment",
    "Clip",
    "Dataset",
    "Event",
    "EventSource",
    "Features",
    "Mixer",
    "NoiseSource",
    "Part",
    "RecordedNoise",
    "RecordedSource",
    "Recording",
    "SyntheticSource",
    "TieError",
    "Variation",
    "WhiteNoise",
    "mix_dataset",
    "open_mixer",
    "open_noise",
    "open_source",
    "read_folds",
    "read_recipe",
    "read_sequential",
    "read_strong",
    "read_weak",
    "remix",
    "sequential_to_weak",
    "strong_to_sequential",
    "strong_to_weak",
    "synthesize",
    "vary",
    "write_folds",
    "write_recipe",
    "write_sequential",
    "write_strong",
    "write_weak",
]
