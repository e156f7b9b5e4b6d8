"""The report of the paper's experiment: its tables and figures beside ours."""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctctag.data import Dataset
from ctctag.experiment.reproduction.choices import check_table, choices_table
from ctctag.experiment.reproduction.page import Page, write
from ctctag.experiment.reproduction.paper_figures import NAMES
from ctctag.experiment.reproduction.scores import Results
from ctctag.experiment.reproduction.tables import all_tables

if TYPE_CHECKING:
    from ctctag.experiment.cells import Cell

__all__ = ["write_report"]

_SECTIONS = {
    "Tags": ("table_1_1", "class_auc", "table_1_2", "intervals", "comparisons"),
    "Order": ("order",),
    "Time": ("cells",),
}


def write_report(
    cells: Sequence["Cell"],
    folder: str | Path,
    *,
    dataset: Dataset | None = None,
    settings: Mapping[str, Any] | None = None,
    models: Mapping[str, Path] | None = None,
) -> Path:
    """Write the report of the finished cells: page, Markdown, CSV, JSON and pictures.

    Parameters
    ----------
    cells : sequence of Cell
        What is finished; the report names what is missing.
    folder : str or Path
        Where; made if need be.
    dataset : Dataset, optional
        The clips, for pictures of one of them.
    settings : mapping, optional
        Shown in the report. ``folds`` says which were wanted, ``command`` the command line, ``resamples``
        how often clips are drawn for intervals and tests (1000).
    models : mapping of str to Path, optional
        Model file of ``"<system>-fold<k>"``, for pictures of a clip.

    Returns
    -------
    Path
        Of ``index.html``.

    Raises
    ------
    ParameterError
        If there is no cell, one comes twice, or they belong to different experiments.
    """
    results = Results(cells, settings)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "results.json", json.dumps(results.to_dict(), indent=1) + "\n")
    subtitle = f"Protocol {results.protocol}, {results.n_clips} test clips, folds {_list(results.folds)}"
    page = Page("The paper's experiment, again", subtitle, folder)
    page.section("What is here")
    page.text("Four systems tag ten-second clips; CRNN-CTC learns from the order of events, too. "
              "The paper's figures stand beside ours.")  # fmt: skip
    if results.missing:
        names = _list(f"{NAMES[system]} fold {fold}" for system, fold in results.missing)
        page.text(f"Not finished, and so not in any figure: {names}.")
    if len(results.folds) == 1:
        page.text("There is one fold only, so no spread over folds can be given.")
    tables = all_tables(results)
    for section, names in _SECTIONS.items():
        if any(name in tables for name in names):
            page.section(section)
        for name in names:
            if name in tables:
                page.table(tables[name], name)
    page.section("Pictures")
    _pictures(page, results, dataset, models or {})
    page.section("What the paper leaves open")
    page.table(choices_table())
    page.table(check_table(), "paper_check")
    page.section("How this was made")
    first = next(iter(results.cells.values()))
    page.code(json.dumps({"settings": results.settings, "machine": first.machine, "versions": first.versions,
                          "data": first.data}, indent=1, default=str))  # fmt: skip
    return page.save()


def _pictures(page: Page, results: Results, dataset: Dataset | None, models: Mapping[str, Path]) -> None:
    if find_spec("matplotlib") is None:
        page.text("No pictures: they need matplotlib, pip install 'ctctag[plot]'.")
        return
    from ctctag.experiment.reproduction.pictures import clip_pictures, score_pictures

    for name, figure, caption in score_pictures(results):
        page.picture(name, figure, caption)
    ready = any(f"crnn-ctc-fold{f}" in models and ("crnn-ctc", f) in results.cells for f in results.folds)
    if dataset is None or not ready:
        page.text("Figures 1.1, 1.3 and 1.4 need the clips and a trained CRNN-CTC, which were not at hand.")
        return
    for name, figure, caption in clip_pictures(results, dataset, models):
        page.picture(name, figure, caption)


def _list(items: Any) -> str:
    return ", ".join(map(str, items))
