"""The path of one example's gradient flow, in log P instead of time: one solve gives the times of every q.

The flow d theta/dt = P^(1-q) s moves along s at every q, so its path does not depend on q; only the speed does.
With L = log P as the variable (Eq 6), d theta/dL = s/||s||^2 and dT_q/dL = P^-(1-q)/||s||^2. Nothing blows up
at the escape, no event is needed, and p0 = 1e-300 is as easy as 0.1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from qtheory.flow.schedule import Schedule, checked, steps_within, value


@dataclass(frozen=True)
class Path:
    """A path and the times at which the flows pass its points.

    Attributes:
        log_p: (K,) log P at the points, in nats, increasing; the start is not among them.
        theta: (K, d) parameters at the points.
        log_time: (K, Q) log of the time from the start, one column for each schedule of q.
        evaluations: Evaluations of the score.
    """

    log_p: np.ndarray
    theta: np.ndarray
    log_time: np.ndarray
    evaluations: int


def follow(
    score: Callable[[np.ndarray], np.ndarray],
    log_p: Callable[[np.ndarray], float],
    theta: ArrayLike,
    targets: ArrayLike,
    q: Sequence[Schedule],
    *,
    rtol: float = 1e-12,
    atol: float = 1e-13,
) -> Path:
    """Follow one example's flow from theta until P reaches each target.

    Args:
        score: theta (d,) -> s = grad log P, (d,).
        log_p: theta (d,) -> log P in nats, below 0.
        theta: (d,) parameters at the start.
        targets: (K,) or a number: log P to reach, in nats, increasing, above the start and below 0.
        q: Q schedules, each a number in [0, 1] or a function log P -> q, which chooses q by P; `Stepwise` ones are
            resolved at their steps.
        rtol: Relative tolerance of each step, of the parameters and the times.
        atol: Absolute tolerance, of the parameters and of the times in units of the start's P^-(1-q)/||s||^2.

    Returns:
        The points at the targets, with times in units of one over the learning rate.

    Raises:
        ValueError: Targets out of order or out of range, q outside [0, 1], a score of the wrong shape, not finite
            or 0 on the path, or not the gradient of log_p (then log P misses the last target).
        RuntimeError: The solver gave up, as it does where P has a maximum below a target.
    """
    begin, levels = np.asarray(theta, dtype=float), np.atleast_1d(np.asarray(targets, dtype=float))
    schedules = [one if callable(one) else checked(one) for one in q]
    start = float(log_p(begin))
    if levels.size == 0:
        raise ValueError("targets are empty: pass at least one log P to reach")
    if not ((levels > start) & (levels < 0)).all() or not (np.diff(levels) > 0).all():
        raise ValueError(f"targets are {levels}: log P must increase from {start:.6g}, the start's, and stay below 0")
    # Times in units of the start's P^-(1-q)/||s||^2, so that all of them are of order 1 where it matters.
    first = [value(one, start, start, levels[-1]) for one in schedules]
    unit = -2 * np.log(np.linalg.norm(_checked(score(begin), begin, start)))
    state, points, evaluations = np.append(begin, np.zeros(len(schedules))), [], 1
    stops = sorted({*levels, *steps_within(schedules, start, levels[-1])})
    for low, high in zip([start, *stops], stops, strict=False):

        def rate(level: float, y: np.ndarray, low: float = low, high: float = high) -> np.ndarray:
            s = _checked(score(y[: begin.size]), begin, level)
            squared = s @ s
            orders = np.array([value(one, level, low, high) for one in schedules])
            speed = np.exp((1 - np.array(first)) * start - (1 - orders) * level - unit) / squared
            return np.append(s / squared, speed)

        solution = solve_ivp(rate, (low, high), state, method="DOP853", rtol=rtol, atol=atol)
        if not solution.success:
            raise RuntimeError(
                f"the path stops at log P = {solution.t[-1]:.6g}, short of {high:.6g}: {solution.message} "
                "Lower the target if P has a maximum there"
            )
        state, evaluations = solution.y[:, -1], evaluations + solution.nfev
        if high in levels:
            points.append(state)
    reached = float(log_p(state[: begin.size]))
    if not abs(reached - levels[-1]) <= 1e-6 * max(1.0, -start):
        raise ValueError(f"log P is {reached:.9g} at the end, not {levels[-1]:.9g}: score is not the gradient of log_p")
    table = np.array(points)
    log_unit = unit - (1 - np.array(first)) * start
    return Path(levels, table[:, : begin.size], np.log(table[:, begin.size :]) + log_unit, evaluations)


def _checked(s: np.ndarray, theta: np.ndarray, level: float) -> np.ndarray:
    if np.shape(s) != theta.shape:
        raise ValueError(f"score has shape {np.shape(s)} and theta {theta.shape}: the two must agree")
    if not np.isfinite(s).all() or not np.any(s):
        raise ValueError(f"score is {s} at log P = {level:.6g}: the path needs a finite score other than 0")
    return s
