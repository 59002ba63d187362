"""Schedules of q: a constant, any function of time or of log P, or one that steps."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qtheory._arrays import refuse, shown
from qtheory._numbers import number, numbers

Schedule = float | Callable[[float], float]


@dataclass(frozen=True)
class Stepwise:
    """A schedule that steps: values[i] up to at[i], and the last value from there on.

    In time, `Stepwise((1.0, 0.0), (t,))` is SFT-then-RLVR, the schedule q = 1 -> 0. In log P,
    `Stepwise((1.0, 0.0), (math.log(0.5),))` chooses q by P: commitment below one half and exploration above.

    Attributes:
        values: The values of q, each in [0, 1], one more than steps.
        at: Where q steps, increasing: times or values of log P, whichever the solver passes.

    Raises:
        TypeError: An argument holds no numbers.
        ValueError: Lengths that do not match, steps that are not finite or do not increase, or a q outside [0, 1].
    """

    values: Sequence[float]
    at: Sequence[float]

    def __post_init__(self) -> None:
        orders, places = numbers("values", self.values), places_of_steps("at", self.at)
        if orders.ndim != 1:
            raise ValueError(f"values has shape {orders.shape}: pass a sequence of numbers")
        if len(orders) != len(places) + 1:
            raise ValueError(f"{len(orders)} values of q and {len(places)} steps: pass one value more than steps")
        for q in orders.tolist():
            checked(q)

    def __call__(self, where: float) -> float:
        """The value of q there; at a step itself, the later one."""
        return self.values[bisect_right(self.at, where)]


def steps_within(schedules: Sequence[Schedule], start: float, end: float) -> list[float]:
    """Where the stepwise ones among some schedules step strictly between two places, in order."""
    places = {x for one in schedules if isinstance(one, Stepwise) for x in one.at}
    return sorted(x for x in places if start < x < end)


def value(schedule: Schedule, where: float, start: float, end: float) -> float:
    """The value of q at a place of [start, end), whose end may be a step: there the value just before it is meant.

    Raises:
        ValueError: The schedule's value lies outside [0, 1].
    """
    if not callable(schedule):
        return schedule
    return checked(schedule(max(start, min(where, float(np.nextafter(end, start))))))


def checked(q: float) -> float:
    """A number q in [0, 1] as it is; TypeError or ValueError otherwise."""
    order = q if type(q) is float else number("q", q)  # a flow asks for q at every step
    if not 0 <= order <= 1:
        raise ValueError(f"q is {order}: q must lie in [0, 1]")
    return order


def places_of_steps(name: str, value: Sequence[float], *, positive: bool = False) -> np.ndarray:
    """The places (N,) of steps, finite, increasing and on request positive; TypeError or ValueError otherwise."""
    places = numbers(name, value, "a sequence of numbers")
    if places.ndim != 1:
        raise ValueError(f"{name} has shape {places.shape}: pass a sequence of numbers")
    refuse(np, name, places, ~np.isfinite(places), "the place of a step must be finite")
    if not (np.diff(places) > 0).all() or (positive and not (places > 0).all()):
        rule = "they must be positive and increase" if positive else "they must increase"
        raise ValueError(f"{name} is {shown(tuple(places.tolist()))}: {rule}")
    return places
