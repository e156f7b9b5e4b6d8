"""``ctctag reproduce``."""

import argparse
import time
from pathlib import Path
from typing import Any

from ctctag._progress import progress_bar
from ctctag.cli._common import add_common, print_json, set_example
from ctctag.data.mixing import PROTOCOLS
from ctctag.experiment.reproduction import Plan, finished_cells, run_experiment, write_report
from ctctag.experiment.reproduction.scores import Results
from ctctag.experiment.reproduction.tables import average_table
from ctctag.experiment.reproduction.wording import caution, origin_of
from ctctag.models import PRESETS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    default = Plan()
    parser.add_argument(
        "events", metavar="EVENTS", help="folder of sound events (see `ctctag mix`), or synthetic"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the experiment")
    parser.add_argument(
        "--noise", default="white", metavar="DIR|white", help="background: recordings, or white noise"
    )
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default=default.protocol,
        help="paper: folds over clips; honest: folds over source recordings, before mixing",
    )  # fmt: skip
    parser.add_argument(
        "--systems", nargs="+", choices=default.systems, default=list(default.systems), help="which systems"
    )
    parser.add_argument("--clips", type=int, metavar="N", help=f"clips to mix (default: {default.clips})")
    parser.add_argument("--folds", type=int, metavar="K", help=f"number of folds (default: {default.folds})")
    parser.add_argument(
        "--sample-rate", type=int, metavar="HZ", help="of clips and features (default: the protocol's)"
    )
    parser.add_argument("--preset", choices=tuple(PRESETS), help="size of the networks (default: small)")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="epochs of a training (default: the protocol's)"
    )
    parser.add_argument(
        "--fresh", type=int, metavar="N",
        help="train on N clips mixed anew for every epoch; 0: on the fixed clips (default: the protocol's)",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cells at a time (needs joblib)")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="dask scheduler whose workers train the cells, tcp://HOST:PORT"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small and short: see in minutes that everything works; not a replication",
    )
    parser.add_argument(
        "--report-only", action="store_true", help="train nothing, write the report of the finished cells"
    )
    add_common(parser, seed=default.seed)
    set_example(
        parser,
        "ctctag reproduce synthetic out --quick",
        "ctctag reproduce recordings/events out --jobs 2",
        "ctctag reproduce recordings/events honest --protocol honest --noise recordings/background",
        "",
        "Interrupted, it goes on where it was: give the same command again.",
    )


def run(args: argparse.Namespace) -> int:
    """Run what is left of the experiment, write the report, print the table."""
    started = time.perf_counter()
    if not args.report_only:
        with (
            progress_bar("mix", "clips", quiet=args.quiet) as on_mix,
            progress_bar("features", "clips", quiet=args.quiet) as on_features,
        ):
            run_experiment(
                _plan(args),
                args.out,
                args.events,
                args.noise,
                jobs=args.jobs,
                scheduler=args.scheduler,
                quiet=args.quiet,
                on_mix=on_mix,
                on_features=on_features,
            )
    with progress_bar("report", "parts", quiet=args.quiet) as on_report:
        page = write_report(args.out, progress=on_report)
    plan = Plan.read(args.out)
    cells = finished_cells(plan, args.out)
    results = Results(cells, plan.cells, caution(plan, origin_of(cells, args.out, plan)))
    if args.json:
        print_json(results.to_dict())
        return 0
    print(average_table(results))
    seconds = time.perf_counter() - started
    print(f"{len(results.cells)} of {len(plan.cells)} cells are finished, {seconds:.0f} s; report: {page}")
    return 0


def _plan(args: argparse.Namespace) -> Plan:
    def given(*names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(args, name)) is not None}

    make = Plan.quick if args.quick else Plan.of_protocol
    options = given("clips", "folds", "seed") | {"systems": tuple(args.systems), "sr": args.sample_rate}
    return make(args.protocol, given("preset", "epochs", "fresh"), **options)
