"""``ctctag doctor``."""

import argparse
from pathlib import Path

from ctctag._progress import printable
from ctctag.cli._common import add_common, print_json, set_example
from ctctag.experiment.doctor import examine_data, examine_installation

__all__ = ["add_arguments", "run"]

_MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("data", type=Path, nargs="?", metavar="DATA", help="also examine this data set")
    add_common(parser, seed=None)
    set_example(parser, "ctctag doctor", "ctctag doctor office")


def run(args: argparse.Namespace) -> int:
    """Print every finding; exit code 1 if one is bad."""
    findings = examine_installation()
    if args.data is not None:
        findings += examine_data(args.data)
    if args.json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{_MARKS[finding.state]}  {finding.what}: {printable(finding.detail)}")
            if finding.remedy:
                print(f"      {finding.remedy}")
    return int(any(finding.state == "bad" for finding in findings))
