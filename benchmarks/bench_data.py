"""The data room: clips mixed a second, a data set of 7.1 hours written, its features, and the memory.

``python benchmarks/bench_data.py [--events DIR] [--clips 2556] [--rounds 5] [--json FILE]``

Events and backgrounds come from ``--events`` (a folder with ``events/`` and ``background/``), else from
``CTCTAG_DATA``, else from ``../shared/data``; without any, synthetic events over white noise are timed alone.
First it is checked that a recipe gives its clip again bit for bit; then all recordings are decoded, and clips
are mixed in memory on one thread and on all. The peak memory is that of the whole process. Last, two epochs
of training on fresh augmented mixtures: how many clips a second, and how long the network waited for them.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy

import ctctag
from ctctag._threads import run_tasks
from ctctag.audio import LogMel
from ctctag.data import Augment, Dataset, Features, Mixer, mix_dataset
from ctctag.experiment.machine import processor, software
from ctctag.models import build
from ctctag.optim import AdamW
from ctctag.training import FreshClips, SpectrogramMasks


def peak_megabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def found_events(given: Path | None) -> Path | None:
    beside = Path(__file__).parents[2] / "shared" / "data"
    for folder in (given, Path(os.environ.get("CTCTAG_DATA", "")), beside):
        if folder is not None and (folder / "events").is_dir():
            return folder
    return None


def clips_per_second(
    mixer: Mixer, augment: Augment | None, threads: int, clips: int, rounds: int
) -> list[float]:
    ctctag.set_num_threads(threads)
    rates = []
    for round_number in range(rounds + 1):
        start = time.perf_counter()
        run_tasks(lambda index, n=round_number: mixer.mix([n, index], augment=augment), range(clips))
        rates.append(clips / (time.perf_counter() - start))
    return rates[1:]  # the first round warms up


def check(mixer: Mixer, augment: Augment | None) -> None:
    for index in range(5):
        clip = mixer.mix([0, index], augment=augment)
        if not (mixer.render(clip.parts) == clip.samples).all():
            raise SystemExit("the recipe does not give its clip again: nothing is timed")


def fresh_epochs(events: str | Path, noise: str | Path, preset: str, clips: int = 480) -> dict[str, float]:
    """Train two epochs on fresh clips; return the speed of the second, and the part of it spent waiting."""
    mixer = Mixer(events, noise=noise)
    mixer.preload()
    fresh = FreshClips(mixer, LogMel(), clips, augment=Augment(), masks=SpectrogramMasks())
    network = build("crnn-ctc", len(mixer.classes), preset, seed=0)
    optimiser = AdamW(network.params, lr=1e-4)
    for epoch in range(2):
        waited, start = 0.0, time.perf_counter()
        batches = fresh.shuffled(32, 0, epoch)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            _, grads = network.loss_and_grads(batch.x, batch.targets, batch.lengths)
            optimiser.step(grads)
        seconds = time.perf_counter() - start
    share = waited / seconds
    print(f"{preset}: {clips / seconds:.0f} fresh clips a second, {share:.1%} of the time waiting for data")
    return {"clips_per_second": clips / seconds, "waiting": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=Path, help="folder with events/ and background/")
    parser.add_argument("--clips", type=int, default=2556, help="clips of the data set (default: 2556)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of mixing, the median counts (default: 5)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()

    folder = found_events(options.events)
    threads = ctctag.get_num_threads()
    versions = {"ctctag": ctctag.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
    said = software(versions)
    print(f"{processor()}, {threads} threads; {said}")

    sources = {"synthetic, white noise": ("synthetic", "white")}
    if folder is not None:
        sources = {
            "recordings, white noise": (folder, "white"),
            "recordings, recorded noise": (folder, folder / "background"),
            **sources,
        }
    print("\nclips of 10 s mixed a second (median, least, most)")
    mixing = []
    for name, (events, noise) in sources.items():
        mixer = Mixer(events, noise=noise)
        mixer.preload()
        for what, augment in (("", None), (", augmented", Augment())):
            check(mixer, augment)
            for number in sorted({1, threads}):
                rates = clips_per_second(mixer, augment, number, 100, options.rounds)
                row = {
                    "source": name + what,
                    "threads": number,
                    "clips_per_second": statistics.median(rates),
                    "least": min(rates),
                    "most": max(rates),
                }
                mixing.append(row)
                print(
                    f"{row['source']:<40} {number} thread{'s' * (number > 1):<2}"
                    f" {row['clips_per_second']:7.0f} {row['least']:7.0f} {row['most']:7.0f}"
                )
    ctctag.set_num_threads(threads)

    events, noise = next(iter(sources.values()))
    print("\ntraining on fresh clips, mixed ahead on a thread of their own")
    epochs = {preset: fresh_epochs(events, noise, preset) for preset in ("small", "paper")}
    seconds = {}
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "mixed"

        def timed(name, function):
            start = time.perf_counter()
            result = function()
            seconds[name] = time.perf_counter() - start
            print(f"{name:<40} {seconds[name]:8.2f} s   peak memory so far {peak_megabytes():6.0f} MB")
            return result

        print(f"\na data set of {options.clips} clips of 10 s")
        timed("mix_dataset", lambda: mix_dataset(events, out, noise=noise, clips=options.clips))
        dataset = timed("Dataset.open", lambda: Dataset.open(out))
        timed("Features.build", lambda: Features.build(dataset))
        features = timed("Features.build, cached", lambda: Features.build(dataset))
        order = np.random.default_rng(0).permutation(len(dataset))
        timed(
            "one epoch of batches of 32",
            lambda: [features.batch(b) for b in np.array_split(order, -(-len(order) // 32))],
        )

    if options.json:
        figures = {
            "cpu": processor(),
            "threads": threads,
            "versions": versions,
            "mixing": mixing,
            "clips": options.clips,
            "seconds": seconds,
            "fresh epochs": epochs,
            "peak_megabytes": peak_megabytes(),
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
