"""Running the cells: here one by one, side by side in processes, or on the workers of a dask cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from ctctag._checks import check_integer
from ctctag._locks import locked
from ctctag._threads import get_num_threads
from ctctag.data import Features
from ctctag.exceptions import CtctagError, DataError, ParameterError
from ctctag.experiment.reproduction.cells import Cell, cell_folder, finished_cell, run_cell
from ctctag.experiment.reproduction.plan import Plan
from ctctag.experiment.reproduction.watch import watching

__all__ = ["finished_cells", "run_experiment"]


def run_experiment(
    plan: Plan,
    folder: str | Path,
    source: Any,
    noise: Any = "white",
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    quiet: bool = False,
    on_mix: Any = None,
    on_features: Any = None,
) -> list[Cell]:
    """Carry out a plan, or what is left of it, and return its cells.

    Clips and features are made first. Each cell is then trained and measured in a folder of its own, from
    where it was. However the work is divided, and however often it was interrupted, the numbers are the same.

    Parameters
    ----------
    plan : Plan
        The experiment.
    folder : str or Path
        Where; made if need be.
    source, noise : EventSource, path-like or str
        The recordings (see `ctctag.data.mix_dataset`).
    jobs : int
        Cells at a time, each in a process of its own (needs joblib). The threads are divided among them.
    scheduler : str, optional
        Address of a dask scheduler, whose workers take the cells (needs dask.distributed). All of them must
        see `folder` under the same path. A cell whose worker dies goes on on another.
    quiet : bool
        Print nothing.
    on_mix, on_features : callable, optional
        Called with (clips done, clips).

    Returns
    -------
    list of Cell
        In the plan's order.

    Raises
    ------
    ParameterError
        If another experiment was begun in this folder, or both `jobs` and `scheduler` are given.
    DataError
        If a recording, a clip or a cell's file cannot be used, a finished cell was measured on other clips
        or made by other settings, or another process carries out the experiment of this folder.
    CtctagError
        If a process or worker that trained a cell is gone; what it had done is kept.
    """
    check_integer(jobs, "jobs", low=1)
    if jobs > 1 and scheduler is not None:
        raise ParameterError("jobs and scheduler both say where cells run: give one of them")
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"{folder}: another process carries out this experiment; wait for it, or choose another folder"
    with locked(folder / ".lock", busy):
        _carry_out(plan, folder, source, noise, jobs, scheduler, quiet, on_mix, on_features)
        return finished_cells(plan, folder)


def _carry_out(
    plan: Plan,
    folder: Path,
    source: Any,
    noise: Any,
    jobs: int,
    scheduler: str | None,
    quiet: bool,
    on_mix: Any,
    on_features: Any,
) -> None:
    plan.save(folder)
    dataset = plan.mixed(folder, source, noise, on_mix)
    _check_clips(folder, finished_cells(plan, folder), dataset.fingerprint())
    Features.build(dataset, plan.log_mel(), progress=on_features)  # once, before many want them
    left = [
        (system, fold) for system, fold in plan.cells if finished_cell(plan, folder, system, fold) is None
    ]
    with watching(plan, folder, left, quiet=quiet):
        if scheduler is not None:
            _on_cluster(folder, left, scheduler)
        elif jobs > 1:
            _in_processes(folder, left, jobs)
        else:
            for system, fold in left:
                run_cell(folder, system, fold)


def finished_cells(plan: Plan, folder: str | Path) -> list[Cell]:
    """Return those cells of the plan that are finished, in its order.

    Raises
    ------
    DataError
        If one cannot be read, or was made by other settings than the plan's.
    """
    cells = (finished_cell(plan, Path(folder), system, fold) for system, fold in plan.cells)
    return [cell for cell in cells if cell is not None]


def _check_clips(folder: Path, cells: Sequence[Cell], fingerprint: str) -> None:
    for cell in cells:
        if cell.data["fingerprint"] != fingerprint:
            raise DataError(
                f"{cell_folder(folder, cell.system, cell.fold)}: was measured on other clips than those in "
                f"{folder / 'clips'} (mixed from other recordings?); remove it to measure it again"
            )


def _in_processes(folder: Path, cells: Sequence[tuple[str, int]], jobs: int) -> None:
    try:
        import joblib
        from joblib.externals.loky.process_executor import TerminatedWorkerError
    except ImportError:
        raise CtctagError("several jobs need joblib: pip install 'ctctag[parallel]'") from None
    threads = max(1, get_num_threads() // jobs)
    try:
        joblib.Parallel(n_jobs=jobs, batch_size=1)(
            joblib.delayed(run_cell)(folder, system, fold, threads) for system, fold in cells
        )
    except TerminatedWorkerError:
        raise CtctagError(
            f"{folder}: a process that trained a cell was killed (too little memory for {jobs} jobs?); run "
            "the same command again to go on"
        ) from None


def _on_cluster(folder: Path, cells: Sequence[tuple[str, int]], address: str) -> None:
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise CtctagError("a scheduler needs dask: pip install 'ctctag[distributed]'") from None
    try:
        client = Client(address, timeout=20, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CtctagError(f"{address}: no dask scheduler answers there ({error})") from None
    with client:
        futures = [
            client.submit(_on_worker, folder, system, fold, key=f"{system}-fold{fold}-{uuid4()}")
            for system, fold in cells
        ]
        try:
            client.gather(futures)
        except KilledWorker:
            raise CtctagError(
                f"{folder}: several workers died with the same cell (too little memory?); run the same "
                "command again to go on"
            ) from None


def _on_worker(folder: Path, system: str, fold: int) -> None:
    from distributed import get_worker

    run_cell(folder, system, fold, get_worker().state.nthreads)
