"""The training runs of `make demo`, their bases and the report, with the time of every stage."""

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

import qtrain
from qtrain.bench.process import serve
from qtrain.bench.stages import Stages
from qtrain.compare import Cell, cells_of, compare
from qtrain.config import Config, read_config
from qtrain.estimator_choice import EstimatorChoice
from qtrain.pretrain import get_base
from qtrain.report import report_command
from qtrain.tasks import make_task
from qtrain.train import train

CONFIGS = Path(qtrain.__file__).parent / "configs"


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Run configurations x estimators in worker processes of one thread each, as `qtrain compare` does.

    Returns:
        wall: Seconds from the first base to the report; bases, report: seconds; runs: one entry a run, with its
            steps, its seconds and those of each stage.
    """
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # bases are made, as in a fresh clone
        configs = [read_config(CONFIGS / f"{name}.toml", tuple(settings["overrides"])) for name in settings["configs"]]
        choices = [EstimatorChoice.parse(word) for word in settings["estimators"]]
        began = time.perf_counter()
        with ProcessPoolExecutor(
            settings["jobs"],
            mp_context=multiprocessing.get_context("spawn"),
            initializer=partial(torch.set_num_threads, 1),
        ) as pool:
            bases = 0.0
            for config in configs:
                bases += pool.submit(_base, config).result()
                cells = cells_of(config, choices, [0], Path(folder) / config.name)
                runs += pool.map(_run, cells)
        outs = [Path(folder) / config.name for config in configs]
        for config, out in zip(configs, outs, strict=True):
            compare(config, choices, [0], out, jobs=1)  # all are finished: writes comparison.json
        reporting = time.perf_counter()
        report_command(tuple(outs), Path(folder) / "report.html")
        ended = time.perf_counter()
    return {"wall": ended - began, "bases": bases, "report": ended - reporting, "runs": runs}


def _base(config: Config) -> float:
    began = time.perf_counter()
    get_base(config, make_task(config.task, config.data))
    return time.perf_counter() - began


def _run(cell: Cell) -> dict[str, Any]:
    stages, began = Stages(), time.perf_counter()
    task = make_task(cell.config.task, cell.config.data)
    with stages.watching():
        result = train(cell.config, task, get_base(cell.config, task), cell.folder)
    return {
        "config": cell.config.name,
        "estimator": str(cell.config.estimator),
        "steps": result["steps"],
        "seconds": time.perf_counter() - began,
        "stages": dict(stages.seconds),
    }


if __name__ == "__main__":
    serve(measure)
