"""Measure what each ingredient of training buys on recordings that were never heard, step by step.

    python benchmarks/bench_ablation.py CLIPS OUT

CLIPS is a data set of protocol ``honest`` in four folds, such as ``clips`` in the folder of ``ctctag
reproduce --protocol honest``. Fold 1 is left alone: it is for testing. A network learns from folds 3 and 4,
or from fresh mixtures of their recordings, and is measured on fold 2, whose recordings it has not heard. All
variants see equally many clips, unless they say otherwise. The table goes to ``OUT/ablation.md``, the scores
to ``OUT/ablation.json``. Interrupted, it goes on where it was. Lines of the same clips and settings that
``ablation.json`` has already are kept as they are, so that the table can be made in several sittings.
"""

import argparse
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ctctag._progress import say
from ctctag.audio import LogMel
from ctctag.data import Dataset
from ctctag.exceptions import DataError
from ctctag.experiment import Table, evaluate_model
from ctctag.experiment.machine import machine, software
from ctctag.models import DECODERS, SYSTEMS
from ctctag.models.files import versions
from ctctag.training import TrainingConfig, train_on_dataset

TEST, VALIDATION = 1, 2
FRESH = 2400  # fresh mixtures of an epoch
WIDE = 32000  # samples a second, of the data set and of the features where they are not the paper's
COLUMNS = ("precision", "recall", "f", "auc", "auc_binary", "sequence_error_rate")


@dataclass(frozen=True)
class Variant:
    """One way to train, and to listen.

    Attributes
    ----------
    training : dict
        What is changed from the defaults of `ctctag train`.
    sr, n_mels : int
        Of the features.
    times : float
        How many times as many clips are seen.
    penalty : float
        What is taken off the bias of the trained network's blank.
    decoder : str
        How the trained network's scores are read.
    shifts : int
        How often it listens.
    """

    training: dict[str, Any] = field(default_factory=dict)
    sr: int = LogMel.sr
    n_mels: int = LogMel.n_mels
    times: float = 1.0
    penalty: float = 0.0
    decoder: str = DECODERS[0]
    shifts: int = 1

    @property
    def trained(self) -> "Variant":
        """The same without what is done after training: variants that share it share a run."""
        return replace(self, penalty=0.0, decoder=DECODERS[0], shifts=1)

    @property
    def heard(self) -> dict[str, Any]:
        """What is not among the settings of a training."""
        return {
            "sr": self.sr,
            "n_mels": self.n_mels,
            "blank_penalty": self.penalty,
            "decoder": self.decoder,
            "shifts": self.shifts,
        }


_MASKED = {"ema": 0.998, "weight_decay": 1e-3, "masks": True}
_AFRESH = _MASKED | {"fresh": FRESH}
_VARIED = _AFRESH | {"augment": {"layered": 0.0}}
_LAYERED = _AFRESH | {"augment": True}
_DENSE = _LAYERED | {"fresh_events": [2, 5]}
_JOINT = _DENSE | {"tag_weight": 2.0}
_TWICE = _JOINT | {"consistency": 0.2}
_RARER: dict[str, Any] = {"penalty": 0.5}
_LISTENING: dict[str, Any] = _RARER | {"decoder": "beam", "shifts": 3}
_CHOOSING: dict[str, Any] = _LISTENING | {"decoder": "rescored"}
VARIANTS = {
    "fixed clips": Variant(),
    "+ averaged weights, decay, masks": Variant(_MASKED),
    "+ fresh mixtures": Variant(_AFRESH),
    "+ varied events": Variant(_VARIED),
    "+ 32 kHz": Variant(_VARIED, WIDE),
    "+ layered events": Variant(_LAYERED, WIDE),
    "+ two to five events": Variant(_DENSE, WIDE),
    "+ tags beside their order": Variant(_JOINT, WIDE),
    "+ rarer blank": Variant(_JOINT, WIDE, **_RARER),
    "+ likeliest labelling": Variant(_JOINT, WIDE, **_RARER, decoder="beam"),
    "+ three listenings": Variant(_JOINT, WIDE, **_LISTENING),
    "+ the tags' choice": Variant(_JOINT, WIDE, **_CHOOSING),
    "+ two maskings alike": Variant(_TWICE, WIDE, **_CHOOSING),
    "twice as many clips": Variant(_TWICE, WIDE, times=2, **_CHOOSING),
    "wider network (paper)": Variant(_TWICE | {"preset": "paper"}, WIDE, **_CHOOSING),
    "96 bands": Variant(_TWICE, WIDE, 96, **_CHOOSING),
}


def config_of(system: str, variant: Variant, clips: int, seen: int) -> TrainingConfig:
    """Return settings with which a network sees so many clips; the best of its averaged weights are kept."""
    epochs = max(1, round(variant.times * seen / (variant.training.get("fresh") or clips)))
    return TrainingConfig(system=system, seed=1, epochs=epochs, patience=epochs, **variant.training)


