"""Statistics of a pool of log-weights in log space: the mean weight and the leave-one-out means, in O(M).

Nothing overflows, and nothing cancels: sums are taken relative to the largest weight with the largest kept
apart, so that leaving one out subtracts from a 1 that stays. Logarithms are returned as pairs
(`qtheory._exact.Pair`).
"""

import math
from typing import NamedTuple

from qtheory._arrays import Array, Namespace, device
from qtheory._exact import Pair, exp, two_sum
from qtheory.tsallis import power_from_log


class Pool(NamedTuple):
    """What the estimators need to know of a pool's weights w_m = exp(log_w_m).

    Attributes:
        ratio: (..., M) w_m / wbar, in [0, M]; 0 in an impossible pool.
        log_mean: (..., 1) log wbar in nats; high is -inf in an impossible pool, where every w_m is 0.
        log_others: (..., M) log of the mean of the other M - 1 weights; high is -inf where they are all 0.
            None for M = 1, where there are no others.
        equal: (..., 1) whether all weights are equal and positive. There ratio is 1 and log_mean log w, unrounded.
    """

    ratio: Array
    log_mean: Pair
    log_others: Pair | None
    equal: Array


def pool(xp: Namespace, log_w: Array, low: Array | None = None) -> Pool:
    """Summarise pools.

    Args:
        xp: The namespace of log_w.
        log_w: (..., M) log-weights in nats, -inf for weight 0.
        low: (..., M) what rounding has lost of log_w, finite; None for nothing.

    Returns:
        The statistics, accurate to a few units of rounding.
    """
    size = log_w.shape[-1]
    nothing = xp.full_like(log_w, -math.inf)
    low = xp.zeros_like(log_w) if low is None else low
    top = xp.max(log_w, axis=-1, keepdims=True)
    possible = top > -math.inf
    is_top = _first(xp, log_w)
    centre = _at(xp, Pair(log_w, low), is_top)
    rest = _weights_relative_to(xp, Pair(xp.where(is_top, nothing, log_w), low), centre)
    rest_sum = xp.sum(rest, axis=-1, keepdims=True)
    top_weight = xp.astype(is_top & possible, log_w.dtype)
    ratio = (rest + top_weight) * (size / (1 + rest_sum))
    increment = xp.log1p(rest_sum) - math.log(size)
    # Where all weights are equal a library's rounding of 1/M or log M must not show.
    equal = possible & (xp.min(log_w, axis=-1, keepdims=True) == top)
    equal = equal & (xp.min(low, axis=-1, keepdims=True) == xp.max(low, axis=-1, keepdims=True))
    ratio = xp.where(equal, xp.ones_like(ratio), ratio)
    log_mean = _log(xp, centre, xp.where(equal, xp.zeros_like(increment), increment), possible)
    if size == 1:
        return Pool(ratio, log_mean, None, equal)

    # The others of every sample but the largest hold the largest: 1 + (rest_sum - rest_m) cannot cancel.
    # The others of the largest are summed anew, relative to the second largest.
    others = Pair(xp.where(is_top, nothing, log_w), low)
    is_second = _first(xp, others.high)
    second_possible = xp.max(others.high, axis=-1, keepdims=True) > -math.inf
    second_centre = _at(xp, others, is_second)
    below = _weights_relative_to(xp, others, second_centre)
    below_sum = xp.sum(below, axis=-1, keepdims=True)
    log_below_sum = xp.log(xp.where(second_possible, below_sum, xp.ones_like(below_sum)))
    log_sum = xp.where(is_top, log_below_sum, xp.log1p(rest_sum - rest))
    log_others = _log(
        xp,
        Pair(*(xp.where(is_top, a, b) for a, b in zip(second_centre, centre, strict=True))),
        log_sum - math.log(size - 1),
        xp.where(is_top, second_possible, possible),
    )
    return Pool(ratio, log_mean, log_others, equal)


def mean_power(xp: Namespace, statistics: Pool, q: Array) -> Array:
    """The mean weight's power wbar^(1-q), (..., 1), and 0 in an impossible pool at every q.

    Args:
        xp: The pool's namespace.
        statistics: The pool.
        q: Broadcastable to (..., 1).
    """
    power = power_from_log(xp, statistics.log_mean, q)
    return xp.where(statistics.log_mean.high > -math.inf, power, xp.zeros_like(power))


def others_power(xp: Namespace, statistics: Pool, q: Array, log_ratio: Array | None = None) -> Array | None:
    """The leave-one-out means' power wbar_(-m)^(1-q), (..., M), with 0^0 = 1; None for M = 1.

    Where all weights are equal it is `mean_power` to the last bit, so that the two cancel to 0.

    Args:
        xp: The pool's namespace.
        statistics: The pool.
        q: Broadcastable to (..., 1).
        log_ratio: (..., M) logarithms of what multiplies the m-th power; None for 1.
    """
    if statistics.log_others is None:
        return None
    power = power_from_log(xp, statistics.log_others, q, log_ratio)
    plain = statistics.equal if log_ratio is None else statistics.equal & (log_ratio == 0)
    return xp.where(plain, mean_power(xp, statistics, q), power)


def _first(xp: Namespace, log_w: Array) -> Array:
    """(..., M) true at the first of a pool's largest entries, and nowhere else."""
    return xp.arange(log_w.shape[-1], device=device(log_w)) == xp.argmax(log_w, axis=-1, keepdims=True)


def _at(xp: Namespace, log_w: Pair, where: Array) -> Pair:
    """The entry (..., 1) at the one place in a pool that is true; 0 where it is -inf."""
    there = where & (log_w.high > -math.inf)
    return Pair(*(xp.sum(xp.where(there, x, xp.zeros_like(x)), axis=-1, keepdims=True) for x in log_w))


def _weights_relative_to(xp: Namespace, log_w: Pair, centre: Pair) -> Array:
    """exp(log_w - centre) without the rounding of the difference."""
    possible = log_w.high > -math.inf
    exponent = two_sum(xp.where(possible, log_w.high, centre.high), -centre.high)
    lost = xp.where(possible, log_w.low, centre.low) - centre.low
    weights = exp(xp, Pair(exponent.high, exponent.low + lost))
    return xp.where(possible, weights, xp.zeros_like(weights))


def _log(xp: Namespace, centre: Pair, increment: Array, possible: Array) -> Pair:
    total = two_sum(centre.high, increment)
    return Pair(xp.where(possible, total.high, xp.full_like(total.high, -math.inf)), total.low + centre.low)
