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


def pool(xp: Namespace, log_w: Array) -> Pool:
    """Summarise pools.

    Args:
        xp: The namespace of log_w.
        log_w: (..., M) log-weights in nats, at most 0, -inf for weight 0.

    Returns:
        The statistics, accurate to a few units of rounding.
    """
    size = log_w.shape[-1]
    nothing = xp.full_like(log_w, -math.inf)
    top = xp.max(log_w, axis=-1, keepdims=True)
    possible = top > -math.inf
    centre = xp.where(possible, top, xp.zeros_like(top))
    positions = xp.arange(size, device=device(log_w))
    is_top = positions == xp.argmax(log_w, axis=-1, keepdims=True)
    rest = _weights_relative_to(xp, xp.where(is_top, nothing, log_w), centre)
    rest_sum = xp.sum(rest, axis=-1, keepdims=True)
    top_weight = xp.astype(is_top & possible, log_w.dtype)
    ratio = (rest + top_weight) * (size / (1 + rest_sum))
    increment = xp.log1p(rest_sum) - math.log(size)
    # Where all weights are equal a library's rounding of 1/M or log M must not show.
    equal = possible & (xp.min(log_w, axis=-1, keepdims=True) == top)
    ratio = xp.where(equal, xp.ones_like(ratio), ratio)
    log_mean = _log(xp, centre, xp.where(equal, xp.zeros_like(increment), increment), possible)
    if size == 1:
        return Pool(ratio, log_mean, None, equal)

    # The others of every sample but the largest hold the largest: 1 + (rest_sum - rest_m) cannot cancel.
    # The others of the largest are summed anew, relative to the second largest.
    second = xp.max(xp.where(is_top, nothing, log_w), axis=-1, keepdims=True)
    second_possible = second > -math.inf
    second_centre = xp.where(second_possible, second, xp.zeros_like(second))
    below = _weights_relative_to(xp, xp.where(is_top, nothing, log_w), second_centre)
    below_sum = xp.sum(below, axis=-1, keepdims=True)
    log_below_sum = xp.log(xp.where(second_possible, below_sum, xp.ones_like(below_sum)))
    log_sum = xp.where(is_top, log_below_sum, xp.log1p(rest_sum - rest))
    log_others = _log(
        xp,
        xp.where(is_top, second_centre, centre),
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


def others_power(xp: Namespace, statistics: Pool, q: Array) -> Array | None:
    """The leave-one-out means' power wbar_(-m)^(1-q), (..., M), with 0^0 = 1; None for M = 1.

    Where all weights are equal it is `mean_power` to the last bit, so that the two cancel to 0.

    Args:
        xp: The pool's namespace.
        statistics: The pool.
        q: Broadcastable to (..., 1).
    """
    if statistics.log_others is None:
        return None
    power = power_from_log(xp, statistics.log_others, q)
    return xp.where(statistics.equal, mean_power(xp, statistics, q), power)


def _weights_relative_to(xp: Namespace, log_w: Array, centre: Array) -> Array:
    """exp(log_w - centre) without the rounding of the difference."""
    possible = log_w > -math.inf
    weights = exp(xp, two_sum(xp.where(possible, log_w, centre), -centre))
    return xp.where(possible, weights, xp.zeros_like(weights))


def _log(xp: Namespace, centre: Array, increment: Array, possible: Array) -> Pair:
    total = two_sum(centre, increment)
    return Pair(xp.where(possible, total.high, xp.full_like(total.high, -math.inf)), total.low)