def run_name(variant: Variant) -> str:
    """Return the name of the first variant that is trained so, as a folder."""
    first = next(name for name, other in VARIANTS.items() if other.trained == variant.trained)
    return re.sub("[^a-z0-9]+", "-", first.lower()).strip("-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, help="folder of the runs (default: OUT/work)")
    parser.add_argument("--seen", type=int, default=48_000, help="clips that a network sees in training")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["crnn-ctc"])
    parser.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    args = parser.parse_args()
    work = args.work or args.out / "work"
    args.out.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.open(args.clips)
    if dataset.folds is None or len(set(dataset.folds.tolist())) < 3:
        raise DataError(f"{args.clips}: a test fold, a validation fold and at least one more are needed")
    learned = int((~((dataset.folds == TEST) | (dataset.folds == VALIDATION))).sum())

    wanted = {
        (system, name): {
            "system": system,
            "variant": name,
            **variant.heard,
            "fingerprint": dataset.fingerprint(),
            "config": config_of(system, variant, learned, args.seen).to_dict(),
        }
        for system in args.systems
        for name, variant in VARIANTS.items()
    }
    lines = {key: line for key, line in read(args.out).items() if fits(line, wanted.get(key))}
    for (system, name), line in wanted.items():
        if name in args.variants and (system, name) not in lines:
            variant = VARIANTS[name]
            config = config_of(system, variant, learned, args.seen)
            run = work / f"{system}-{run_name(variant)}"
            lines[system, name] = line | measured(dataset, run, config, variant, f"{system}, {name}")
            write(args.out, [lines[key] for key in wanted if key in lines], args.seen)
    print((args.out / "ablation.md").read_text(encoding="utf-8"))


def measured(
    dataset: Dataset, place: Path, config: TrainingConfig, variant: Variant, label: str
) -> dict[str, Any]:
    """Train, or take what is trained already, and return the scores on the validation fold."""
    run = train_on_dataset(
        dataset, place, config, fold=TEST, validation_fold=VALIDATION, resume=True,
        log_mel=LogMel.at_rate(variant.sr, n_mels=variant.n_mels),
        on_epoch=lambda record: say(f"{label}: {json.dumps(record)}"),
    )  # fmt: skip
    run.model.network.lower_blank(variant.penalty)
    scores = evaluate_model(
        run.model, dataset, fold=VALIDATION, decoder=variant.decoder, shifts=variant.shifts
    ).scores
    seconds = sum(record["seconds"] for record in run.history)
    return {"scores": scores, "minutes": seconds / 60, "machine": machine(), "versions": versions()}


def read(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the lines that are there, by system and variant."""
    path = out / "ablation.json"
    lines = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    for line in lines:
        # with what an older version did not know
        line["config"] = TrainingConfig.from_dict(line["config"]).to_dict()
    return {(line["system"], line["variant"]): line for line in lines}


def fits(line: dict[str, Any], wanted: dict[str, Any] | None) -> bool:
    """Return whether a line was measured as it is wanted now."""
    return wanted is not None and all(line.get(key) == value for key, value in wanted.items())


def write(out: Path, results: list[dict[str, Any]], seen: int) -> None:
    """Write what is there so far."""
    rows = [
        [
            line["system"],
            line["variant"],
            *(line["scores"].get(column) for column in COLUMNS),
            line["minutes"],
        ]
        for line in results
    ]
    made = sorted({software(x["versions"]) + f"; {x['machine']}" for x in results})
    table = Table(
        ["system", "training", "precision", "recall", "F", "auc", "auc_binary", "seq. error rate", "minutes"],
        rows,
        formats=[None, None, *[".3f"] * 6, ".1f"],
        missing="-",
    )
    text = [
        "# What each ingredient buys",
        f"Protocol `honest`: learned from folds 3 and 4, {seen} clips seen in training where nothing "
        f"else is said, measured on fold {VALIDATION}, whose recordings training has not heard. Fold {TEST} "
        "was not touched. One training each; a line adds to the line before it where it begins with +; any "
        "other changes one thing in the last of those. The best epoch on the validation fold is kept. "
        "Varied are speed, spectral tilt, polarity and signal-to-noise ratio; layered: two recordings of a "
        "class sound as one event; the clips have one to four events; beside their order: twice "
        "CRMP's loss, of outputs of its own. What is rarer is the blank of the "
        "trained network: 0.5 is taken off its bias. The likeliest labelling is what a beam search "
        "finds; of three listenings, a quarter of a hop apart, each frame's probabilities are averaged. The "
        "tags choose among the beam's labellings by their log-odds and one nat each. Two maskings of a clip "
        "are heard in each step, and a fifth of their distance counts beside the loss.",
        table.to_markdown(),
        f"Made by `python benchmarks/bench_ablation.py CLIPS OUT --seen {seen}` with "
        + ", and ".join(made)
        + ".",
    ]
    (out / "ablation.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    (out / "ablation.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
