"""``ctctag train``."""

import argparse
import time
from pathlib import Path
from typing import Any

from ctctag._progress import progress_bar, say
from ctctag.audio import LogMel
from ctctag.cli._common import add_common, number_range, print_json, set_example
from ctctag.data import Dataset
from ctctag.models import DECODERS, PRESETS, SYSTEMS
from ctctag.training import SCHEDULES, TrainingConfig, train_on_dataset

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    default = TrainingConfig()
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="data set folder (made by `ctctag mix`, or by hand)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--system", choices=SYSTEMS, default=default.system, help="which system")
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), default=default.preset, help="size of the network"
    )
    parser.add_argument(
        "--fold", type=int, default=1, metavar="K", help="fold kept for testing; 0 trains on all"
    )
    parser.add_argument(
        "--sample-rate", type=int, default=LogMel.sr, metavar="HZ",
        help="of the features: frames as long as the paper's, bands up to half of it",
    )  # fmt: skip
    parser.add_argument("--epochs", type=int, default=default.epochs, help="at most so many epochs")
    parser.add_argument("--patience", type=int, default=default.patience, help="epochs without improvement")
    parser.add_argument("--batch-size", type=int, default=default.batch_size, help="clips in a batch")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate, help="Adam's step")
    parser.add_argument(
        "--schedule", choices=SCHEDULES, default=default.schedule, help="of the learning rate"
    )
    parser.add_argument("--weight-decay", type=float, default=default.weight_decay, help="decoupled decay")
    parser.add_argument("--clip-norm", type=float, default=default.clip_norm, help="of the gradient; 0: none")
    parser.add_argument("--ema", type=float, default=default.ema, help="decay of averaged weights; 0: none")
    parser.add_argument("--validation", type=float, default=default.validation, help="fraction held out")
    parser.add_argument(
        "--validation-fold", type=int, metavar="K", help="hold out a fold, in place of that fraction"
    )
    parser.add_argument("--masks", action="store_true", help="mask stripes of the training clips")
    parser.add_argument(
        "--fresh", type=int, default=default.fresh, metavar="N",
        help="mix N new clips for every epoch from the data set's recordings; 0: train on its own clips",
    )  # fmt: skip
    parser.add_argument(
        "--fresh-events", type=number_range, metavar="N|A-B",
        help="events in a fresh clip (default: as in the data set)",
    )  # fmt: skip
    parser.add_argument("--augment", action="store_true", help="vary the events of the fresh clips")
    parser.add_argument(
        "--tag-weight", type=float, default=default.tag_weight, metavar="W",
        help="CRNN-CTC learns the tags, too, by W times CRMP's loss beside its own",
    )  # fmt: skip
    parser.add_argument(
        "--consistency", type=float, default=default.consistency, metavar="W",
        help="CRNN-CTC hears each clip twice, under other masks: W times the distance between the two counts",
    )  # fmt: skip
    parser.add_argument(
        "--blank-penalty", type=float, default=default.blank_penalty, metavar="NATS",
        help="make the trained network's blank less likely by so much",
    )  # fmt: skip
    parser.add_argument(
        "--decoder", choices=DECODERS, default=default.decoder,
        help="how the trained CRNN-CTC reads its scores: likeliest path, or likeliest labelling",
    )  # fmt: skip
    parser.add_argument(
        "--shifts", type=int, default=default.shifts, metavar="N",
        help="the trained network listens N times, its frames a quarter of a hop apart, and takes the mean",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, if there is one")
    add_common(parser)
    set_example(parser, "ctctag train office --system crnn-ctc --fold 1 --out runs/ctc1")


def run(args: argparse.Namespace) -> int:
    """Train, print an epoch a line, and say where the model is."""
    config = TrainingConfig(
        system=args.system,
        preset=args.preset,
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        schedule=args.schedule,
        weight_decay=args.weight_decay,
        clip_norm=args.clip_norm,
        ema=args.ema,
        patience=args.patience,
        validation=args.validation,
        masks=args.masks,
        fresh=args.fresh,
        fresh_events=args.fresh_events,
        augment=args.augment,
        tag_weight=args.tag_weight,
        consistency=args.consistency,
        blank_penalty=args.blank_penalty,
        decoder=args.decoder,
        shifts=args.shifts,
        seed=args.seed,
    )
    dataset = Dataset.open(args.data)
    started = time.perf_counter()
    log = EpochLog(quiet=args.quiet)
    with progress_bar("features", "clips", quiet=args.quiet) as on_features, log.bar() as on_batch:
        result = train_on_dataset(
            dataset,
            args.out,
            config,
            fold=args.fold or None,
            validation_fold=args.validation_fold,
            log_mel=LogMel.at_rate(args.sample_rate),
            resume=args.resume,
            on_features=on_features,
            on_batch=on_batch,
            on_epoch=log.epoch,
        )
    best = result.history[result.best_epoch - 1]
    if args.json:
        print_json({"run": str(args.out), "best": best, "epochs": len(result.history)})
    else:
        print(f"best epoch {result.best_epoch} of {len(result.history)}: {describe(best)}")
        print(f"trained in {time.perf_counter() - started:.0f} s; model in {args.out / 'model.npz'}")
        if args.fold:
            print(f"next: ctctag evaluate {args.out}")
    return 0


class EpochLog:
    """Prints one line an epoch to standard error, under the bar of its batches."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def bar(self) -> Any:
        """Return the progress bar of the batches."""
        return progress_bar("epoch", "batches", quiet=self.quiet)

    def epoch(self, record: dict[str, Any]) -> None:
        """Print a record."""
        if not self.quiet:
            say(f"epoch {record['epoch']:4d}  {describe(record)}  {record['clips_per_second']:.0f} clips/s")


def describe(record: dict[str, Any]) -> str:
    """Return an epoch's record in words."""
    parts = [
        f"loss {record['loss']:.4f}",
        f"validation loss {record['validation_loss']:.4f}",
        "auc n/a" if record["validation_auc"] is None else f"auc {record['validation_auc']:.3f}",
    ]
    if "sequence_error_rate" in record:
        parts.append(f"sequence error rate {record['sequence_error_rate']:.3f}")
        parts.append(f"blank {record['blank_mass']:.2f}")
    return "  ".join(parts)
