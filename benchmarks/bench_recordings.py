"""Measure the four systems on mixtures of real recordings, under both protocols.

    python benchmarks/bench_recordings.py RECORDINGS OUT

RECORDINGS holds ``events/<class>/`` and ``background/``. 1000 clips are mixed for each protocol, every
system is trained on folds 2 to 4 with the default settings of ``ctctag train`` (but see SETTINGS) and
measured on fold 1. The table goes to ``OUT/README.md``, the scores to ``OUT/results.json``. It takes hours;
call it again after an interruption, and it goes on where it was.
"""

import argparse
import json
from pathlib import Path

from ctctag.data import Dataset, mix_dataset
from ctctag.experiment import Evaluation, Table, class_table, evaluate_model
from ctctag.experiment.machine import machine, software
from ctctag.models import SYSTEMS
from ctctag.models.files import versions
from ctctag.training import TrainingConfig, train_on_dataset

PROTOCOLS = ("paper", "honest")
# The baseline sees the last states of a clip only: it learns slowest, and learns the clips by heart unless
# they are masked.
SETTINGS = {"baseline": {"epochs": 100, "patience": 100, "masks": True, "weight_decay": 0.01}}
COLUMNS = ("precision", "recall", "f", "auc", "auc_binary", "sequence_error_rate")


def mixed(recordings: Path, out: Path, protocol: str, clips: int) -> Dataset:
    """Return the mixed clips, mixing them first if need be."""
    if out.exists():
        return Dataset.open(out)
    noise = "white" if protocol == "paper" else recordings / "background"
    return mix_dataset(recordings / "events", out, noise=noise, clips=clips, protocol=protocol, seed=1)


def measure(dataset: Dataset, run: Path, config: TrainingConfig) -> tuple[Evaluation, float]:
    """Train, or go on training, and return scores on fold 1 and the mean clips a second of training."""
    trained = train_on_dataset(
        dataset,
        run,
        config,
        fold=1,
        resume=True,
        on_epoch=lambda record: print(json.dumps(record), flush=True),
    )
    speed = sum(record["clips_per_second"] for record in trained.history) / len(trained.history)
    return evaluate_model(trained.model, dataset, fold=1), speed


def _config(system: str) -> TrainingConfig:
    return TrainingConfig(system=system, seed=1, **SETTINGS.get(system, {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, help="folder of clips and runs (default: OUT/work)")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(reversed(SYSTEMS)))
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    args = parser.parse_args()
    work = args.work or args.out / "work"
    args.out.mkdir(parents=True, exist_ok=True)

    results, rows, details = {}, [], []
    for protocol in args.protocols:
        dataset = mixed(args.recordings, work / protocol, protocol, args.clips)
        for system in args.systems:
            config = _config(system)
            result, speed = measure(dataset, work / f"{protocol}-{system}", config)
            results.setdefault(protocol, {})[system] = result.scores
            rows.append([protocol, system, *(result.scores.get(column) for column in COLUMNS), speed])
            if system == "crnn-ctc":
                details.append((protocol, class_table(result)))

    table = Table(
        ["protocol", "system", "precision", "recall", "F", "auc", "auc_binary", "seq. error rate", "clips/s"],
        rows,
        formats=[None, None, *[".3f"] * 6, ".0f"],
        missing="-",
    )
    text = [
        "# First results on real recordings",
        f"{args.clips} clips of 10 s a protocol, one to four events each, 20 dB; trained on folds 2 to 4, "
        "measured on fold 1, one training each. Means over the 16 classes.",
        table.to_markdown(),
        "Made by `python benchmarks/bench_recordings.py RECORDINGS OUT` with "
        + software(versions())
        + f"; {machine()}. The last column is the speed of training, on a machine busy with other work.",
        "Settings of the trainings: "
        + "; ".join(f"{system} {_config(system).to_dict()}" for system in args.systems)
        + ".",
    ]
    for protocol, classes in details:
        text += [f"## CRNN-CTC class by class, `{protocol}`", classes.to_markdown()]
    (args.out / "README.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
