"""How the documentation is built: ``sphinx-build -W docs docs/_build/html``, without network."""

import logging
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext")]

import ctctag  # noqa: E402

project = "ctctag"
author = "the ctctag authors"
project_copyright = author
version = release = ctctag.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "run_python",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "sg_execution_times.rst"]
templates_path = ["_templates"]
# Configuration values that are functions (the gallery's scraper) cannot be stored between builds, which costs
# nothing here.
suppress_warnings = ["config.cache"]
default_role = "py:obj"
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# -- the reference -----------------------------------------------------------------------------------------

autosummary_generate = True
autosummary_imported_members = True  # a room's names live in its files, and are listed in its __all__
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # the docstrings say more: shapes, ranges, units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# -- the gallery -------------------------------------------------------------------------------------------


def collect_figures(block, block_vars, gallery_conf):
    """Save every figure that a block of an example made; they belong to no window, so pyplot has none."""
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    seen = block_vars.setdefault("figures_seen", [])
    paths = []
    for value in block_vars["example_globals"].values():
        if isinstance(value, Figure) and not any(value is figure for figure in seen):
            seen.append(value)
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, dpi=130)
            paths.append(path)
    return figure_rst(paths, gallery_conf["src_dir"])


sphinx_gallery_conf = {
    "examples_dirs": [str(HERE.parent / "examples")],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",
    "image_scrapers": (collect_figures,),
    "reset_modules": (),
    "capture_repr": (),
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 1,
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "copyfile_regex": "",
}

# -- the pages ---------------------------------------------------------------------------------------------

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"ctctag {version}"
html_static_path = ["_static"]
html_css_files = ["ctctag.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "tango"
pygments_dark_style = "monokai"


class OptionalPages(logging.Filter):
    """Let a glob of the contents find nothing: pages of results come with the results."""

    def filter(self, record):
        return "toctree glob pattern" not in str(record.msg)


def setup(app):
    logging.getLogger("sphinx.sphinx.directives.other").addFilter(OptionalPages())
