"""Suite `demo`: time by stage of a training step on the testbed and of the whole `make demo`."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from figures.bench.case import Case, Options, program
from figures.bench.run import Results
from qtrain.callbacks import STAGES

CONFIGS = ("cold_start", "adam_conflict", "adam_alike")
ESTIMATORS = ("grpo", "rb_rloo", "garl:q=.25", "garl:q=.5", "garl:q=.75", "garl:q=1")
"""The estimators of the Makefile's target `demo`."""

_TOY = ("train.steps=2", "eval.every=2", "eval.prompts=2", "pretrain.steps=2", "pretrain.p0=none")


def cases(options: Options, _: Path) -> list[Case]:
    """A single process, which starts its own workers."""
    settings = {
        "configs": CONFIGS[:1] if options.quick else CONFIGS,
        "estimators": ESTIMATORS[-1:] if options.quick else ESTIMATORS,
        "overrides": _TOY if options.quick else (),
        "jobs": 1 if options.quick else os.cpu_count() or 1,
        "threads": 1,
    }
    return [Case("demo", "make demo", program("demo"), settings, rounds=1)]


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """A row for the whole demo, and a row per estimator with seconds a step, evaluation and logging included."""
    (case,) = cases
    (result,) = results[case.contest][case.name]
    if "failed" in result:
        return [{"failed": result["failed"]}]
    runs, total = result["runs"], Counter()
    for run in runs:
        total.update(run["stages"])
    worked = sum(run["seconds"] for run in runs)
    whole = {
        "name": "whole demo",
        "runs": len(runs),
        "wall": result["wall"],
        "bases": result["bases"],
        "report": result["report"],
        "seconds": worked,
        "stages": _stages(total, worked),
    }
    kinds = [
        {
            "name": f"{run['config']}, {run['estimator']}",
            "steps": run["steps"],
            "seconds": run["seconds"] / run["steps"],
            "stages": {name: value / run["steps"] for name, value in _stages(run["stages"], run["seconds"]).items()},
        }
        for run in runs
        if run["config"] == CONFIGS[0]
    ]
    return [whole, *kinds]


def _stages(seconds: dict[str, float] | Counter[str], whole: float) -> dict[str, float]:
    known = {name: seconds.get(name, 0.0) for name in STAGES}
    return {**known, "rest": whole - sum(known.values())}
