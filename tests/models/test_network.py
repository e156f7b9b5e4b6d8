"""The four systems as a whole: gradients, padding, shapes, messages."""

import itertools
import re

import numpy as np
import pytest

from ctctag.ctc import ctc_loss
from ctctag.exceptions import ParameterError
from ctctag.gradcheck import check_gradients
from ctctag.losses import consistency_with_logits
from ctctag.models import SYSTEMS, build
from ctctag.models.heads import CTCHead, JointHead, MaxPoolHead

TARGETS = [[2, 0], [1], []]
LENGTHS = [9, 12, 7]


def small_batch(n_mels=16, frames=12):
    x = np.random.default_rng(5).standard_normal((3, frames, n_mels))  # the same in whatever order tests run
    for clip, length in zip(x, LENGTHS, strict=True):
        clip[length:] = np.nan  # padding must not matter
    return x


def frozen(model):
    """Return a function that puts running statistics and dropout counters back."""
    saved = {name: array.copy() for name, array in model.state.items()}

    def restore():
        for name, array in saved.items():
            model.state[name][...] = array

    return restore


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_gradient_of_the_whole_system(system):
    model = build(system, n_classes=3, preset="tiny", n_mels=16, seed=3, dtype=np.float64)
    x = small_batch()
    restore = frozen(model)
    loss, grads = model.loss_and_grads(x, TARGETS, LENGTHS)
    assert grads.keys() == model.params.keys()

    def again():
        restore()
        return model.loss_and_grads(x, TARGETS, LENGTHS)[0]

    assert again() == loss  # the check below needs a function, not a random variable
    report = check_gradients(again, model.params, grads, directions=2, atol=2e-10, verbose=False)
    assert report.max_relative_error < 1e-6


@pytest.mark.parametrize("system", SYSTEMS)
def test_more_padding_changes_nothing(system):
    model = build(system, n_classes=3, preset="tiny", n_mels=16, seed=1)
    restore = frozen(model)
    x = small_batch()
    longer = np.concatenate([x, np.full((3, 5, 16), np.nan)], axis=1)
    loss, grads = model.loss_and_grads(x, TARGETS, LENGTHS)
    probs = model.tag_probs(x, LENGTHS)
    heard = model.decode(x, LENGTHS)
    restore()
    loss_longer, grads_longer = model.loss_and_grads(longer, TARGETS, LENGTHS)
    assert loss_longer == loss
    for name, grad in grads.items():
        np.testing.assert_array_equal(grads_longer[name], grad, err_msg=name)
    np.testing.assert_array_equal(model.tag_probs(longer, LENGTHS), probs)
    assert model.decode(longer, LENGTHS) == heard


@pytest.mark.parametrize("system", SYSTEMS)
def test_shapes_and_probabilities(system):
    model = build(system, n_classes=3, preset="tiny", n_mels=16)
    scores, _ = model.forward(np.zeros((2, 10, 16)))
    assert scores.shape == {"baseline": (2, 3), "crnn-ctc": (2, 10, 4)}.get(system, (2, 10, 3))
    assert scores.dtype == np.float32
    probs = model.tag_probs(np.random.default_rng(5).standard_normal((2, 10, 16)))
    assert probs.shape == (2, 3)
    assert ((probs >= 0) & (probs <= 1)).all()


@pytest.mark.parametrize("system", SYSTEMS)
def test_training_lowers_the_loss_of_one_batch(system):
    from ctctag.optim import Adam

    model = build(system, n_classes=3, preset="tiny", n_mels=16, seed=2)
    x = np.random.default_rng(5).standard_normal((3, 20, 16)).astype(np.float32)
    adam = Adam(model.params, lr=1e-2)
    losses = []
    for _ in range(40):
        loss, grads = model.loss_and_grads(x, TARGETS)
        adam.step(grads)
        losses.append(loss)
    assert losses[-1] < 0.2 * losses[0]


def test_ctc_decodes_what_it_was_overfitted_on():
    from ctctag.optim import Adam

    model = build("crnn-ctc", n_classes=3, preset="tiny", n_mels=16, seed=2)
    x = np.random.default_rng(5).standard_normal((3, 20, 16)).astype(np.float32)
    adam = Adam(model.params, lr=1e-2)
    for _ in range(120):
        adam.step(model.loss_and_grads(x, TARGETS)[1])
    events = model.decode(x)
    assert [[event.label for event in clip] for clip in events] == TARGETS
    for clip in events:
        peaks = [event.peak for event in clip]
        assert peaks == sorted(peaks)
        assert all(event.probability > 0.5 for event in clip)


