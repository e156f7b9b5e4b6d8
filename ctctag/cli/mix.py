"""``ctctag mix``."""

import argparse
from pathlib import Path

from ctctag._progress import progress_bar
from ctctag.cli._common import add_common, number_range, print_json, set_example
from ctctag.data import mix_dataset, open_source

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "events",
        metavar="EVENTS",
        help="folder of sound events (one folder a class, DCASE 2013, ESC-50), or synthetic",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the new data set")
    parser.add_argument(
        "--noise", default="white", metavar="DIR|white", help="background: recordings, or white noise"
    )
    parser.add_argument(
        "--clips", type=int, default=1000, metavar="N", help="number of clips (the paper: 2556)"
    )
    parser.add_argument(
        "--protocol",
        choices=("paper", "honest"),
        default="paper",
        help="paper: folds over clips; honest: folds over source recordings, before mixing",
    )
    parser.add_argument("--folds", type=int, default=4, metavar="K", help="number of folds")
    parser.add_argument(
        "--events-per-clip",
        type=number_range,
        default=(1, 4),
        metavar="N|A-B",
        help="events in a clip (default: 1-4)",
    )
    parser.add_argument("--snr", type=float, default=20.0, metavar="DB", help="events over background, in dB")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="length of a clip")
    parser.add_argument("--sample-rate", type=int, default=16000, metavar="HZ", help="of the clips")
    add_common(parser)
    set_example(
        parser,
        "ctctag mix synthetic office --clips 200",
        "ctctag mix recordings/events office --noise recordings/background --protocol honest --seed 1",
    )


def run(args: argparse.Namespace) -> int:
    """Mix, and say what was made."""
    source = open_source(args.events)
    with progress_bar("mix", "clips", quiet=args.quiet) as progress:
        dataset = mix_dataset(
            source,
            args.out,
            noise=args.noise,
            clips=args.clips,
            protocol=args.protocol,
            folds=args.folds,
            events_per_clip=args.events_per_clip,
            snr_db=args.snr,
            clip_seconds=args.seconds,
            sr=args.sample_rate,
            seed=args.seed,
            progress=progress,
        )
    if args.json:
        print_json({"out": str(args.out), "clips": len(dataset), "classes": list(dataset.classes)})
    else:
        hours = len(dataset) * args.seconds / 3600
        print(f"{len(dataset)} clips ({hours:.1f} h) of {len(dataset.classes)} classes in {args.out}")
        print(f"next: ctctag train {args.out} --system crnn-ctc --out run")
    return 0
