"""Sizes of the network, by name."""

from dataclasses import dataclass

from ctctag._checks import check_choice

__all__ = ["PRESETS", "Preset", "get_preset"]


@dataclass(frozen=True)
class Preset:
    """The sizes of a CRNN.

    Attributes
    ----------
    channels : tuple of int
        Output channels of the convolution blocks; each block halves the number of bands.
    hidden : int
        Units of the GRU, in each direction.
    dropout : float
        Fraction of the features dropped before the GRU, in training.
    """

    channels: tuple[int, ...]
    hidden: int
    dropout: float


PRESETS = {
    # The network of the authors' public code, as far as it can be known.
    "paper": Preset(channels=(64, 64, 64, 64), hidden=64, dropout=0.3),
    # The first maps are the largest and the dearest, and need the fewest channels.
    "small": Preset(channels=(16, 32, 64, 64), hidden=64, dropout=0.3),
    # For demonstrations and tests: learns the built-in synthetic events in a minute.
    "tiny": Preset(channels=(8, 16, 32, 32), hidden=32, dropout=0.1),
}


def get_preset(name: str) -> Preset:
    """Return the preset called `name`.

    Raises
    ------
    ParameterError
        If there is none.

    Examples
    --------
    >>> get_preset("paper").channels
    (64, 64, 64, 64)
    """
    return PRESETS[check_choice(name, "preset", tuple(PRESETS))]
