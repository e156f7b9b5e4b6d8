"""Train the weights that ``ctctag tag`` ships with, and write their figures.

    python examples/train_shipped_weights.py RECORDINGS OUT

RECORDINGS holds ``events/<class>/`` and a ``manifest.csv`` whose ``license`` column says what may be used:
whatever is marked non-commercial is left out. Recordings of fold 1 are never trained on; the model is
measured on mixtures of them. An interrupted training goes on where it was: call it again.
"""

import argparse
import json
from pathlib import Path

from ctctag.audio import LogMel
from ctctag.data import (
    Augment,
    Dataset,
    Features,
    Mixer,
    RecordedSource,
    mix_dataset,
    open_source,
)
from ctctag.experiment import class_table, evaluate_model, summary_lines
from ctctag.models import TrainedModel, build, save_model
from ctctag.models.files import versions
from ctctag.training import Clips, FreshClips, RunFolder, SpectrogramMasks, Trainer, TrainingConfig

TEST_FOLD, TRAINING_FOLDS = 1, (2, 3, 4)


def allowed(recordings):
    """Return the recordings whose licence permits any use."""
    return [recording for recording in recordings if "NC" not in recording.license]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--clips-per-epoch", type=int, default=2400)
    parser.add_argument("--test-clips", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    events = open_source(args.recordings / "events")
    events = RecordedSource(events.root, allowed(events.recordings.values()))
    mixer = Mixer(events, noise="white").with_folds(4)
    config = TrainingConfig(
        system="crnn-ctc",
        preset="small",
        epochs=args.epochs,
        patience=args.epochs,
        batch_size=32,
        weight_decay=1e-3,
        ema=0.998,
        seed=args.seed,
    )
    test = args.out / "test"
    if not test.exists():
        mix_dataset(
            events, test, noise="white", clips=4 * args.test_clips, protocol="honest", seed=args.seed + 1000
        )
    dataset = Dataset.open(test)

    log_mel = LogMel()
    training = FreshClips(
        mixer,
        log_mel,
        args.clips_per_epoch,
        folds=TRAINING_FOLDS,
        augment=Augment(snr_db=(5.0, 30.0)),
        masks=SpectrogramMasks(),
        seed=args.seed,
    )
    # Early stopping looks at clips of the training folds: the test fold is read once, at the end.
    features = Features.build(dataset, log_mel)
    held = dataset.split(TEST_FOLD)[0][::8]
    validation = Clips(features, dataset.label_sets_or_sequences(), training.standardiser, held)

    network = build(config.system, len(mixer.classes), config.preset, seed=config.seed)
    trainer = Trainer(network, config, training, validation)
    folder = RunFolder(args.out / "run")
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.resume(trainer)
    while not trainer.finished:
        print(json.dumps(trainer.run_epoch()), flush=True)
        folder.save(trainer)
    trainer.restore_best()

    model = TrainedModel(network, mixer.classes, log_mel, training.standardiser)
    result = evaluate_model(model, dataset, fold=TEST_FOLD)
    model.info = {
        "training": config.to_dict(),
        "epochs": trainer.epoch,
        "clips_per_epoch": args.clips_per_epoch,
        "versions": versions(),
        "test": result.scores,
    }
    save_model(args.out / "office16.npz", model)
    table = class_table(result).to_markdown()
    (args.out / "figures.md").write_text(table + "\n\n" + "\n".join(summary_lines(result)) + "\n")
    print(table)
    print("\n".join(summary_lines(result)))


if __name__ == "__main__":
    main()
