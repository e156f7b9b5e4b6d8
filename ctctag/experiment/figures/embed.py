"""Figures as bytes, as files, and as addresses that carry the picture with them."""

import base64
import io
from pathlib import Path
from typing import Any

from ctctag._checks import check_choice, check_integer
from ctctag._files import atomic_path
from ctctag.exceptions import ParameterError

__all__ = ["data_uri", "save_figure", "to_png", "to_svg"]

_SUFFIXES = (".png", ".svg", ".pdf")


def to_png(figure: Any, dpi: int = 150) -> bytes:
    """Return a figure as a PNG file's bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From any function of `ctctag.experiment.figures`.
    dpi : int
        Dots per inch.
    """
    return _render(
        figure, "png", dpi=check_integer(dpi, "dpi", low=10, high=1200), metadata={"Software": None}
    )


def to_svg(figure: Any) -> str:
    """Return a figure as SVG text, which needs no font to show; drawn again, it is the same text.

    The figure's layout stays as it is at the first drawing, in whatever form.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From any function of `ctctag.experiment.figures`.
    """
    from matplotlib import rc_context

    # A fixed salt and no date: drawing twice gives the same bytes, so a report can be compared.
    with rc_context({"svg.hashsalt": "ctctag", "svg.fonttype": "path"}):
        return _render(figure, "svg", dpi=150, metadata={"Date": None, "Creator": None}).decode()


def data_uri(figure: Any, form: str = "svg") -> str:
    """Return a figure as a ``data:`` address, for the ``src`` of an ``img`` in a page that must stand alone.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From any function of `ctctag.experiment.figures`.
    form : {"svg", "png"}
        Letters and lines stay sharp in SVG; PNG is smaller for pictures with very many lines.
    """
    check_choice(form, "form", ("svg", "png"))
    if form == "svg":
        return "data:image/svg+xml;base64," + base64.b64encode(to_svg(figure).encode()).decode()
    return "data:image/png;base64," + base64.b64encode(to_png(figure)).decode()


def save_figure(figure: Any, path: str | Path, dpi: int = 150) -> None:
    """Write a figure to a file, whole or not at all; the suffix says how: .png, .svg or .pdf.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From any function of `ctctag.experiment.figures`.
    path : str or Path
        Where; an existing file is replaced.
    dpi : int
        Dots per inch, for .png.

    Raises
    ------
    ParameterError
        If the suffix is another one.
    DataError
        If the folder cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ParameterError(f"{path}: a figure's name must end in {', '.join(_SUFFIXES)}, got {suffix!r}")
    if suffix == ".png":
        content = to_png(figure, dpi)
    elif suffix == ".svg":
        content = to_svg(figure).encode()
    else:
        content = _render(figure, "pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _render(figure: Any, form: str, **options: Any) -> bytes:
    # Laid out once: solving the layout again from where it ended moves axes by a last bit, and with them the
    # names of clip paths in SVG.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, facecolor="white", **options)
    return buffer.getvalue()
