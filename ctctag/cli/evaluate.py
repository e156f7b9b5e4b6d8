"""``ctctag evaluate``."""

import argparse
from pathlib import Path

from ctctag._progress import printable, progress_bar
from ctctag.cli._common import add_common, print_json, set_example
from ctctag.experiment import class_table, evaluate_run, summary_lines
from ctctag.experiment.evaluation import arrows
from ctctag.models import DECODERS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "run_folder", type=Path, metavar="RUN", help="folder of a training run, or a model file"
    )
    parser.add_argument(
        "data", type=Path, nargs="?", metavar="DATA", help="data set; by default the run's own"
    )
    parser.add_argument(
        "--fold",
        type=int,
        metavar="K",
        help="measure on fold K; 0: on every clip (default: the run's test fold)",
    )
    parser.add_argument(
        "--decoder", choices=DECODERS, help="how CRNN-CTC's scores are read (default: as the model says)"
    )
    parser.add_argument(
        "--shifts", type=int, metavar="N", help="how often the model listens (default: as the model says)"
    )
    parser.add_argument("--show", type=int, default=3, metavar="N", help="show N clips, truth and heard")
    add_common(parser, seed=None)
    set_example(parser, "ctctag evaluate runs/ctc1", "ctctag evaluate runs/ctc1 other-data --fold 0 --json")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    with progress_bar("evaluate", "clips", quiet=args.quiet) as progress:
        result = evaluate_run(
            args.run_folder,
            args.data,
            fold=args.fold,
            decoder=args.decoder,
            shifts=args.shifts,
            progress=progress,
        )
    if args.json:
        print_json(result.to_dict())
        return 0
    print(class_table(result).to_text())
    print()
    print("\n".join(summary_lines(result)))
    for clip in result.clips[: max(args.show, 0)]:
        print(printable(f"{clip.filename}  truth: {arrows(clip.truth)}  heard: {arrows(clip.heard)}"))
    return 0
