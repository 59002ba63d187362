"""Error-free sums and products, for exponents whose rounding would show after exp.

exp turns an absolute error of its argument into a relative error of its value, and q log P is rounded by 7e-14 at 700.
Therefore exponents are pairs (high, low), whose sum is exact, and exp(high + low) = exp(high) (1 + low).
"""

import math
from typing import NamedTuple

from qtheory._arrays import Array, Namespace


class Pair(NamedTuple):
    """An unevaluated sum high + low of two arrays, with low within the rounding of high."""

    high: Array
    low: Array


def two_sum(a: Array, b: Array) -> Pair:
    """A + b without rounding (Knuth). Both finite."""
    high = a + b
    b_part = high - a
    return Pair(high, (a - (high - b_part)) + (b - b_part))


def one_minus(q: Array) -> Pair:
    """1 - q without rounding, for q in [0, 1] (Dekker)."""
    high = 1 - q
    return Pair(high, (1 - high) - q)


def two_product(xp: Namespace, a: Array, b: Array) -> Pair:
    """A product without rounding (Veltkamp's split, Dekker's product).

    Args:
        xp: The arrays' namespace.
        a: Finite, at most 1 in magnitude.
        b: Finite. Beyond half of the exponent range splitting would overflow, and the low part is 0.

    Returns:
        The rounded product and its rounding error (exact unless that underflows).
    """
    high = a * b
    b = xp.where(xp.abs(b) < math.sqrt(xp.finfo(b.dtype).max), b, xp.zeros_like(b))
    a_high, a_low = _split(xp, a)
    b_high, b_low = _split(xp, b)
    low = a_low * b_low - (((a * b - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return Pair(high, low)


def product(xp: Namespace, a: Pair, b: Pair) -> Pair:
    """The product of two pairs, to about twice the precision. Limits on a and b as in `two_product`."""
    high, low = two_product(xp, a.high, b.high)
    return Pair(high, low + (a.high * b.low + a.low * b.high))


def exp(xp: Namespace, exponent: Pair) -> Array:
    """The exponential of high + low, for an exponent that does not overflow."""
    value = xp.exp(exponent.high)
    return value + value * exponent.low


def _split(xp: Namespace, a: Array) -> Pair:
    digits = 1 - round(math.log2(xp.finfo(a.dtype).eps))
    scaled = (2.0 ** math.ceil(digits / 2) + 1) * a
    high = scaled - (scaled - a)
    return Pair(high, a - high)
