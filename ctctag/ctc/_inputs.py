"""Checks of all that a caller can get wrong, before any kernel: an unchecked label is memory corruption.

What a kernel can check while it reads the scores anyway (NaN, rows that do not sum to one) it reports by
frame, and `Scores.explain_frame` turns that into the error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ctctag._arrays import as_array, as_integers
from ctctag._checks import check_choice, check_integer, check_lengths
from ctctag.exceptions import ParameterError

__all__ = [
    "KINDS",
    "NORMALISED_TOLERANCE",
    "Scores",
    "Targets",
    "check_scores",
    "check_targets",
    "frames_needed",
    "raise_infeasible",
]

KINDS = ("logits", "log_probs", "probs")

# How far from 1 the sum of a row's probabilities may be, by the bytes of a value that was passed: rounding of
# a softmax stays far below it, logits and forgotten normalisation far above.
NORMALISED_TOLERANCE = {2: 0.05, 4: 1e-3, 8: 1e-3}


@dataclass(frozen=True, slots=True)
class Scores:
    """Checked frame scores of a batch.

    Attributes
    ----------
    x : ndarray, shape (N, T, C), float32 or float64, contiguous
    lengths : ndarray, shape (N,), int64
        Valid frames of each clip.
    dtype : dtype
        What the caller passed, and gets back.
    single : bool
        Whether one clip (T, C) was passed.
    blank : int
        In [0, C).
    kind : int
        Index in `KINDS`.
    tolerance : float
        Allowed distance of a row's sum from 1; ``inf`` if it is not to be checked.
    """

    x: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]
    dtype: np.dtype[Any]
    single: bool
    blank: int
    kind: int
    tolerance: float

    def clip(self, n: int) -> "Scores":
        """Return clip n alone, without its padding."""
        length = int(self.lengths[n])
        x, lengths = self.x[n : n + 1, :length], self.lengths[n : n + 1]
        return Scores(x, lengths, self.dtype, True, self.blank, self.kind, self.tolerance)

    def explain_frame(self, clip: int, frame: int) -> NoReturn:
        """Raise the error that says what is wrong with one frame's scores."""
        row = self.x[clip, frame]
        name, kind = f"inputs[{frame}" if self.single else f"inputs[{clip}, {frame}", KINDS[self.kind]
        largest = float(np.finfo(row.dtype).max)
        top = {"logits": largest, "log_probs": np.inf, "probs": 2.0 if self.tolerance < np.inf else largest}[
            kind
        ]
        wrong = np.isnan(row) | ~(row <= top)
        if kind == "log_probs":
            wrong |= np.isposinf(row)
        if kind == "probs":
            wrong |= row < 0
        if wrong.any():
            k = int(np.flatnonzero(wrong)[0])
            wanted = {
                "logits": "logits must be below inf and not NaN",
                "log_probs": "log-probabilities must be below inf and not NaN",
                "probs": (
                    "probabilities must lie in [0, 1]"
                    if self.tolerance < np.inf
                    else "unnormalised probabilities must be at least 0, below inf and not NaN"
                ),
            }[kind]
            hint = {
                "logits": "is a frame beyond the clip's end counted in input_lengths?",
                "log_probs": "is a frame beyond the clip's end counted in input_lengths?",
                "probs": "did you pass logits or log-probabilities?",
            }[kind]
            raise ParameterError(f"{name}, {k}] is {row[k]}, but {wanted} ({hint})")
        if kind == "logits":
            raise ParameterError(f"{name}] is -inf for every class, but one class at least must be possible")
        with np.errstate(over="ignore"):
            total = float((np.exp(row.astype(np.float64)) if kind == "log_probs" else row).sum())
        what, slip = (
            ("log-probabilities", "did you pass logits?")
            if kind == "log_probs"
            else ("probabilities", "did you pass scores of another kind?")
        )
        raise ParameterError(
            f"{name}] are {what} that sum to {total:.6g}, but each frame must sum to 1 within "
            f"{self.tolerance:g} ({slip} If they are meant to be unnormalised, pass check_normalised=False)"
        )


