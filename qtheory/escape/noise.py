"""Times of escape on noisy labels under schedules of q, and the best of two kinds: one switch, one q (QC-9).

The logit X of P is the variable: with dP = P n dX the time is the integral of n / (g P ||s||^2) over X, where the pull
g = (1-e) P^-q - e n^-q = (1-e) P^-q (1 - e/(1-e) e^(q X)) is written as one product, so that it keeps its digits where
the flow comes to rest.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from qtheory._numbers import single
from qtheory.escape._inputs import squared_norms, start_and_target
from qtheory.escape.measured import Norm
from qtheory.estimators.noise_q import minority
from qtheory.flow.schedule import Schedule, checked, steps_within, value

_GRID = 65  # places at which the integrand's scale is looked up
_NEAREST = 1e-5  # of log e/(1-e): how near to a rest the flow is followed, where the pull loses five digits


def sigmoid_norm(log_p: np.ndarray) -> np.ndarray:
    """||s||^2 = n^2 of the sigmoid at log P, (...,)."""
    return np.expm1(log_p) ** 2


def noise_switch(flip_rate: float) -> float:
    """The P at which the fastest schedule of one step from q = 1 to q = 0 steps: 1/(1 + sqrt(e/(1-e))) (QC-9).

    There both pull alike: (n/P)^2 = e/(1-e). It depends on no model, start or target. A start above it wants q = 0 all
    the way, a target below it q = 1.

    Args:
        flip_rate: e, strictly between 0 and 1/2.

    Returns:
        P, in (1/2, 1).

    Raises:
        TypeError: flip_rate is no number.
        ValueError: flip_rate is out of range.
    """
    rate = minority(flip_rate)
    return 1 / (1 + math.sqrt(rate / (1 - rate)))


def noisy_time(p0: float, delta: float, flip_rate: float, q: Schedule, norm: Norm = sigmoid_norm) -> float:
    """The time in which the flow on noisy labels takes P up from p0 to delta (QC-9).

    Args:
        p0: Probability of the right label at the start, in (0, delta).
        delta: Target in (0, 1).
        flip_rate: e, the share of wrong labels, strictly between 0 and 1/2.
        q: In [0, 1], or a function log P -> q: `Stepwise`, or `noise_q` at this flip rate for the least time of all.
        norm: ||s||^2 as a function of log P along the path, (...,) -> (...,), positive.

    Returns:
        The integral of dP / ([(1-e) P^-q - e (1-P)^-q] P^2 ||s||^2), in units of one over the learning rate, within
        1e-9 relative for schedules and norms that are smooth between steps, where delta is well above p0; inf beyond
        the largest float.

    Raises:
        TypeError: An argument is no number, or norm or q no function.
        ValueError: An argument out of range, a norm that is not positive and finite, or a flow that comes to rest
            before delta.
    """
    start, target, rate = _ends(p0, delta, flip_rate)
    schedule = q if callable(q) else checked(q)
    log_odds, first, last = math.log(rate) - math.log1p(-rate), _logit(start), _logit(target)
    places = [first, *(_logit(math.exp(x)) for x in steps_within([schedule], math.log(start), math.log(target))), last]

    # At all places at once: a norm that is wrong somewhere or of a wrong shape is refused before a long integral.
    if norm is not sigmoid_norm:
        squared_norms(norm, "log P", -np.logaddexp(0, -np.linspace(first, last, _GRID)))

    def log_slowness(x: float, low: float, high: float) -> float:
        log_p, log_n = -float(np.logaddexp(0, -x)), -float(np.logaddexp(0, x))
        order = value(schedule, log_p, low, high)
        left = log_odds + order * x
        if left > _NEAREST * log_odds:
            rest = 1 / (1 + math.exp(log_odds / order))
            raise ValueError(
                f"delta is {target}: at q = {order:.4g} the flow comes to rest at P = {rest:.6g}, where wrong labels "
                "pull as right ones do; lower delta, or let q fall as P rises"
            )
        norm_sq = (
            2 * log_n if norm is sigmoid_norm else float(np.log(squared_norms(norm, "log P", np.array([log_p]))[0]))
        )
        return log_n - log_p - math.log1p(-rate) + order * log_p - math.log(-math.expm1(left)) - norm_sq

    pieces = []
    for left, right in itertools.pairwise(places):
        low, high = -float(np.logaddexp(0, -left)), -float(np.logaddexp(0, -right))
        pieces.append(_log_integral(partial(log_slowness, low=low, high=high), left, right))
    with np.errstate(over="ignore"):
        return float(np.exp(np.logaddexp.reduce(pieces)))


def best_constant_q(p0: float, delta: float, flip_rate: float, norm: Norm = sigmoid_norm) -> float:
    """The one q at which the flow on noisy labels takes P from p0 to delta soonest, beside which schedules are held.

    Args:
        p0: As in `noisy_time`.
        delta: As in `noisy_time`.
        flip_rate: As in `noisy_time`.
        norm: As in `noisy_time`.

    Returns:
        q in [0, 1], to 1e-6; where the flow of some q rests below delta, at most 1 - 2e-5 times the least such q, near
        which the best is from a very small p0.

    Raises:
        TypeError: As `noisy_time`.
        ValueError: As `noisy_time`.
    """
    start, target, rate = _ends(p0, delta, flip_rate)
    way, most = _logit(target), math.log1p(-rate) - math.log(rate)
    highest = 1.0 if way <= 0 or most / way > 1 else most / way * (1 - 2 * _NEAREST)

    def log_time(q: float) -> float:
        return math.log(noisy_time(start, target, rate, float(q), norm))

    inner: Any = minimize_scalar(log_time, bounds=(0.0, highest), method="bounded", options={"xatol": 1e-7})
    return min((0.0, float(inner.x), highest), key=log_time)


def _ends(p0: float, delta: float, flip_rate: float) -> tuple[float, float, float]:
    start, target = (
        single(name, array) for name, array in zip(("p0", "delta"), start_and_target(p0, delta), strict=True)
    )
    if start == target:
        raise ValueError(f"p0 is delta, {target}: the escape takes no time; lower p0")
    return start, target, minority(flip_rate)


def _log_integral(log_f: Callable[[float], float], low: float, high: float) -> float:
    """Log of the integral of e^log_f, over pieces of 20 at most, as an adaptive rule may miss a peak in a long way."""
    unit = max(map(log_f, np.linspace(low, high, _GRID).tolist()))
    ends = np.linspace(low, high, 1 + math.ceil((high - low) / 20)).tolist()
    pieces = [
        quad(lambda x: math.exp(log_f(x) - unit), left, right, epsabs=0.0, epsrel=1e-10, limit=200)[0]
        for left, right in itertools.pairwise(ends)
    ]
    return unit + math.log(sum(pieces))


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)
