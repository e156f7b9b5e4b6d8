"""What `ctctag tag` prints of good files and bad ones, to whatever output there is."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from ctctag._progress import plain_output, printable
from ctctag.audio import write_audio
from ctctag.cli import main
from ctctag.data import SyntheticSource

NOISE = 0.1 * np.random.default_rng(0).standard_normal(32000)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Return a clip in which the shipped weights hear two events or more."""
    source, rng = SyntheticSource(), np.random.default_rng(0)
    samples = 0.0005 * rng.standard_normal(6 * 32000)
    for place, label in enumerate(("alert", "doorslam", "phone")):
        event = source.load(source.draw(label, rng), 32000)[:40000]
        samples[16000 + 48000 * place :][: event.size] += 0.3 * event / np.abs(event).max()
    path = tmp_path_factory.mktemp("clips") / "clip.flac"
    write_audio(path, samples, 32000)
    return path


@pytest.mark.parametrize(
    ("encoding", "arrow"), [("cp1252", "->"), ("ascii", "->"), ("latin-1", "->"), ("utf-8", "→")]
)
def test_arrows_where_the_encoding_has_none(clip, encoding, arrow):
    out = run(clip, PYTHONIOENCODING=encoding).stdout.decode(encoding)
    assert re.search(rf"\n  order: \w+ {arrow} \w+", out)


def run(*paths, **environment):
    result = subprocess.run(
        [sys.executable, "-m", "ctctag", "tag", *map(os.fspath, paths)],
        env={**os.environ, **environment},
        capture_output=True,
    )
    assert b"Traceback" not in result.stderr
    return result


def test_output_is_left_as_it_was(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    with plain_output():
        print("a → b\udcff − ж")
    assert stream.errors == "strict"
    stream.flush()
    assert stream.buffer.getvalue().decode("cp1252").rstrip() == r"a -> b\udcff - \u0436"
    with pytest.raises(UnicodeEncodeError):
        print("→", file=stream, flush=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Tür, 2×.flac", "Tür, 2×.flac"),
        ("a\x1b[31mb\nc\td\x9b", r"a\x1b[31mb\nc\td\x9b"),
        ("a\udcffb", r"a\udcffb"),
        ("a\u202egnp.wav\u2028", r"a\u202egnp.wav\u2028"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert printable(text) == shown


@pytest.mark.skipif(os.name != "posix", reason="such names are not allowed here")
def test_names_with_control_characters_and_odd_bytes(clip, tmp_path, capsys):
    for name, shown in ((b"a\x1b[2J\n.flac", r"a\x1b[2J\n.flac"), (b"t\xfcr.flac", r"t\udcfcr.flac")):
        path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
        with open(path, "wb") as file:
            file.write(clip.read_bytes())
        missing = path.replace(".flac", "-not.flac")
        assert main(["tag", path, missing]) == 1
        out, err = capsys.readouterr()
        assert out.startswith(f"{tmp_path}/{shown}  (6.0 s)\n")
        assert err.startswith(
            f"ctctag: {tmp_path}/{shown.replace('.flac', '-not.flac')}: there is no such file"
        )
        assert err.count("\n") == 1
        assert main(["tag", "--json", path]) == 0
        out = capsys.readouterr().out
        assert shown.replace(r"\x1b", r"\u001b") in out
        assert json.loads(out)[0]["file"] == path
        result = run(path, PYTHONIOENCODING="utf-8:strict")
        assert shown in result.stdout.decode()


def test_no_bad_file_stops_the_others(tmp_path, capsys):
    names = ["loud.wav", "rate.wav", "short.wav", "text.wav", "no.wav", "folder", "empty.wav", "good.wav"]
    paths = {name: tmp_path / name for name in names}
    soundfile.write(paths["loud.wav"], (NOISE * 1e30).astype("f4"), 32000, subtype="FLOAT")
    write_audio(paths["rate.wav"], NOISE, 16000)
    content = bytearray(paths["rate.wav"].read_bytes())
    content[24:28] = (2147483629).to_bytes(4, "little")
    paths["rate.wav"].write_bytes(content)
    write_audio(paths["short.wav"], NOISE[:10], 16000)
    paths["text.wav"].write_text("text")
    paths["folder"].mkdir()
    paths["empty.wav"].touch()
    write_audio(paths["good.wav"], NOISE, 32000)
    if hasattr(os, "mkfifo"):
        names.insert(0, "pipe.wav")
        paths["pipe.wav"] = tmp_path / "pipe.wav"
        os.mkfifo(paths["pipe.wav"])
    assert main(["tag", *(str(paths[name]) for name in names)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{paths['good.wav']}  (1.0 s)")
    lines = err.splitlines()
    assert len(lines) == len(names) - 1
    for line, name in zip(lines, names, strict=False):
        assert line.startswith(f"ctctag: {paths[name]}: ")


def test_memory_that_runs_out_for_one_file_does_not_stop_the_others(clip, tmp_path, monkeypatch, capsys):
    from ctctag import Tagger

    tag = Tagger.tag

    def greedy(self, path):
        if "long" in path:
            raise MemoryError
        return tag(self, path)

    monkeypatch.setattr(Tagger, "tag", greedy)
    assert main(["tag", "long.wav", str(clip)]) == 1
    out, err = capsys.readouterr()
    assert err == "ctctag: long.wav: there is not enough memory\n"
    assert out.startswith(str(clip))


def test_channels_that_cancel_are_named(tmp_path, capsys):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([NOISE, -NOISE], axis=1), 32000)
    assert main(["tag", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(str(path))
    assert err.startswith(f"ctctag: {path}: its channels cancel: ")


def test_training_names_the_file_that_is_too_loud(tmp_path, capsys):
    (tmp_path / "audio").mkdir()
    for name in "abc":
        write_audio(tmp_path / "audio" / f"{name}.wav", NOISE, 16000)
    loud = tmp_path / "audio" / "b.wav"
    soundfile.write(loud, (NOISE * 1e30).astype("f4"), 16000, subtype="FLOAT")
    (tmp_path / "sequential.tsv").write_text("filename\tevent_sequence\na.wav\tx\nb.wav\ty\nc.wav\tx\n")
    train = ["train", str(tmp_path), "--out", str(tmp_path / "run"), "--fold", "0", "--preset", "tiny"]
    assert main(train) == 1
    assert f"ctctag: {loud}: its samples reach " in capsys.readouterr().err


def test_shifts_beyond_a_hop_are_refused(small_run, small_data, tmp_path, capsys):
    message = "must be at least 1 and at most 9, got 8000: shifts are a quarter of a hop apart"
    assert main(["evaluate", str(small_run), "--shifts", "8000"]) == 2
    assert message in capsys.readouterr().err
    train = ["train", str(small_data), "--out", str(tmp_path / "run"), "--shifts", "8000"]
    assert main(train) == 2
    assert f"shifts {message}" in capsys.readouterr().err
