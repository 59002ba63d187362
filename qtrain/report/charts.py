"""Prepare the data of the page's interactive curves: each run as logged, and each estimator's mean over seeds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtrain.report.aggregation import MAX_POINTS, extremes, mean_curve
from qtrain.report.labels import short_name, visible
from qtrain.report.measures import BATCH_P, CONSTANT, SUCCESS, Measure, measures
from qtrain.report.palette import LineStyle, line_style, on_dark
from qtrain.report.records import Run, Section
from qtrain.runs.folder import ESCAPED

DIGITS = 5
"""Significant digits of the values in a curve."""
WIDTH = 1.8
"""Line width in CSS pixels, the unit of matplotlib's dashes."""
SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "x": "x-thin-open"}
"""Plotly's names of matplotlib's markers."""


@dataclass(frozen=True)
class Line:
    """An estimator's legend entry and drawing style; its single runs are drawn in the same style, but pale."""

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
    """The JSON that curves.js draws.

    Args:
        section: A comparison or a single run.

    Returns:
        One object for the whole section, with the list of measures and the two that are shown first; and one object
        per measure: `runs` (as logged; long logs are thinned to their extremes) and `means`, as lists x and y.
    """
    logged = [
        measure for measure in measures(section.runs) if any(len(measure.points(run).steps) for run in section.runs)
    ]
    levels = {BATCH_P: ESCAPED, SUCCESS: constant_answer(section)}
    common = {
        "lines": [line.__dict__ for line in lines(section)],
        "measures": [
            {
                "label": visible(measure.label),
                "source": measure.source,
                "log": measure.logarithmic,
                "level": levels.get(measure),
                "levelName": "escape" if measure == BATCH_P else "best constant answer",
            }
            for measure in logged
        ],
        "first": [logged.index(measure) for measure in (SUCCESS, BATCH_P) if measure in logged],
        "diverged": [run.result.diverged_step for run in section.runs],
    }
    return common, [_series(section, measure) for measure in logged]


def constant_answer(section: Section) -> float | None:
    """p@1 of the best constant answer; None if the runs do not log it, or have other held-out prompts."""
    scores = {float(value) for run in section.runs for value in CONSTANT.points(run).values}
    return scores.pop() if len(scores) == 1 else None


def is_thinned(section: Section) -> bool:
    """Whether a curve has more than MAX_POINTS points, so that not all of them are drawn."""
    return any(len(points.steps) > MAX_POINTS for run in section.runs for points in run.metrics.values())


def _series(section: Section, measure: Measure) -> dict[str, Any]:
    runs, means = [], []
    for run in section.runs:
        steps, values = measure.points(run)
        drawn = extremes(values)
        runs.append(_xy(steps[drawn], values[drawn]))
    for group in section.by_estimator.values():
        curve = mean_curve(group, measure)
        means.append({**_xy(curve.steps, curve.mean), "seeds": curve.seeds.tolist()})
    return {"runs": runs, "means": means}


def _xy(steps: NDArray[np.float64], values: NDArray[np.float64]) -> dict[str, list[float]]:
    return {"x": [int(step) for step in steps], "y": [float(f"{value:.{DIGITS}g}") for value in values]}
