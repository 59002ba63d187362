"""Fit one slope for all groups and one intercept per group by least squares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student


@dataclass(frozen=True)
class Slope:
    """A fitted slope.

    Attributes:
        value: The slope.
        low: Lower end of its t-interval, NaN if no degree of freedom is left.
        high: Upper end, NaN in the same case.
        intercepts: One per group.
        points: Number of fitted points.
    """

    value: float
    low: float
    high: float
    intercepts: dict[int, float]
    points: int


def common_slope(
    group: Sequence[int], x: Sequence[float], y: Sequence[float], *, confidence: float = 0.95
) -> Slope | None:
    """Fit y = intercept[group] + slope x by ordinary least squares.

    Args:
        group: (n,) group of each point.
        x: (n,) abscissae.
        y: (n,) ordinates.
        confidence: Level of the interval, for independent normal errors of equal variance.

    Returns:
        The fit, None if no group has two different x.

    Raises:
        ValueError: The lengths differ.
    """
    groups, x_n, y_n = np.asarray(group), np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if not len(groups) == len(x_n) == len(y_n):
        raise ValueError(f"group, x and y have lengths {len(groups)}, {len(x_n)} and {len(y_n)}: pass equal ones")
    # The intercepts are eliminated by centring within the groups (Frisch-Waugh-Lovell).
    names, index_n = np.unique(groups, return_inverse=True)
    counts = np.bincount(index_n)
    mean_x, mean_y = np.bincount(index_n, x_n) / counts, np.bincount(index_n, y_n) / counts
    dx, dy = x_n - mean_x[index_n], y_n - mean_y[index_n]
    spread = float(dx @ dx)
    if len(x_n) == 0 or spread == 0:
        return None
    slope = float(dx @ dy) / spread
    free = len(x_n) - len(names) - 1
    half = np.nan
    if free > 0:
        residual = dy - slope * dx
        half = student.ppf((1 + confidence) / 2, free) * np.sqrt(float(residual @ residual) / free / spread)
    intercepts = {int(name): float(b) for name, b in zip(names, mean_y - slope * mean_x, strict=True)}
    return Slope(slope, slope - half, slope + half, intercepts, len(x_n))
