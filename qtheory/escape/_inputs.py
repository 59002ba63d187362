"""Check the arguments of escape times: p0, delta, probabilities, and functions for the score norm."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from qtheory._arrays import refuse
from qtheory._numbers import function, numbers, together

Floats = np.ndarray
_TINY = np.finfo(float).tiny


def start_and_target(p0: ArrayLike, delta: ArrayLike, lower: str = "") -> tuple[Floats, Floats]:
    """p0 and delta as float64 arrays with 0 < p0 <= delta < 1.

    Args:
        p0: The argument p0.
        delta: The argument delta.
        lower: Hint on what to use for a lower p0, appended to the message.

    Returns:
        p0 and delta, not broadcast.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An entry is out of range, p0 is above delta, or the two do not broadcast.
    """
    start, target = numbers("p0", p0), probability("delta", delta)
    refuse(np, "p0", start, ~((start >= _TINY) & (start < 1)), f"pass p0 in [{_TINY:.2g}, 1){lower}")
    _ordered("p0", start, target)
    return start, target


def log_start_and_target(log_p0: ArrayLike, delta: ArrayLike) -> tuple[Floats, Floats]:
    """The same for log p0, where p0 may be below the smallest float: finite, below 0 and at most log delta."""
    start, target = numbers("log_p0", log_p0), probability("delta", delta)
    refuse(np, "log_p0", start, ~((start > -math.inf) & (start < 0)), "pass log p0 in nats, finite and below 0")
    _ordered("log_p0", start, np.log(target))
    return start, target


def probability(name: str, value: ArrayLike) -> Floats:
    """A float64 array of probabilities strictly between 0 and 1; TypeError or ValueError otherwise."""
    array = numbers(name, value)
    refuse(np, name, array, ~((array > 0) & (array < 1)), "pass a probability strictly between 0 and 1")
    return array


def squared_norms(norm: Callable[[Floats], Floats], variable: str, at: Floats) -> Floats:
    """Call a user's function for ||s||^2 and check the result.

    Args:
        norm: The function.
        variable: Name of its argument, for messages.
        at: (...,) values of the argument.

    Returns:
        (...,) values of ||s||^2.

    Raises:
        TypeError: norm is no function, or returns no numbers.
        ValueError: A value is not positive and finite, or the shapes differ.
    """
    values = numbers("norm", function("norm", norm, f"from {variable} to ||s||^2")(at), "a function with array values")
    if values.shape not in ((), at.shape):
        raise ValueError(f"norm has shape {values.shape} at {variable} of shape {at.shape}: the two must agree")
    values = np.broadcast_to(values, at.shape)
    good = (values > 0) & (values < math.inf)
    if not good.all():
        first = int(good.argmin())
        raise ValueError(
            f"norm is {values.flat[first]} at {variable} = {at.flat[first]:.6g}: ||s||^2 must be positive and finite"
        )
    return values


def _ordered(name: str, start: Floats, target: Floats) -> None:
    start, target = together(**{name: start, "delta": target})
    refuse(np, name, start, start > target, "the start lies above delta, so there is nothing to escape; lower it")
