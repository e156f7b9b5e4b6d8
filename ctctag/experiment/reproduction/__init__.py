"""The paper's experiment: four systems, four folds, its tables and figures beside ours.

Read in this order: `plan` (what is done), `cells` (one system on one fold), `runner` (all of them, anywhere),
`report` (the page, from the finished cells).
"""

from ctctag.experiment.reproduction.cells import Cell, cell_folder, run_cell
from ctctag.experiment.reproduction.plan import Plan
from ctctag.experiment.reproduction.report import write_report
from ctctag.experiment.reproduction.runner import finished_cells, run_experiment

__all__ = ["Cell", "Plan", "cell_folder", "finished_cells", "run_cell", "run_experiment", "write_report"]
