"""Aggregate logs for the page: mean curves over seeds, confidence intervals, and thinning of long curves.

Intervals are Student's t. With the three to ten seeds of a comparison a bootstrap's intervals are too short (three
seeds have ten different resamples, whose spread is that of the variance with divisor n); t is exact for normal scores
at any number of seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qtrain.report.measures import Measure
from qtrain.report.records import Points, Run

LEVEL = 0.95
"""Coverage of the confidence intervals."""
SMOOTHING = 0.1
"""Training batches are averaged over steps up to this fraction of the step away: an even width on a log axis."""
GROUPS = (400, 200)
"""Groups of neighbouring points, evenly and logarithmically spaced: the page shows curves on both scales."""
MAX_POINTS = 2 * sum(GROUPS)
"""Longest curve that is drawn without thinning."""


@dataclass(frozen=True)
class Curve:
    """The mean, minimum and maximum over seeds at S steps.

    Attributes:
        steps: (S,) ascending.
        mean: (S,).
        low: (S,).
        high: (S,).
        seeds: (S,) number of seeds that reached the step.
    """

    steps: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    seeds: NDArray[np.int64]


def mean_curve(runs: list[Run], measure: Measure) -> Curve:
    """The mean over the seeds that reached each step.

    The mean is arithmetic, or geometric for a measure with a log axis; measures of training batches are smoothed. Long
    logs are thinned to some of their steps.
    """
    series = [measure.points(run) for run in runs]
    if measure.source == "metrics":
        union = np.unique(np.concatenate([steps for steps, _ in series]))
        centres = union[edges(len(union))]
        series = [_smoothed(points, centres) for points in series]
    if measure.logarithmic:
        # Values that underflowed to zero have no place on a log axis.
        series = [Points(steps[values > 0], values[values > 0]) for steps, values in series]
    return _over_seeds(series, logarithmic=measure.logarithmic)


def _smoothed(points: Points, centres: NDArray[np.float64]) -> Points:
    """Moving averages at those centres that are steps of the series."""
    steps, values = points
    centres = np.intersect1d(centres, steps, assume_unique=True)
    first = np.searchsorted(steps, centres * (1 - SMOOTHING) - 1e-9)
    last = np.searchsorted(steps, centres * (1 + SMOOTHING) + 1e-9, side="right")
    means = [values[begin:end].mean() for begin, end in zip(first, last, strict=True)]
    return Points(centres, np.array(means, dtype=float))


def _over_seeds(series: list[Points], *, logarithmic: bool) -> Curve:
    steps = np.unique(np.concatenate([steps for steps, _ in series]))
    table = np.full((len(series), len(steps)), np.nan)
    for row, points in zip(table, series, strict=True):
        row[np.searchsorted(steps, points.steps)] = np.log(points.values) if logarithmic else points.values
    low, high, mean = (how(table, axis=0) for how in (np.nanmin, np.nanmax, np.nanmean)) if len(steps) else [steps] * 3
    if logarithmic:
        low, high, mean = np.exp(low), np.exp(high), np.exp(mean)
    return Curve(steps, mean, low, high, np.isfinite(table).sum(0))


class Interval(NamedTuple):
    """The confidence interval of a mean."""

    low: float
    high: float


def mean_interval(values: Sequence[float], *, least: float = -math.inf, most: float = math.inf) -> Interval | None:
    """The interval of the mean over seeds at LEVEL.

    Args:
        values: One value per seed.
        least: Smallest possible mean. The interval is cut there, which does not lower its coverage.
        most: Largest possible mean.

    Returns:
        None if there is only one seed, a value is not finite, or all values are equal, so that nothing is known of
        their spread.
    """
    sample = np.asarray(values, dtype=float)
    if sample.size < 2 or not np.isfinite(sample).all() or np.ptp(sample) == 0:
        return None
    half = special.stdtrit(sample.size - 1, (1 + LEVEL) / 2) * sample.std(ddof=1) / math.sqrt(sample.size)
    return Interval(max(least, float(sample.mean() - half)), min(most, float(sample.mean() + half)))


def log_mean_interval(values: Sequence[float]) -> Interval | None:
    """The interval of a geometric mean, from that of the mean of logs; None if a value is not positive."""
    if min(values) <= 0:
        return None
    interval = mean_interval([math.log(value) for value in values])
    return interval and Interval(math.exp(interval.low), math.exp(interval.high))


def edges(points: int) -> NDArray[np.int64]:
    """The first indices of groups of neighbouring points.

    Args:
        points: Number of points.

    Returns:
        Indices, ascending from 0. Up to MAX_POINTS points, each point is a group.
    """
    if points <= MAX_POINTS:
        return np.arange(points)
    even, logarithmic = np.linspace(0, points, GROUPS[0], endpoint=False), np.geomspace(1, points, GROUPS[1])[:-1]
    return np.unique(np.concatenate([even, logarithmic]).astype(np.int64))


def extremes(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Thin a curve to the smallest and largest point of each group, and the curve's two ends.

    Args:
        values: (S,) finite.

    Returns:
        Indices of these points, ascending; all indices up to MAX_POINTS points.
    """
    if len(values) <= MAX_POINTS:
        return np.arange(len(values))
    begin = edges(len(values))
    group = np.searchsorted(begin, np.arange(len(values)), side="right")
    ranked = np.lexsort((values, group))
    return np.unique(np.concatenate([[0], ranked[begin], ranked[[*(begin[1:] - 1), -1]], [len(values) - 1]]))
