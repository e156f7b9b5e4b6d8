"""Cheap checks of the documentation; that it builds, and that its numbers hold, is shown by building it."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import ctctag

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(
    path
    for path in DOCS.rglob("*.rst")
    if not {"_build", "api", "auto_examples", "_templates"} & {*path.parts}
)
ROOMS = re.findall(
    r"^   (ctctag\.[\w.]+)$", (DOCS / "reference.rst").read_text(encoding="utf-8"), re.MULTILINE
)


def test_every_public_room_is_in_the_reference():
    rooms = {f"ctctag.{name}" for name in ctctag.__all__ if inspect.ismodule(getattr(ctctag, name))}
    assert rooms - {*ROOMS} == {"ctctag.cli"}  # a command, not an interface


def test_every_public_name_of_the_top_is_in_a_room():
    listed = {name for room in ROOMS for name in getattr(_load(room), "__all__", [])} | {
        room.rpartition(".")[2] for room in ROOMS
    }
    assert {*ctctag.__all__} - listed == {"__version__", "cli"}


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_says_what_it_is(room):
    module = _load(room)
    assert inspect.getdoc(module)
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if callable(value) and not hasattr(value, "__args__"):
            assert value.__doc__, f"{room}.{name} has no docstring"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_pages_refer_to_what_exists(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"(?<![`\w])`(ctctag\.[\w.]+)`", text):
        assert _exists(target), f"{target} is not there"
    for target in re.findall(r":doc:`(?:[^`<]*<)?/?([\w/]+)>?`", text):
        if not target.startswith("auto_examples"):
            found = [base / (target + kind) for base in (DOCS, page.parent) for kind in (".rst", ".md")]
            assert any(path.exists() for path in found), f"no page {target}"
        else:
            assert (DOCS.parent / "examples" / f"{Path(target).name}.py").exists()
    for target in re.findall(r"\.\. code-of:: (\S+)", text):
        module, _, name = target.rpartition(".")
        source = ast.parse(Path(importlib.import_module(module).__file__).read_text(encoding="utf-8"))
        assert name in {getattr(node, "name", None) for node in source.body}, f"{target} is not there"


def test_code_in_pages_is_python():
    blocks = 0
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if line.startswith(".. run-python::"):
                code = []
                for following in lines[number + 1 :]:
                    if following and not following.startswith("   "):
                        break
                    code.append(following[3:])
                ast.parse("\n".join(code), f"{page.name}, line {number + 1}")
                blocks += 1
    assert blocks > 20


def _load(name):
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute, None)
    return found if found is not None else importlib.import_module(name)


def _exists(dotted):
    parts = dotted.split(".")
    value = ctctag
    for position, part in enumerate(parts[1:], start=2):
        if not hasattr(value, part):
            try:
                importlib.import_module(".".join(parts[:position]))
            except ImportError:
                return False
        value = getattr(value, part)
    return True
