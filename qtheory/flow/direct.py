"""Flows of several examples that share parameters, solved in time: each example's first passage through a target.

The variable sigma follows the logarithm of time while the flow rests and the distance travelled in log P while it
moves: with t = t0 (e^lambda - 1) and rho = ||v|| ||S||, ||S|| the norm of all scores, d sigma = (1/(t + t0) + rho) dt.
So neither a long plateau nor the blow-up at an escape, which at q = 0 takes only a fraction p0 of the time before it,
needs small steps; each takes a few units of sigma.

If a flow is at rest between examples with opposed gradients, rho is the norm of rounding errors: it has a kink at the
point of rest, at which the solver's steps would shrink to 0. There the logarithm of time alone is the variable, until
the flow moves again.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from qtheory._numbers import function, number, positive, single, vector
from qtheory.flow.schedule import places_of_steps
from qtheory.flow.velocity import LogP, Scores, Velocity, fitting

_EARLY = 1e-3  # t0, in units of the time in which a log P can move by 1 from its start
_STRIDE = 4.0  # the largest step of sigma: otherwise LSODA's stiff steps go far beyond an escape
_LONGEST = 1e6  # of sigma: a flow that settles or escapes needs a few hundred
_AT_REST, _MOVING = 1e-2, 1.0  # rho (t + t0), nats of log P while time doubles, at which the variable changes
_EVALUATIONS = 30_000  # of the velocity in a span, which take seconds: a flow needs up to some thousands


@dataclass(frozen=True)
class _Event:
    """An event of solve_ivp: a function of the state passes 0 from below; the solution ends there if terminal."""

    function: Callable[[np.ndarray], float]
    terminal: bool = True
    direction: float = 1.0

    def __call__(self, _: float, y: np.ndarray) -> float:
        return float(self.function(y))


class _Stuck(Exception):
    """The solver makes no progress; the message says why."""


@dataclass(frozen=True)
class Escape:
    """First passages and the end of a flow.

    Attributes:
        time: (N,) first time at which each example's P reached the target, inf if it did not.
        end: Time at which the solution ends: when all examples are at or above the target, or the horizon.
        theta: (d,) parameters at the end.
        log_p: (N,) log P at the end, in nats.
    """

    time: np.ndarray
    end: float
    theta: np.ndarray
    log_p: np.ndarray


def escape(
    velocity: Velocity,
    scores: Scores,
    log_p: LogP,
    theta: ArrayLike,
    target: float,
    horizon: float,
    *,
    steps: Sequence[float] = (),
    rtol: float = 1e-13,
    atol: float = 1e-13,
) -> Escape:
    """Solve d theta/dt = velocity(theta, t) until all examples are at or above the target at once.

    The velocity need not be a gradient: `qtheory.flow.velocity` gives the velocity of J_q, and the expected update at
    finite M is another example.

    Args:
        velocity: (theta (d,), t) -> (d,), smooth in log t between the steps.
        scores: theta (d,) -> s_i = grad log P_i, (N, d).
        log_p: theta (d,) -> log P_i, (N,), in nats.
        theta: (d,) parameters at the start.
        target: log P to reach, in nats, below 0.
        horizon: Largest time, positive and finite, in units of one over the learning rate.
        steps: Increasing times at which the velocity jumps, as those of a `Stepwise` schedule.
        rtol: Relative tolerance of LSODA's steps.
        atol: Absolute tolerance of LSODA's steps, in the parameters and in log time.

    Returns:
        The first passages, 0 for examples that start at or above the target.

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: A target, a horizon or a tolerance out of range, theta of a wrong shape or not finite, steps that do
            not increase from above 0, or a velocity, scores or log P of a shape that does not fit.
        RuntimeError: The solver failed, or used 30000 evaluations of the velocity between two steps: the flow rests so
            long that rounding of its velocity counts, or neither rests nor escapes.
    """
    function("velocity", velocity, "(theta, t) -> d theta/dt")
    function("scores", scores, "theta -> grad log P_i")
    function("log_p", log_p, "theta -> log P_i")
    begin, target, horizon = vector("theta", theta), number("target", target), number("horizon", horizon)
    if not -math.inf < target < 0:
        raise ValueError(f"target is {target}: pass log P in nats, finite and below 0")
    if not 0 < horizon < math.inf:
        raise ValueError(f"horizon is {horizon}: pass a positive, finite time")
    places = places_of_steps("steps", steps, positive=True).tolist()
    tolerances = single("rtol", positive("rtol", rtol)), single("atol", positive("atol", atol))
    level = vector("log_p", log_p(begin))
    fitting("scores", scores(begin), (level.size, begin.size))
    fitting("velocity", velocity(begin, 0.0), begin.shape)
    time = np.where(level >= target, 0.0, math.inf)
    if (level >= target).all():
        return Escape(time, 0.0, begin, level)
    # The largest speed over all times at the start point: a schedule may start at rest and be fast before t0.
    times = (0.0, *places, *np.geomspace(min(1e-6, horizon), horizon, 200).tolist())
    fastest = _norm(scores(begin)) * max(_norm(velocity(begin, t)) for t in times)
    early = _EARLY / fastest if fastest > 0 else _EARLY * horizon
    state, begun, done = np.append(begin, 0.0), 0.0, False  # theta and lambda = log(1 + t/t0)
    for until in (*(x for x in places if x < horizon), horizon):
        state, passed, done = _until(velocity, scores, log_p, state, (begun, until), early, target, tolerances)
        time = np.minimum(time, passed)
        begun = until
        if done:
            break
    end = _time(state[-1], early) if done else horizon
    return Escape(time, end, state[:-1], np.asarray(log_p(state[:-1]), dtype=float))


def _until(
    velocity: Velocity,
    scores: Scores,
    log_p: LogP,
    state: np.ndarray,
    span: tuple[float, float],
    early: float,
    target: float,
    tolerances: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Solve within a span of time on which the velocity is smooth.

    Returns:
        The state (d + 1,) at the end, first passages (N,) within the span (inf for none), and whether all
        examples were at or above the target at once.
    """
    log_early, over = math.log(early), math.log(early + span[1]) - math.log(early)
    last = float(np.nextafter(span[1], span[0]))  # at the span's end itself the velocity may have jumped
    moving, evaluations, reached = True, 0, (span[0], 0.0)

    def at(y: np.ndarray) -> tuple[np.ndarray, float, float]:
        """The velocity, t + t0 and rho. Trial states may be anywhere; times are clipped to the span."""
        theta, shifted = y[:-1], math.exp(log_early + min(max(y[-1], -1.0), over + 1))
        v = velocity(theta, min(max(shifted - early, span[0]), last))
        return v, shifted, _norm(v) * _norm(scores(theta))

    def rate(_: float, y: np.ndarray) -> np.ndarray:
        nonlocal evaluations, reached
        v, shifted, rho = at(y)
        evaluations, reached = evaluations + 1, (shifted - early, _norm(v))
        if evaluations > _EVALUATIONS:
            raise _Stuck(f"{_EVALUATIONS} evaluations were not enough.")
        inverse = 1 / shifted
        slowness = 1 / (inverse + rho) if moving else shifted
        return np.append(v * slowness, inverse * slowness)

    def above(y: np.ndarray) -> np.ndarray:
        return np.asarray(log_p(y[:-1]), dtype=float) - target

    def turn(y: np.ndarray) -> float:
        _, shifted, rho = at(y)
        return _AT_REST - shifted * rho if moving else shifted * rho - _MOVING

    count = len(above(state))
    events: list[Callable[[float, np.ndarray], float]] = [
        *(_Event(lambda y, i=i: above(y)[i], terminal=False) for i in range(count)),
        _Event(lambda y: np.min(above(y))),
        _Event(lambda y: y[-1] - over),
        _Event(turn),
    ]
    rtol, atol = tolerances
    firsts = np.full(count, math.inf)
    while True:
        try:
            with warnings.catch_warnings(action="error", category=UserWarning):  # LSODA reports failures as warnings
                solution = solve_ivp(
                    rate, (0.0, _LONGEST), state, method="LSODA", rtol=rtol, atol=atol, max_step=_STRIDE, events=events
                )
            if solution.status != 1:
                raise _Stuck(solution.message)
        except (_Stuck, UserWarning, ValueError) as error:
            if isinstance(error, ValueError) and "different signs" not in str(error):
                raise  # raised by the velocity; "different signs" is solve_ivp's, at an event within rounding
            raise RuntimeError(
                f"the flow was not solved up to time {span[1]:.6g}: near time {reached[0]:.4g}, at the speed "
                f"{reached[1]:.3g}, the solver says: {error} A nearer horizon leaves the flow sooner"
            ) from None
        passed = [_time(states[0, -1], early) if len(states) else math.inf for states in solution.y_events[:count]]
        firsts = np.minimum(firsts, passed)
        together, ended, turned = (states[0] if len(states) else None for states in solution.y_events[count:])
        if together is not None:
            return together, firsts, True
        if ended is not None:
            return ended, firsts, False
        assert turned is not None
        state, moving = turned, not moving


def _time(log_ratio: float, early: float) -> float:
    """The time t of lambda = log(1 + t/t0); early is t0."""
    return early * math.expm1(log_ratio) if log_ratio < 1 else math.exp(log_ratio + math.log(early)) - early


def _norm(x: np.ndarray) -> float:
    """The Euclidean norm of all entries, scaled by the largest: at q = 0 and P = 1e-300 the squares would vanish."""
    top = float(np.max(np.abs(x)))
    return top * float(np.linalg.norm(x / top)) if top > 0 else 0.0
