"""Files that appear whole or not at all, locks that die with their holder, and the net under every reader."""

import contextlib
import errno
import os
import re
import subprocess
import sys
import tokenize
import warnings
from pathlib import Path

import pytest

from ctctag import _locks
from ctctag._files import atomic_path, clear_leftovers, staged_folder
from ctctag._locks import locked
from ctctag._reading import read_json, reading
from ctctag.exceptions import AudioError, DataError, ModelError

posix = pytest.mark.skipif(os.name == "nt", reason="needs signals and rights of files as POSIX has them")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# -- the net --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (MemoryError(), "it asks for more memory than there is"),
        (KeyError("name"), "lacks 'name'"),
        (
            tokenize.TokenError("EOF in multi-line statement", (2, 0)),
            "('EOF in multi-line statement', (2, 0))",
        ),
        (RuntimeError("File is encrypted,\n password required"), "File is encrypted, password required"),
        (OverflowError("too large {here}"), "too large {here}"),
        (TypeError(), "TypeError"),
        (AudioError("x.wav: silent"), "x.wav: silent"),
        (OSError("obscure"), "obscure"),
    ],
)
def test_any_error_of_a_parser_names_the_file(error, words):
    with (
        pytest.raises(ModelError, match=re.escape(f"a/m.npz: is broken ({words})") + "$") as caught,
        reading("a/m.npz", ModelError, "is broken ({})"),
    ):
        raise error
    assert caught.value.__cause__ is error


def test_the_net_lets_pass_what_names_the_place_already_and_what_is_no_error():
    known = ModelError("a/m.npz: params: too few")
    with pytest.raises(ModelError) as caught, reading("a/m.npz", ModelError, "is broken ({})"):
        raise known
    assert caught.value is known
    with pytest.raises(KeyboardInterrupt), reading("a/m.npz", ModelError, "is broken ({})"):
        raise KeyboardInterrupt
    with (
        pytest.raises(DataError, match=r"^t\.toml: cannot be read \(Permission denied\)$"),
        reading("t.toml", DataError, "is broken ({})"),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('"x"', "holds a str, but names with values were expected"),
        ("NaN", "holds a float, but names with values were expected"),
        ("{", "Expecting property name"),
        (b"\xff\xfe{}", "'utf-8' codec can't decode"),
    ],
)
def test_json_that_is_no_object_names_the_file(tmp_path, text, words):
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=re.escape(f"{path}: not a log ({words}")):
        read_json(path, DataError, "not a log ({})")
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json", DataError, "not a log ({})")


def fill_the_disk(path):
    path.write_text("half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# -- files and folders ----------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_earlier_file_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    message = f"{path}: cannot be written ({os.strerror(errno.ENOSPC)})"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"), atomic_path(path) as temporary:
        fill_the_disk(temporary)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_no_half_of_a_folder(tmp_path):
    out = tmp_path / "new" / "set"
    message = f"{out}: cannot be written ({os.strerror(errno.ENOSPC)})"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"), staged_folder(out) as staged:
        fill_the_disk(staged / "a.txt")
    assert names(tmp_path) == []


def test_messages_name_the_folder_to_be_not_the_temporary_one(tmp_path):
    out = tmp_path / "set"
    with (
        pytest.raises(AudioError, match=re.escape(f"{out}/a.wav: cannot be written")),
        staged_folder(out) as at,
    ):
        raise AudioError(f"{at}/a.wav: cannot be written")


def test_what_killed_processes_left_is_cleared_and_what_is_being_written_is_not(tmp_path):
    path = tmp_path / "a.npz"
    with atomic_path(path) as temporary:
        temporary.write_text("half of it")
        leftover = temporary.with_name(temporary.name.replace(temporary.name[8:20], "0123456789ab"))
        leftover.write_text("of one who was killed")
        (tmp_path / ".a.npz.original.npz").write_text("somebody's own")
        with atomic_path(path) as other:
            assert not leftover.exists()
            assert temporary.exists()
            other.write_text("first")
        clear_leftovers(path)
        temporary.write_text("second")
    assert path.read_text() == "second"
    assert names(tmp_path) == [".a.npz.original.npz", "a.npz"]


def test_staged_folders_of_killed_processes_are_cleared(tmp_path):
    with staged_folder(tmp_path / "set") as staged:
        leftover = staged.with_name(staged.name.replace(staged.name[5:17], "0123456789ab"))
    leftover.mkdir()
    (leftover / "clip.flac").write_text("half of it")
    (tmp_path / "set").rmdir()
    with staged_folder(tmp_path / "set"):
        assert not leftover.exists()
    assert names(tmp_path) == ["set"]


def test_of_two_that_write_one_folder_one_does(tmp_path):
    out = tmp_path / "set"
    message = (
        f"{out}: another process is writing it; wait until it has ended, or choose another name (process "
        f"{os.getpid()})"
    )
    with staged_folder(out) as staged:
        (staged / "first").touch()
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"), staged_folder(out):
            raise AssertionError("both write")
    assert names(tmp_path) == ["set"]
    assert names(out) == ["first"]


@posix
def test_files_have_the_rights_that_the_umask_says_and_nobody_changes_it(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda mask: pytest.fail("files of other threads get this mask"))
            with atomic_path(tmp_path / "a.txt") as temporary:
                temporary.write_text("a")
            with staged_folder(tmp_path / "set"):
                pass
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
        assert (tmp_path / "set").stat().st_mode & 0o777 == 0o750
    finally:
        os.umask(before)


# -- locks ----------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from ctctag._locks import locked
with locked(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    time.sleep(600)
"""


@posix
def test_a_lock_is_free_when_its_holder_is_killed(tmp_path):
    path = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(DataError, match=rf"^busy \(process {holder.pid}\)$"), locked(path, "busy"):
                raise AssertionError("both hold it")
        finally:
            holder.kill()
    assert path.exists()  # the file is left, the lock is not
    with locked(path, "busy"):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_a_lock_is_not_taken_on_a_file_that_its_last_holder_removed(tmp_path, monkeypatch):
    path, acquire, removed = tmp_path / ".lock", _locks.acquire, []

    def too_late(handle, *, wait=False):
        if not removed:  # the last holder ends just after we have opened its file
            removed.append(path.unlink())
        return acquire(handle, wait=wait)

    monkeypatch.setattr(_locks, "acquire", too_late)
    with locked(path, "busy"):
        assert path.exists()
        with pytest.raises(DataError, match=r"^busy"), locked(path, "busy"):
            raise AssertionError("both hold it")


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch):
    def none(handle, *, wait=False):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_locks, "acquire", none)
    with (
        pytest.warns(UserWarning, match=r"this disk knows no locks \(No locks available\); take care"),
        locked(tmp_path / ".lock", "busy"),
    ):
        pass
    with warnings.catch_warnings(), contextlib.suppress(DataError):
        warnings.simplefilter("error")
        with atomic_path(Path(tmp_path / "a.txt")) as temporary:
            temporary.write_text("a")
    assert (tmp_path / "a.txt").read_text() == "a"
