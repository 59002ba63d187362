"""Suite `paft`: time saved by training each distinct resampled rationale once, as the weights concentrate."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from figures.bench.case import Case, Options, program
from figures.bench.run import Results
from figures.bench.suites.update import OURS, TOY, summary
from figures.bench.workload import Shape, make_work

SPREADS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Standard deviations of log w, in nats."""

ALL = "every draw"


def cases(options: Options, _: Path) -> list[Case]:
    """GARL, which trains all M rows as PAFT with every draw trained would, and PAFT at several spreads of log w."""
    shape = Shape(24, 16, samples=8, answer=4, model=TOY) if options.quick else Shape(512, 128)
    every = [(ALL, "garl:q=0.75", 0.0), *((f"spread {spread:g}", "paft:q=0.75", spread) for spread in SPREADS)]
    return [
        Case(
            f"paft {shape}",
            name,
            program("update"),
            {
                "contender": OURS,
                "shape": asdict(shape),
                "device": options.device,
                "dtype": "float32",
                "threads": options.threads,
                "estimator": estimator,
                "spread": spread,
                "updates": 3,
                "profile": False,
                "gradient": None,
            },
            rounds=1,
        )
        for name, estimator, spread in every
    ]


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """A row per spread: distinct rationales, the entropy of the weights, seconds, and the saving."""
    table = []
    for case in cases:
        assert case.settings is not None
        turns, shape = results[case.contest][case.name], Shape.of(case.settings["shape"])
        mine, whole = summary(turns), summary(results[case.contest][ALL])
        log_w_M = make_work(shape, spread=case.settings["spread"]).rollouts.log_w_BM[0]
        p_M = log_w_M.softmax(0)
        table.append(
            {
                "name": case.name,
                "spread": case.settings["spread"],
                "samples": shape.samples,
                "prompt": shape.prompt,
                "completion": shape.completion,
                "vocabulary": shape.model.vocabulary,
                "effective": math.exp(float(-(p_M * p_M.log()).sum())),
                "trained": next((result["rows"] for result in turns if "rows" in result), None),
                **mine,
                "saving": whole["seconds"] / mine["seconds"] if whole["seconds"] and mine["seconds"] else None,
            }
        )
    return table
