"""Batches: every clip once, the same order for the same seed, errors from the other thread."""

import itertools
import os
import signal
import threading
from queue import SimpleQueue

import numpy as np
import pytest

from ctctag.audio import Standardiser
from ctctag.exceptions import CtctagError, ParameterError
from ctctag.training import ArrayFeatures, Clips, SpectrogramMasks, ahead


@pytest.fixture
def clips():
    matrices = [np.full((3 + index % 2, 2), index, dtype=np.float32) for index in range(7)]
    standardiser = Standardiser(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
    return Clips(ArrayFeatures(matrices), [[index] for index in range(7)], standardiser, [1, 2, 4, 5, 6])


def test_in_order(clips):
    batches = list(clips.in_order(2))
    assert [batch.targets for batch in batches] == [[[1], [2]], [[4], [5]], [[6]]]
    x, _, lengths = batches[0]
    np.testing.assert_array_equal(lengths, [4, 3])
    np.testing.assert_array_equal(x[0], np.zeros((4, 2)))  # (1 - 1) / 2
    np.testing.assert_array_equal(x[1, :3], np.full((3, 2), 0.5))


def test_shuffled_depends_on_seed_and_epoch_alone(clips):
    def order(seed, epoch):
        return [labels[0] for batch in clips.shuffled(2, seed, epoch) for labels in batch.targets]

    assert sorted(order(0, 0)) == [1, 2, 4, 5, 6]
    assert order(3, 1) == order(3, 1)
    assert len({tuple(order(0, epoch)) for epoch in range(6)}) > 1


def test_ahead_keeps_order_and_ends():
    assert list(ahead(range(20), depth=3)) == list(range(20))
    assert list(ahead([])) == []
    assert list(ahead([None, None])) == [None, None]


def test_ahead_raises_here_what_was_raised_there():
    def items():
        yield 1
        raise OSError("the disk is gone")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream)


def test_ahead_makes_so_many_ahead_and_no_more():
    begun, wanted = SimpleQueue(), 6

    def endless():
        for number in itertools.count():
            begun.put(number)
            yield number

    stream = ahead(endless(), depth=3)
    for number in range(wanted):
        assert next(stream) == number
    # What was handed out, three ahead, and one that waits for room.
    assert [begun.get() for _ in range(wanted + 3)] == list(range(wanted + 3))
    stream.close()
    assert begun.qsize() <= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_cannot_go_on_with_its_parents_iteration():
    stream = ahead(range(5))
    assert next(stream) == 0
    child = os.fork()
    if child == 0:
        signal.alarm(120)  # ends it if it hangs
        try:
            list(stream)
        except CtctagError as error:
            said = str(error)
            os._exit(0 if "begin the iteration in the child" in said and list(ahead([7])) == [7] else 3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(stream) == [1, 2, 3, 4]


def test_ahead_stops_its_thread_when_nobody_listens():
    def endless():
        while True:
            yield 0

    stream = ahead(endless())
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "ctctag-ahead"]


def test_masks_fall_on_what_is_learned_from_only_and_depend_on_seed_and_epoch():
    matrices = [np.ones((40, 16), dtype=np.float32) for _ in range(4)]
    identity = Standardiser(np.zeros(16), np.ones(16))
    clips = Clips(ArrayFeatures(matrices), [[]] * 4, identity, range(4), SpectrogramMasks())

    def masked(seed, epoch):
        return np.concatenate([batch.x for batch in clips.shuffled(2, seed, epoch)])

    assert (masked(0, 0) == 0).any()
    np.testing.assert_array_equal(masked(3, 1), masked(3, 1))
    assert not np.array_equal(masked(3, 1), masked(3, 2))
    assert all((batch.x == 1).all() for batch in clips.in_order(2))


def test_every_view_of_a_clip_has_masks_of_its_own():
    matrices = [np.ones((40 - n, 16), dtype=np.float32) for n in range(4)]
    identity = Standardiser(np.zeros(16), np.ones(16))
    clips = Clips(ArrayFeatures(matrices), [[n] for n in range(4)], identity, range(4), SpectrogramMasks(), 2)
    first, second = clips.shuffled(2, 0, 0)
    assert first.x.shape[0] == len(first.targets) == len(first.lengths) == 4
    assert first.targets[:2] == first.targets[2:]
    np.testing.assert_array_equal(first.lengths[:2], first.lengths[2:])
    assert (first.x[:2] != first.x[2:]).any()
    assert sorted(labels[0] for batch in (first, second) for labels in batch.targets[:2]) == [0, 1, 2, 3]
    assert [len(batch.targets) for batch in clips.in_order(2)] == [2, 2]  # what is measured is heard once


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (0, "views must be at least 1, got 0"),
        (2, "views is 2, but nothing tells views of a clip apart: give masks, too"),
    ],
)
def test_views_that_are_none_or_alike_are_refused(views, message):
    features, nothing = ArrayFeatures([np.ones((4, 2))]), Standardiser(np.zeros(2), np.ones(2))
    with pytest.raises(ParameterError, match=f"^{message}$"):
        Clips(features, [[0]], nothing, [0], views=views)
