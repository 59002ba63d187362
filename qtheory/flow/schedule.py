"""Schedules of q: a constant, any function of time or of log P, or one that steps."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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
        ValueError: Lengths that do not match, steps that do not increase, or a q outside [0, 1].
    """

    values: Sequence[float]
    at: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.at) + 1:
            raise ValueError(f"{len(self.values)} values of q and {len(self.at)} steps: pass one value more than steps")
        if any(a >= b for a, b in zip(self.at, self.at[1:], strict=False)):
            raise ValueError(f"the steps are at {tuple(self.at)}: they must increase")
        for value in self.values:
            checked(value)

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
    """A number q in [0, 1] as it is; ValueError otherwise."""
    if not 0 <= q <= 1:
        raise ValueError(f"q is {q}: q must lie in [0, 1]")
    return float(q)
