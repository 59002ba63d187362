"""Schedules of q: a constant, a function of time or of log P, or a step function."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qtheory._arrays import refuse, shown
from qtheory._numbers import number, numbers

Schedule = float | Callable[[float], float]


@dataclass(frozen=True)
class Stepwise:
    """A step function: values[i] up to at[i], and the last value after the last step.

    In time, `Stepwise((1.0, 0.0), (t,))` is SFT-then-RLVR, the schedule q = 1 -> 0. In log P,
    `Stepwise((1.0, 0.0), (math.log(0.5),))` chooses q by P: commitment below one half and exploration above.

    Attributes:
        values: The values of q, each in [0, 1], one more than there are steps.
        at: Increasing places of the steps: times or values of log P, depending on the solver.

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
        """The value of q at a place; at a step, the value after it."""
        return self.values[bisect_right(self.at, where)]


def steps_within(schedules: Sequence[Schedule], start: float, end: float) -> list[float]:
    """Sorted places of the steps of all `Stepwise` schedules strictly between start and end."""
    places = {x for schedule in schedules if isinstance(schedule, Stepwise) for x in schedule.at}
    return sorted(x for x in places if start < x < end)


def value(schedule: Schedule, where: float, start: float, end: float) -> float:
    """The value of q at a place in [start, end]; at the end, which may be a step, the value just before it.

    Raises:
        ValueError: The schedule's value lies outside [0, 1].
    """
    if not callable(schedule):
        return schedule
    return checked(schedule(max(start, min(where, float(np.nextafter(end, start))))))


def checked(q: float) -> float:
    """A number q in [0, 1] as it is; TypeError or ValueError otherwise."""
    order = q if type(q) is float else number("q", q)  # called at every step of a flow
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
