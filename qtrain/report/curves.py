"""From runs to curves: means over seeds with their spread, and batch noise smoothed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qtrain.report.measures import Measure
from qtrain.report.records import Points, Run
from qtrain.report.reduce import edges

SMOOTHING = 0.1
"""Batches are averaged over steps up to this share of the step earlier and later: an even width on a log axis."""


@dataclass(frozen=True)
class Curve:
    """A mean over seeds and the smallest and largest of them, at S steps.

    Attributes:
        steps: (S,) ascending.
        mean: (S,).
        low: (S,).
        high: (S,).
        seeds: (S,) how many reached the step.
    """

    steps: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    seeds: NDArray[np.int64]


def mean_curve(runs: list[Run], measure: Measure) -> Curve:
    """The mean over the seeds that reached the step.

    Arithmetic, or geometric for what lives on a log axis; numbers of training batches are smoothed. Of a long log not
    every step is there.
    """
    series = [measure.points(run) for run in runs]
    if measure.source == "metrics":
        union = np.unique(np.concatenate([steps for steps, _ in series]))
        centres = union[edges(len(union))]
        series = [_smoothed(one, centres) for one in series]
    if measure.logarithmic:
        # What underflowed to zero has no place on a log axis.
        series = [Points(steps[values > 0], values[values > 0]) for steps, values in series]
    return _over_seeds(series, logarithmic=measure.logarithmic)


def _smoothed(points: Points, centres: NDArray[np.float64]) -> Points:
    """Means around those centres that are steps of the series."""
    steps, values = points
    centres = np.intersect1d(centres, steps, assume_unique=True)
    first = np.searchsorted(steps, centres * (1 - SMOOTHING) - 1e-9)
    last = np.searchsorted(steps, centres * (1 + SMOOTHING) + 1e-9, side="right")
    means = [values[begin:end].mean() for begin, end in zip(first, last, strict=True)]
    return Points(centres, np.array(means, dtype=float))


def _over_seeds(series: list[Points], *, logarithmic: bool) -> Curve:
    steps = np.unique(np.concatenate([steps for steps, _ in series]))
    table = np.full((len(series), len(steps)), np.nan)
    for row, one in zip(table, series, strict=True):
        row[np.searchsorted(steps, one.steps)] = np.log(one.values) if logarithmic else one.values
    low, high, mean = (how(table, axis=0) for how in (np.nanmin, np.nanmax, np.nanmean)) if len(steps) else [steps] * 3
    if logarithmic:
        low, high, mean = np.exp(low), np.exp(high), np.exp(mean)
    return Curve(steps, mean, low, high, np.isfinite(table).sum(0))
