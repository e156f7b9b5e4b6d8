"""Code in the pages that cannot go stale.

``.. run-python::`` shows code, runs it while the page is built, and shows what it printed. The blocks of one
page share their names, as the cells of a notebook do. Code that raises breaks the build, so no page shows a
number that the code does not give.

``.. code-of:: package.module.function`` shows the source of a function as it is, without its docstring: the
text beside it says the same at greater length.
"""

import ast
import contextlib
import importlib.util
import io
from pathlib import Path

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class RunPython(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        code = "\n".join(self.content)
        namespace = self.env.temp_data.setdefault("run_python", {"np": np})
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{self.env.docname}, line {self.lineno}", "exec"), namespace)
        shown: list[nodes.Node] = [nodes.literal_block(code, code, language="python")]
        if printed.getvalue():
            text = printed.getvalue().rstrip()
            output = nodes.literal_block(text, text, language="text", classes=["printed"])
            shown.append(output)
        return shown


class CodeOf(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].rpartition(".")
        path = Path(importlib.util.find_spec(module).origin)
        self.env.note_dependency(str(path))
        code = source_without_docstring(path.read_text(encoding="utf-8"), name)
        return [nodes.literal_block(code, code, language="python")]


def source_without_docstring(source: str, name: str) -> str:
    """Return the lines of the function `name` (or ``Class.method``) but those of its docstring."""
    body = ast.parse(source).body
    for part in name.split(":"):
        node = next(node for node in body if getattr(node, "name", None) == part)
        body = node.body
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = source.splitlines()
    skipped = range(0)
    if ast.get_docstring(node) is not None:
        skipped = range(node.body[0].lineno, node.body[0].end_lineno + 1)
    kept = [lines[number - 1] for number in range(first, node.end_lineno + 1) if number not in skipped]
    indent = len(kept[0]) - len(kept[0].lstrip())
    return "\n".join(line[indent:] for line in kept)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("run-python", RunPython)
    app.add_directive("code-of", CodeOf)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
