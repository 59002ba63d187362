"""Run cells: train (an interrupted cell resumes), then evaluate the best checkpoint on the test records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures.paper.cells import Cell
from figures.paper.tables import home
from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.evaluation import evaluate
from qtrain.files import writing
from qtrain.jobs.runner import Run, run_all
from qtrain.jobs.workers import Host
from qtrain.load_run import evaluate_run
from qtrain.policy.base import initial_policy
from qtrain.policy.model import token_ids
from qtrain.prepare import get_base, prepare
from qtrain.rollout import make_engine
from qtrain.runs.folder import read_json, write_json

TEST = "test.json"
"""File in a cell's folder: `scores` on the test records, `step` of the weights (null: the base), and `config`."""

TEST_SEED = 1
"""Seed of sampling in tests; evaluations during training use 0."""


def folder_of(cell: Cell, out: Path) -> Path:
    """A cell's run folder, OUT/TABLE/CELL, shared by all tables that show the cell."""
    return out / home(cell) / cell.name


@dataclass(frozen=True, kw_only=True)
class CellRun(Run):
    """A cell's run: training, then a test of the best checkpoint on the test records.

    Attributes:
        cell: The cell. The base model is not trained.
        test: Configuration of the test, None for a cell without a test.
    """

    cell: Cell
    test: Config | None

    def finished(self) -> dict[str, Any] | None:
        """See `Run.finished`; for the base model, which is not trained, an empty result.

        Raises:
            UserError: The folder holds a run or test of another configuration.
        """
        result = {} if self.cell.estimator is None else super().finished()
        return result if self._is_tested() else None

    def go(self, host: Host) -> dict[str, Any]:
        """See `Run.go`."""
        result = {}
        if self.cell.estimator is not None:
            result = super().finished() or super().go(host)
        if self.test is not None and not self._is_tested():
            self._test(self.test, result)
        return result

    def _is_tested(self) -> bool:
        """Whether the test is done, or there is none."""
        path = self.folder / TEST
        if self.test is None or not path.exists():
            return self.test is None
        if read_json(path, "a cell's folder")["config"] != self.test.as_table():
            raise UserError(f"{path}: is of another configuration; choose another --out or delete it")
        return True

    def _test(self, test: Config, result: dict[str, Any]) -> None:
        step = result.get("best_step")
        if self.cell.estimator is None:
            test, task, _ = prepare(test)
            model = initial_policy(self.config, task, get_base(self.config, task))
            engine = make_engine(self.config.rollout, model, token_ids(task.tokenizer, self.config.rollout))
            scores: dict[str, float] | None = evaluate(engine, task, test, seed=TEST_SEED).scores
        else:
            # A run that diverged before its first evaluation has no weights to test.
            scores = None if step is None else evaluate_run(self.folder, "best", test, seed=TEST_SEED).scores
        path = self.folder / TEST
        with writing(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, {"step": step, "scores": scores, "seed": TEST_SEED, "config": test.as_table()})


def run_cells(
    cells: Sequence[Cell],
    overrides: Sequence[str],
    data: Path | None,
    out: Path,
    *,
    title: str,
    test: bool,
    done: Callable[[], None],
) -> None:
    """Run the cells that have not finished yet.

    Args:
        cells: Cells in the order in which to run them.
        overrides: `key=value`, applied to every cell.
        data: See `Cell.config`.
        out: See `folder_of`.
        title: Title of the progress display.
        test: Whether the best checkpoint is evaluated on the test records.
        done: Called after each cell.

    Raises:
        UserError: A cell's folder holds a run of another configuration, or a cell cannot be run.
    """
    runs = [
        CellRun(
            label=cell.name,
            config=cell.config(overrides, data),
            folder=folder_of(cell, out),
            cell=cell,
            test=cell.config(overrides, data, test=True) if test else None,
        )
        for cell in cells
    ]
    run_all(runs, title=title, done=done)
