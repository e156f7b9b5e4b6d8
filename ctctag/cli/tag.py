"""``ctctag tag``."""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from ctctag._progress import printable
from ctctag.cli._common import add_common, print_json, set_example
from ctctag.exceptions import AudioWarning, CtctagError
from ctctag.models import DECODERS
from ctctag.tagger import Tagger, Tagging

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("audio", nargs="+", metavar="AUDIO", help="sound files: anything libsndfile reads")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="RUN|FILE",
        help="a training run or model file (default: the shipped weights)",
    )
    parser.add_argument(
        "--decoder", choices=DECODERS, help="how CRNN-CTC's scores are read (default: as the model says)"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw spectrogram and frame probabilities (one AUDIO)"
    )
    add_common(parser, seed=None)
    set_example(parser, "ctctag tag clip.wav", "ctctag tag --model runs/ctc1 --json *.flac")


def run(args: argparse.Namespace) -> int:
    """Tag every file; one that cannot be read is reported, the others are tagged all the same."""
    if args.plot and len(args.audio) > 1:
        print(f"ctctag: --plot draws one clip, but {len(args.audio)} were given", file=sys.stderr)
        return 2
    tagger = Tagger.load(args.model) if args.model else Tagger.pretrained()
    if args.decoder:
        tagger.model_.decoder = args.decoder
    failed = False
    results = []
    for path in args.audio:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", AudioWarning)
                tagging = tagger.tag(path)
        except (CtctagError, OSError, MemoryError) as error:
            _complain(path, error)
            failed = True
            continue
        for warning in caught:
            _complain(path, warning.message)
        if args.json:
            results.append(_record(path, tagging))
        else:
            print(_text(path, tagging))
        if args.plot:
            _plot(args.plot, path, tagger, tagging)
    if args.json:
        print_json(results)
    return int(failed)


def _complain(path: str, what: object) -> None:
    """Print an error or a warning of a file to standard error, with the name of the file."""
    text = str(what) or "there is not enough memory"
    named = text if text.startswith(path) else f"{path}: {text}"
    print(f"ctctag: {printable(named)}", file=sys.stderr)


def _text(path: str, tagging: Tagging) -> str:
    lines = [f"{path}  ({tagging.duration:.1f} s)"]
    if not tagging.tags:
        lines.append("  nothing heard")
        return "\n".join(map(printable, lines))
    width = max(len(tag.label) for tag in tagging.tags)
    for number, tag in enumerate(tagging.tags, start=1):
        time = "" if tag.time is None else f"  at {tag.time:6.2f} s"
        lines.append(f"  {number}. {tag.label:<{width}}  {tag.probability:5.3f}{time}")
    if tagging.ordered:
        lines.append(f"  order: {' → '.join(tagging.labels)}")
    return "\n".join(map(printable, lines))


def _record(path: str, tagging: Tagging) -> dict[str, Any]:
    return {
        "file": path,
        "duration": tagging.duration,
        "ordered": tagging.ordered,
        "tags": [
            {"label": tag.label, "probability": tag.probability, "time": tag.time} for tag in tagging.tags
        ],
        "probabilities": tagging.probabilities,
    }


def _plot(out: Path, path: str, tagger: Tagger, tagging: Tagging) -> None:
    from ctctag.audio import read_audio
    from ctctag.experiment.figures import band_centres, plot_tagging, save_figure

    log_mel = tagger.model_.log_mel
    mel = log_mel(read_audio(path, sr=log_mel.sr)[0])
    figure = plot_tagging(
        mel, tagging, tagger.classes_, mel_frequencies=band_centres(log_mel), title=Path(path).name
    )
    save_figure(figure, out)
    print(f"picture in {out}", file=sys.stderr)
