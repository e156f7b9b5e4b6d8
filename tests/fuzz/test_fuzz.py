"""A short seeded run of each fuzzer; the long runs are by hand (see docs/proof.md)."""

import importlib.util
from pathlib import Path

import pytest


def fuzzer(name):
    """Return a script of this folder as a module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.kernel
def test_ctc():
    check = fuzzer("fuzz_ctc").check
    for seed in range(150):
        check(seed)


def test_a_wrong_answer_is_found(monkeypatch, capsys):
    """The law is tight: a loss that is off by a part in ten thousand does not pass."""
    fuzz = fuzzer("fuzz_ctc")
    right = fuzz.ctc.ctc_loss_and_grad

    def wrong(*args, **options):
        losses, grads = right(*args, **options)
        return losses * 1.0001, grads

    monkeypatch.setattr(fuzz.ctc, "ctc_loss_and_grad", wrong)
    assert fuzz.main(20)
    assert "AssertionError" in capsys.readouterr().out


def test_files(tmp_path):
    fuzz = fuzzer("fuzz_files")
    readers = fuzz.make(tmp_path)
    for path, read in readers.items():
        read(path)  # each is valid before it is damaged
    for seed in range(300):
        fuzz.check(readers, seed)


def test_an_error_of_another_kind_is_found(tmp_path):
    fuzz = fuzzer("fuzz_files")
    readers = dict.fromkeys(fuzz.make(tmp_path), lambda path: {}["not ours"])
    with pytest.raises(KeyError):
        fuzz.check(readers, 0)
