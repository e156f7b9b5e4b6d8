"""Trained models on disk: one ``.npz`` without pickle, everything that tagging needs inside.

Arrays ``params/<name>``, ``state/<name>``, ``standardiser/mean`` and ``standardiser/std``, and ``metadata``,
a JSON text: format version, system, preset, classes, blank, feature settings, versions, and what the trainer
adds. Opening such a file runs nothing.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ctctag
from ctctag._checks import check_choice, check_integer
from ctctag._reading import reading
from ctctag.audio import LogMel, Standardiser
from ctctag.audio.shifts import check_shifts
from ctctag.exceptions import ModelError, ParameterError
from ctctag.models.arrays import (
    arrays_under,
    check_arrays,
    check_values,
    copy_arrays,
    read_arrays,
    write_arrays,
)
from ctctag.models.heads import DECODERS
from ctctag.models.network import Network, build

__all__ = ["FORMAT_VERSION", "TrainedModel", "load_model", "save_model", "versions"]

FORMAT_VERSION = 1

LEAST_STD = 1e-12  # of a band: a hundred-thousandth of the rounding of a float32 of order ten
# A description sizes the filter bank and the network before they are compared with the arrays of the file.
LONGEST_FRAME = 1 << 20  # samples: a minute at 16 kHz
MOST_CLASSES, MOST_BANDS = 1 << 16, 1 << 12


def versions() -> dict[str, str]:
    """Return the versions that a result depends on, by name."""
    import numba
    import scipy

    return {
        "ctctag": ctctag.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "scipy": scipy.__version__,
    }


@dataclass
class TrainedModel:
    """A network and what surrounds it, from samples to names of classes.

    Attributes
    ----------
    network : Network
        The trained network.
    classes : tuple of str
        Name of each class index.
    log_mel : LogMel
        How samples become features.
    standardiser : Standardiser
        Mean and standard deviation of each band over the training set.
    info : dict
        What the trainer noted: data, seeds, versions, scores. Plain JSON values.
    decoder : {"best-path", "beam", "rescored"}
        How CRNN-CTC's scores become tags (see `ctctag.models.Network.decode`).
    shifts : int
        How often it listens to a clip, each time with the frames a quarter of a hop later; the probabilities
        of each frame are averaged (see `ctctag.audio.shifts_of`).
    """

    network: Network
    classes: tuple[str, ...]
    log_mel: LogMel
    standardiser: Standardiser
    info: dict[str, Any] = field(default_factory=dict)
    decoder: str = DECODERS[0]
    shifts: int = 1

    def __post_init__(self) -> None:
        check_choice(self.decoder, "decoder", DECODERS)
        check_shifts(self.shifts, "shifts")
        if len(self.classes) != self.network.n_classes:
            raise ParameterError(
                f"classes has {len(self.classes)} names, but the network has {self.network.n_classes} classes"
            )
        if self.log_mel.n_mels != self.network.n_mels:
            raise ParameterError(
                f"log_mel gives {self.log_mel.n_mels} bands, but the network takes {self.network.n_mels}"
            )


def save_model(path: str | Path, model: TrainedModel) -> None:
    """Write a model file; it appears whole or not at all.

    Parameters
    ----------
    path : str or Path
        Where to; by custom ``….npz``.
    model : TrainedModel
        What to.

    Raises
    ------
    ModelError
        If `load_model` would not take the file: the network is none that `build` builds, a number in it is
        not finite or absurd, or something in ``classes`` or ``info`` is no plain value.
    DataError
        If the file cannot be written.
    """
    path = Path(path)
    network = model.network
    _check_loadable(path, model)
    metadata = {
        "format": "ctctag model",
        "format_version": FORMAT_VERSION,
        "system": network.system,
        "preset": network.preset,
        "classes": list(model.classes),
        "blank": network.head.blank,
        "tag_weight": network.tag_weight,
        "decoder": model.decoder,
        "shifts": model.shifts,
        "features": model.log_mel.to_dict(),
        "versions": versions(),
        "info": model.info,
    }
    with reading(path, ModelError, "cannot be saved: info must hold plain JSON values ({})"):
        text = json.dumps(metadata)
    arrays = {
        **{f"params/{name}": array for name, array in network.params.items()},
        **{f"state/{name}": array for name, array in network.state.items()},
        "standardiser/mean": model.standardiser.mean,
        "standardiser/std": model.standardiser.std,
        "metadata": np.array(text),
    }
    write_arrays(path, arrays, compress=True)


def load_model(path: str | Path) -> TrainedModel:
    """Read a model file.

    Parameters
    ----------
    path : str or Path
        A file that `save_model` wrote.

    Returns
    -------
    TrainedModel
        The model.

    Raises
    ------
    ModelError
        If there is no such file, or it is truncated, no model, of another format version, its arrays do not
        fit its own description, or hold what no training leaves (NaN, infinity, absurd weights, negative
        variances).
    """
    path = Path(path)
    arrays = read_arrays(path)
    metadata = _metadata(path, arrays)
    with reading(path, ModelError, "not a usable model file: {}"):
        classes, info = metadata["classes"], metadata["info"]
        _check_classes(classes)
        _check_info(info)
        standardiser = _standardiser(arrays, f"{path}: standardiser")
        log_mel = _log_mel(metadata["features"], len(standardiser.mean))
        params, state = arrays_under(arrays, "params/"), arrays_under(arrays, "state/")
        network = build(
            metadata["system"],
            n_classes=len(classes),
            preset=metadata["preset"],
            n_mels=len(standardiser.mean),
            tag_weight=metadata.get("tag_weight", 0.0),
            dtype=_dtype(params),
        )
        copy_arrays(network.params, params, f"{path}: params")
        copy_arrays(network.state, state, f"{path}: state")
        return TrainedModel(
            network,
            tuple(classes),
            log_mel,
            standardiser,
            info,
            metadata.get("decoder", DECODERS[0]),
            metadata.get("shifts", 1),
        )


def _check_loadable(path: Path, model: TrainedModel) -> None:
    """Raise `ModelError` where `load_model` would refuse what is to be saved."""
    network = model.network
    with reading(path, ModelError, "cannot be saved, as it could not be loaded: {}"):
        _check_classes(list(model.classes))
        _check_info(model.info)
        _log_mel(model.log_mel.to_dict(), network.n_mels)
        twin = build(
            network.system,
            n_classes=network.n_classes,
            preset=network.preset,
            n_mels=network.n_mels,
            tag_weight=network.tag_weight,
            dtype=_dtype(network.params),
        )
        for part, of_twin, own in (
            ("params", twin.params, network.params),
            ("state", twin.state, network.state),
        ):
            check_arrays(of_twin, own, f"{path}: cannot be saved: {part}")
            check_values(own, f"{path}: cannot be saved: {part}")
        if type(twin.head) is not type(network.head) or repr(twin.layers) != repr(network.layers):
            raise ParameterError(
                f"its layers or its head are not those of system {network.system!r} and preset "
                f"{network.preset!r}, by which the file would describe it"
            )
    _check_deviations(model.standardiser, f"{path}: cannot be saved: standardiser")


def _check_classes(classes: Any) -> None:
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ParameterError(f"classes must be a list of strings, got {str(classes)[:80]}")
    if len(set(classes)) != len(classes):
        raise ParameterError("classes has a name twice")
    check_integer(len(classes), "the number of classes", low=1, high=MOST_CLASSES)


def _check_info(info: Any) -> None:
    """Check what other readers take from the notes of the trainer."""
    if not isinstance(info, dict) or not isinstance(data := info.get("data", {}), dict):
        raise ParameterError(f"info must be an object with an object data, got {str(info)[:80]}")
    for name in ("path", "fingerprint"):
        if not isinstance(data.get(name, ""), str):
            raise ParameterError(f"info: data: {name} must be a string, got {str(data[name])[:80]}")
    if info.get("fold") is not None:
        check_integer(info["fold"], "info: fold", low=1)


def _dtype(params: Mapping[str, npt.NDArray[Any]]) -> np.dtype[Any]:
    """Return the dtype of a network: that of its weights, float32 or for gradient checks float64."""
    first = next(iter(params.values()), np.zeros(0, np.float32)).dtype.newbyteorder("=")
    return np.dtype(np.float64) if first == np.float64 else np.dtype(np.float32)


def _standardiser(arrays: Mapping[str, npt.NDArray[Any]], where: str) -> Standardiser:
    parts = {name: arrays[f"standardiser/{name}"] for name in ("mean", "std")}
    for name, array in parts.items():
        if array.dtype.kind != "f":
            raise ModelError(f"{where}: {name} is {array.dtype}, but must be float32")
    check_values(parts, where)  # before float64 is rounded to float32
    standardiser = Standardiser(**parts)
    _check_deviations(standardiser, where)
    return standardiser


def _check_deviations(standardiser: Standardiser, where: str) -> None:
    check_values({"mean": standardiser.mean, "std": standardiser.std}, where)
    if standardiser.std.min(initial=1.0) < LEAST_STD:
        band = int(standardiser.std.argmin())
        raise ModelError(
            f"{where}: std[{band}] is {standardiser.std[band]:g}, but must be at least {LEAST_STD:g}"
        )


def _log_mel(values: Any, n_mels: int) -> LogMel:
    """Return the features that a file describes; those of a network of `n_mels` bands."""
    if values["n_mels"] != n_mels:
        raise ParameterError(f"features: n_mels is {values['n_mels']!r}, but the network takes {n_mels}")
    check_integer(n_mels, "features: n_mels", high=MOST_BANDS)
    check_integer(values["n_fft"], "features: n_fft", high=LONGEST_FRAME)
    return LogMel.from_dict(values)


def _metadata(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    with reading(path, ModelError, "an .npz file, but not one that ctctag wrote as a model"):
        metadata = json.loads(str(arrays["metadata"]))
        if metadata["format"] != "ctctag model":
            raise ValueError(f"its format is {metadata['format']!r}")
    if metadata.get("format_version") != FORMAT_VERSION:
        with reading(path, ModelError, f"is of another format than {FORMAT_VERSION}, and damaged ({{}})"):
            writer = metadata.get("versions", {}).get("ctctag")
        raise ModelError(
            f"{path}: model format {metadata.get('format_version')}, but this ctctag {ctctag.__version__} "
            f"reads format {FORMAT_VERSION}; the file was written by ctctag {writer}"
        )
    return metadata