@dataclass(frozen=True, slots=True)
class Targets:
    """Checked labels of a batch, end to end.

    Attributes
    ----------
    labels : ndarray, shape (sum of lengths,), int64
        Each in [0, C) and not the blank.
    ends : ndarray, shape (N + 1,), int64
        The labels of clip n are ``labels[ends[n] : ends[n + 1]]``.
    sizes : ndarray, shape (N,), int64
        How many labels each clip has.
    """

    labels: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    def __getitem__(self, clip: int) -> npt.NDArray[np.int64]:
        return self.labels[self.ends[clip] : self.ends[clip + 1]]


def check_scores(
    inputs: npt.ArrayLike,
    input_lengths: npt.ArrayLike | None,
    blank: int,
    inputs_are: str,
    check_normalised: bool,
    work_dtype: type[np.floating[Any]] | None = None,
) -> Scores:
    """Check scores, lengths, blank and kind; cast to `work_dtype`, or else to float32 or float64."""
    check_choice(inputs_are, "inputs_are", KINDS)
    x = as_array(inputs, "inputs", "pad the clips, and pass input_lengths")
    dtype = x.dtype
    if dtype.kind in "iu":
        dtype = np.dtype(np.float64)
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise ParameterError(f"inputs must be float16, float32 or float64, got dtype {dtype}")
    dtype = dtype.newbyteorder("=")
    single = x.ndim == 2
    if single:
        x = x[None]
    if x.ndim != 3:
        raise ParameterError(f"inputs must have shape (N, T, C), or (T, C) for one clip, got {x.shape}")
    N, T, C = x.shape
    if N < 1 or T < 1 or C < 1:
        raise ParameterError(f"inputs must hold at least one clip, frame and class, got shape {x.shape}")
    blank = check_integer(blank, "blank", low=-C, high=C - 1) % C
    if single and input_lengths is not None:
        input_lengths = as_array(input_lengths, "input_lengths").reshape(-1)
    if work_dtype is None:
        work_dtype = np.float64 if dtype.itemsize == 8 else np.float32
    x = np.ascontiguousarray(x, dtype=work_dtype)
    return Scores(
        x=x if x.flags.writeable else x.copy(),  # Numba would compile anew for read-only arrays
        lengths=check_lengths(input_lengths, "input_lengths", N, T),
        dtype=dtype,
        single=single,
        blank=blank,
        kind=KINDS.index(inputs_are),
        tolerance=NORMALISED_TOLERANCE[dtype.itemsize] if check_normalised else np.inf,
    )


def check_targets(targets: Any, target_lengths: npt.ArrayLike | None, scores: Scores) -> Targets:
    """Check labels given padded (N, L), as a list of sequences, or end to end with `target_lengths`."""
    N = len(scores.lengths)
    if scores.single:
        labels, lengths = _one_target(targets, target_lengths)
    else:
        labels, lengths = _many_targets(targets, target_lengths, N)
    ends = np.zeros(N + 1, dtype=np.int64)
    np.cumsum(lengths, out=ends[1:])
    C = scores.x.shape[2]
    wrong = (labels < 0) | (labels >= C) | (labels == scores.blank)
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        label, clip = int(labels[index]), int(np.searchsorted(ends, index, side="right")) - 1
        if label == scores.blank:
            hint = "is it padding? then pass target_lengths"
        elif label == C:
            hint = "is the vocabulary off by one?"
        elif label < 0:
            hint = "is it padding? then pass target_lengths"
        else:
            hint = "is it a label of another vocabulary?"
        name = "targets" if scores.single else f"targets[{clip}]"
        raise ParameterError(
            f"{name} contains {label}, but labels must lie in [0, {C}) and differ from "
            f"blank={scores.blank} ({hint})"
        )
    return Targets(labels, ends, lengths)