def test_same_seed_same_network():
    one, two, other = (build("crmp", n_classes=2, preset="tiny", seed=seed) for seed in (7, 7, 8))
    for name, array in one.params.items():
        np.testing.assert_array_equal(array, two.params[name])
    assert any((array != other.params[name]).any() for name, array in one.params.items())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build("ctc"), "system must be one of 'crnn-ctc', 'crmp', 'crap', 'baseline', got 'ctc'"),
        (lambda: build("crmp", preset="big"), "preset must be one of 'paper', 'small', 'tiny', got 'big'"),
        (lambda: build("crmp", n_classes=0), "n_classes must be at least 1, got 0"),
        (lambda: build("crmp", n_mels=8), "n_mels must be at least 16, got 8"),
        (
            lambda: build("crmp", preset="tiny", n_mels=16).forward(np.zeros((2, 5, 15))),
            "x must have shape (N, T, 16), got (2, 5, 15)",
        ),
        (
            lambda: build("crmp", preset="tiny", n_mels=16).forward(np.zeros((2, 5, 16)), [5, 6]),
            "lengths[1] is 6, but must lie in [1, 5]",
        ),
        (
            lambda: build("crmp", 3, preset="tiny", n_mels=16).loss_and_grads(np.zeros((1, 5, 16)), [[0, 3]]),
            "targets[0][1] is 3, but class indices must lie in [0, 3) (the blank is the model's own "
            "business: is the vocabulary off by one?)",
        ),
        (
            lambda: build("crmp", 3, preset="tiny", n_mels=16).loss_and_grads(np.zeros((1, 5, 16)), []),
            "targets has 0 sequences, but x has 1 clips",
        ),
    ],
)
def test_messages(call, message):
    with pytest.raises(ParameterError, match=re.escape(message) + "$"):
        call()


def test_the_beam_hears_what_the_best_path_leaves_out():
    # Two frames, each a blank of 0.6 and class 0 of 0.4: the best path is empty (0.36), but three paths
    # together say class 0 (0.64). Class 1 in the second clip is sure, and both agree.
    head = build("crnn-ctc", n_classes=2, preset="tiny", n_mels=16).head
    logits = np.full((2, 3, 3), -50.0)
    logits[0, :2, :2] = np.log([[0.6, 0.4], [0.55, 0.45]])
    logits[1, :, 0], logits[1, 1] = 0, [-50, -50, 0]
    lengths = np.array([2, 3])
    assert [len(events) for events in head.decode(logits, lengths)] == [0, 1]
    heard, sure = head.decode(logits, lengths, "beam")
    assert [(event.label, event.peak) for event in heard] == [(0, 1)]
    assert heard[0].probability == pytest.approx(1 - 0.6 * 0.55)
    assert sure == head.decode(logits, lengths)[1]


def test_a_network_decodes_as_it_is_told():
    model = build("crnn-ctc", n_classes=3, preset="tiny", n_mels=16, seed=3)
    x = np.random.default_rng(0).standard_normal((4, 30, 16)).astype(np.float32)
    model.params["dense.bias"][0] += 0.3  # not sure of the blank
    scores, _ = model.forward(x)
    lengths = np.full(4, 30)
    assert model.decode(x) == model.head.decode(scores, lengths, "best-path")
    assert model.decode(x, decoder="beam") == model.head.decode(scores, lengths, "beam")
    with pytest.raises(ParameterError, match=re.escape("decoder must be one of 'best-path', 'beam'")):
        model.head.decode(scores, lengths, "greedy")


@pytest.mark.parametrize(("system", "weight"), [*((system, 0.0) for system in SYSTEMS), ("crnn-ctc", 1.0)])
def test_mean_logits_stand_for_the_mean_probabilities(system, weight):
    head = build(system, n_classes=3, preset="tiny", n_mels=16, tag_weight=weight).head
    logits = 20 * np.random.default_rng(0).standard_normal((3, 2, 7, head.n_outputs))
    mean = head.mean_logits(list(logits))
    expected = np.mean([head.frame_probs(z) for z in logits], axis=0)
    np.testing.assert_allclose(head.frame_probs(mean), expected, rtol=1e-12)
    np.testing.assert_array_equal(head.mean_logits([logits[0]]), logits[0])
    sure = np.full((2, 1, 1, head.n_outputs), 800.0)  # exp overflows
    assert np.isfinite(head.mean_logits(list(sure))).all()


