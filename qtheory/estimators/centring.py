"""Rewards less their mean, exactly 0 where the formula says 0: a step of Adam does not see how small a rounding is."""

import math

from qtheory._arrays import Array, Namespace
from qtheory._exact import Pair, two_product, two_sum

_LOST = 2.0**-16  # of a rounding: far above the error of sums in pairs of floats, far below what a mean is known to


def centred(xp: Namespace, reward: Array) -> Array:
    """r_m - mean r, (..., M), and exactly 0 where r_m is the mean: in a pool of equal rewards, or of (0, .1, .2).

    Args:
        xp: The namespace of reward.
        reward: (..., M), finite.

    Returns:
        (..., M).
    """
    plain = reward - xp.mean(reward, axis=-1, keepdims=True)
    # M r_m and the sum, both over a power of two of at least M, so that no sum leaves the floats.
    size = reward.shape[-1]
    unit = 0.5 ** math.ceil(math.log2(size))
    whole, total = two_product(xp, xp.full_like(reward, size * unit), reward), _sum(xp, reward * unit)
    gap = xp.abs((whole.high - total.high) + (whole.low - total.low))
    top, low = xp.max(reward, axis=-1, keepdims=True), xp.min(reward, axis=-1, keepdims=True)
    largest = xp.where(top > -low, top, -low)
    lost = _LOST * float(xp.finfo(reward.dtype).eps)
    return xp.where((gap <= lost * largest) | (top == low), xp.zeros_like(plain), plain)


def _sum(xp: Namespace, values: Array) -> Pair:
    """The sum over the last axis, (..., 1), in twice the precision: half of the entries onto the others each time."""
    pair = Pair(values, xp.zeros_like(values))
    while (size := pair.high.shape[-1]) > 1:
        half = size // 2
        (a, b, odd), (a_low, b_low, odd_low) = (
            (x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]) for x in pair
        )
        both = two_sum(a, b)
        pair = Pair(xp.concat([both.high, odd], axis=-1), xp.concat([both.low + (a_low + b_low), odd_low], axis=-1))
    return pair