def _one_target(
    targets: Any, target_lengths: npt.ArrayLike | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    labels = as_integers(targets, "targets")
    if labels.ndim == 2 and len(labels) == 1:
        labels = labels[0]
    if labels.ndim != 1:
        raise ParameterError(f"targets of one clip must have shape (L,), got {labels.shape}")
    longest = len(labels)
    if target_lengths is not None:
        target_lengths = as_array(target_lengths, "target_lengths").reshape(-1)
    lengths = check_lengths(target_lengths, "target_lengths", 1, longest, shortest=0)
    return labels[: lengths[0]], lengths


def _many_targets(
    targets: Any, target_lengths: npt.ArrayLike | None, N: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if isinstance(targets, Sequence) and _is_ragged(targets):
        return _listed_targets(targets, target_lengths, N)
    labels = as_integers(targets, "targets")
    if labels.ndim == 1 and (labels.size or target_lengths is not None):
        return _joined_targets(labels, target_lengths, N)
    if labels.ndim != 2 or len(labels) != N:
        raise ParameterError(
            f"targets must be padded ({N}, L), a list of {N} sequences, or end to end with target_lengths, "
            f"got shape {labels.shape} for {N} clips"
        )
    longest = labels.shape[1]
    lengths = check_lengths(target_lengths, "target_lengths", N, longest, shortest=0)
    if target_lengths is None:
        return labels.reshape(-1), lengths
    return labels[np.arange(longest) < lengths[:, None]], lengths


def _is_ragged(targets: Sequence[Any]) -> bool:
    """Tell whether a list holds sequences of different lengths, which NumPy cannot make an array of."""
    rows = [target for target in targets if hasattr(target, "__len__") and getattr(target, "ndim", True)]
    sizes = {len(row) for row in rows}
    return len(sizes) > 1 or (0 in sizes)


def _listed_targets(
    targets: Sequence[Any], target_lengths: npt.ArrayLike | None, N: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if len(targets) != N:
        raise ParameterError(f"targets must hold one sequence for each of the {N} clips, got {len(targets)}")
    rows = [as_integers(target, f"targets[{n}]") for n, target in enumerate(targets)]
    for n, row in enumerate(rows):
        if row.ndim != 1:
            raise ParameterError(f"targets[{n}] must be a sequence of labels, got shape {row.shape}")
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    if target_lengths is not None:
        given = as_integers(target_lengths, "target_lengths")
        if given.shape != (N,) or (given != lengths).any():
            raise ParameterError(
                f"target_lengths must be the lengths of the listed targets, {lengths.tolist()}, "
                f"got {given.tolist()} (for a list it may be left out)"
            )
    return np.concatenate(rows), lengths


def _joined_targets(
    labels: npt.NDArray[Any], target_lengths: npt.ArrayLike | None, N: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if target_lengths is None:
        raise ParameterError(
            f"targets end to end, shape ({len(labels)},), need target_lengths to be told apart for {N} clips"
        )
    lengths = check_lengths(target_lengths, "target_lengths", N, len(labels), shortest=0)
    if lengths.sum() != len(labels):
        raise ParameterError(
            f"target_lengths must sum to the {len(labels)} labels of targets, but they sum to {lengths.sum()}"
        )
    return labels, lengths


def frames_needed(labels: npt.NDArray[Any]) -> int:
    """Return the number of labels plus that of adjacent repeats."""
    return int(labels.size + np.count_nonzero(labels[1:] == labels[:-1]))


def raise_infeasible(clip: int, scores: Scores, targets: Targets) -> NoReturn:
    """Raise the error that says why the target of a clip has no path."""
    target, frames = targets[clip], int(scores.lengths[clip])
    needed = frames_needed(target)
    which = "the target" if scores.single else f"targets[{clip}]"
    labels, repeats = len(target), needed - len(target)
    if frames < needed:
        raise ParameterError(
            f"{which} has {labels} labels and {repeats} adjacent repeats, so it needs {needed} frames, "
            f"but the clip has {frames} (does the network pool over time?)"
        )
    raise ParameterError(
        f"{which} ({labels} labels, {repeats} adjacent repeats, {frames} frames) has probability zero: "
        "every path meets a class of probability zero"
    )
