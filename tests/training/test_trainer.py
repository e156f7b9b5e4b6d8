"""The training loop: learning, early stopping, and a resumed run that is the unbroken run."""

import numpy as np
import pytest

from ctctag.audio import Standardiser
from ctctag.exceptions import CtctagError, ModelError
from ctctag.models import build
from ctctag.numerics import softmax
from ctctag.training import ArrayFeatures, Clips, SpectrogramMasks, Trainer, TrainingConfig, predict

N_MELS = 16


def make_clips(number=24, seed=0):
    """Return clips in which label k is a burst in bands 4k to 4k + 3, and their sequences."""
    rng = np.random.default_rng(seed)
    matrices, targets = [], []
    for _ in range(number):
        frames = int(rng.integers(20, 28))
        matrix = rng.standard_normal((frames, N_MELS)).astype(np.float32) * 0.3
        sequence = rng.permutation(3)[: rng.integers(1, 3)]
        for place, label in enumerate(sequence):
            start = 2 + 9 * place
            matrix[start : start + 5, 4 * label : 4 * label + 4] += 2
        matrices.append(matrix)
        targets.append([int(label) for label in sequence])
    return ArrayFeatures(matrices), targets


def make_trainer(**changes):
    settings = {
        "preset": "tiny",
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "schedule": "constant",
        "seed": 1,
        **changes,
    }
    config = TrainingConfig(**settings)
    features, targets = make_clips()
    masks = SpectrogramMasks(max_frames=4, max_bands=3) if config.masks else None
    identity = Standardiser(np.zeros(N_MELS), np.ones(N_MELS))
    network = build(config.system, 3, config.preset, n_mels=N_MELS, seed=config.seed)
    return Trainer(
        network,
        config,
        Clips(features, targets, identity, range(18), masks, config.views),
        Clips(features, targets, identity, range(18, 24)),
    )


def without_speed(history):
    return [
        {key: value for key, value in record.items() if key not in ("clips_per_second", "seconds")}
        for record in history
    ]


@pytest.mark.parametrize("system", ["crnn-ctc", "crmp", "crap", "baseline"])
def test_learns(system):
    trainer = make_trainer(system=system, epochs=25, patience=25)
    while not trainer.finished:
        trainer.run_epoch()
    assert trainer.history[-1]["loss"] < 0.5 * trainer.history[0]["loss"]
    assert trainer.history[trainer.best_epoch - 1]["validation_auc"] > 0.8  # of six clips
    assert ("sequence_error_rate" in trainer.history[0]) == (system == "crnn-ctc")


def test_two_views_learn_and_count_once():
    once, twice = (make_trainer(masks=True, consistency=weight, epochs=25) for weight in (0.0, 0.2))
    first, second = once.run_epoch(), twice.run_epoch()
    assert second["loss"] == pytest.approx(first["loss"], rel=0.2)  # a mean over clips, not over views
    while not twice.finished:
        twice.run_epoch()
    assert twice.history[-1]["validation_auc"] > 0.8
    crmp = [make_trainer(system="crmp", masks=True, consistency=weight) for weight in (0.0, 0.2)]
    assert crmp[0].run_epoch()["loss"] == crmp[1].run_epoch()["loss"]  # it hears each clip once


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"masks": True, "consistency": 0.2},
        {"ema": 0.9, "weight_decay": 1e-3, "schedule": "one-cycle"},
        {"system": "crmp"},
    ],
)
def test_resumed_is_unbroken_bit_for_bit(changes):
    unbroken = make_trainer(**changes)
    for _ in range(4):
        unbroken.run_epoch()

    first = make_trainer(**changes)
    first.run_epoch()
    first.run_epoch()
    arrays, values = first.state_dict()
    saved = {name: array.copy() for name, array in arrays.items()}
    second = make_trainer(**changes)
    second.load_state_dict(saved, values)
    second.run_epoch()
    second.run_epoch()

    assert without_speed(second.history) == without_speed(unbroken.history)
    assert second.best_epoch == unbroken.best_epoch
    theirs, ours = unbroken.state_dict()[0], second.state_dict()[0]
    assert theirs.keys() == ours.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


def test_best_weights_come_back():
    trainer = make_trainer(epochs=6)
    states = []
    for _ in range(6):
        trainer.run_epoch()
        states.append({name: array.copy() for name, array in trainer.network.params.items()})
    trainer.restore_best()
    for name, array in trainer.network.params.items():
        np.testing.assert_array_equal(array, states[trainer.best_epoch - 1][name])


@pytest.mark.parametrize("system", ["crnn-ctc", "crmp"])
def test_penalty_lowers_the_bias_of_the_blank_alone(system):
    plain, penalised = make_trainer(system=system), make_trainer(system=system, blank_penalty=0.5)
    for trainer in (plain, penalised):
        trainer.run_epoch()
        trainer.restore_best()
        trainer.restore_best()  # takes it off once
    expected = {name: array.copy() for name, array in plain.network.params.items()}
    if system == "crnn-ctc":
        expected["dense.bias"][0] -= np.float32(0.5)
    for name, array in penalised.network.params.items():
        np.testing.assert_array_equal(array, expected[name])


def test_early_stopping_counts_from_the_best_epoch():
    trainer = make_trainer(epochs=50, patience=2, learning_rate=1e-12)  # nothing is learned
    while not trainer.finished:
        trainer.run_epoch()
    assert trainer.epoch - trainer.best_epoch == 2
    assert trainer.epoch < 50


def test_a_loss_that_is_not_finite_stops_with_advice():
    trainer = make_trainer()
    trainer.training.targets[:] = [[0] * 30] * 24  # 30 labels in at most 27 frames: no path, an infinite loss
    with pytest.raises(
        CtctagError, match=r"the training loss became inf in epoch 1 \(step 1\): the learning rate"
    ):
        trainer.run_epoch()


def test_checkpoint_of_another_network():
    arrays, values = make_trainer().state_dict()
    other = make_trainer(system="baseline")
    with pytest.raises(ModelError, match=r"^checkpoint: "):
        other.load_state_dict(arrays, values)


def test_blank_mass_is_of_ctcs_own_outputs():
    network = build("crnn-ctc", 3, "tiny", n_mels=N_MELS, seed=1, tag_weight=1.0)
    features, targets = make_clips(6)
    clips = Clips(features, targets, Standardiser(np.zeros(N_MELS), np.ones(N_MELS)), range(6))
    logits = [network.head.ctc_logits(network.forward(x[np.newaxis])[0])[0] for x in features.matrices]
    blanks = np.concatenate([softmax(z)[:, 0] for z in logits])
    assert predict(network, clips, batch_size=4).blank_mass == pytest.approx(blanks.mean(), rel=1e-5)
