"""A least log-weight for the estimators that take the logarithm of a weight, which an impossible answer has not."""

import math

from qtheory._arrays import Array, Namespace
from qtheory._numbers import number

FLOOR = -1e4
"""In nats: below what a language model gives to an answer of a thousand tokens that it thinks unlikely."""


def known_floor(floor: float) -> float:
    """Check a floor.

    Args:
        floor: What was passed.

    Returns:
        It.

    Raises:
        TypeError: It is no number.
        ValueError: It is not below 0, infinite or NaN.
    """
    value = number("floor", floor)
    if not -math.inf < value < 0:
        raise ValueError(f"floor is {value}: the least log-weight must be finite and below 0")
    return value


def raised(xp: Namespace, log_w: Array, floor: float) -> Array:
    """Log-weights (..., M) with those below the floor at it."""
    return xp.where(log_w >= floor, log_w, xp.full_like(log_w, floor))
