"""Log-mel spectrograms of 10-second clips: this package beside librosa.

``python benchmarks/bench_logmel.py [--clips 30] [--rounds 15] [--json FILE]``

Both sides give the same numbers first, or nothing is timed. They then take turns, so that a busy machine
slows both. Librosa is timed in two ways: its one call, which makes the filter bank anew for every clip, and
its parts with the filter bank made once. The last columns are ours: one thread on one clip after the other;
all threads, each clip divided among them; and the peak memory one clip takes beyond its input and output.
"""

import argparse
import json
import platform
import statistics
import time
import tracemalloc
from pathlib import Path

import numpy as np
import scipy

import ctctag
from ctctag.audio import LogMel
from ctctag.experiment.machine import processor

SR = 16000
LOG_MEL = LogMel()


def librosa_ways():
    import librosa

    options = {"n_fft": 1024, "hop_length": 664, "window": "hamming", "center": False}
    bank = librosa.filters.mel(sr=SR, n_fft=1024, n_mels=64, fmin=50, fmax=8000)

    def one_call(samples):
        mel = librosa.feature.melspectrogram(
            y=samples, sr=SR, power=1, n_mels=64, fmin=50, fmax=8000, **options
        )
        return np.log(mel + 1e-8).T

    def parts(samples):
        return np.log(bank @ np.abs(librosa.stft(samples, **options)) + np.float32(1e-8)).T

    return {"librosa, one call": one_call, "librosa, bank kept": parts}, librosa.__version__


def with_threads(number):
    def run(samples):
        ctctag.set_num_threads(number)
        return LOG_MEL(samples)

    return run


def peak_memory(function, samples):
    function(samples)
    tracemalloc.start()
    kept = function(samples)
    peak = tracemalloc.get_traced_memory()[1] - kept.nbytes
    tracemalloc.stop()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=30, help="clips a round (default: 30)")
    parser.add_argument(
        "--rounds", type=int, default=15, help="rounds, of which the median counts (default: 15)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()

    threads = ctctag.get_num_threads()
    clips = np.random.default_rng(0).uniform(-0.3, 0.3, (options.clips, 10 * SR)).astype(np.float32)
    ways, version = librosa_ways()
    ways["ctctag, 1 thread"] = with_threads(1)
    ways[f"ctctag, {threads} threads"] = with_threads(threads)

    expected = ways["librosa, one call"](clips[0])
    worst = {}
    for name, way in ways.items():
        worst[name] = float(np.abs(way(clips[0]) - expected).max())
        if not worst[name] < 5e-5:
            raise SystemExit(f"{name} differs from librosa by {worst[name]:g}: nothing is timed")

    taken = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            for clip in clips:
                way(clip)
            taken[name].append((time.perf_counter() - begin) / len(clips))

    print(f"{processor()}, {threads} threads; Python {platform.python_version()}, ", end="")
    print(
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, librosa {version}, ctctag {ctctag.__version__}"
    )
    print(f"log-mel of 10 s at 16 kHz, 240 frames of 64 bands; median of {options.rounds} rounds\n")
    print(f"{'':24}{'ms a clip':>10}{'spread':>8}{'clips/s':>9}{'speed':>7}{'peak MB':>9}{'differs by':>12}")
    median = {name: statistics.median(times) for name, times in taken.items()}
    rows = {}
    for name, way in ways.items():
        low, _, high = statistics.quantiles(taken[name], n=4)
        row = {
            "ms": 1e3 * median[name],
            "spread": (high - low) / median[name],
            "clips_per_s": 1 / median[name],
            "speed": median["librosa, one call"] / median[name],
            "speed_beside_bank_kept": median["librosa, bank kept"] / median[name],
            "peak_mb": peak_memory(way, clips[0]) / 1e6,
            "differs_by": worst[name],
        }
        rows[name] = row
        print(
            f"{name:24}{row['ms']:10.3f}{row['spread']:8.1%}{row['clips_per_s']:9.0f}{row['speed']:6.1f}x"
            f"{row['peak_mb']:9.2f}{row['differs_by']:12.1e}"
        )
    if options.json:
        versions = {"numpy": np.__version__, "scipy": scipy.__version__, "librosa": version}
        result = {"cpu": processor(), "threads": threads, "versions": versions, "rows": rows}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
