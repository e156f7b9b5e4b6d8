"""No kernel reads or writes beyond its arrays, or memory that was freed: shown by `guard.c`."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = [
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the guarded malloc is for glibc on Linux"
    ),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler for the guarded malloc"),
    pytest.mark.skipif(bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="plain Python has no addresses"),
]


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("guard") / "guard.so"
    subprocess.run(
        [COMPILER, "-O2", "-shared", "-fPIC", "-o", path, HERE / "guard.c", "-lpthread"], check=True
    )
    return path


def exercise(library, *arguments):
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, HERE / "exercise.py", *map(str, arguments)],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": path, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("side", ["end", "front"])
@pytest.mark.parametrize(("what", "cases"), [("ctc", 60), ("layers", 80)])
def test_no_kernel_leaves_its_memory(library, what, side, cases):
    run = exercise(library, what, side, cases)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{what}, {side}: {cases} cases" in run.stdout
    assert "none overrun or used after free" in run.stdout


@pytest.mark.parametrize("fault", ["overrun", "freed"])
def test_a_planted_fault_is_found_at_once(library, fault):
    run = exercise(library, "ctc", "end", 0, fault)
    assert run.returncode == -signal.SIGSEGV, run.stdout + run.stderr


def test_a_planted_overrun_of_some_bytes_is_found_in_the_end(library):
    run = exercise(library, "ctc", "end", 0, "slack")
    assert run.returncode == 1
    assert run.stderr == "1 blocks were written to beyond their end\n"
