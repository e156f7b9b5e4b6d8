"""Examine an installation, and say what to do about what is found; a data set likewise, in `data_checks`."""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import ctctag
from ctctag import ctc
from ctctag._threads import openblas_threads
from ctctag.experiment.data_checks import Finding, examine_data
from ctctag.experiment.machine import software
from ctctag.gradcheck import check_gradients
from ctctag.models.files import versions
from ctctag.numerics import softmax
from ctctag.reference import ctc_by_enumeration
from ctctag.tagger import Tagger

__all__ = ["Finding", "examine_data", "examine_installation"]


def examine_installation() -> list[Finding]:
    """Examine versions, sound files, Numba's cache, threads, and whether CTC and its gradient are right."""
    examinations: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("versions", _versions),
        ("sound files", _sound_files),
        ("kernel cache", _kernel_cache),
        ("threads", _threads),
        ("ctc", _ctc),
        ("gradient", _gradient),
        ("shipped weights", _weights),
    )
    findings = []
    for name, examine in examinations:
        try:
            findings.append(examine())
        except Exception as error:  # whatever is wrong is what is to be reported
            findings.append(
                Finding(
                    name, f"{type(error).__name__}: {error}", "bad", "please report this with the lines above"
                )
            )
    return findings


def _versions() -> Finding:
    return Finding("versions", f"{software(versions())}, {platform.system()} {platform.machine()}")


def _sound_files() -> Finding:
    import soundfile

    from ctctag.audio import read_audio, write_audio

    tone = (0.5 * np.sin(np.arange(1600) / 10)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tone.flac"
        write_audio(path, tone, 16000)
        error = float(np.abs(read_audio(path)[0] - tone).max())
    return Finding("sound files", f"{soundfile.__libsndfile_version__}; a FLAC comes back within {error:.1e}")


def _kernel_cache() -> Finding:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return Finding(
            "kernel cache",
            "NUMBA_DISABLE_JIT is set: everything runs as plain Python, hundreds of times slower",
            "note",
            "unset it",
        )
    from ctctag.ctc import _tiles

    dispatchers = [value for value in vars(_tiles).values() if hasattr(value, "py_func")]
    cache = dispatchers[0]._cache
    path = getattr(cache, "cache_path", None)
    if path is None:
        return Finding(
            "kernel cache",
            "no directory can be written: kernels are compiled anew in every process",
            "note",
            "set NUMBA_CACHE_DIR to a directory that can be written",
        )
    return Finding("kernel cache", f"compiled kernels are kept in {path}")


def _threads() -> Finding:
    pools = openblas_threads()
    detail = f"{ctctag.get_num_threads()} of {os.cpu_count()} processors"
    if not pools:
        return Finding(
            "threads",
            f"{detail}; the BLAS library in use cannot be bounded from here",
            "note",
            "set OMP_NUM_THREADS=1 (or MKL_NUM_THREADS=1) so that BLAS does not compete with our threads",
        )
    return Finding("threads", f"{detail}; {len(pools)} OpenBLAS pools, held to one thread inside our own")


def _ctc() -> Finding:
    logits = np.random.default_rng(0).standard_normal((5, 3))
    started = time.perf_counter()
    loss = float(ctc.ctc_loss(logits, [1, 2], reduction="sum"))
    seconds = time.perf_counter() - started
    error = abs(loss - ctc_by_enumeration(softmax(logits).tolist(), [1, 2]).loss)
    state = "ok" if error < 1e-12 else "bad"
    return Finding(
        "ctc", f"loss equals the sum over all paths within {error:.1e}; first call {seconds:.2f} s", state
    )


def _gradient() -> Finding:
    logits = np.random.default_rng(1).standard_normal((6, 4))
    _, grad = ctc.ctc_loss_and_grad(logits, [1, 1])
    report = check_gradients(
        lambda: float(ctc.ctc_loss(logits, [1, 1])),
        {"logits": logits},
        {"logits": grad},
        verbose=False,
        raises=False,
    )
    state = "ok" if report.ok else "bad"
    return Finding("gradient", f"relative error against differences {report.max_relative_error:.1e}", state)


def _weights() -> Finding:
    tagger = Tagger.pretrained()
    silence = np.zeros(16000, dtype=np.float32)
    heard = tagger.tag(silence, sr=16000).labels
    return Finding(
        "shipped weights", f"{len(tagger.classes_)} classes; in a second of silence: {heard or 'nothing'}"
    )
