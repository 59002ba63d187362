"""Suite `growth`: how an update's time and memory grow with each length, as fitted exponents."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from figures.bench.case import Case, Options, program
from figures.bench.run import Results
from figures.bench.suites.update import OURS, TOY, summary
from figures.bench.workload import ModelSize, Shape

AXES = ("prompt", "completion", "samples", "vocabulary", "width")
FACTORS = (1, 2, 4)


def larger(shape: Shape, axis: str, factor: int) -> Shape:
    """The shape with one length multiplied; the width multiplies the intermediate width and the heads too."""
    if axis in ("prompt", "completion", "samples"):
        return replace(shape, **{axis: getattr(shape, axis) * factor})
    if axis == "vocabulary":
        return shape.with_vocabulary(shape.model.vocabulary * factor)
    grown = ("width", "intermediate", "heads", "key_value_heads")
    return replace(shape, model=replace(shape.model, **{name: getattr(shape.model, name) * factor for name in grown}))


def cases(options: Options, _: Path) -> list[Case]:
    """Each length doubled and quadrupled in turn, everything else unchanged."""
    base = Shape(512, 128, samples=8, model=ModelSize(vocabulary=16_000))
    if options.quick:
        base = Shape(24, 16, samples=4, answer=4, model=TOY)
    return [
        Case(
            f"growth {axis}",
            f"x{factor}",
            program("update"),
            {
                "contender": OURS,
                "shape": asdict(larger(base, axis, factor)),
                "device": options.device,
                "dtype": "float32",
                "threads": options.threads,
                "estimator": "garl:q=0.75",
                "spread": 1.0,
                "updates": 3,
                "profile": False,
                "gradient": None,
            },
            rounds=1,
        )
        for axis in AXES
        for factor in FACTORS
    ]


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """A row per length: seconds and bytes at each factor, and the exponents fitted to them."""
    base = next(iter(cases))
    assert base.settings is not None
    table = []
    for axis in AXES:
        summaries = [summary(results[f"growth {axis}"][f"x{factor}"]) for factor in FACTORS]
        table.append(
            {
                "axis": axis,
                "base": base.settings["shape"],
                "factors": list(FACTORS),
                "seconds": [result["seconds"] for result in summaries],
                "bytes": [result["bytes"] for result in summaries],
                "seconds_exponent": _slope([result["seconds"] for result in summaries]),
                "bytes_exponent": _slope([result["bytes"] for result in summaries]),
            }
        )
    return table


def _slope(values: list[float | None]) -> float | None:
    """Slope of a log-log least-squares fit; None if a value is missing or memory did not grow at all."""
    if not all(values):
        return None
    return float(np.polyfit(np.log(FACTORS), np.log(np.array(values, dtype=float)), 1)[0])
