"""Train the weights that ``ctctag tag`` ships with, and write their figures.

    python examples/train_shipped_weights.py RECORDINGS OUT

RECORDINGS holds ``events/<class>/``, ``background/`` and a ``manifest.csv`` whose ``license`` column says
what may be used: whatever is marked non-commercial is left out of training. Recordings of fold 1 are never
trained on; the model is measured on mixtures of them. An interrupted training goes on where it was: call it
again.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from ctctag.audio import LogMel, read_audio, resample, write_audio
from ctctag.data import (
    Augment,
    Dataset,
    Features,
    Mixer,
    NoiseSource,
    RecordedNoise,
    RecordedSource,
    WhiteNoise,
    mix_dataset,
    open_source,
)
from ctctag.experiment import class_table, evaluate_model, summary_lines
from ctctag.models import save_model
from ctctag.models.files import versions
from ctctag.training import Clips, FreshClips, RunFolder, SpectrogramMasks, Trainer, TrainingConfig

FOLDS, TEST_FOLD, TRAINING_FOLDS = 4, 1, (2, 3, 4)
SR = 32000
NARROW = SR // 2


class WhiteOrRecorded(NoiseSource):
    """White noise for half of the clips, recorded backgrounds for the others."""

    def __init__(self, recorded):
        self.white, self.recorded = WhiteNoise(), recorded
        self.name = f"white or {recorded.name}"

    def _of(self, key):
        return self.white if key == self.white.name else self.recorded

    def draw(self, rng, sr, folds=None):
        return (self.white if rng.random() < 0.5 else self.recorded).draw(rng, sr, folds)

    def render(self, key, start, n_samples, sr, seed):
        return self._of(key).render(key, start, n_samples, sr, seed)

    def source_id(self, key):
        return self._of(key).source_id(key)

    def with_folds(self, folds, seed):
        return WhiteOrRecorded(self.recorded.with_folds(folds, seed))

    def preload(self, sr):
        self.recorded.preload(sr)


def allowed(recordings):
    """Return the recordings whose licence permits any use."""
    return [recording for recording in recordings.values() if "NC" not in recording.license]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--clips-per-epoch", type=int, default=2400)
    parser.add_argument("--test-clips", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    everything = open_source(args.recordings / "events")
    events = RecordedSource(everything.root, allowed(everything.recordings))
    background = args.recordings / "background"
    noise = WhiteOrRecorded(RecordedNoise(background, allowed(RecordedNoise(background).recordings)))
    mixer = Mixer(events, noise=noise, sr=SR, events_per_clip=(2, 5)).with_folds(FOLDS)
    mixer.preload()
    config = TrainingConfig(
        system="crnn-ctc",
        preset="small",
        epochs=args.epochs,
        patience=args.epochs,
        weight_decay=1e-3,
        ema=0.998,
        tag_weight=2.0,
        blank_penalty=0.5,
        decoder="beam",
        shifts=3,
        seed=args.seed,
    )

    log_mel = LogMel.at_rate(SR)
    training = FreshClips(
        mixer,
        log_mel,
        args.clips_per_epoch,
        folds=TRAINING_FOLDS,
        augment=Augment(snr_db=(5.0, 30.0)),
        masks=SpectrogramMasks(),
        narrow=1 / 3,
        seed=args.seed,
    )
    # The best epoch is chosen on clips of the training folds: the test fold is read once, at the end.
    chosen_on = mixed(args.out / "validation", mixer, args, seed=2000)
    features = Features.build(chosen_on, log_mel)
    held = chosen_on.split(TEST_FOLD)[0][::8]
    validation = Clips(features, chosen_on.label_sets_or_sequences(), training.standardiser, held)

    network = config.build_network(len(mixer.classes), log_mel.n_mels)
    trainer = Trainer(network, config, training, validation)
    folder = RunFolder(args.out / "run")
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.resume(trainer)
    while not trainer.finished:
        print(json.dumps(trainer.run_epoch()), flush=True)
        folder.save(trainer)

    info = {
        "training": config.to_dict(),
        "epochs": trainer.epoch,
        "clips_per_epoch": args.clips_per_epoch,
        "versions": versions(),
        "test": {},
    }
    model = trainer.best_model(mixer.classes, log_mel, info)
    backgrounds = mixed(args.out / "over backgrounds", Mixer(events, noise=background), args, seed=1000)
    tests = {
        "Over real backgrounds": backgrounds,
        f"The same at {NARROW} Hz": narrowed(backgrounds, args.out / "narrow"),
        "Over white noise": mixed(args.out / "over white noise", Mixer(events), args, seed=1000),
    }
    figures = []
    for name, dataset in tests.items():
        result = evaluate_model(model, dataset, fold=TEST_FOLD)
        model.info["test"][name] = result.scores
        figures += [f"## {name}", class_table(result).to_markdown(), "\n".join(summary_lines(result))]
    save_model(args.out / "office16.npz", model)
    (args.out / "figures.md").write_text("\n\n".join(figures) + "\n")
    print("\n\n".join(figures))


def mixed(path, mixer, args, seed):
    """Return clips to choose or to test by, mixed if need be: one to four events over noise at 20 dB."""
    if not path.exists():
        mix_dataset(
            mixer.source, path, noise=mixer.noise, sr=SR, clips=FOLDS * args.test_clips, folds=FOLDS,
            protocol="honest", seed=args.seed + seed,
        )  # fmt: skip
    return Dataset.open(path)


def narrowed(dataset, path):
    """Return the clips as if recorded at half the rate, made if need be."""
    if not path.exists():
        shutil.copytree(dataset.path, path)
        for file in path.glob("audio/*"):
            samples, _ = read_audio(file, sr=NARROW)
            write_audio(file, np.clip(resample(samples, NARROW, SR), -1, 1), SR)  # it may overshoot
    return Dataset.open(path)


if __name__ == "__main__":
    main()
