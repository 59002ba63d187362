"""Runs cells: training that resumes, then the best checkpoint on the test records."""

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
"""In a cell's folder: `scores` on the test records, the `step` of the weights (null: the base), and `config`."""

TEST_SEED = 1
"""Seeds the sampling of tests; training evaluates with 0."""


def folder_of(cell: Cell, out: Path) -> Path:
    """A cell's run folder, OUT/TABLE/CELL: one, however many tables show the cell."""
    return out / home(cell) / cell.name


@dataclass(frozen=True, kw_only=True)
class CellRun(Run):
    """A cell's run: training, and then the best checkpoint on the test records.

    Attributes:
        cell: Which. The base model is not trained.
        test: The configuration of the test, None where there is none.
    """

    cell: Cell
    test: Config | None

    def finished(self) -> dict[str, Any] | None:
        """See `Run.finished`; of the base model, which has no result, an empty one.

        Raises:
            UserError: The folder holds another configuration's run or test.
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
        """Whether nothing is left to be evaluated on the test records."""
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
            engine = make_engine(self.config.rollout, model, token_ids(task.tokenizer))
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
    """Run what is missing of some cells.

    Args:
        cells: In this order.
        overrides: `key=value` for each of them.
        data: See `Cell.config`.
        out: See `folder_of`.
        title: What the progress display is about.
        test: Whether the best checkpoint is evaluated on the test records.
        done: Called after each cell.

    Raises:
        UserError: A cell's folder holds another configuration's run, or it cannot be run.
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
