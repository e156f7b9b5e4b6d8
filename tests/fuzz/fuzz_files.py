"""Damaged files of every kind that is read: ``python fuzz_files.py CASES [SEED]``.

Each case damages a valid file (bytes changed, cut, doubled, moved, numbers blown up) and reads it. The law:
it is read, or an error of ours names it; no other error, no more memory than a bound (``RLIMIT_AS``).
"""

import re
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import soundfile

from ctctag.audio import LogMel, Standardiser, audio_info, read_audio
from ctctag.data import read_folds, read_sequential, read_strong, read_weak
from ctctag.data.toml import read_toml
from ctctag.exceptions import CtctagError
from ctctag.models import TrainedModel, build, load_model, save_model

TABLES = {
    "sequential.tsv": (read_sequential, "filename\tevent_sequence\na.wav\tknock,speech\nb.wav\t\n"),
    "strong.tsv": (
        read_strong,
        "filename\tonset\toffset\tevent_label\na.wav\t0.5\t1.25\tknock\nb.wav\t\t\t\n",
    ),
    "weak.csv": (read_weak, 'filename,event_labels\na.wav,"knock,speech"\nb.wav,phone\n'),
    "folds.tsv": (read_folds, "filename\tfold\na.wav\t1\nb.wav\t2\n"),
}
SETTINGS = 'classes = ["knock", "speech"]\nsample_rate = 16000\n[mix]\nseed = 3\nsnr_db = [10.0, 25.0]\n'


def make(folder):
    """Write one valid file of each kind; return what reads each, by its path."""
    readers = {}
    for name, (read, text) in TABLES.items():
        (folder / name).write_text(text, encoding="utf-8")
        readers[folder / name] = read
    (folder / "dataset.toml").write_text(SETTINGS, encoding="utf-8")
    readers[folder / "dataset.toml"] = read_toml
    sound = 0.1 * np.random.default_rng(0).standard_normal(4000)
    for name in ("sound.wav", "sound.flac", "sound.ogg", "sound.mp3", "sound.aiff"):
        soundfile.write(folder / name, sound, 16000)
        readers[folder / name] = lambda path: (audio_info(path), read_audio(path))
    log_mel = LogMel(n_mels=16)
    scale = Standardiser.fit([np.random.default_rng(0).standard_normal((9, 16)).astype(np.float32)])
    model = TrainedModel(build("crmp", n_classes=2, preset="tiny", n_mels=16), ("a", "b"), log_mel, scale)
    save_model(folder / "model.npz", model)
    readers[folder / "model.npz"] = load_model
    return readers


def damage(content, rng):
    """Return the bytes of a file after one to three accidents."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
        match rng.integers(6):
            case 0 if data:  # some bytes change, mostly those of a header
                for place in rng.integers(0, min(len(data), int(rng.choice([64, 512, len(data)]))), 3):
                    data[place] = int(rng.integers(256))
            case 1:
                del data[end:]
            case 2:
                del data[at : min(end, at + 200)]
            case 3:
                data[at:at] = data[at : min(end, at + 500)]
            case 4:
                data[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 40)), dtype=np.uint8))
            case _:  # a number of too many digits, brackets in brackets
                found = [m.start() for m in re.finditer(rb"\d", bytes(data[:4096]))]
                if found:
                    data[int(rng.choice(found))] = int(rng.integers(48, 58))
                    data[int(rng.choice(found)) : 0] = rng.choice([b"9" * 400, b"[" * 3000, b"-", b"1e308"])
    return bytes(data)


def check(readers, seed):
    """Damage one file, read it, and put it back; raise AssertionError if the law is broken."""
    rng = np.random.default_rng([seed, 21])
    path = sorted(readers)[int(rng.integers(len(readers)))]
    content = path.read_bytes()
    path.write_bytes(damage(content, rng))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            readers[path](path)
    except CtctagError as error:
        if str(path) not in str(error):
            raise AssertionError(f"{path.name}: not named in {error}") from error
    finally:
        path.write_bytes(content)


def main(cases, seed=0):
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, resource.RLIM_INFINITY))
    except (ImportError, ValueError):
        print("no bound on memory here")
    started, wrong = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        readers = make(Path(folder))
        for case in range(seed, seed + cases):
            try:
                check(readers, case)
            except Exception as error:
                wrong += 1
                print(f"seed {case}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"| files | {cases} | {seed} | {wrong} | {time.perf_counter() - started:.0f} s |")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
