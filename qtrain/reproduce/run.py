"""Runs cells one after the other: training that resumes, then the best checkpoint on the test records."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtrain.config import Config
from qtrain.device import find_device
from qtrain.disk import writing
from qtrain.engines import check_engine, make_engine
from qtrain.errors import UserError
from qtrain.evaluate import evaluate
from qtrain.finished import evaluate_run
from qtrain.model import token_ids
from qtrain.policy import start_policy
from qtrain.pretrain import get_base
from qtrain.progress import Board, Report
from qtrain.reproduce.cells import Cell
from qtrain.reproduce.tables import home
from qtrain.run_folder import RESULT, check_free, read_json, write_json
from qtrain.tasks import Task, make_task
from qtrain.train import train

TEST = "test.json"
"""In a cell's folder: `scores` on the test records, the `step` of the weights (null: the base), and `config`."""

TEST_SEED = 1
"""Seeds the sampling of tests; training evaluates with 0."""


def folder_of(cell: Cell, out: Path) -> Path:
    """A cell's run folder, OUT/TABLE/CELL: one, however many tables show the cell."""
    return out / home(cell) / cell.name


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
    plans = [(cell, folder_of(cell, out), cell.config(overrides, data)) for cell in cells]
    for _, folder, config in plans:
        # All of it before the first of many hours.
        check_engine(config.rollout)
        find_device(config.train.device)
        check_free(folder, config, resume=True)
    tasks = _Tasks()
    with Board(title, total=len(cells)) as board:
        for cell, folder, config in plans:
            note = "finished before"
            if cell.estimator is not None and not (folder / RESULT).exists():
                _train(cell, folder, config, tasks, board)
                note = "done"
            if test and _test(cell, folder, config, cell.config(overrides, data, test=True)):
                note = "done"
            done()
            board.show(Report(cell.name, 1, 1, note, done=True))
            board.cell_done()


class _Tasks:
    """The last task that was built: the cells of a data set follow each other, and reading it takes a while."""

    def __init__(self) -> None:
        self._of: Any = None
        self._task: Task | None = None

    def get(self, config: Config) -> Task:
        wanted = (config.task, config.data)
        if self._task is None or self._of != wanted:
            self._task, self._of = make_task(*wanted), wanted
        return self._task


def _train(cell: Cell, folder: Path, config: Config, tasks: _Tasks, board: Board) -> None:
    def watch(step: int, metrics: dict[str, float], _: object) -> None:
        board.show(Report(cell.name, step, config.train.steps, f"log P {metrics['mean_log_p']:.2f}"))

    task = tasks.get(config)
    train(config, task, get_base(config, task), folder, watch=watch, resume=True)


def _test(cell: Cell, folder: Path, config: Config, test: Config) -> bool:
    """Evaluate on the test records, unless that was done before. Returns whether it was done now."""
    path = folder / TEST
    if path.exists():
        if read_json(path, "a cell's folder")["config"] != test.as_table():
            raise UserError(f"{path}: is of another configuration; choose another --out or delete it")
        return False
    if cell.estimator is None:
        step = None
        task = make_task(test.task, test.data)
        model = start_policy(config, task, get_base(config, task))
        engine = make_engine(config.rollout, model, token_ids(task.tokenizer))
        scores: dict[str, float] | None = evaluate(engine, task, test, seed=TEST_SEED).scores
    else:
        step = read_json(folder / RESULT, "a finished run")["best_step"]
        # A run that diverged before its first evaluation has no weights to test.
        scores = None if step is None else evaluate_run(folder, "best", test, seed=TEST_SEED).scores
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"step": step, "scores": scores, "seed": TEST_SEED, "config": test.as_table()})
    return True
