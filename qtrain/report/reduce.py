"""Long curves made short enough to draw, without losing what sticks out."""

import numpy as np
from numpy.typing import NDArray

GROUPS = (400, 200)
"""Groups of neighbouring points on an even and on a logarithmic scale: curves are looked at on both."""
LONGEST = 2 * sum(GROUPS)
"""Points of the longest curve that is drawn as it is."""


def edges(points: int) -> NDArray[np.int64]:
    """Where groups of neighbouring points begin.

    Args:
        points: How many there are.

    Returns:
        Indices, ascending from 0; every point begins a group of its own up to LONGEST points.
    """
    if points <= LONGEST:
        return np.arange(points)
    even, logarithmic = np.linspace(0, points, GROUPS[0], endpoint=False), np.geomspace(1, points, GROUPS[1])[:-1]
    return np.unique(np.concatenate([even, logarithmic]).astype(np.int64))


def extremes(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first point, and the smallest and the largest of each group.

    Args:
        values: (S,) finite.

    Returns:
        Their indices, ascending; all indices up to LONGEST points.
    """
    if len(values) <= LONGEST:
        return np.arange(len(values))
    begin = edges(len(values))
    group = np.searchsorted(begin, np.arange(len(values)), side="right")
    ranked = np.lexsort((values, group))
    return np.unique(np.concatenate([[0], ranked[begin], ranked[[*(begin[1:] - 1), -1]], [len(values) - 1]]))
