"""The report's pictures, each with its caption."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ctctag import ctc
from ctctag.audio import read_audio
from ctctag.data import Dataset
from ctctag.experiment import figures
from ctctag.experiment.evaluation import arrows
from ctctag.experiment.figures import _style
from ctctag.experiment.reproduction.cells import Cell
from ctctag.experiment.reproduction.paper_figures import NAMES
from ctctag.experiment.reproduction.peaks import peak_positions
from ctctag.experiment.reproduction.scores import Results
from ctctag.models import load_model
from ctctag.models.heads import CTCHead
from ctctag.tagger import Tagger

__all__ = ["clip_pictures", "plot_peaks", "score_pictures"]

Picture = tuple[str, Any, str]  # name of the file, figure, caption


def score_pictures(results: Results) -> Iterator[Picture]:
    """Draw what the cells alone show: ROC curves, peaks, learning curves."""
    truth, answers = results.pooled(results.systems)
    if len(truth):
        probs = {NAMES[system]: answers[system][0] for system in results.systems}
        caption = "ROC of each class, clips of all folds together, with the area under each curve."
        yield "roc", figures.plot_roc(truth[:, :-1], probs, results.classes), caption
    positions = [
        peak_positions(cell.targets, cell.sequences, cell.times, cell.onsets)
        for cell in results.of("crnn-ctc")
    ]
    if sum(map(len, positions)):
        caption = (
            "Where the peak of CRNN-CTC falls in each recognised event: 0 is the onset, 1 the offset. The "
            "first bar holds everything before -0.5, too, and the last everything after 1.5."
        )
        yield "peaks", plot_peaks(np.concatenate(positions)), caption
    histories = {
        NAMES[system]: list(results.of(system)[0].history)
        for system in results.systems
        if results.of(system)[0].history
    }
    if histories:
        caption = "Learning curves, the first finished fold of each system."
        yield "training", figures.plot_training(histories), caption


def plot_peaks(positions: Any) -> Any:
    """Draw the histogram of relative peak positions; what is beyond -0.5 … 1.5 counts in the last bars."""
    figure = _style.new_figure(2.4)
    axes = figure.subplots()
    axes.axvspan(0, 1, color=_style.COLOURS[2], alpha=0.13, linewidth=0)
    axes.hist(np.clip(positions, -0.5, 1.5 - 1e-9), bins=np.linspace(-0.5, 1.5, 41), color=_style.COLOURS[0])
    _style.finish_axes(axes, xlabel="(peak − onset) / (offset − onset)", ylabel="events")
    return figure


def clip_pictures(
    results: Results, dataset: Dataset, models: Mapping[tuple[str, int], Path]
) -> Iterator[Picture]:
    """Draw figures 1.1, 1.4 and 1.3 for a test clip of the first fold whose CRNN-CTC is there."""
    fold = next(f for f in results.folds if ("crnn-ctc", f) in results.cells and ("crnn-ctc", f) in models)
    cell = results.cells["crnn-ctc", fold]
    name = cell.filenames[chosen_clip(cell)]
    index = list(dataset.filenames).index(name)
    model = load_model(models["crnn-ctc", fold])
    samples, sr = read_audio(dataset.path_of(index), sr=model.log_mel.sr)
    mel = model.log_mel(samples)
    times, bands = model.log_mel.frame_times(len(mel)), figures.band_centres(model.log_mel)
    events = (dataset.strong or {}).get(name, [])
    if events:
        figure = figures.plot_labels(
            samples, sr, mel, times, events, dataset.classes, mel_frequencies=bands, title=name
        )
        yield "figure_1_1", figure, f"{name}: waveform, spectrogram and three kinds of labels (figure 1.1)."
    framewise = {}
    for system in results.systems:
        if system != "baseline" and (system, fold) in models:
            tagging = Tagger.from_model(load_model(models[system, fold])).tag(samples, sr=sr)
            # the answer is not always what the frames of this one listening show
            answer = arrows(tagging.labels, " → " if tagging.ordered else ", ")
            framewise[f"{NAMES[system]}, heard: {answer}"] = tagging.frame_probs
    figure = figures.plot_frame_predictions(
        mel, times, framewise, dataset.classes, blank=0, strong_events=events, mel_frequencies=bands
    )
    yield "figure_1_4", figure, f"{name}: frame-level predictions under the spectrogram (figure 1.4)."
    scores = model.network.forward(model.standardiser(mel)[np.newaxis])[0]
    head = model.network.head
    assert isinstance(head, CTCHead)
    logits = head.ctc_logits(scores)[0]
    target = [label + 1 for label in dataset.label_sets_or_sequences()[index]]
    figure = figures.plot_trellis(
        ctc.lattice(logits, target, blank=0), classes=["-", *dataset.classes], frame_times=times
    )
    yield "figure_1_3", figure, f"{name}: α, β and the best path through the trellis (figure 1.3)."


def chosen_clip(cell: Cell) -> int:
    """Return the first clip of three events that was heard right, or else the first with three, or clip 0."""
    three = [i for i, target in enumerate(cell.targets) if len(target) == 3]
    right = [i for i in three if list(cell.sequences[i]) == list(cell.targets[i])]
    return (right or three or [0])[0]
