"""The top of the command line: sub-commands, ``--config``, exit codes."""

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ctctag import __version__
from ctctag._progress import plain_output, printable
from ctctag._reading import reading
from ctctag.exceptions import CtctagError, ParameterError

__all__ = ["main"]

# One module a command, imported when its command is run: `ctctag --help` costs no Numba.
_COMMANDS = {
    "demo": "mix synthetic clips, train the four systems, print one table and write a report",
    "mix": "make sequentially labelled clips from a folder of sound events",
    "train": "train one system on a data set",
    "evaluate": "measure a trained system on its test fold",
    "tag": "tag sound files: what is heard, in which order, when",
    "reproduce": "run the paper's experiment: four systems, all folds, tables and figures beside the paper's",
    "doctor": "check this installation, and a data set",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 1 (failed) or 2 (usage).

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``ctctag``; by default what the process was called with.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with plain_output():
        return _main(arguments)


def _main(arguments: list[str]) -> int:
    try:
        args = _parse(arguments)
        with _terminated_like_interrupted(), _notes_in_one_line():
            status = args.run(args) or 0
        sys.stdout.flush()  # a reader that has gone away is noticed here, not at exit
        return status
    except ParameterError as error:
        print(f"ctctag: {printable(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # pragma: no cover - the reader has gone away, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CtctagError, OSError) as error:
        print(f"ctctag: {printable(error)}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(
            f"ctctag: this takes more memory than there is ({str(error) or 'no more is known'}); smaller "
            "batches, fewer jobs or threads, or shorter clips take less",
            file=sys.stderr,
        )
        return 1
    except RecursionError:
        print("ctctag: an input is nested too deeply to be read", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ctctag: interrupted", file=sys.stderr)
        return 130


@contextlib.contextmanager
def _notes_in_one_line() -> Iterator[None]:
    """Show warnings as sentences, without the line of the program that they come from."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *place, **options: f"ctctag: note: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: the processes of several jobs end with the one that began them."""
    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ctctag",
        description="Audio tagging with sequentially labelled data, by CRNN-CTC.",
        epilog="Each command has a --help of its own, with an example. Begin with: ctctag demo",
    )
    parser.add_argument("--version", action="version", version=f"ctctag {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=_HelpFormatter,
            allow_abbrev=False,  # --config is looked for before the rest is parsed
        )
        if name == wanted:
            module = importlib.import_module(f"ctctag.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
            command.add_argument(
                "--config", type=Path, metavar="FILE", help="TOML file of defaults for these flags"
            )
            _apply_config(command, arguments)
    return parser.parse_args(arguments)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Show defaults, and examples as they are written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        hidden = default is None or isinstance(default, bool | tuple) or default is argparse.SUPPRESS
        if hidden or not action.option_strings:
            return action.help
        return super()._get_help_string(action)


def _apply_config(command: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Make the values of ``--config FILE`` the defaults of the flags, so that flags go before the file."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    path = finder.parse_known_args(arguments)[0].config
    if path is None:
        return
    with reading(path, ParameterError, "not a TOML file ({})"):
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))

    flags = {action.dest: action for action in command._actions if action.option_strings}
    flags.pop("help")
    flags.pop("config")
    defaults = {}
    for key, value in values.items():
        dest = key.replace("-", "_")
        if dest not in flags:
            known = ", ".join(name.replace("_", "-") for name in flags)
            raise ParameterError(f"{path}: {key!r} is no flag of this command; there are {known}")
        defaults[dest] = _converted(path, key, flags[dest], value)
        flags[dest].required = False
    command.set_defaults(**defaults)


def _converted(path: Path, key: str, action: argparse.Action, value: Any) -> Any:
    """Return a value of the file as the flag itself would have read it."""
    if isinstance(action, argparse._StoreTrueAction):
        if not isinstance(value, bool):
            raise ParameterError(f"{path}: {key} must be true or false, got {value!r}")
        return value
    convert = action.type if callable(action.type) else str
    with reading(path, ParameterError, f"{key} is not usable: {{}}"):  # a number may be too long to be shown
        shown = repr(value)
    try:
        result = convert(str(value))
    except (argparse.ArgumentTypeError, TypeError, ValueError, OverflowError) as error:
        raise ParameterError(f"{path}: {key} = {shown} is not usable: {error}") from None
    if action.choices is not None and result not in action.choices:
        raise ParameterError(f"{path}: {key} must be one of {', '.join(action.choices)}, got {value!r}")
    return result
