"""A child forked at any moment computes what its parent does, and waits for nobody."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ctctag
from ctctag import _threads
from ctctag._forks import Lock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PACKAGE = Path(ctctag.__file__).parent

STEP = '''
import hashlib, os, signal, threading, warnings
import numpy as np
import ctctag
from ctctag import _threads, ctc, layers
from ctctag.data._counter import Counter

warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: just what is tested
ctctag.set_num_threads(2)

def step():
    """One step of every layer with memory or products of its own, and of CTC."""
    rng, found = np.random.default_rng(0), hashlib.blake2b()
    chain = [(layers.Conv2d(16, 16, (3, 3)), (4, 40, 16, 16)), (layers.ConvBlock(16, 32), (4, 40, 16, 16)),
             (layers.BiGRU(64, 32), (8, 60, 64)), (layers.Dense(64, 32), (8, 300, 64))]
    for layer, shape in chain:
        y, cache = layer.forward(rng.standard_normal(shape).astype(np.float32), training=True)
        dx, _ = layer.backward(y, cache)
        found.update(y.tobytes() + dx.tobytes())
    _, grad = ctc.ctc_loss_and_grad(rng.standard_normal((8, 50, 9)), [[1, 2, 3]] * 8)
    found.update(grad.tobytes())
    return found.hexdigest()

expected = step()

def child_is_right(work=lambda: step() == expected):
    """Fork; return the child's exit status, or that of its alarm, which ends it if it hangs."""
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        os._exit(0 if work() else 3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
'''


def run(code):
    finished = subprocess.run(
        [sys.executable, "-c", STEP + code],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_children_forked_while_layers_run():
    code = """
ended = threading.Event()

def work():
    while not ended.is_set():
        step()

workers = [threading.Thread(target=work) for _ in range(2)]
for worker in workers:
    worker.start()
print([child_is_right() for _ in range(40)])
ended.set()
for worker in workers:
    worker.join()
"""
    assert run(code) == str([0] * 40)


@pytest.mark.parametrize(
    "where", ["layers' memory", "the pool", "the counter", "a source", "the limits of BLAS"]
)
def test_a_child_forked_while_another_thread_holds_a_lock(where):
    """The moment that chance seldom meets, for each lock of the package."""
    code = f"""
from ctctag.layers import _buffers
from ctctag.data.sources import RecordedSource
counter = Counter(2, None)
source = RecordedSource(None, [])
locks = {{"layers' memory": _buffers._store.lock, "the pool": _threads._pool.lock,
         "the counter": counter._lock, "a source": source._lock, "the limits of BLAS": None}}
lock = locks[{where!r}]
held, ended = threading.Event(), threading.Event()

def hold():
    with lock if lock is not None else _threads.single_threaded_blas():
        held.set()
        ended.wait()

holder = threading.Thread(target=hold)
holder.start()
held.wait()

def work():
    counter.step()
    with source._lock:
        return step() == expected

print(child_is_right(work))
ended.set()
holder.join()
"""
    assert run(code) == "0"


def test_a_child_gets_the_blas_threads_back_that_another_thread_had_taken():
    code = """
for _, put in _threads._blas.find():
    put(3)
wanted = _threads.openblas_threads()
held, ended = threading.Event(), threading.Event()

def hold():
    with _threads.single_threaded_blas():
        held.set()
        ended.wait()

holder = threading.Thread(target=hold)
holder.start()
held.wait()
print(child_is_right(lambda: _threads.openblas_threads() == wanted))
ended.set()
holder.join()

def inside():  # forked in the block: the child is still in it, and leaves it
    with _threads.single_threaded_blas():
        child = os.fork()
        limited = set(_threads.openblas_threads()) <= {1}
    if child == 0:
        os._exit(0 if limited and _threads.openblas_threads() == wanted and step() == expected else 3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

print(inside(), _threads.openblas_threads() == wanted)
"""
    assert run(code).split() == ["0", "0", "True"]


def test_every_lock_comes_from_one_place():
    """Whoever adds a lock to the package takes one that a forked child finds open."""
    makers = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "allocate_lock"}
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in ("threading", "_thread"):
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in (
                "threading",
                "_thread",
            ):
                names = {node.attr}
            else:
                continue
            if names & makers:
                found.append(path.relative_to(PACKAGE).as_posix())
    assert set(found) == {"_forks.py"}, "use ctctag._forks.Lock"


def test_a_child_forked_by_the_holder_holds_the_lock():
    """A callback that runs under a lock may fork: its child leaves the block as its parent does."""
    code = """
def progress(done, total):
    if done == 1:
        global child
        child = os.fork()

counter = Counter(3, progress)
counter.step()
counter.step()
if child == 0:
    os._exit(0 if counter.done == 2 else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), counter.done)
"""
    assert run(code) == "0 2"


def test_a_child_forked_by_a_signal_while_the_limits_of_blas_are_set():
    """The handler runs on the thread that holds the lock."""
    code = """
def fork(number, frame):
    global status
    status = child_is_right()

signal.signal(signal.SIGUSR1, fork)
with _threads._blas.lock:
    signal.raise_signal(signal.SIGUSR1)
print(status)
"""
    assert run(code) == "0"


def test_children_forked_while_kernels_are_compiled():
    """Numba's lock is foreign, and so the fork waits for it."""
    code = """
from ctctag._jit import jit
ended, compiling = threading.Event(), threading.Event()

def kernel(number):
    names = {}
    exec(f"def f(x):\\n    return x + {number}", names)
    return numba.njit(names["f"])

def work():
    number = 0
    while not ended.is_set():
        kernel(number)(1)
        compiling.set()
        number += 1

import numba
worker = threading.Thread(target=work)
worker.start()
compiling.wait()
print([child_is_right(lambda: kernel(-1)(3) == 2) for _ in range(10)])
ended.set()
worker.join()
"""
    assert run(code) == str([0] * 10)


def test_processes_started_by_fork_while_layers_run():
    """As `multiprocessing` does it, with a pool of two that computes in both."""
    code = """
import multiprocessing
ended = threading.Event()

def work():
    while not ended.is_set():
        step()

def right(_):
    signal.alarm(120)
    return step() == expected

worker = threading.Thread(target=work)
worker.start()
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(right, range(6)))
ended.set()
worker.join()
"""
    assert run(code) == str([True] * 6)


def test_a_lock_that_is_gone_is_forgotten():
    from ctctag._forks import _known

    before = len(_known)
    lock = Lock()
    assert len(_known) == before + 1
    del lock
    assert len(_known) == before


def test_blas_is_set_once_for_all_layers_of_a_step(monkeypatch):
    """Each setting takes a lock inside OpenBLAS; a step of a network has about a hundred products."""
    import numpy as np

    from ctctag.models import build

    network = build("crnn-ctc", n_classes=3, preset="tiny", seed=0)
    x = np.random.default_rng(0).standard_normal((2, 30, 64)).astype(np.float32)
    calls = []
    monkeypatch.setattr(_threads._blas, "_set", calls.append)
    monkeypatch.setattr(_threads._blas, "depth", 0)
    network.loss_and_grads(x, [[0], [1, 2]])
    assert len(calls) == 2  # held and given back
