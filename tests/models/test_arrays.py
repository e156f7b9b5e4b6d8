"""Arrays of files that nobody vouches for: what is claimed is held against what is there."""

import io
import os
import re
import struct
import zipfile

import numpy as np
import pytest

from ctctag.exceptions import ModelError
from ctctag.models import arrays as module
from ctctag.models.arrays import check_values, read_arrays, write_arrays


def npy(array=None, header=None, data=b""):
    """Return the bytes of an ``.npy`` file; of one with this very header, if given."""
    stream = io.BytesIO()
    if header is None:
        np.save(stream, array)
        return stream.getvalue()
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def pack(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def patched_directory(path, offset, value):
    """Change four bytes of the first entry of the zip's directory."""
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + offset
    data[at : at + 4] = struct.pack("<I", value)
    path.write_bytes(data)


@pytest.mark.parametrize("compress", [True, False])
def test_round_trip(tmp_path, compress):
    arrays = {
        "params/a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "none": np.zeros((0, 3)),
        "number": np.array(7, np.uint64),
        "text": np.array("é{}"),
    }
    path = tmp_path / "a.npz"
    write_arrays(path, arrays, compress=compress)
    back = read_arrays(path)
    with np.load(path) as file:
        assert sorted(file.files) == sorted(back)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype
        assert back[name].flags.writeable


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (npy(header="{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n"),
         "its header claims shape (1000000000000,) of float32, 4000000000000 bytes, but it has 0"),
        (npy(header="{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", data=bytes(12)),
         "its header claims shape (2,) of float32, 8 bytes, but it has 12"),
        (npy(header="{'descr': '<U99999999', 'fortran_order': False, 'shape': (), }\n"), "its header claims"),
        (npy(header="{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n"), "its header claims"),
        (npy(header="{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", data=bytes(8)),
         "it holds Python objects"),
        (npy(header="{'descr': '<f4', 'fortran_order': False, 'shape': (1,), \n", data=bytes(4)), ""),
        (npy(header="[" * 9000), ""),
        (b"\x93NUMPY\x03\x00" + bytes(100), "version (3, 0) of the format"),
        (b"no array at all", ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_a_member_is_what_its_header_says_or_refused(tmp_path, member, words):
    path = pack(tmp_path / "m.npz", [("params/a.npy", member)])
    with pytest.raises(
        ModelError, match=re.escape(f"{path}: params/a: is no array of numbers or text ({words}")
    ):
        read_arrays(path)


def test_more_than_a_model_can_have_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    bomb = npy(np.zeros(1_000_000, np.float32))
    path = pack(tmp_path / "m.npz", [("a.npy", bomb)])
    assert path.stat().st_size < len(bomb) / 500
    assert len(read_arrays(path)["a"]) == 1_000_000
    monkeypatch.setattr(module, "MOST_BYTES", len(bomb) - 1)
    monkeypatch.setattr(module, "_unpacked", lambda *args: pytest.fail("memory was taken"))
    message = (
        f"{path}: holds {len(bomb)} bytes unpacked, but models and checkpoints have at most {len(bomb) - 1} "
        "(a foreign or a damaged file?)"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        read_arrays(path)
    with pytest.raises(ModelError, match=re.escape(f"{path}: holds 4001024 bytes unpacked")):
        write_arrays(path, {"a": np.zeros(1_000_000, np.float32)}, compress=True)  # it could not be read
    assert len(path.read_bytes()) < len(bomb) / 500  # and the earlier file is there


def test_a_bomb_that_claims_to_be_small_is_not_unpacked_beyond_its_claim(tmp_path, monkeypatch):
    path = pack(tmp_path / "m.npz", [("a.npy", npy(np.zeros(5_000_000, np.float32)))])
    patched_directory(path, 24, 1000)  # the size unpacked
    inflated, read = [], zipfile.ZipExtFile._read1
    monkeypatch.setattr(zipfile.ZipExtFile, "_read1", lambda self, n: inflated.append(n) or read(self, n))
    with pytest.raises(ModelError, match=re.escape(f"{path}: not an .npz file, or cut off (")):
        read_arrays(path)
    assert inflated
    assert max(inflated) <= 1000


def test_a_member_that_is_shorter_than_its_claim(tmp_path):
    path = pack(tmp_path / "m.npz", [("a.npy", npy(np.zeros(10)))])
    patched_directory(path, 24, 100_000_000)
    with pytest.raises(ModelError, match=re.escape(f"{path}: not an .npz file, or cut off (")):
        read_arrays(path)


def test_encrypted(tmp_path):
    path = pack(tmp_path / "m.npz", [("a.npy", npy(np.zeros(10)))])
    patched_directory(path, 8, 1)  # flags, and the method: stored
    with pytest.raises(ModelError, match=re.escape(f"{path}: not an .npz file, or cut off (File ")):
        read_arrays(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_a_bound_are_not_used(tmp_path, method):
    path = pack(tmp_path / "m.npz", [("a.npy", npy(np.zeros(10)))], method)
    with pytest.raises(
        ModelError, match=re.escape(f"{path}: not an .npz file, or cut off (a.npy is packed by")
    ):
        read_arrays(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(tmp_path):
    path = pack(tmp_path / "m.npz", [("a.npy", npy(np.zeros(1))), ("a.npy", npy(np.ones(1)))])
    with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: holds a twice$"):
        read_arrays(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(ModelError, match=re.escape(f"{tmp_path}: is a folder, not an .npz file")):
        read_arrays(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe := tmp_path / "pipe")
        with pytest.raises(ModelError, match=re.escape(f"{pipe}: is a device or pipe, not an .npz file")):
            read_arrays(pipe)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.1e6, -1e38])
def test_what_no_training_leaves(value):
    array = np.zeros((2, 3), np.float32)
    check_values({"gru.weight": array}, "m.npz: params")
    array[1, 2] = value
    message = (
        f"m.npz: params: gru.weight[1, 2] is {array[1, 2]:g}, but must be finite and from -1e+06 to 1e+06"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}"):
        check_values({"gru.weight": array}, "m.npz: params")


def test_variances_are_squares():
    check_values({"norm.running_var": np.array([0.0, 1e12])}, "state")
    for value in (-1e-9, 1.1e12, np.nan):
        with pytest.raises(
            ModelError, match=re.escape(f"state: norm.running_var[1] is {value:g}, but must be")
        ):
            check_values({"norm.running_var": np.array([1.0, value])}, "state")
    check_values({"dropout.seed": np.array(2**64 - 1, np.uint64)}, "state")
