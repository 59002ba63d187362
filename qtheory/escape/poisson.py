"""The mean-field escape on 0/1 weights where successes are rare: one function of M P for all M (QC-10)."""

import math

import numpy as np
from numpy.typing import ArrayLike

from qtheory._arrays import refuse
from qtheory._numbers import order, positive, together
from qtheory._poisson import mean_of_power
from qtheory.escape._inputs import Floats

_PANEL = 1.0  # of log lambda: at q = 1 the poles lambda = 2 pi i k have imaginary part pi/2 there
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_MOST = 1e6  # successes in a pool up to which the sums are taken


def poisson_time(start: ArrayLike, end: ArrayLike, q: ArrayLike) -> Floats:
    """The mean-field time from M P = start to M P = end, over M^(1-q), as P -> 0 (QC-10).

    With ||s|| = 1, as the sigmoid has it in a cold start, d log lambda/dt = M^-(1-q) E[K^(1-q)] for a Poisson number K
    of successes of the mean lambda = M P. `hard_time` at finite M is off by O(1/M).

    Args:
        start: lambda at the start, positive, any shape.
        end: lambda at the end, above the start and at most 1e6, broadcastable.
        q: In [0, 1], broadcastable.

    Returns:
        The integral of d lambda / (lambda E[K^(1-q)]), in units of M^(1-q) over the learning rate and ||s||^2,
        broadcast shape, within 1e-11 relative: 1/start - 1/end for both far below 1, at every q.

    Raises:
        TypeError: An argument is no number and no array of numbers.
        ValueError: An argument out of range, an end not above its start, or shapes that do not broadcast.
    """
    low, high, orders = together(start=positive("start", start), end=positive("end", end), q=order(q))
    refuse(np, "end", high, high > _MOST, f"pass at most {_MOST:g}")
    refuse(np, "start", low, low >= high, "the start must lie below the end")
    times = np.zeros(low.shape)
    for at in np.ndindex(low.shape):
        way = math.log(high[at] / low[at])
        panels = max(1, math.ceil(way / _PANEL))
        half = way / panels / 2
        held = low[at] * np.exp(half * (2 * np.arange(panels)[:, None] + 1 + _NODES))
        power = 1 - float(orders[at])
        gain = np.array([mean_of_power(x, power) * x**power for x in held.ravel().tolist()]).reshape(held.shape)
        times[at] = half * (_WEIGHTS / gain).sum()
    return times
