import numpy as np
import pytest

from ctctag.audio import write_audio


@pytest.fixture
def write_sound():
    """Write a short tone; returns the path."""

    def write(path, seconds=0.3, sr=16000, pitch=440.0, level=0.5):
        path.parent.mkdir(parents=True, exist_ok=True)
        t = np.arange(round(seconds * sr)) / sr
        write_audio(path, (level * np.sin(2 * np.pi * pitch * t)).astype(np.float32), sr)
        return path

    return write


@pytest.fixture
def events_folder(tmp_path, write_sound):
    """Three classes of four recordings each, 0.2 to 0.5 s, at two sample rates and many levels."""
    root = tmp_path / "events"
    for number, label in enumerate(("bell", "click", "hum")):
        for take in range(4):
            write_sound(
                root / label / f"{label}{take}.wav",
                seconds=0.2 + 0.1 * take,
                sr=(16000, 32000)[take % 2],
                pitch=200.0 * (number + 1) + 20 * take,
                level=0.1 * (take + 1),
            )
    return root


@pytest.fixture
def text(tmp_path):
    """Write a text file of exactly these bytes or characters; returns the path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
