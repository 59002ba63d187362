"""Confidence intervals over seeds: Student's t.

With the three to ten seeds of a comparison a bootstrap's intervals are too short (three seeds have ten different
resamples, whose spread is that of the variance with divisor n); t is exact for normal scores at any number of seeds.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean's confidence interval."""

    low: float
    high: float


def mean_interval(values: Sequence[float], *, least: float = -math.inf, most: float = math.inf) -> Interval | None:
    """The interval of the mean over seeds at LEVEL.

    Args:
        values: One a seed.
        least: Smallest value that a mean can have; the interval is cut there, which takes nothing from its coverage.
        most: Largest likewise.

    Returns:
        None where there is none: one seed, values that are not finite, or no spread, which says nothing about spread.
    """
    sample = np.asarray(values, dtype=float)
    if sample.size < 2 or not np.isfinite(sample).all() or np.ptp(sample) == 0:
        return None
    half = special.stdtrit(sample.size - 1, (1 + LEVEL) / 2) * sample.std(ddof=1) / math.sqrt(sample.size)
    return Interval(max(least, float(sample.mean() - half)), min(most, float(sample.mean() + half)))


def log_mean_interval(values: Sequence[float]) -> Interval | None:
    """The interval of a geometric mean: that of the logs' mean."""
    if min(values) <= 0:
        return None
    found = mean_interval([math.log(value) for value in values])
    return found and Interval(math.exp(found.low), math.exp(found.high))
