"""The examples run as plain scripts, without a window, and find what they say they find."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, folder: Path) -> str:
    """Run an example in an empty folder, with warnings as errors; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "agg", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir()), "an example leaves files behind"
    return done.stdout


def test_every_example_is_run_here():
    here = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("plot_*.py") if f'"{path.name}"' not in here] == []


def test_labels(tmp_path):
    printed = run("plot_labels.py", tmp_path)
    sequence = re.search(r"sequential: (.*)", printed)[1].split(", ")
    weak = re.search(r"weak: +(.*)", printed)[1].split(", ")
    assert len(sequence) == 3
    assert sorted(sequence) == sorted(weak)
    assert "spectrogram: (240, 64)" in printed


def test_gradient_check(tmp_path):
    printed = run("plot_gradient_check.py", tmp_path)
    assert len(re.findall(r" ok$", printed, re.MULTILINE)) >= 18
    assert len(re.findall(r" WRONG$", printed, re.MULTILINE)) == 3
    assert "passed: False" in printed


def test_crnn_ctc_from_pieces(tmp_path):
    printed = run("plot_crnn_ctc_from_pieces.py", tmp_path)
    epochs = [tuple(map(float, found)) for found in re.findall(r"epoch +(\d+)  loss +([\d.]+)", printed)]
    assert epochs[-1][1] < epochs[0][1] / 5
    right = re.findall(r"exactly right (\d+) of (\d+)", printed)
    assert int(right[0][0]) == 0  # the plateau of blanks
    assert int(right[-1][0]) >= int(right[-1][1]) / 2


def test_own_recordings(tmp_path):
    printed = run("plot_own_recordings.py", tmp_path)
    right, of = map(int, re.search(r"exactly right: (\d+) of (\d+)", printed).groups())
    assert right > of / 2
