"""Time the exact moments on one core, and a simulation of the same accuracy."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from figures.exact.cases import random_task
from qtheory.exact import mean, moments
from qtheory.models import FiniteTask
from qtheory.montecarlo import simulate

RATIONALES, PARAMETERS = 50, 100
ERRORS = (1e-3, 1e-12)
_SAMPLES, _Q = 16, 0.75  # the cell that is simulated
_PARAMS: dict[str, dict[str, Any]] = {
    "mean": {"estimator": "garl", "baseline": "none"},
    "plugin": {"estimator": "garl", "baseline": "none"},
    "paft": {"estimator": "paft"},
    "rloo": {"estimator": "garl"},
    "jackknife": {"estimator": "jackknife", "baseline": "none"},
    "delta": {"estimator": "delta", "baseline": "none"},
}


@dataclass(frozen=True)
class SpeedRow:
    """One kind of moments.

    Attributes:
        what: "mean" for the plug-in's mean alone, otherwise the form whose four moments are computed.
        cells: Number of cells (q, M) in the grid.
        cells_per_second: Speed of the exact moments, the median over repeats.
        draws: Pools simulated for one cell.
        simulation_seconds: Seconds of that simulation, the median over repeats.
        simulation_error: Relative standard error of the simulation: of the mean for "mean", of the variance otherwise.
        equal_seconds: Seconds of a simulation of one cell to errors of 1e-3 and 1e-12, extrapolated: the error falls as
            one over the square root of the draws.
        ratio: `equal_seconds` over the exact moments' time for a cell.
    """

    what: str
    cells: int
    cells_per_second: float
    draws: int
    simulation_seconds: float
    simulation_error: float
    equal_seconds: tuple[float, ...]
    ratio: tuple[float, ...]


@dataclass(frozen=True)
class SpeedResult:
    """The rows, and the machine that measured them.

    Attributes:
        rows: One row per kind of moments.
        repeats: Interleaved repeats, of which medians are taken.
        machine: Processor, core and versions by name.
    """

    rows: tuple[SpeedRow, ...]
    repeats: int
    machine: dict[str, str]


def speed(quick: bool = False, progress: Callable[[str], None] = lambda _: None) -> SpeedResult:
    """Time exact moments on a task of 50 rationales and 100 parameters, and their simulation, on one core.

    Grids over 51 (quick: 11) values of q times M = 1 to 100 for the mean alone, and over 11 values of q times
    M = 4, 16, ..., 1024 for all four moments. The random numbers are fixed; the times are not.

    Args:
        quick: A smaller grid of means, fewer pools and repeats.
        progress: Called with a line on what is timed next.

    Returns:
        Medians over interleaved repeats.
    """
    example = random_task(np.random.default_rng(0), RATIONALES, PARAMETERS)
    repeats, draws = (3, 2_000) if quick else (5, 20_000)
    exact: dict[str, list[float]] = {what: [] for what in _PARAMS}
    sampled: dict[str, list[float]] = {what: [] for what in _PARAMS}
    grids = {what: _grid(what, quick) for what in _PARAMS}
    errors = {}
    with _one_core():
        for what in _PARAMS:  # the first call fills caches and is not timed
            _exact(example, what, *grids[what])
        for repeat in range(repeats):
            for what in _PARAMS:
                progress(f"{what}, {repeat + 1} of {repeats}")
                exact[what].append(_seconds(lambda what=what: _exact(example, what, *grids[what])))
                start = time.perf_counter()
                errors[what] = _simulation_error(example, what, draws)
                sampled[what].append(time.perf_counter() - start)
    rows = []
    for what, (q, size) in grids.items():
        cells = len(q) * len(size)
        cell, took = float(np.median(exact[what])) / cells, float(np.median(sampled[what]))
        equal = tuple(took * (errors[what] / error) ** 2 for error in ERRORS)
        ratio = tuple(seconds / cell for seconds in equal)
        rows.append(SpeedRow(what, cells, 1 / cell, draws, took, errors[what], equal, ratio))
    return SpeedResult(tuple(rows), repeats, _machine())


def speed_table(result: SpeedResult) -> Table:
    """The rows as a table, readable at 80 columns, with the machine below."""
    caption = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="exact moments on one core, and simulation", caption=caption)
    heads = ("what", "cells/s", "s by simulation\nto 1e-3", "to 1e-12", "times as long\nto 1e-3", "to 1e-12")
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left", no_wrap=True)
    for row in result.rows:
        numbers = (row.cells_per_second, *row.equal_seconds, *row.ratio)
        table.add_row(row.what, *(f"{number:.2g}" if number < 1000 else f"{number:.1e}" for number in numbers))
    return table


def speed_json(result: SpeedResult) -> str:
    """The rows, repeats and machine as JSON, with a final newline."""
    return json.dumps(asdict(result) | {"errors": ERRORS}, indent=1, allow_nan=False) + "\n"


def _grid(what: str, quick: bool) -> tuple[np.ndarray, np.ndarray]:
    """Orders q (Q,) and sizes M (S,)."""
    if what == "mean":
        return np.linspace(0, 1, 11 if quick else 51), np.arange(1, 101)
    return np.linspace(0, 1, 11), 4 ** np.arange(1, 6)


def _exact(example: FiniteTask, what: str, q: np.ndarray, size: np.ndarray) -> None:
    if what == "mean":
        mean(example, q[:, None], size)
    else:
        moments(example, q[:, None], size, what)


def _simulation_error(example: FiniteTask, what: str, draws: int) -> float:
    """Relative standard error of the mean, for "mean", or of the variance."""
    params = {name: value for name, value in _PARAMS[what].items() if name != "estimator"} | {"q": _Q}
    simulated = simulate(example, _PARAMS[what]["estimator"], params, _SAMPLES, draws, np.random.default_rng(1))
    if what == "mean":
        return float(np.linalg.norm(simulated.mean_error) / np.linalg.norm(simulated.mean))
    return simulated.variance_error / simulated.variance


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def _one_core() -> Iterator[None]:
    """Pin this process to one core, if the system supports it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _machine() -> dict[str, str]:
    """Processor, versions, and whether the process was pinned to one core."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores used": "1" if hasattr(os, "sched_setaffinity") else "all",
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
    }
