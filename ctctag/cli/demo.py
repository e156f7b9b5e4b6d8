"""``ctctag demo``."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from ctctag._progress import progress_bar
from ctctag.cli._common import add_common, print_json, set_example
from ctctag.experiment.demo import Demo, run_demo, system_table
from ctctag.experiment.evaluation import arrows

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "--out", type=Path, default=Path("ctctag-demo"), metavar="DIR", help="folder for everything"
    )
    parser.add_argument("--clips", type=int, default=480, metavar="N", help="clips to mix")
    parser.add_argument("--epochs", type=int, default=40, metavar="N", help="epochs of each training")
    add_common(parser)
    set_example(parser, "ctctag demo", "ctctag demo --out somewhere --seed 7")


def run(args: argparse.Namespace) -> int:
    """Run the demonstration, print its table and some clips."""
    with contextlib.ExitStack() as bars:
        demo = run_demo(
            args.out,
            clips=args.clips,
            epochs=args.epochs,
            seed=args.seed,
            on_stage=None if args.quiet else lambda line: print(line, file=sys.stderr, flush=True),
            on_progress=_bars(bars, args.quiet),
        )
    if args.json:
        print_json({system: result.scores for system, result in demo.results.items()})
        return 0
    _print(demo, args.out)
    return 0


def _bars(stack: contextlib.ExitStack, quiet: bool) -> Callable[[str, int, int], None]:
    """Return a function that shows one bar at a time, by the name of the stage."""
    current = ""
    update: Callable[[int, int], None] = lambda done, total: None  # noqa: E731

    def show(stage: str, done: int, total: int) -> None:
        nonlocal current, update
        if stage != current:
            stack.close()
            current, update = stage, stack.enter_context(progress_bar(stage, quiet=quiet))
        update(done, total)
        if done >= total:
            stack.close()
            current = ""

    return show


def _print(demo: Demo, out: Path) -> None:
    print(f"\n{system_table(demo.results)}\n")
    print("what CRNN-CTC heard in clips it was not trained on, truth → heard:")
    for clip in demo.results["crnn-ctc"].clips[:5]:
        mark = "right" if clip.truth == clip.heard else "WRONG"
        print(f"  {mark}  {arrows(clip.truth, ', ')}  →  {arrows(clip.heard, ', ')}")
    print(f"\n{demo.seconds:.0f} s in all. ", end="")
    if demo.report_path is not None:
        print(f"Report with pictures: {demo.report_path}")
    else:
        print("For a report with pictures: pip install 'ctctag[plot]'")
    print(f"next: ctctag tag --model {out / 'runs' / 'crnn-ctc'} SOUNDFILE")