def test_joint_loss_is_that_of_both_heads():
    joint = JointHead(3, 0.7)
    logits = np.random.default_rng(0).standard_normal((3, 12, 7))
    loss, dlogits = joint.loss_and_grad(logits, TARGETS, LENGTHS)
    ordered, unordered = joint.split(logits)
    ctc_loss, dordered = CTCHead(3).loss_and_grad(ordered, TARGETS, LENGTHS)
    tag_loss, dtags = MaxPoolHead(3).loss_and_grad(unordered, TARGETS, np.array(LENGTHS))
    assert loss == pytest.approx(ctc_loss + 0.7 * tag_loss, rel=1e-14)
    np.testing.assert_array_equal(dlogits, np.concatenate([dordered, 0.7 * dtags], axis=-1))


def test_every_gradient_of_a_network_that_learns_tags_beside():
    model = build("crnn-ctc", n_classes=3, preset="tiny", n_mels=16, seed=3, tag_weight=2.0, dtype=np.float64)
    x = small_batch()
    restore = frozen(model)
    _, grads = model.loss_and_grads(x, TARGETS, LENGTHS)

    def again():
        restore()
        return model.loss_and_grads(x, TARGETS, LENGTHS)[0]

    report = check_gradients(again, model.params, grads, directions=2, atol=2e-10, verbose=False)
    assert report.max_relative_error < 1e-6


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_two_views_of_each_clip_are_drawn_together(weight):
    model = build("crnn-ctc", 3, preset="tiny", n_mels=16, seed=3, tag_weight=weight, dtype=np.float64)
    x = np.concatenate([small_batch(), small_batch() * 1.1])
    targets, lengths = 2 * TARGETS, np.tile(LENGTHS, 2)
    scores, _ = model.forward(x, lengths)
    distance, gradient = model.head.consistency_and_grad(scores, targets, lengths)
    expected, clips = 0.0, len(TARGETS)
    for n, labels in enumerate(TARGETS):
        one, two = (scores[k, : LENGTHS[n], :4] for k in (n, clips + n))
        parts, *_ = consistency_with_logits(one, two)
        expected += parts / max(len(labels), 1) / clips
    assert distance == pytest.approx(expected, rel=1e-12)
    assert distance > 0
    assert not gradient[0, LENGTHS[0] :].any()
    assert not gradient[..., 4:].any()  # the tags' outputs learn from the labels alone
    np.testing.assert_array_equal(gradient[:clips], -gradient[clips:])


def test_the_distance_of_views_counts_beside_the_loss():
    model = build("crnn-ctc", 3, preset="tiny", n_mels=16, seed=3, dtype=np.float64)
    x = np.concatenate([small_batch(), small_batch() * 1.1])
    targets, lengths = 2 * TARGETS, np.tile(LENGTHS, 2)
    restore = frozen(model)
    losses, grads = {}, {}
    for consistency in (0.0, 0.5, 1.0):
        restore()
        losses[consistency], grads[consistency] = model.loss_and_grads(x, targets, lengths, consistency)
    assert losses[0.0] < losses[0.5] < losses[1.0]
    for name, plain in grads[0.0].items():  # linear in the weight
        np.testing.assert_allclose(grads[0.5][name], (plain + grads[1.0][name]) / 2, atol=1e-12, err_msg=name)
    crmp = build("crmp", 3, preset="tiny", n_mels=16, seed=3)
    restore = frozen(crmp)
    alone, _ = crmp.loss_and_grads(x, targets, lengths)
    restore()
    assert crmp.loss_and_grads(x, targets, lengths, 0.5)[0] == alone


def test_views_must_match():
    model = build("crnn-ctc", 3, preset="tiny", n_mels=16)
    x = np.zeros((3, 20, 16))
    with pytest.raises(
        ParameterError, match="a batch of two views of each clip cannot have 3 clips, which is"
    ):
        model.loss_and_grads(x, [[0]] * 3, consistency=0.1)
    message = (
        "clips 0 and 1 must be two views of one clip, but their targets or lengths differ (all first views"
    )
    with pytest.raises(ParameterError, match=re.escape(message)):
        model.loss_and_grads(x[:2], [[0], [1]], consistency=0.1)
    with pytest.raises(ParameterError, match=re.escape(message)):
        model.loss_and_grads(x[:2], [[0], [0]], [20, 19], consistency=0.1)


