"""Time the training runs of `make demo` by stage, their base models and the report."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qtrain
from figures.bench.process import serve
from qtrain.callbacks import Callback, RunView
from qtrain.comparison import cells_of, compare
from qtrain.config import EstimatorChoice, read_config
from qtrain.jobs.runner import Run, run_all
from qtrain.jobs.workers import Host
from qtrain.prepare import get_base
from qtrain.report import report_command
from qtrain.tasks import make_task

CONFIGS = Path(qtrain.__file__).parent / "configs"


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Run configurations x estimators one comparison after the other, as `qtrain compare` does.

    Returns:
        wall: Seconds from the first base model to the report.
        bases, report: Seconds spent on the base models and on the report.
        runs: One entry per run, with its steps, seconds, and seconds of each stage.
    """
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # base models are pretrained anew, as in a fresh clone
        configs = [read_config(CONFIGS / f"{name}.toml", tuple(settings["overrides"])) for name in settings["configs"]]
        choices = [EstimatorChoice.parse(spec) for spec in settings["estimators"]]
        began = time.perf_counter()
        bases = 0.0
        for config in configs:
            started = time.perf_counter()
            get_base(config, make_task(config.task, config.data))
            bases += time.perf_counter() - started
            out = Path(folder) / config.name
            cells = cells_of(config, choices, [0], out)
            timed = [TimedRun(label=cell.label, config=cell.config, folder=cell.folder) for cell in cells]
            runs += run_all(timed, jobs=settings["jobs"])
            compare(config, choices, [0], out)  # all runs are finished: this writes comparison.json
        reporting = time.perf_counter()
        report_command(tuple(Path(folder) / config.name for config in configs), Path(folder) / "report.html")
        ended = time.perf_counter()
    return {"wall": ended - began, "bases": bases, "report": ended - reporting, "runs": runs}


@dataclass(frozen=True, kw_only=True)
class TimedRun(Run):
    """A run that returns its times as its result."""

    def go(self, host: Host) -> dict[str, Any]:
        """Train, and return `config`, `estimator`, `steps`, `seconds`, and `stages`: seconds by stage."""
        times, began = StageTimes(), time.perf_counter()
        result = Run(label=self.label, config=self.config, folder=self.folder, callbacks=(times,)).go(host)
        return {
            "config": self.config.name,
            "estimator": str(self.config.estimator),
            "steps": result["steps"],
            "seconds": time.perf_counter() - began,
            "stages": times.seconds,
        }


class StageTimes(Callback):
    """Records a run's seconds by stage.

    Attributes:
        seconds: Seconds by stage, set at the end of the run.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def on_end(self, run: RunView, result: dict[str, Any]) -> None:
        """Copy the seconds from the run's clock."""
        self.seconds = dict(run.clock.seconds)


if __name__ == "__main__":
    serve(measure)
