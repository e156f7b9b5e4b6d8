"""Recordings of any length: the network slides over them in windows that see beyond their own edges."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_float_array, check_integer
from ctctag.models.network import Network

__all__ = ["forward_windows"]

Array = npt.NDArray[Any]


def forward_windows(network: Network, x: npt.ArrayLike, *, window: int = 1440, context: int = 120) -> Array:
    """Return the logits of one recording, however long, in bounded memory.

    A recording of up to ``window + 2 * context`` frames is computed at once. Of a longer one, each window of
    `window` frames is computed with `context` more frames on either side, whose logits are thrown away: by
    then the recurrent layer has forgotten where it was started.

    Parameters
    ----------
    network : Network
        The network.
    x : array_like, shape (T, n_mels), float
        Standardised log-mel spectrogram.
    window, context : int
        Frames kept of each window, and frames looked at beyond each of its ends.

    Returns
    -------
    ndarray, shape (T, C)
        Logits; from the baseline, which has no frames, ``(1, C)``: for each class the largest of the windows.

    Raises
    ------
    ParameterError
        If `x` has another shape, or a size is out of range.
    """
    x = check_float_array(x, "x", ("T", network.n_mels))
    check_integer(window, "window", low=1)
    check_integer(context, "context", low=0)
    frames = len(x)
    if frames <= window + 2 * context:
        return network.forward(x[np.newaxis])[0].reshape(-1, network.head.n_outputs)

    pieces = []
    for start in range(0, frames, window):
        stop = min(start + window, frames)
        first, last = max(0, start - context), min(frames, stop + context)
        scores = network.forward(x[np.newaxis, first:last])[0][0]
        pieces.append(scores[start - first : stop - first] if network.head.framewise else scores[np.newaxis])
    logits = np.concatenate(pieces)
    return logits if network.head.framewise else logits.max(axis=0, keepdims=True)
