"""Arrays in ``.npz`` files, read without trust.

What a file claims (sizes in the zip, shapes in the headers) is held against what it holds, and against a
bound, before memory is taken for it: a few kilobytes can claim, or unpack to, more than any machine has.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._files import atomic_path
from ctctag._reading import reading
from ctctag.exceptions import ModelError

__all__ = [
    "LARGEST",
    "MOST_BYTES",
    "arrays_under",
    "check_arrays",
    "check_values",
    "copy_arrays",
    "read_arrays",
    "write_arrays",
]

Array = npt.NDArray[Any]

# The paper's network has a megabyte, its checkpoint five; a hundred times that is no network of this package.
MOST_BYTES = 1 << 28

# Inputs of each layer are standardised, batch-normalised or states of a GRU: of order one. A logit of 104 is
# already a probability of one, or a gate that is shut, to the last bit of float32. No training has a use for
# a weight ten thousand times that; and a statistic of batch norm, which sums a few hundred products, stays
# in the range of float32.
LARGEST = 1e6

_HEADER = 1024  # bytes of an .npy file before its array, at most


def write_arrays(path: Path, arrays: Mapping[str, Array], *, compress: bool) -> None:
    """Write an ``.npz`` file, whole or not at all.

    Raises
    ------
    ModelError
        If it would be larger than `read_arrays` takes.
    DataError
        If it cannot be written.
    """
    _check_size(path, sum(array.nbytes + _HEADER for array in arrays.values()))
    save = np.savez_compressed if compress else np.savez
    archive = io.BytesIO()  # a disk that is full then fails one write, and leaves no archive half closed
    save(archive, **arrays)  # type: ignore[arg-type]
    with atomic_path(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def read_arrays(path: Path) -> dict[str, Array]:
    """Return all arrays of an ``.npz`` file.

    Raises
    ------
    ModelError
        If there is no such file, it is damaged, or claims more than it holds or than `MOST_BYTES`.
    """
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    if not path.is_file():  # a pipe would be waited for
        raise ModelError(f"{path}: is a {'folder' if path.is_dir() else 'device or pipe'}, not an .npz file")
    damaged = "not an .npz file, or cut off ({}); was it copied or downloaded whole?"
    with reading(path, ModelError, damaged), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_size(path, sum(member.file_size for member in members))
        arrays: dict[str, Array] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ModelError(f"{path}: holds {name} twice")
            data = _unpacked(archive, member)
            with reading(f"{path}: {name}", ModelError, "is no array of numbers or text ({})"):
                arrays[name] = _array(data)
    return arrays


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is packed by a method that NumPy does not use")
    with archive.open(member) as stream:
        # `read` without a number would unpack everything first and cut it to the size claimed afterwards
        data = stream.read(member.file_size)
    if len(data) != member.file_size:
        raise ValueError(f"{member.filename} claims {member.file_size} bytes, but has {len(data)}")
    return data


def _array(data: bytes) -> Array:
    """Return the array of an ``.npy`` file; what its header claims must be there to the byte."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"version {version} of the format")
    shape, by_columns, dtype = read_header(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    claimed, have = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if claimed != have:
        raise ValueError(f"its header claims shape {shape} of {dtype}, {claimed} bytes, but it has {have}")
    order = "F" if by_columns else "C"
    return np.ndarray(shape, dtype, buffer=data, offset=stream.tell(), order=order).copy()  # type: ignore


def _check_size(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise ModelError(
            f"{path}: holds {size} bytes unpacked, but models and checkpoints have at most {MOST_BYTES} "
            "(a foreign or a damaged file?)"
        )


def arrays_under(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Return the arrays whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def check_arrays(target: Mapping[str, Array], source: Mapping[str, Array], where: str) -> None:
    """Raise `ModelError` where names, shapes or dtypes of `source` are not those of `target`, a network's."""
    if target.keys() != source.keys():
        odd = sorted(target.keys() ^ source.keys())
        raise ModelError(f"{where}: the names of the arrays do not fit the network: {', '.join(odd[:4])}")
    for name, array in target.items():
        if source[name].shape != array.shape:
            raise ModelError(
                f"{where}: {name} has shape {source[name].shape}, but the network wants {array.shape}"
            )
        if source[name].dtype.newbyteorder("=") != array.dtype:  # complex or bool would be cast silently
            raise ModelError(f"{where}: {name} is {source[name].dtype}, but the network wants {array.dtype}")


def check_values(arrays: Mapping[str, Array], where: str) -> None:
    """Raise `ModelError` at the first number that no training leaves in weights or statistics.

    That is NaN, infinity, a number beyond `LARGEST` (its square for a variance), or a negative variance.
    """
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue  # seeds and counters: any number is one
        variance = name.endswith("running_var")
        low, high = (0.0, LARGEST**2) if variance else (-LARGEST, LARGEST)
        wrong = np.argwhere(~((array >= low) & (array <= high)))  # so written, NaN is wrong, too
        if len(wrong):
            index = tuple(int(i) for i in wrong[0])
            place = f"[{', '.join(map(str, index))}]" if index else ""
            raise ModelError(
                f"{where}: {name}{place} is {array[index]:g}, but must be finite and from {low:g} to "
                f"{high:g} (did the training diverge, or was the file damaged?)"
            )


def copy_arrays(target: Mapping[str, Array], source: Mapping[str, Array], where: str) -> None:
    """Copy every array of `source` into the one of the same name in `target`, in place.

    Raises
    ------
    ModelError
        If they do not fit (see `check_arrays`, `check_values`). Nothing is changed then.
    """
    check_arrays(target, source, where)
    check_values(source, where)
    for name, array in target.items():
        array[...] = source[name]