def test_outputs_for_tags_leave_what_ctc_says_alone():
    joint = build("crnn-ctc", n_classes=3, preset="tiny", n_mels=16, seed=3, tag_weight=2.0)
    x = np.random.default_rng(0).standard_normal((2, 20, 16)).astype(np.float32)
    scores, lengths = joint.forward(x)[0], np.array([20, 20])
    assert scores.shape[-1] == 7
    alone, plain = joint.head.ctc_logits(scores), CTCHead(3)
    np.testing.assert_array_equal(alone, scores[..., :4])
    assert plain.ctc_logits(alone) is alone
    np.testing.assert_array_equal(joint.tag_probs(x), plain.tag_probs(alone, lengths))
    for decoder in ("best-path", "beam"):
        assert joint.decode(x, decoder=decoder) == plain.decode(alone, lengths, decoder)
    for system in SYSTEMS[1:]:
        assert build(system, 3, "tiny", 16, tag_weight=2.0).head.n_outputs == 3
    with pytest.raises(ParameterError, match=re.escape("tag_weight must be at least 0, got -1")):
        build("crnn-ctc", tag_weight=-1)


def test_rescored_labellings_are_those_that_the_tags_find_likeliest_too():
    # One frame says class 0 (0.5), class 1 (0.3) or nothing (0.2); the tags decide between them.
    head = build("crnn-ctc", n_classes=2, preset="tiny", n_mels=16, tag_weight=1.0).head
    probs = np.log([[[0.2, 0.5, 0.3]]])

    def heard(*tags):
        logits = np.concatenate([probs, [[tags]]], axis=-1)
        return [event.label for event in head.decode(logits, np.array([1]), "rescored")[0]]

    assert heard(0.0, 0.0) == [0]
    assert heard(-0.4, 0.0) == [0]  # 0.5 e^-0.4 > 0.3
    assert heard(-0.6, 0.0) == [1]  # 0.5 e^-0.6 < 0.3
    assert heard(-9.0, -1.3) == [1]  # 0.3 e^(1 - 1.3) > 0.2: one nat for a tag
    assert heard(-9.0, -1.5) == []


def test_rescoring_agrees_with_weighing_every_labelling():
    head = build("crnn-ctc", n_classes=2, preset="tiny", n_mels=16, tag_weight=1.0).head
    rng = np.random.default_rng(4)
    logits, lengths = 2 * rng.standard_normal((20, 4, 5)), np.full(20, 4)
    logits[0, 3], lengths[0] = 99.0, 3  # no valid frame
    labellings = [list(labels) for n in range(5) for labels in itertools.product((1, 2), repeat=n)]
    for n, events in enumerate(head.decode(logits, lengths, "rescored")):
        z = logits[n, : lengths[n]]
        tags = z[:, 3:].max(axis=0) + 1.0
        repeats = [sum(a == b for a, b in itertools.pairwise(labels)) for labels in labellings]
        possible = [
            labels for labels, k in zip(labellings, repeats, strict=True) if len(labels) + k <= len(z)
        ]
        scores = [
            -ctc_loss(z[np.newaxis, :, :3], [labels], reduction="sum") + sum(tags[k - 1] for k in set(labels))
            for labels in possible
        ]
        assert [event.label + 1 for event in events] == possible[int(np.argmax(scores))]
        for event in events:
            assert event.probability == head.tag_probs(logits, lengths)[n, event.label]


def test_rescoring_needs_outputs_for_tags():
    message = (
        "decoder 'rescored' weighs labellings by outputs for the tags, and this network has none: train with "
        "tag_weight (--tag-weight), or read it by 'beam'"
    )
    with pytest.raises(ParameterError, match=re.escape(message)):
        build("crnn-ctc", 3, preset="tiny", n_mels=16).decode(np.zeros((1, 20, 16)), decoder="rescored")
    crmp = build("crmp", 3, preset="tiny", n_mels=16)
    x = np.ones((1, 20, 16))
    assert crmp.decode(x, decoder="rescored") == crmp.decode(x)
