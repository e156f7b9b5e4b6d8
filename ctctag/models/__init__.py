"""The four systems of the paper: networks, their sizes, and their files."""

from ctctag.models.files import FORMAT_VERSION, TrainedModel, load_model, save_model
from ctctag.models.heads import DECODERS, Event
from ctctag.models.network import SYSTEMS, Network, build
from ctctag.models.presets import PRESETS, Preset, get_preset
from ctctag.models.windows import forward_windows

__all__ = [
    "DECODERS",
    "FORMAT_VERSION",
    "PRESETS",
    "SYSTEMS",
    "Event",
    "Network",
    "Preset",
    "TrainedModel",
    "build",
    "forward_windows",
    "get_preset",
    "load_model",
    "save_model",
]
