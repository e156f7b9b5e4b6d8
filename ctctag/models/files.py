"""Trained models on disk: one ``.npz`` without pickle, everything that tagging needs inside.

Arrays ``params/<name>``, ``state/<name>``, ``standardiser/mean`` and ``standardiser/std``, and ``metadata``,
a JSON text: format version, system, preset, classes, blank, feature settings, versions, and what the trainer
adds. Opening such a file runs nothing.
"""

import json
import platform
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ctctag
from ctctag._checks import check_choice
from ctctag._files import atomic_path
from ctctag.audio import LogMel, Standardiser
from ctctag.audio.shifts import check_shifts
from ctctag.exceptions import ModelError, ParameterError
from ctctag.models.heads import DECODERS
from ctctag.models.network import Network, build

__all__ = ["FORMAT_VERSION", "TrainedModel", "load_model", "save_model", "versions"]

FORMAT_VERSION = 1


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
    DataError
        If the folder cannot be written.
    """
    network = model.network
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
    arrays = {
        **{f"params/{name}": array for name, array in network.params.items()},
        **{f"state/{name}": array for name, array in network.state.items()},
        "standardiser/mean": model.standardiser.mean,
        "standardiser/std": model.standardiser.std,
        "metadata": np.array(json.dumps(metadata)),
    }
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


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
        If there is no such file, or it is truncated, no model, of another format version, or its arrays do
        not fit its own description.
    """
    path = Path(path)
    arrays = read_arrays(path)
    metadata = _metadata(path, arrays)
    try:
        network = build(
            metadata["system"],
            n_classes=len(metadata["classes"]),
            preset=metadata["preset"],
            n_mels=metadata["features"]["n_mels"],
            tag_weight=metadata.get("tag_weight", 0.0),
        )
        copy_arrays(network.params, arrays_under(arrays, "params/"), f"{path}: params")
        copy_arrays(network.state, arrays_under(arrays, "state/"), f"{path}: state")
        return TrainedModel(
            network,
            tuple(metadata["classes"]),
            LogMel.from_dict(metadata["features"]),
            Standardiser(arrays["standardiser/mean"], arrays["standardiser/std"]),
            metadata["info"],
            metadata.get("decoder", DECODERS[0]),
            metadata.get("shifts", 1),
        )
    except (KeyError, TypeError, ParameterError) as error:
        missing = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{path}: not a usable model file: {missing}") from error


def copy_arrays(
    target: Mapping[str, npt.NDArray[Any]], source: Mapping[str, npt.NDArray[Any]], where: str
) -> None:
    """Copy every array of `source` into the one of the same name in `target`, in place."""
    if target.keys() != source.keys():
        odd = sorted(target.keys() ^ source.keys())
        raise ModelError(f"{where}: the names of the arrays do not fit the network: {', '.join(odd[:4])}")
    for name, array in target.items():
        if source[name].shape != array.shape:
            raise ModelError(
                f"{where}: {name} has shape {source[name].shape}, but the network wants {array.shape}"
            )
        array[...] = source[name]


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return all arrays of an ``.npz`` file."""
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    try:
        # np.load leaves a file open that it cannot read, hence a stream of our own
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (
        ValueError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        AttributeError,
        TypeError,
        NotImplementedError,
    ) as error:
        raise ModelError(
            f"{path}: not an .npz file, or cut off ({error}); was it copied or downloaded whole?"
        ) from error


def _metadata(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    try:
        metadata = json.loads(str(arrays["metadata"]))
        recognised = metadata["format"] == "ctctag model"
    except (KeyError, TypeError, ValueError):
        recognised = False
    if not recognised:
        raise ModelError(f"{path}: an .npz file, but not one that ctctag wrote as a model")
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{path}: model format {metadata.get('format_version')}, but this ctctag {ctctag.__version__} "
            f"reads format {FORMAT_VERSION}; the file was written by ctctag "
            f"{metadata.get('versions', {}).get('ctctag')}"
        )
    return metadata


def arrays_under(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
