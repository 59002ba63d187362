"""Checks of the arguments that all escape times share: p0, delta, q and M."""

import math

import numpy as np
from numpy.typing import ArrayLike

from qtheory._arrays import refuse

Floats = np.ndarray


def start_and_target(p0: ArrayLike, delta: ArrayLike) -> tuple[Floats, Floats]:
    """p0 and delta as float64 arrays with 0 < p0 <= delta < 1; ValueError names the first that breaks it."""
    start, target = np.asarray(p0, dtype=float), probability("delta", delta)
    tiny = np.finfo(float).tiny
    refuse(np, "p0", start, ~((start >= tiny) & (start < 1)), f"pass p0 in [{tiny:.2g}, 1), or log p0 to go lower")
    _ordered("p0", start, start, target)
    return start, target


def log_start_and_target(log_p0: ArrayLike, delta: ArrayLike) -> tuple[Floats, Floats]:
    """The same for log p0, which may lie below any float: finite, below 0 and at most log delta."""
    start, target = np.asarray(log_p0, dtype=float), probability("delta", delta)
    refuse(np, "log_p0", start, ~((start > -math.inf) & (start < 0)), "pass log p0 in nats, finite and below 0")
    _ordered("log_p0", start, start, np.log(target))
    return start, target


def probability(name: str, value: ArrayLike) -> Floats:
    """A float64 array of probabilities strictly between 0 and 1; ValueError otherwise."""
    array = np.asarray(value, dtype=float)
    refuse(np, name, array, ~((array > 0) & (array < 1)), "pass a probability strictly between 0 and 1")
    return array


def order(q: ArrayLike) -> Floats:
    """The order q as a float64 array in [0, 1]; ValueError otherwise."""
    array = np.asarray(q, dtype=float)
    refuse(np, "q", array, ~((array >= 0) & (array <= 1)), "q must lie in [0, 1]")
    return array


def samples(count: int) -> int:
    """The number of draws M, at least 1; TypeError for no integer, ValueError below 1."""
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
        raise TypeError(f"samples is {count!r}, a {type(count).__name__}: pass the number of draws M as an int")
    if count < 1:
        raise ValueError(f"samples is {count}: at least one draw is needed")
    return int(count)


def _ordered(name: str, shown: Floats, start: Floats, target: Floats) -> None:
    shown, start, target = np.broadcast_arrays(shown, start, target)
    refuse(np, name, shown, start > target, "the start lies above delta, so there is nothing to escape; lower it")
