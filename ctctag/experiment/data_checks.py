"""Examine a data set: whatever opening it or training on it would refuse, and what else looks wrong."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ctctag.audio import LogMel
from ctctag.data import Dataset, open_mixer
from ctctag.data.features import clip_samples
from ctctag.data.tsv import shown
from ctctag.exceptions import AudioError, CtctagError
from ctctag.training import TrainingConfig, requirements

__all__ = ["Finding", "examine_data"]

_LATE_SECONDS = 0.1  # an event may end so much after its clip: times are rounded, and files cut


@dataclass(frozen=True)
class Finding:
    """One thing that was examined.

    Attributes
    ----------
    what, detail : str
        What, and how it is.
    state : {"ok", "note", "bad"}
        Whether anything is to be done.
    remedy : str
        What.
    """

    what: str
    detail: str
    state: str = "ok"
    remedy: str = ""


def examine_data(path: str | Path) -> list[Finding]:
    """Examine a data set: whatever opening it or training on it would refuse, balance, and every file.

    The checks are those of `Dataset.open`, `Features.build` and `train_on_dataset`, at their defaults.
    """
    try:
        dataset = Dataset.open(path)
        rate = ""
        with contextlib.suppress(AudioError):  # the broken file is named below, with all others
            rate = f", {dataset.sample_rate} Hz"
    except CtctagError as error:
        return [Finding("data", str(error), "bad", "mend the table or file that is named")]
    findings = [Finding("data", f"{len(dataset)} clips, {len(dataset.classes)} classes{rate}")]
    findings += [*_classes(dataset), _division(dataset)]
    samples, broken = _audio(dataset)
    if broken:
        findings += broken
    else:
        hours = sum(samples) / LogMel.sr / 3600
        findings.append(Finding("audio", f"every file can be read whole: {hours:.2f} h"))
        findings += [*_spans(dataset, samples), _order(dataset, samples)]
    if "mix" in dataset.settings:
        findings.append(_recordings(dataset))
    return findings


def _refusal(what: str, remedy: str, check: Callable[..., object], *args: Any) -> Finding | None:
    """Return what a check has against the data, or None."""
    try:
        check(*args)
    except CtctagError as error:
        return Finding(what, str(error), "bad", remedy)
    return None


def _classes(dataset: Dataset) -> list[Finding]:
    refused = _refusal("events", "fill in the labels", requirements.check_events, dataset, "baseline")
    if refused is not None:
        return [refused]
    counts = dataset.tags.sum(axis=0)
    never = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    if never:
        names = shown(", ".join(never))
        return [Finding("classes", f"no clip has {names}", "bad", "add clips, or leave the class out")]
    return [Finding("classes", f"{counts.min()} to {counts.max()} clips a class")]


def _division(dataset: Dataset) -> Finding:
    """Divide the clips as a training would, for every fold that could be kept for testing."""
    config = TrainingConfig()
    folds: list[int | None] = [None] if dataset.folds is None else sorted(set(dataset.folds.tolist()))
    for fold in folds:
        refused = _refusal(
            "folds", "add clips, or put them into more folds", requirements.divide, dataset, config, fold
        )
        if refused is not None:
            return refused
    if dataset.folds is None:
        remedy = "add folds.tsv to keep a fold for testing, or train on every clip with --fold 0"
        return Finding("folds", "there is no folds.tsv", "note", remedy)
    sizes = [int((dataset.folds == fold).sum()) for fold in folds]
    return Finding("folds", f"{len(folds)} folds of {min(sizes)} to {max(sizes)} clips")


def _audio(dataset: Dataset) -> tuple[list[int], list[Finding]]:
    """Return the samples of each clip at the features' rate, and what cannot be read or has no features."""
    log_mel, counts, findings = LogMel(), [], []
    for index in range(len(dataset)):
        try:
            samples = clip_samples(dataset.path_of(index), log_mel)
            log_mel(samples)
        except CtctagError as error:
            remedy = "replace the file, take it out of the tables, or see `ctctag train --sample-rate`"
            findings.append(Finding("audio", str(error), "bad", remedy))
        else:
            counts.append(len(samples))
    return counts, findings


def _spans(dataset: Dataset, samples: Sequence[int]) -> list[Finding]:
    if dataset.strong is None:
        return []
    seconds = np.array(samples) / LogMel.sr
    remedy = "correct the times: seconds from the beginning of the clip"
    refused = _refusal("times", remedy, requirements.check_spans, dataset, seconds)
    if refused is not None:
        return [refused]
    late = [
        (event.offset - length, name)
        for name, length in zip(dataset.filenames, seconds, strict=True)
        for event in dataset.strong[name]
        if event.offset > length + _LATE_SECONDS
    ]
    if late:
        by, name = max(late)
        detail = f"{len(late)} events end after their clip, one in {shown(name)} by {by:.2f} s"
        return [Finding("times", detail, "note", "training needs their order alone; correct them if you can")]
    return [Finding("times", "every event lies within its clip")]


def _order(dataset: Dataset, samples: Sequence[int]) -> Finding:
    if not dataset.has_order:
        return Finding(
            "order",
            "only weak labels",
            "note",
            "crnn-ctc needs sequential.tsv or strong.tsv; the other systems do not",
        )
    log_mel = LogMel()
    frames = [log_mel.n_frames(count) for count in samples]
    refused = _refusal("order", "check the row of the clip", requirements.check_frames, dataset, frames)
    longest = max(map(len, dataset.sequences or []), default=0)
    return refused or Finding("order", f"every sequence fits its frames; the longest has {longest} labels")


def _recordings(dataset: Dataset) -> Finding:
    """Look for the recordings that the clips were mixed from; only fresh clips need them."""
    remedy = "only fresh clips (train --fresh) need them; without, nothing is wrong"
    refused = _refusal("recordings", remedy, open_mixer, dataset.path)
    if refused is not None:
        return replace(refused, state="note")
    return Finding("recordings", "those that the clips were mixed from are there, in their folds")
