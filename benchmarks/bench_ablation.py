"""Measure what each ingredient of training buys on recordings that were never heard, step by step.

    python benchmarks/bench_ablation.py CLIPS OUT

CLIPS is a data set of protocol ``honest`` in four folds, such as ``clips`` in the folder of ``ctctag
reproduce --protocol honest``. Fold 1 is left alone: it is for testing. A network learns from folds 3 and 4,
or from fresh mixtures of their recordings, and is measured on fold 2, whose recordings it has not heard. All
variants see equally many clips, unless they say otherwise. The table goes to ``OUT/ablation.md``, the scores
to ``OUT/ablation.json``. Interrupted, it goes on where it was.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from ctctag._progress import say
from ctctag.data import Dataset
from ctctag.exceptions import DataError
from ctctag.experiment import Table, evaluate_model
from ctctag.experiment.machine import machine
from ctctag.models import SYSTEMS
from ctctag.models.files import versions
from ctctag.training import TrainingConfig, train_on_dataset

TEST, VALIDATION = 1, 2
FRESH = 2400  # fresh mixtures of an epoch
COLUMNS = ("precision", "recall", "f", "auc", "auc_binary", "sequence_error_rate")

_STEADY = {"ema": 0.998, "weight_decay": 1e-3}
_MASKED = _STEADY | {"masks": True}
_AFRESH = _MASKED | {"fresh": FRESH}
_VARIED = _AFRESH | {"augment": True}
# What is changed from the defaults of `ctctag train`, and how many times as many clips are seen.
VARIANTS: dict[str, tuple[dict[str, Any], float]] = {
    "fixed clips": ({}, 1),
    "+ averaged weights, decay": (_STEADY, 1),
    "+ masks": (_MASKED, 1),
    "+ fresh mixtures": (_AFRESH, 1),
    "+ varied events": (_VARIED, 1),
    "twice as many clips": (_VARIED, 2),
    "wider network (paper)": (_VARIED | {"preset": "paper"}, 1),
}


def config_of(system: str, changes: dict[str, Any], clips: int, seen: float) -> TrainingConfig:
    """Return settings with which a network sees so many clips; the last of its averaged weights are kept."""
    epochs = max(1, round(seen / (changes.get("fresh") or clips)))
    return TrainingConfig(system=system, seed=1, epochs=epochs, patience=epochs, **changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, help="folder of the runs (default: OUT/work)")
    parser.add_argument("--seen", type=int, default=96_000, help="clips that a network sees in training")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["crnn-ctc"])
    parser.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    args = parser.parse_args()
    work = args.work or args.out / "work"
    args.out.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.open(args.clips)
    if dataset.folds is None or len(set(dataset.folds.tolist())) < 3:
        raise DataError(f"{args.clips}: a test fold, a validation fold and at least one more are needed")
    learned = int((~((dataset.folds == TEST) | (dataset.folds == VALIDATION))).sum())

    results, rows = [], []
    for system in args.systems:
        for name in args.variants:
            changes, times = VARIANTS[name]
            config = config_of(system, changes, learned, args.seen * times)
            place = work / f"{system}-{list(VARIANTS).index(name)}"
            run = train_on_dataset(
                dataset, place, config, fold=TEST, validation_fold=VALIDATION, resume=True,
                on_epoch=lambda record, label=f"{system}, {name}": say(f"{label}: {json.dumps(record)}"),
            )  # fmt: skip
            scores = evaluate_model(run.model, dataset, fold=VALIDATION).scores
            seconds = sum(record["seconds"] for record in run.history)
            results.append({"system": system, "variant": name, "config": config.to_dict(), "scores": scores})
            rows.append([system, name, *(scores.get(column) for column in COLUMNS), seconds / 60])
            write(args.out, rows, results, args)
    print((args.out / "ablation.md").read_text(encoding="utf-8"))


def write(out: Path, rows: list[Any], results: list[Any], args: argparse.Namespace) -> None:
    """Write what is there so far."""
    table = Table(
        ["system", "training", "precision", "recall", "F", "auc", "auc_binary", "seq. error rate", "minutes"],
        rows,
        formats=[None, None, *[".3f"] * 6, ".1f"],
        missing="-",
    )
    text = [
        "# What each ingredient buys",
        f"Protocol `honest`: learned from folds 3 and 4, {args.seen} clips seen in training where nothing "
        f"else is said, measured on fold {VALIDATION}, whose recordings training has not heard. Fold {TEST} "
        "was not touched. One training each; a line adds to the line before it where it begins with +, and "
        "the last ones change one thing in the last of those. The best epoch on the validation fold is kept.",
        table.to_markdown(),
        "Made by `python benchmarks/bench_ablation.py CLIPS OUT` with "
        + ", ".join(f"{name} {value}" for name, value in versions().items())
        + f"; {machine()}.",
    ]
    (out / "ablation.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    (out / "ablation.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
