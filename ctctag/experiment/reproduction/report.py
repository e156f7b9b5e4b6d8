"""The report of an experiment: its tables and figures beside the paper's, as a page and as files."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ctctag.data import Dataset
from ctctag.exceptions import CtctagError
from ctctag.experiment.machine import software
from ctctag.experiment.reproduction.cells import Cell, cell_folder
from ctctag.experiment.reproduction.choices import check_table, choices_table
from ctctag.experiment.reproduction.page import Page, write
from ctctag.experiment.reproduction.paper_figures import NAMES
from ctctag.experiment.reproduction.plan import Plan
from ctctag.experiment.reproduction.runner import finished_cells
from ctctag.experiment.reproduction.scores import Results
from ctctag.experiment.reproduction.tables import TABLES
from ctctag.experiment.reproduction.wording import (
    caution,
    origin_of,
    systems_sentence,
    title,
    what_was_heard,
)
from ctctag.training import RunFolder

__all__ = ["write_report"]


def write_report(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    resamples: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the report of what is finished of an experiment.

    Parameters
    ----------
    folder : str or Path
        The experiment (see `run_experiment`).
    out : str or Path, optional
        Folder of the report; by default ``report`` in `folder`.
    resamples : int
        How often clips are drawn for intervals and tests.
    progress : callable, optional
        Called with (parts done, parts).

    Returns
    -------
    Path
        Of ``index.html``, with everything inside. Beside it are ``README.md`` with ``pictures``, a CSV file
        for each table, and ``results.json``.

    Raises
    ------
    CtctagError
        If no cell is finished yet.
    """
    folder = Path(folder)
    out = folder / "report" if out is None else Path(out)
    plan = Plan.read(folder)
    cells = finished_cells(plan, folder)
    if not cells:
        raise CtctagError(f"{folder}: no cell is finished yet, so there is nothing to report")
    origin = origin_of(cells, folder, plan)
    results = Results(cells, plan.cells, caution(plan, origin))
    out.mkdir(parents=True, exist_ok=True)
    write(out / "results.json", json.dumps(results.to_dict(), indent=1) + "\n")

    total = len(TABLES) + 1
    page = Page(
        title(plan, origin),
        f"Protocol {plan.protocol}: {plan.clips} clips in {plan.folds} folds",
        out,
    )
    page.section("What is here")
    if results.caution:
        page.text(results.caution)
    page.text(
        f"{systems_sentence(results.systems)} Each is trained on all folds but one and measured on that one. "
        f"The paper's figures stand beside ours. {what_was_heard(plan, origin)}"
    )
    if results.missing:
        names = ", ".join(f"{NAMES[system]} fold {fold}" for system, fold in results.missing)
        page.text(f"Not finished, and so not in any figure: {names}.")
    section = ""
    for done, (name, (heading, make)) in enumerate(TABLES.items()):
        if progress is not None:
            progress(done, total)
        table = make(results, resamples)
        if not table.rows:
            continue
        if heading != section:
            page.section(heading)
        section = heading
        page.table(table, name)
    _pictures(page, results, plan, folder)
    page.section("What the paper leaves open")
    page.table(choices_table(plan, origin, len(results.classes)))
    page.table(check_table(), "paper_check")
    page.section("How this was made")
    _settings(page, plan, cells, origin)
    if progress is not None:
        progress(total, total)
    return page.save()


def _pictures(page: Page, results: Results, plan: Plan, folder: Path) -> None:
    page.section("Pictures")
    if find_spec("matplotlib") is None:
        page.text("No pictures: they need matplotlib, pip install 'ctctag[plot]'.")
        return
    from ctctag.experiment.reproduction.pictures import clip_pictures, score_pictures

    for name, figure, caption in score_pictures(results):
        page.picture(name, figure, caption)
    models = {
        (system, fold): path
        for system, fold in plan.cells
        if (path := RunFolder(cell_folder(folder, system, fold)).model_path).exists()
    }
    if not any(("crnn-ctc", fold) in models for fold in results.folds) or not (folder / "clips").exists():
        page.text(
            "Figures 1.1, 1.3 and 1.4 need the clips and a trained CRNN-CTC, which were not at hand together."
        )
        return
    for name, figure, caption in clip_pictures(results, Dataset.open(folder / "clips"), models):
        page.picture(name, figure, caption)


def _settings(page: Page, plan: Plan, cells: list[Cell], origin: dict[str, str]) -> None:
    shared = dict(cells[0].config)
    for cell in cells:
        shared = {name: value for name, value in shared.items() if cell.config.get(name) == value}
    page.code(plan.command_on(**origin))
    page.text("Every system was trained with")
    page.code("\n".join(f"{name} = {value}" for name, value in shared.items()))
    for system in plan.systems:
        own = next((cell.config for cell in cells if cell.system == system), {})
        rest = {name: value for name, value in own.items() if name not in shared and name != "system"}
        if rest:
            page.text(f"{NAMES[system]}: " + ", ".join(f"{name} = {value}" for name, value in rest.items()))
    machines, programs, clips = (
        "; ".join(dict.fromkeys(found))
        for found in (
            [cell.machine for cell in cells],
            [software(cell.versions) for cell in cells],
            [cell.data["fingerprint"] for cell in cells],
        )
    )
    page.text(f"On {machines}; with {programs}. Fingerprint of the clips: {clips}.")
