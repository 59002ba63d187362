"""The time that a model on noisy labels takes to fit the noise (Prop C.2), as an integral over n = 1 - P.

The integrand over the contamination n has a pole at the equilibrium n* and, for most models, at n = 0 and n = 1. With
y = log(n/(n* - n)) as the variable the distance of all three to the real line is pi, so that panels of equal length
suffice from n = 1e-300 up to the equilibrium. The distance to the equilibrium is computed with 60 digits, as floats
would lose it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import MPContext
from scipy.special import logsumexp

from qtheory._numbers import order, single
from qtheory.escape._inputs import Floats, probability, squared_norms

_REALS = MPContext()
_REALS.dps = 60
_PANEL = 0.5  # of y per panel of the quadrature: a norm that bends more sharply in log n is not resolved
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_NEAREST = 1e-9  # of n*: closer to it, the rounding of `end` alone moves the time by more than 5e-9
_SLACK = 1e-6  # of that distance: the rounding of (1 - 1e-9) n*


def sigmoid_norm(n: Floats) -> Floats:
    """||s||^2 = n^2 of the sigmoid, (...,)."""
    return n**2


def equilibrium(flip_rate: float, q: float) -> float:
    """The contamination at which the flow rests, r/(1 + r) with r = (e/(1-e))^(1/q).

    Args:
        flip_rate: e in (0, 1).
        q: In (0, 1].

    Returns:
        n*, rounded once from 60 digits; close to r if r is small. An n* below the smallest float is 0.0, as at e = 0.01
        and q = 1e-3, where n* = 2.3e-1996; an n* nearer to 1 than floats are is 1.0. `contamination_time` refuses
        every start for an equilibrium of 0.0.

    Raises:
        TypeError: An argument is no number.
        ValueError: An argument out of range; at q = 0 nothing rests inside (0, 1).
    """
    e, rate = single("flip_rate", probability("flip_rate", flip_rate)), single("q", order(q))
    if rate == 0:
        raise ValueError("q is 0.0: at q = 0 the flow runs to one label; pass q above 0")
    return float(_rest(e, rate)[1])


def contamination_time(
    start: float,
    end: float,
    flip_rate: float,
    q: float,
    norm: Callable[[Floats], Floats] = sigmoid_norm,
) -> float:
    """The time in which n rises from one value to another under the flow.

    The float arguments are taken as exact, and the time is within 1e-10 relative for the sigmoid. A custom norm is
    evaluated at n rounded to a float: if it depends on 1 - n, the time is accurate to 1e-16/(1 - n) at best.

    Args:
        start: n at the start, in (0, end).
        end: n at the end, at most (1 - 1e-9) n* for the equilibrium n*.
        flip_rate: e in (0, 1).
        q: In [0, 1]. At q = 0 the contamination grows only for e > 1/2, up to n* = 1.
        norm: Function of n (...,) that returns ||s||^2 (...,) on the path, positive.

    Returns:
        The integral of dn / ([e n^-q - (1-e)(1-n)^-q] (1-n)^2 ||s||^2), in units of one over the learning rate; inf
        beyond the largest float.

    Raises:
        TypeError: An argument is no number, or norm no function.
        ValueError: An argument out of range, an end at, beyond or too near the equilibrium for floats to tell the
            distance, or a norm that is not positive and finite.
    """
    low, high = (single(name, probability(name, x)) for name, x in (("start", start), ("end", end)))
    e, rate = single("flip_rate", probability("flip_rate", flip_rate)), single("q", order(q))
    if rate == 0 and e <= 0.5:
        raise ValueError(
            "q is 0.0: at q = 0 the flow runs to one label; pass q above 0, or a flip_rate above 0.5, at which that is "
            "the wrong one"
        )
    log_odds, n_star = _rest(e, rate)
    if not low < high < n_star:
        raise ValueError(
            f"start is {low} and end {high}: n rises from start to end below the equilibrium {float(n_star)}"
        )
    if n_star - high < _NEAREST * (1 - _SLACK) * n_star:
        raise ValueError(
            f"end is {high}, within 1e-9 of the equilibrium {float(n_star)}, where floats do not tell the distance: "
            "pass at most (1 - 1e-9) times the equilibrium"
        )
    first, last = (_REALS.log(n / (n_star - n)) for n in (_REALS.mpf(low), _REALS.mpf(high)))
    length = float(last - first)
    panels = max(1, math.ceil(length / _PANEL))
    half = length / panels / 2
    y = float(first) + half * (2 * np.arange(panels)[:, None] + 1 + _NODES)
    logit = float(log_odds / _REALS.mpf(rate)) if rate > 0 else math.inf  # log n*/(1 - n*), inf beyond the floats too
    log_slowness = _log_slowness(y, e, rate, logit, float(log_odds), norm)
    with np.errstate(over="ignore"):
        return float(np.exp(logsumexp(log_slowness, b=half * _WEIGHTS)))


def _rest(flip_rate: float, q: float) -> tuple[Any, Any]:
    """Log e/(1-e) and n*, both mpf; n* = 1 at q = 0."""
    e = _REALS.mpf(flip_rate)
    log_odds = _REALS.log(e / (1 - e))
    return log_odds, 1 / (1 + _REALS.exp(-log_odds / _REALS.mpf(q))) if q > 0 else _REALS.one


def _log_slowness(
    y: Floats, e: float, q: float, logit: float, log_odds: float, norm: Callable[[Floats], Floats]
) -> Floats:
    """Log of dt/dy at y = log(n/(n* - n)), of the shape of y."""
    above, below = np.logaddexp(0, y), np.logaddexp(0, -y)
    log_n = -np.logaddexp(0, -logit) - below
    log_p = np.logaddexp(-np.logaddexp(0, logit), -np.logaddexp(0, -logit) - above)
    # The bracket is e n^-q (1 - e^-fall), where fall = q (logit n* - logit n) is a sum of positive terms.
    if math.isfinite(logit):
        distance = below + np.logaddexp(0, logit - above)
        fall, log_fall = q * distance, math.log(q) + np.log(distance)
    else:  # q is 0, or so small that only log_odds counts
        fall, log_fall = np.full_like(y, log_odds), np.full_like(y, math.log(log_odds))
    ratio = np.where(fall > 0, -np.expm1(-fall) / np.where(fall > 0, fall, 1.0), 1.0)
    log_bracket = math.log(e) - q * log_n + log_fall + np.log(ratio)
    # Below n = 1e-162 the sigmoid's n^2 underflows.
    log_norm = 2 * log_n if norm is sigmoid_norm else np.log(squared_norms(norm, "n", np.exp(log_n)))
    return log_n - above - log_bracket - 2 * log_p - log_norm
