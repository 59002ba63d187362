"""The table of `qtheory escape`: the sigmoid's times for each p0 and q, beside an independent solution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from qtheory.escape._inputs import order, start_and_target
from qtheory.escape.sigmoid import log_sigmoid_time
from qtheory.flow.path import follow


@dataclass(frozen=True)
class EscapeRow:
    """One cell of the table.

    Attributes:
        p0: Success probability at the start.
        delta: Target.
        q: The order.
        time: T_q(p0, delta) in units of one over the learning rate, by the closed form (App C.1).
        solved: The same by the path solver.
        error: |solved/time - 1|.
        exponent: d log T_q / d log p0 at p0, exactly.
        limit: What the exponent tends to as p0 -> 0, -(1-q) (Thm 5.2).
        over_q1: T_q / T_1.
    """

    p0: float
    delta: float
    q: float
    time: float
    solved: float
    error: float
    exponent: float
    limit: float
    over_q1: float


def escape_table(p0: Sequence[float], delta: float, q: Sequence[float]) -> list[EscapeRow]:
    """The rows for all p0 and q, p0 by p0.

    Args:
        p0: Success probabilities at the start, each below delta.
        delta: Target in (0, 1).
        q: Orders in [0, 1].

    Returns:
        len(p0) * len(q) rows.

    Raises:
        ValueError: A p0, delta or q outside its range, p0 not below delta, or none of them.
    """
    starts, target = start_and_target(list(p0), delta)
    orders = order(list(q))
    if not (starts.size and orders.size):
        raise ValueError(f"{starts.size} values of p0 and {orders.size} of q: pass at least one of each")
    if (starts == target).any():
        raise ValueError(f"p0 is delta, {float(target)}: the escape takes no time; lower p0")
    return [row for start in starts for row in _rows(float(start), float(target), orders)]


def _rows(p0: float, delta: float, orders: np.ndarray) -> list[EscapeRow]:
    log_p0 = math.log(p0)
    log_time = log_sigmoid_time(log_p0, delta, orders)
    theta = np.array([log_p0 - math.log1p(-p0)])
    path = follow(_score, _log_p, theta, math.log(delta), [float(one) for one in orders])
    # dT/dp0 = -1/(p0^(2-q) (1-p0)^2), App C.1's integrand at its lower end.
    exponents = -np.exp(-(1 - orders) * log_p0 - 2 * math.log1p(-p0) - log_time)
    over = np.exp(log_time - log_sigmoid_time(log_p0, delta, 1.0))
    columns = (orders, np.exp(log_time), np.exp(path.log_time[0]), np.abs(np.expm1(path.log_time[0] - log_time)))
    return [
        EscapeRow(p0, delta, *(float(x) for x in (one, time, solved, error, exponent, one - 1, ratio)))
        for one, time, solved, error, exponent, ratio in zip(*columns, exponents, over, strict=True)
    ]


def _score(theta: np.ndarray) -> np.ndarray:
    return expit(-theta)


def _log_p(theta: np.ndarray) -> float:
    return -float(np.logaddexp(0, -theta[0]))
