"""The paper's pictures, and those that a training run needs; they need matplotlib (the ``plot`` extra)."""

from ctctag.experiment.figures._style import band_centres
from ctctag.experiment.figures.curves import plot_roc, plot_training
from ctctag.experiment.figures.embed import data_uri, save_figure, to_png, to_svg
from ctctag.experiment.figures.frames import find_peaks, plot_frame_predictions, plot_tagging
from ctctag.experiment.figures.labels import plot_labels
from ctctag.experiment.figures.trellis import plot_trellis

__all__ = [
    "band_centres",
    "data_uri",
    "find_peaks",
    "plot_frame_predictions",
    "plot_labels",
    "plot_roc",
    "plot_tagging",
    "plot_training",
    "plot_trellis",
    "save_figure",
    "to_png",
    "to_svg",
]
