"""Write formulas as MathML, which browsers draw themselves: no script, no font, no network."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def inline(self, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{convert(node.astext(), display="inline")}</span>')
    raise nodes.SkipNode


def block(self, node: nodes.math_block) -> None:
    latex = node.astext().strip()
    if "\\\\" in latex and "\\begin{aligned}" not in latex and "&" in latex:
        latex = f"\\begin{{align*}}{latex}\\end{{align*}}"
    number = f'<span class="eqno">({node["number"]})</span>' if node["number"] else ""
    self.body.append(self.starttag(node, "div", CLASS="math") + number)
    self.body.append(convert(latex, display="block") + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
