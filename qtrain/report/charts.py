"""The interactive curves' data: every run as logged and every estimator's mean, for each number that runs log."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtrain.report.curves import mean_curve
from qtrain.report.measures import BATCH_P, SUCCESS, Measure, measures
from qtrain.report.names import short_name
from qtrain.report.palette import LineStyle, line_style, on_dark
from qtrain.report.records import Run, Section
from qtrain.report.reduce import LONGEST, extremes
from qtrain.report.text import visible
from qtrain.runs.folder import ESCAPED

DIGITS = 5
"""Significant digits of a number in a curve."""
WIDTH = 1.8
"""Of a line in CSS pixels; matplotlib's dashes are in units of it."""
SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "x": "x-thin-open"}
"""matplotlib's markers in the library's words."""


@dataclass(frozen=True)
class Line:
    """How an estimator is drawn and called; its runs are drawn alike, but pale."""

    name: str
    light: str
    dark: str
    dash: str
    symbol: str
    seeds: list[int]


def lines(section: Section) -> list[Line]:
    """The estimators of a section in the order of the tables."""
    return [_line(name, runs) for name, runs in section.by_estimator.items()]


def _line(estimator: str, runs: list[Run]) -> Line:
    style = line_style(estimator, runs[0].result.q)
    seeds = [run.result.seed for run in runs]
    name = visible(short_name(estimator))
    return Line(name, style.color, on_dark(style.color), _dash(style), SYMBOLS[style.marker], seeds)


def _dash(style: LineStyle) -> str:
    if isinstance(style.dashes, str):
        return "solid"
    return ",".join(f"{WIDTH * length:g}px" for length in style.dashes[1])


def chart_data(section: Section) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the page's script draws.

    Args:
        section: Its runs.

    Returns:
        What is common, with the list of measures and the two that are shown first; and one object a measure: `runs`
        (as logged; of long ones the extremes of neighbouring steps) and `means`, as lists x and y.
    """
    found = [one for one in measures(section.runs) if any(len(one.points(run).steps) for run in section.runs)]
    common = {
        "lines": [line.__dict__ for line in lines(section)],
        "measures": [
            {
                "label": visible(measure.label),
                "source": measure.source,
                "log": measure.logarithmic,
                "level": ESCAPED if measure == BATCH_P else None,
            }
            for measure in found
        ],
        "first": [found.index(one) for one in (SUCCESS, BATCH_P) if one in found],
        "diverged": [run.result.diverged_step for run in section.runs],
    }
    return common, [_series(section, measure) for measure in found]


def reduced(section: Section) -> bool:
    """Whether some curve is longer than what is drawn as it is."""
    return any(len(points.steps) > LONGEST for run in section.runs for points in run.metrics.values())


def _series(section: Section, measure: Measure) -> dict[str, Any]:
    runs, means = [], []
    for run in section.runs:
        steps, values = measure.points(run)
        kept = extremes(values)
        runs.append(_xy(steps[kept], values[kept]))
    for group in section.by_estimator.values():
        curve = mean_curve(group, measure)
        means.append({**_xy(curve.steps, curve.mean), "seeds": curve.seeds.tolist()})
    return {"runs": runs, "means": means}


def _xy(steps: NDArray[np.float64], values: NDArray[np.float64]) -> dict[str, list[float]]:
    return {"x": [int(step) for step in steps], "y": [float(f"{value:.{DIGITS}g}") for value in values]}
