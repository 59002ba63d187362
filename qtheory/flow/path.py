"""The path of one example's gradient flow, in log P instead of time: one solve gives the times of every q.

The flow d theta/dt = P^(1-q) s moves along s at every q, so its path does not depend on q; only the speed does.
With L = log P as the variable (Eq 6), d theta/dL = s/||s||^2 and dT_q/dL = P^-(1-q)/||s||^2. Nothing diverges at the
escape, no event is needed, and p0 = 1e-300 is as easy as 0.1.

Above P = 1/2 the variable is the logit X = log P/(1-P), with dL = (1-P) dX. The parameters follow the variable within
an absolute error: an error in log P would be a large part of 1-P near P = 1, an error in the logit is a small one.
There 1-P must be computed from the parameters: computed from X, it would turn their error into one in log P again.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from qtheory._arrays import shown
from qtheory._numbers import function, numbers, positive, single, vector
from qtheory.flow.schedule import Schedule, checked, steps_within, value

_HALF = math.log(0.5)  # where the variable changes
_EVALUATIONS = 50_000  # of the score: a path needs some hundreds to some thousands
_MISSED = 1e-6  # share of the way by which log P, or its logit above 1/2, may miss the last target
_SMALL = 1e-100  # the square of a smaller score may underflow


@dataclass(frozen=True)
class Path:
    """A path and the times at which the flows pass its points.

    Attributes:
        log_p: (K,) log P at the points, in nats, increasing, without the start.
        theta: (K, d) parameters at the points.
        log_time: (K, Q) log of the time from the start, one column for each schedule of q.
        evaluations: Evaluations of the score.
    """

    log_p: np.ndarray
    theta: np.ndarray
    log_time: np.ndarray
    evaluations: int


@dataclass(frozen=True)
class _Rates:
    """Right-hand sides of the flow's equations for the state theta (d,) and the Q times.

    Attributes:
        score: theta (d,) -> s, (d,).
        log_p: theta (d,) -> log P.
        dimension: d.
        schedules: The Q schedules of q.
        start: log P at the start.
        first: (Q,) the schedules' q at the start.
        unit: log of ||s||^-2 at the start, or of (1-P) ||s||^-2 from P = 1/2 on. Times are in units of that times
            P^-(1-q), so that they are of order 1 where accuracy matters.
        calls: Counts evaluations of the score.
    """

    score: Callable[[np.ndarray], np.ndarray]
    log_p: Callable[[np.ndarray], float]
    dimension: int
    schedules: Sequence[Schedule]
    start: float
    first: np.ndarray
    unit: float
    calls: Iterator[int] = field(default_factory=itertools.count)

    def in_log_p(self, level: float, y: np.ndarray, low: float, high: float) -> np.ndarray:
        """d/dL at L = level, within a segment of log P on which the schedules are smooth."""
        s = self._score(y, level)
        squared = s @ s
        return np.append(s / squared, self._slowness(level, low, high) / squared)

    def in_logit(self, x: float, y: np.ndarray, low: float, high: float) -> np.ndarray:
        """d/dX at X = x >= 0, within a segment of log P."""
        level = _log_p(x)
        s, own = self._score(y, level), float(self.log_p(y[: self.dimension]))
        if not own < 0:
            raise ValueError(f"log_p is {own} where log P is near {level:.3g}: it must keep its digits near P = 1")
        length = _length(s)
        share = -math.expm1(own) / length  # (1-P)/||s||, finite even if ||s||^2 underflows
        return np.append(share * (s / length), share * self._slowness(level, low, high) / length)

    def _score(self, y: np.ndarray, level: float) -> np.ndarray:
        if next(self.calls) >= _EVALUATIONS:
            raise RuntimeError(
                f"the path stops near log P = {level:.3g}: {_EVALUATIONS} evaluations were not enough. Where P is near "
                "1, let score and log_p keep the digits of 1 - P, or lower the target"
            )
        theta = y[: self.dimension]
        return _checked(self.score(theta), theta, level)

    def _slowness(self, level: float, low: float, high: float) -> np.ndarray:
        """(Q,) P^-(1-q) in units of time."""
        orders = np.array([value(schedule, level, low, high) for schedule in self.schedules])
        return np.exp((1 - self.first) * self.start - (1 - orders) * level - self.unit)


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

    With the default tolerances the times are within 1e-9 relative, even for targets as near to P = 1 as log P =
    -1e-100. Near P = 1 this needs a score and a log P of full relative precision, as the models of `qtheory.models`
    have; in e_y - softmax(theta), 1 - P has only the digits that the rounding of P leaves.

    Args:
        score: theta (d,) -> s = grad log P, (d,).
        log_p: theta (d,) -> log P in nats, below 0.
        theta: (d,) parameters at the start.
        targets: (K,) or a number: log P to reach, in nats, increasing, above the start and below 0.
        q: Q schedules, each a number in [0, 1] or a function log P -> q, which chooses q by P; `Stepwise` ones are
            resolved at their steps.
        rtol: Relative tolerance of each step, of the parameters and the times.
        atol: Absolute tolerance, of the parameters and of the times in units of the start's P^-(1-q)/||s||^2; from
            P = 1/2 on in units of (1-P) times that.

    Returns:
        The points at the targets, with times in units of one over the learning rate.

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: theta of a wrong shape or not finite, targets out of order or out of range, q outside [0, 1], a
            tolerance out of range, a score of the wrong shape, not finite or 0 on the path, or not the gradient of
            log_p (then log P misses the last target).
        RuntimeError: The solver failed, for example if P has a maximum below a target, or used 50000 evaluations, for
            example near P = 1 with a score or log_p that has lost the digits of 1 - P.
    """
    function("score", score, "theta -> grad log P")
    function("log_p", log_p, "theta -> log P")
    begin, levels = vector("theta", theta), np.atleast_1d(numbers("targets", targets))
    if isinstance(q, (str, int, float)) or callable(q):
        raise TypeError(f"q is {shown(q)}, a {type(q).__name__}: pass a list of numbers or schedules")
    schedules = [schedule if callable(schedule) else checked(schedule) for schedule in q]
    rtol, atol = single("rtol", positive("rtol", rtol)), single("atol", positive("atol", atol))
    start = float(log_p(begin))
    if levels.size == 0:
        raise ValueError("targets are empty: pass at least one log P to reach")
    if levels.ndim > 1:
        raise ValueError(f"targets has shape {levels.shape}: pass one axis of log P to reach")
    if not ((levels > start) & (levels < 0)).all() or not (np.diff(levels) > 0).all():
        raise ValueError(
            f"targets are {shown(levels.tolist())}: log P must increase from {start:.6g}, the start's, and stay below 0"
        )
    first = np.array([value(schedule, start, start, levels[-1]) for schedule in schedules])
    unit = -2 * np.log(_length(_checked(score(begin), begin, start)))
    if start >= _HALF:
        unit += math.log(-math.expm1(start))
    rates = _Rates(score, log_p, begin.size, schedules, start, first, unit)
    state, points, evaluations = np.append(begin, np.zeros(len(schedules))), [], 1
    change = {_HALF} if start < _HALF < levels[-1] else set()
    stops = sorted({*levels, *change, *steps_within(schedules, start, levels[-1])})
    for low, high in zip([start, *stops], stops, strict=False):
        upper = low >= _HALF
        solution = solve_ivp(
            rates.in_logit if upper else rates.in_log_p,
            (_logit(low), _logit(high)) if upper else (low, high),
            state,
            method="DOP853",
            args=(low, high),
            rtol=rtol,
            atol=atol,
        )
        if not solution.success:
            at = _log_p(solution.t[-1]) if upper else solution.t[-1]
            raise RuntimeError(
                f"the path stops at log P = {at:.6g}, short of {levels[levels >= high][0]:.6g}: {solution.message} "
                "Lower the target if P has a maximum there"
            )
        state, evaluations = solution.y[:, -1], evaluations + solution.nfev
        if high in levels:
            points.append(state)
    reached, last = float(log_p(state[: begin.size])), float(levels[-1])
    wrong = min(1.0, -2 * math.expm1(last))  # near P = 1 a change of the logit by a nat changes log P by 1-P
    if not abs(reached - last) <= _MISSED * max(1.0, -start) * wrong:
        raise ValueError(f"log P is {reached:.9g} at the end, not {last:.9g}: score is not the gradient of log_p")
    table = np.array(points)
    log_unit = unit - (1 - first) * start
    return Path(levels, table[:, : begin.size], np.log(table[:, begin.size :]) + log_unit, evaluations)


def _logit(level: float) -> float:
    """Log P/(1-P) of log P = level < 0."""
    return level - math.log(-math.expm1(level))


def _log_p(x: float) -> float:
    """Log P of its logit x >= 0."""
    return -math.log1p(math.exp(-x))


def _length(s: np.ndarray) -> float:
    """||s||, without underflow of its square."""
    top = float(np.max(np.abs(s)))
    return float(np.linalg.norm(s)) if top > _SMALL else top * float(np.linalg.norm(s / top))


def _checked(s: np.ndarray, theta: np.ndarray, level: float) -> np.ndarray:
    if np.shape(s) != theta.shape:
        raise ValueError(f"score has shape {np.shape(s)} and theta {theta.shape}: the two must agree")
    if not np.isfinite(s).all() or not np.any(s):
        raise ValueError(f"score is {shown(s)} at log P = {level:.6g}: the path needs a finite score other than 0")
    return s
