"""Many runs side by side: one per estimator and seed, over worker processes, resumable cell by cell."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.estimator_choice import EstimatorChoice
from qtrain.pretrain import get_base
from qtrain.progress import Board, Report
from qtrain.run_folder import COMPARISON, CONFIG, ENVIRONMENT, RESULT, environment, read_json, read_result, write_json
from qtrain.tasks import make_task
from qtrain.train import train

COLUMNS = ("estimator", "q", "seed", "p0", "steps", "escape_step")
"""First columns of a comparison's rows; scores and `seconds` follow."""


@dataclass(frozen=True)
class Cell:
    """One run of a comparison: what it is called, its configuration, and its run folder."""

    label: str
    config: Config
    folder: Path


def cells_of(config: Config, estimators: Iterable[EstimatorChoice], seeds: Iterable[int], out: Path) -> list[Cell]:
    """One cell per estimator and seed; a seed decides the base model and everything sampled in training."""
    return [cell(config.with_values({"estimator": str(choice)}), seed, out) for seed in seeds for choice in estimators]


def cell(config: Config, seed: int, out: Path, *, suffix: str = "") -> Cell:
    """One cell below `out`; `suffix` says what varies besides estimator and seed, in the folder's name too."""
    config = config.with_values({"train.seed": seed, "pretrain.seed": seed})
    label = " ".join(filter(None, [str(config.estimator), suffix, f"seed {seed}"]))
    return Cell(label, config, out / folder_name(config, suffix=suffix))


def folder_name(config: Config, *, suffix: str = "") -> str:
    """A run folder's name: estimator, whatever else varies, seed (`garl-q.75-seed0`)."""
    word = str(config.estimator).replace(":", "-").replace("=0.", ".").replace("=", "").replace(",", "-")
    return "-".join(filter(None, [word, suffix, f"seed{config.train.seed}"]))


def run_cells(cells: Sequence[Cell], *, jobs: int | None = None, title: str = "compare") -> list[dict[str, Any]]:
    """Pre-train what is needed and run every cell that has no result yet.

    Args:
        cells: What to run. Cells that share a base share its pre-training.
        jobs: Worker processes of one thread each; None takes one per core.
        title: What the progress display is about.

    Returns:
        The results in the order of the cells.

    Raises:
        UserError: A folder holds something else, or a cell cannot be run.
        KeyboardInterrupt: Workers are stopped; the finished cells are kept and not run again by the same command.
    """
    results = {index: _finished(one) for index, one in enumerate(cells)}
    todo = [index for index, result in results.items() if result is None]
    context = multiprocessing.get_context("spawn")
    reports = context.SimpleQueue()  # what is put is there before the worker goes on: no last line is lost
    workers = max(1, min(jobs or os.cpu_count() or 1, max(1, len(todo))))
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(reports,))
    board = Board(title, total=len(cells), finished=len(cells) - len(todo))
    try:
        with board:
            bases = {one.config.pretrain.seed: one for one in (cells[index] for index in todo)}
            _drain(
                [pool.submit(_make_base, one.config, f"base, seed {seed}") for seed, one in bases.items()],
                reports,
                board,
            )
            futures = {pool.submit(_run_cell, cells[index]): index for index in todo}
            _drain(list(futures), reports, board, lambda _: board.cell_done())
            for future, index in futures.items():
                results[index] = future.result()
        pool.shutdown()
    except BaseException:
        _stop(pool)
        raise
    return [result for result in results.values() if result is not None]


def compare(
    config: Config,
    estimators: Sequence[EstimatorChoice],
    seeds: Sequence[int],
    out: Path,
    *,
    jobs: int | None = None,
) -> list[dict[str, Any]]:
    """Run estimators x seeds from one configuration and write `comparison.json` into `out`.

    Returns:
        The rows of comparison.json.
    """
    cells = cells_of(config, estimators, seeds, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from None
    started = environment()
    rows = [row(result) for result in run_cells(cells, jobs=jobs, title=config.name)]
    write_json(out / CONFIG, config.as_table())
    write_json(out / ENVIRONMENT, started)
    write_json(out / COMPARISON, rows)
    return rows


def row(result: dict[str, Any]) -> dict[str, Any]:
    """A result as a row of comparison.json: columns in a fixed order, scores null where it diverged."""
    last = [key for key in result if key.startswith(("p_at_", "maj_at_", "mean_log_p"))]
    return {key: result[key] for key in (*COLUMNS, *last, "seconds")}


def _finished(one: Cell) -> dict[str, Any] | None:
    if not (one.folder / RESULT).exists():
        return None
    if read_json(one.folder / CONFIG, "a run folder") != one.config.as_table():
        raise UserError(f"{one.folder}: holds a run of another configuration; choose another --out or delete it")
    return read_result(one.folder)


_reports: Any = None
"""In a worker: where it reports to."""


def _start_worker(reports: Any) -> None:
    global _reports
    _reports = reports
    torch.set_num_threads(1)


def _make_base(config: Config, label: str) -> None:
    task = make_task(config.task, config.data)
    get_base(config, task, progress=lambda step, steps, _: _send(Report(label, step, steps, "pre-training")))
    _send(Report(label, 1, 1, "ready", done=True))


def _run_cell(one: Cell) -> dict[str, Any]:
    task = make_task(one.config.task, one.config.data)
    base = get_base(one.config, task)
    steps = one.config.train.steps

    def watch(step: int, metrics: dict[str, float], _: Any) -> None:
        _send(Report(one.label, step, steps, f"P {metrics['p']:.1e}"))

    resume = one.config.train.checkpoint_every is not None
    result = train(one.config, task, base, one.folder, watch=watch, resume=resume)
    _send(Report(one.label, steps, steps, "done", done=True))
    return result


_sent = 0.0


def _send(report: Report) -> None:
    """Report to the parent at most ten times a second, and at the end."""
    global _sent
    now = time.monotonic()
    if report.done or now - _sent > 0.1:
        _sent = now
        _reports.put(report)


def _drain(
    futures: Sequence[Future[Any]],
    reports: Any,
    board: Board,
    when_done: Callable[[Future[Any]], None] = lambda _: None,
) -> None:
    """Show reports until all futures are done; the first failure is raised at once."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
        while not reports.empty():
            board.show(reports.get())
        for future in done:
            future.result()
            when_done(future)


def _stop(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)
