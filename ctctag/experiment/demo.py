"""The whole way in a few minutes, without any data: mix, train four systems, measure, listen, report."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctctag import ctc
from ctctag._checks import check_integer
from ctctag._threads import get_num_threads
from ctctag.audio import LogMel, read_audio
from ctctag.data import Dataset, mix_dataset
from ctctag.exceptions import CtctagError
from ctctag.experiment.evaluation import Evaluation, arrows, class_table, evaluate_model
from ctctag.experiment.machine import software
from ctctag.experiment.report import Report
from ctctag.experiment.tables import Table
from ctctag.models import SYSTEMS, TrainedModel
from ctctag.models.files import versions
from ctctag.tagger import Tagger
from ctctag.training import TrainingConfig, train_on_dataset

__all__ = ["Demo", "run_demo", "system_table"]

_FOLD = 1
# Shorter clips, fewer bands and a smaller network than the paper's: minutes instead of hours.
_SECONDS = 6.0
_MARKER = ".ctctag-demo"  # in a folder whose contents a demonstration may replace
_LOG_MEL = LogMel(n_mels=32)
_NAMES = {"baseline": "Baseline", "crap": "CRAP", "crmp": "CRMP", "crnn-ctc": "CRNN-CTC"}


@dataclass
class Demo:
    """What the demonstration made.

    Attributes
    ----------
    dataset : Dataset
        The mixed clips.
    models : dict of str to TrainedModel
        The trained systems.
    results : dict of str to Evaluation
        Their scores on the test fold.
    histories : dict of str to list
        Their logs of training.
    report_path : Path or None
        The report; ``None`` where matplotlib is not installed.
    seconds : float
        How long everything took.
    """

    dataset: Dataset
    models: dict[str, TrainedModel]
    results: dict[str, Evaluation]
    histories: dict[str, list[dict[str, Any]]]
    report_path: Path | None
    seconds: float


def run_demo(
    out: str | Path,
    *,
    clips: int = 480,
    epochs: int = 40,
    seed: int = 0,
    on_stage: Callable[[str], None] | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Demo:
    """Mix synthetic clips, train the four systems, measure them on clips they have not seen, write a report.

    Parameters
    ----------
    out : str or Path
        Folder for everything; what an earlier demonstration left there is replaced.
    clips : int
        Clips to mix; a quarter of them is kept for testing.
    epochs : int
        Epochs of each training.
    seed : int
        Seed of everything random.
    on_stage : callable, optional
        Called with a line at the beginning of each stage.
    on_progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    Demo
        Everything made.
    """
    started = time.perf_counter()
    out = Path(out)
    stage = on_stage or (lambda line: None)

    def progress(what: str) -> Callable[[int, int], None] | None:
        return None if on_progress is None else lambda done, total: on_progress(what, done, total)

    check_integer(clips, "clips", low=16)
    TrainingConfig(epochs=epochs, seed=seed)  # checked before anything is removed
    _clear(out)
    stage(f"mixing {clips} clips of {_SECONDS:g} s from synthetic office sounds")
    dataset = mix_dataset(
        "synthetic",
        out / "clips",
        clips=clips,
        clip_seconds=_SECONDS,
        events_per_clip=(1, 3),
        max_event_seconds=1.5,
        seed=seed,
        progress=progress("mix"),
    )

    models, results, histories = {}, {}, {}
    for system in reversed(SYSTEMS):  # the paper's order: from the baseline to CRNN-CTC
        stage(f"training {_NAMES[system]} ({epochs} epochs)")
        config = TrainingConfig(
            system=system,
            preset="tiny",
            epochs=epochs,
            patience=epochs,
            batch_size=16,
            learning_rate=6e-3,
            seed=seed,
        )
        batches = _BatchCounter(progress(_NAMES[system]), epochs)
        run = train_on_dataset(
            dataset, out / "runs" / system, config, fold=_FOLD, log_mel=_LOG_MEL, on_batch=batches
        )
        models[system] = run.model
        histories[system] = run.history
        results[system] = evaluate_model(run.model, dataset, fold=_FOLD)

    demo = Demo(dataset, models, results, histories, None, 0.0)
    demo.seconds = time.perf_counter() - started
    stage("writing the report")
    try:
        demo.report_path = _report(demo, out / "report.html")
    except CtctagError as error:  # matplotlib is an extra
        stage(f"no report: {error}")
    demo.seconds = time.perf_counter() - started
    return demo


def system_table(results: dict[str, Evaluation]) -> Table:
    """Return one row a system: precision, recall, F, both AUCs and the sequence error rate."""
    columns = ("precision", "recall", "f", "auc", "auc_binary", "sequence_error_rate")
    rows = [
        [_NAMES[system], *(result.scores.get(column) for column in columns)]
        for system, result in results.items()
    ]
    return Table(
        ["system", "precision", "recall", "F", "auc", "auc_binary", "seq. error rate"],
        rows,
        formats=[None, *[".3f"] * 6],
        missing="-",
    )


class _BatchCounter:
    """Turns batches of an epoch into batches of a whole training."""

    def __init__(self, report: Callable[[int, int], None] | None, epochs: int) -> None:
        self.report = report
        self.epochs = epochs
        self.done = 0

    def __call__(self, batch: int, batches: int) -> None:
        self.done += 1
        if self.report is not None:
            self.report(self.done, self.epochs * batches)


def _clear(out: Path) -> None:
    """Remove what an earlier demonstration left, in a folder that it marked as its own."""
    marker = out / _MARKER
    if out.exists() and any(out.iterdir()) and not marker.exists():
        raise CtctagError(f"{out}: is not empty and no earlier demo; choose another folder with --out")
    for name in ("clips", "runs"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "report.html").unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    marker.touch()


def _report(demo: Demo, path: Path) -> Path:
    from ctctag.experiment import figures

    dataset = demo.dataset
    ctc_result = demo.results["crnn-ctc"]
    index = _chosen_clip(demo)
    filename = dataset.filenames[index]
    samples, sr = read_audio(dataset.path_of(index), sr=demo.models["crnn-ctc"].log_mel.sr)
    log_mel = demo.models["crnn-ctc"].log_mel
    mel = log_mel(samples)
    times = log_mel.frame_times(len(mel))
    bands = figures.band_centres(log_mel)
    events = (dataset.strong or {})[filename]
    taggings = {
        _NAMES[system]: Tagger.from_model(model).tag(samples, sr=sr) for system, model in demo.models.items()
    }

    report = Report(
        "Audio tagging with sequentially labelled data",
        f"A demonstration on {len(dataset)} synthetic clips of {_SECONDS:g} s, a quarter of them unheard in "
        "training",
    )
    report.section("The four systems").text(
        "Each was trained on the same clips. The baseline, CRAP and CRMP learn which events occur; CRNN-CTC "
        "learns from their order too, and is the only one to predict it. Scores are means over the 16 "
        "classes, on clips that were not trained on. The clips are made by the built-in synthesiser: these "
        "numbers say that everything works, and nothing about real recordings."
    )
    report.table(system_table(demo.results))
    report.section("One clip, three kinds of labels").text(f"{filename}, from the test clips.")
    report.figure(
        figures.plot_labels(samples, sr, mel, times, events, dataset.classes, mel_frequencies=bands),
        "Waveform, log-mel spectrogram, and strong, sequential and weak labels (the paper's figure 1.1).",
    )
    report.section("What each system says at each frame")
    report.figure(
        figures.plot_frame_predictions(
            mel,
            times,
            {name: tagging.frame_probs for name, tagging in taggings.items() if len(tagging.frame_times)},
            dataset.classes,
            blank=0,
            strong_events=events,
            mel_frequencies=bands,
        ),
        "Frame-level predictions (the paper's figure 1.4): averaging blurs, the maximum finds a place, CTC "
        "answers with spikes.",
    )
    report.section("The trellis of the loss").text(
        "CTC sums over every way in which the frames can spell the label sequence. Here for the clip above."
    )
    model = demo.models["crnn-ctc"]
    logits = model.network.forward(model.standardiser(mel)[np.newaxis])[0][0]
    lattice = ctc.lattice(logits, [label + 1 for label in dataset.label_sets_or_sequences()[index]], blank=0)
    report.figure(
        figures.plot_trellis(lattice, classes=["-", *dataset.classes], frame_times=times),
        "Forward and backward variables, their product, the likeliest alignment (the paper's figure 1.3).",
        form="png",
    )
    report.section("Truth and what CRNN-CTC heard")
    report.table(
        Table(
            ["clip", "truth", "heard", ""],
            [
                [
                    clip.filename,
                    arrows(clip.truth),
                    arrows(clip.heard),
                    "" if clip.truth == clip.heard else "✗",
                ]
                for clip in ctc_result.clips[:20]
            ],
        )
    )
    report.section("Class by class").table(class_table(ctc_result))
    report.section("Training")
    for system, history in demo.histories.items():
        report.figure(figures.plot_training(history, title=_NAMES[system]), f"Epochs of {_NAMES[system]}.")
    report.section("How this was made").code(
        "\n".join(
            [
                "ctctag demo",
                software(versions()),
                f"{get_num_threads()} threads, {demo.seconds:.0f} s",
            ]
        )
    )
    report.save(path)
    return path


def _chosen_clip(demo: Demo) -> int:
    """Return the first test clip of three events that CRNN-CTC heard right, or else the first one."""
    clips = demo.results["crnn-ctc"].clips
    right = [clip for clip in clips if len(clip.truth) == 3 and clip.truth == clip.heard]
    three = [clip for clip in clips if len(clip.truth) == 3]
    chosen = (right or three or clips)[0].filename
    return list(demo.dataset.filenames).index(chosen)
