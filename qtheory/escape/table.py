"""Compute the rows of `qtheory escape`: times for each p0 and q of a model family, and exponents between starts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qtheory._numbers import numbers, order, single, vector
from qtheory.escape._inputs import Floats, start_and_target
from qtheory.escape.exponent import increment_exponents, local_exponents
from qtheory.escape.families import Family, family, log_family_times
from qtheory.escape.sigmoid import sigmoid_time


@dataclass(frozen=True)
class EscapeRow:
    """The time at one p0 and q.

    Attributes:
        task: The family's name.
        p0: Success probability at the start.
        delta: Target.
        q: The order.
        time: T_q(p0, delta) in units of one over the learning rate, by the path solver.
        closed: The same by the closed form (App C.1), None for a family without one.
        error: |time/closed - 1|, None for a family without a closed form.
        over_q1: T_q / T_1.
    """

    task: str
    p0: float
    delta: float
    q: float
    time: float
    closed: float | None
    error: float | None
    over_q1: float


@dataclass(frozen=True)
class ExponentRow:
    """Escape exponents at one q between three neighbouring starts.

    Attributes:
        task: The family's name.
        p0: The lowest of the starts.
        p0_end: The highest of the starts.
        delta: Target.
        q: The order.
        increments: Slope of log(T(p0) - T(r p0)) in log p0, in which the constant part of T cancels.
        times: Slope of log T itself between the lower two starts.
        limit: The limit of both as p0 -> 0, -(1-q) (Thm 5.2).
        error: |increments - limit|.
    """

    task: str
    p0: float
    p0_end: float
    delta: float
    q: float
    increments: float
    times: float
    limit: float
    error: float


def escape_rows(task: str, p0: Sequence[float], q: Sequence[float], delta: float = 0.5) -> list[EscapeRow]:
    """The times for all p0 and q, ordered by p0.

    Args:
        task: Name of a family in `FAMILIES`.
        p0: Success probabilities at the start, each below delta.
        q: Orders in [0, 1].
        delta: Target in (0, 1).

    Returns:
        len(p0) * len(q) rows.

    Raises:
        TypeError: p0, q or delta holds no numbers.
        ValueError: An unknown task, a p0, delta or q outside its range, p0 not below delta, or no p0 or q.
        RuntimeError: The path solver failed.
    """
    chosen, starts, target, orders = _checked(task, p0, q, delta)
    log_time = log_family_times(chosen, np.log(starts), target, [*orders, 1.0])
    with np.errstate(over="ignore"):
        times, over = np.exp(log_time[:, :-1]), np.exp(log_time[:, :-1] - log_time[:, -1:])
    closed = None
    if chosen.over_sigmoid is not None:
        closed = chosen.over_sigmoid * sigmoid_time(starts[:, None], target, orders)
    return [
        EscapeRow(
            task,
            float(starts[i]),
            target,
            float(orders[j]),
            float(times[i, j]),
            None if closed is None else float(closed[i, j]),
            None if closed is None else abs(float(times[i, j] / closed[i, j]) - 1),
            float(over[i, j]),
        )
        for i in range(len(starts))
        for j in range(len(orders))
    ]


def exponent_rows(task: str, p0: Sequence[float], q: Sequence[float], delta: float = 0.5) -> list[ExponentRow]:
    """The exponents for all neighbouring starts and q.

    Args:
        task: Name of a family in `FAMILIES`.
        p0: At least three success probabilities in equal ratios, rising or falling.
        q: Orders in [0, 1].
        delta: Target in (0, 1).

    Returns:
        (len(p0) - 2) * len(q) rows, from the lowest p0 on.

    Raises:
        TypeError: As for `escape_rows`.
        ValueError: As for `escape_rows`, or fewer than three p0, equal ones, or ratios that differ.
        RuntimeError: As for `escape_rows`.
    """
    chosen, starts, target, orders = _checked(task, p0, q, delta)
    starts = np.sort(starts)
    log_p0 = np.log(starts)
    steps = np.diff(log_p0)
    if len(starts) < 3 or not (steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-9, atol=0)):
        given = ", ".join(map(str, starts.tolist()))
        raise ValueError(f"p0 is {given}: exponents need three or more p0 in equal ratios, such as 1e-6 1e-5 1e-4")
    log_time = log_family_times(chosen, log_p0, target, orders.tolist())
    increments, times = increment_exponents(log_p0, log_time), local_exponents(log_p0, log_time)
    return [
        ExponentRow(
            task,
            float(starts[i]),
            float(starts[i + 2]),
            target,
            float(orders[j]),
            float(increments[i, j]),
            float(times[i, j]),
            float(orders[j]) - 1,
            abs(float(increments[i, j] - (orders[j] - 1))),
        )
        for i in range(len(starts) - 2)
        for j in range(len(orders))
    ]


def _checked(task: str, p0: Sequence[float], q: Sequence[float], delta: float) -> tuple[Family, Floats, float, Floats]:
    """The family, the starts (K,), delta and the orders (Q,)."""
    chosen = family(task)
    starts, target = start_and_target(np.atleast_1d(numbers("p0", p0)), delta)
    orders = np.atleast_1d(order(q))
    if not (starts.size and orders.size):
        raise ValueError(f"{starts.size} values of p0 and {orders.size} of q: pass at least one of each")
    if (starts == target).any():
        raise ValueError(f"p0 is delta, {float(target)}: the escape takes no time; lower p0")
    return chosen, vector("p0", starts), single("delta", target), vector("q", orders)
