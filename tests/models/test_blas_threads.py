"""Threads of the BLAS never compete with ours: after any product of many threads they wait in a busy loop."""

import threading
from pathlib import Path

import numpy as np
import pytest

import ctctag
from ctctag._threads import openblas_threads
from ctctag.models import SYSTEMS, build
from ctctag.optim import AdamW, clip_gradient_norm

TASKS = Path("/proc/self/task")


def foreign_seconds():
    """Return what every thread that is not Python's has computed so far (Linux)."""
    ours = {thread.native_id for thread in threading.enumerate()}
    return {
        task.name: int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in TASKS.iterdir()
        if int(task.name) not in ours
    }


@pytest.mark.skipif(not (TASKS / str(threading.get_native_id()) / "schedstat").exists(), reason="needs Linux")
@pytest.mark.skipif(max(openblas_threads(), default=1) < 2, reason="the BLAS has one thread")
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_training_step_leaves_them_asleep(system, num_threads):
    before = ctctag.get_num_threads()
    ctctag.set_num_threads(num_threads)
    network = build(system, n_classes=16, preset="small", seed=0)
    optimiser = AdamW(network.params, lr=1e-3)
    x = np.random.default_rng(0).standard_normal((8, 240, 64)).astype(np.float32)

    def step():
        _, grads = network.loss_and_grads(x, [[n, 15 - n] for n in range(8)])
        clip_gradient_norm(grads, 5.0)
        optimiser.step(grads)
        network.tag_probs(x)

    try:
        big = np.ones((512, 512), np.float32)
        started = foreign_seconds()
        for _ in range(100):
            big @ big  # this wakes them
        awake = foreign_seconds()
        assert sum(awake.values()) > sum(started.values())
        step()
        still = foreign_seconds()
        for _ in range(3):
            step()
        after = foreign_seconds()
    finally:
        ctctag.set_num_threads(before)
    spent = {name: after[name] - still.get(name, 0.0) for name in after}
    # Those woken above may be awake for one more step.
    assert max(spent.values(), default=0.0) < 0.05, spent
