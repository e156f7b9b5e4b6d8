"""Where in an event its peak falls: 0 at the onset, 1 at the offset."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["inside", "peak_positions"]


def peak_positions(
    targets: Sequence[Sequence[int]],
    sequences: Sequence[Sequence[int]],
    times: Sequence[Sequence[float | None]],
    onsets: Sequence[Sequence[tuple[float, float]]],
) -> npt.NDArray[np.float64]:
    """Return (peak - onset) / (offset - onset) of every event that was recognised.

    The n-th time that a class is decoded in a clip belongs to the n-th time that it truly sounds.

    Parameters
    ----------
    targets, sequences : sequence of sequence of int, length N
        True and decoded class indices of each clip.
    times : sequence of sequence of float or None, length N
        Peak of each decoded event in seconds, None where there is none.
    onsets : sequence of sequence of (float, float), length N
        Onset and offset of each true event in seconds.

    Returns
    -------
    ndarray, shape (K,), float64
        In order of clips and decoded events; events without a peak or without length are left out.

    Examples
    --------
    >>> peak_positions([[3, 5]], [[3, 7]], [[1.5, 4.0]], [[(1.0, 2.0), (3.0, 5.0)]])
    array([0.5])
    """
    found = []
    for truth, heard, peaks, spans in zip(targets, sequences, times, onsets, strict=True):
        left: dict[int, list[Any]] = {}
        for label, span in zip(truth, spans, strict=True):
            left.setdefault(label, []).append(span)
        for label, peak in zip(heard, peaks, strict=True):
            if not left.get(label):
                continue
            onset, offset = left[label].pop(0)
            if peak is not None and offset > onset:
                found.append((peak - onset) / (offset - onset))
    return np.array(found, dtype=np.float64)


def inside(positions: npt.NDArray[np.float64]) -> float:
    """Return the share of peaks between onset and offset; NaN if there is no peak.

    Examples
    --------
    >>> inside(np.array([-0.1, 0.0, 0.4, 1.2]))
    0.5
    """
    return float(((positions >= 0) & (positions <= 1)).mean()) if len(positions) else float("nan")
