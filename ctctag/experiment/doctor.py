"""Examine an installation or a data set, and say what to do about what is found."""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ctctag
from ctctag import ctc
from ctctag._threads import openblas_threads
from ctctag.audio import LogMel, read_audio
from ctctag.data import Dataset
from ctctag.exceptions import CtctagError
from ctctag.experiment.machine import software
from ctctag.gradcheck import check_gradients
from ctctag.models.files import versions
from ctctag.numerics import softmax
from ctctag.reference import ctc_by_enumeration
from ctctag.tagger import Tagger

__all__ = ["Finding", "examine_data", "examine_installation"]


@dataclass(frozen=True)
class Finding:
    """One thing that was examined.

    Attributes
    ----------
    what, detail : str
        What, and how it is.
    state : {"ok", "note", "bad"}
        Whether anything is to be done.
    remedy : str
        What.
    """

    what: str
    detail: str
    state: str = "ok"
    remedy: str = ""


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


def examine_data(path: str | Path) -> list[Finding]:
    """Examine a data set: labels, balance, every file, and whether each sequence fits its clip's frames."""
    try:
        dataset = Dataset.open(path)
    except CtctagError as error:
        return [Finding("data", str(error), "bad")]
    findings = [
        Finding("data", f"{len(dataset)} clips, {len(dataset.classes)} classes, {dataset.sample_rate} Hz")
    ]
    counts = dataset.tags.sum(axis=0)
    never = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    if never:
        findings.append(
            Finding("classes", f"no clip has {', '.join(never)}", "bad", "add clips, or leave the class out")
        )
    else:
        findings.append(Finding("classes", f"{counts.min()} to {counts.max()} clips a class"))
    try:
        findings += [_audio(dataset), _order(dataset)]
    except CtctagError as error:
        findings.append(Finding("audio", str(error), "bad", "replace the file, or take it out of the tables"))
    return findings


def _audio(dataset: Dataset) -> Finding:
    seconds = 0.0
    for index in range(len(dataset)):
        samples, sr = read_audio(dataset.path_of(index))  # raises for whatever is cut off or damaged
        seconds += len(samples) / sr
    return Finding("audio", f"every file can be read whole: {seconds / 3600:.2f} h")


def _order(dataset: Dataset) -> Finding:
    if not dataset.has_order:
        return Finding(
            "order",
            "only weak labels",
            "note",
            "crnn-ctc needs sequential.tsv or strong.tsv; the other systems do not",
        )
    log_mel = LogMel()
    sequences = dataset.sequences or []
    for index, sequence in enumerate(sequences):
        needed = ctc.required_frames(sequence)
        frames = log_mel.n_frames(round(dataset.duration(index) * log_mel.sr))
        if frames < needed:
            return Finding(
                "order",
                f"{dataset.filenames[index]} has {frames} frames, "
                f"but its {len(sequence)} labels need {needed}",
                "bad",
                "the clip is too short for its labels (between repeats comes a blank): check its row",
            )
    longest = max(map(len, sequences), default=0)
    return Finding("order", f"every sequence fits its frames; the longest has {longest} labels")


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
