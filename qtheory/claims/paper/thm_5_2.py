"""Thm 5.2: escape times grow as p0^-(1-q) if the score has a lower bound too; counterexamples without one."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.special import expit

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.paper.thm_5_1 import DELTA, FEW, LOG_P0, Q, log_rate, log_times, score_norms
from qtheory.escape import FAMILIES, family_exponents, local_exponents, log_sigmoid_time
from qtheory.flow import escape, follow, velocity
from qtheory.models import AngledSigmoids, FixedAnswers

FINE = np.log(np.geomspace(1e-12, 1e-7, 6))  # p0 at which O(p0) is below 1e-3
DEEP = np.arange(-300.0, -289.0, 5.0)  # log p0 at which 1/log^3(1/p0), the error due to competing rationales, is too

OPPOSED = np.array([[p0, p0 / 10] for p0 in (1e-2, 1e-3, 1e-4)])
HORIZON = 100  # in units of 1/p0, after which the pair is at rest to 1e-10


def check_rates(names: Sequence[str] = tuple(FAMILIES)) -> Evidence:
    """Upper bounds, exponents, order and ratios on model families; a vanishing score and opposed examples."""
    times = np.array([log_times(name) for name in names])
    smallest = np.array([score_norms(name)[0] for name in names])
    exponents = list(family_exponents(FINE, DELTA, Q[:-1].tolist(), names).values())
    at_one = list(family_exponents(DEEP, DELTA, [1.0], names).values())
    order = times[..., 1:] - times[..., :-1]
    between = (1 - Q) * times[..., :1] + Q * times[..., -1:]
    low, high = np.triu_indices(len(Q), 1)
    deep = np.array([-1e5, -0.99e5])
    ratios = local_exponents(deep, _log_ratios(deep)[:, low, high])[0]
    spans = np.array([30.0, 0.1])  # (1-q) log(1/p0) at q = 1 - 1e-3
    leading = np.exp(log_sigmoid_time(-spans / 1e-3, DELTA, 1 - 1e-3) - spans + math.log(1e-3))
    vanishing = _vanishing_exponents()
    opposed = _opposed()
    return Evidence(
        (
            Comparison(
                "T_q over the upper bound, model families, 1",
                np.exp(times - log_rate(LOG_P0)) * smallest[:, None, None],
                np.array(1),
                1e-12,
                "absolute",
                "<=",
            ),
            Comparison("exponents, q < 1, -(1-q)", np.array(exponents), Q[:-1] - 1, 1e-3, "absolute"),
            Comparison("exponents, q = 1, log p0 near -300, 0", np.array(at_one), np.array(0), 1e-3, "absolute"),
            Comparison("slope of log T_q/T_q' at log p0 = -1e5, -(q'-q)", ratios, Q[low] - Q[high], 1e-4, "absolute"),
            Comparison("T at the next larger q over T_q, 1", np.exp(order), np.array(1), 0, "absolute", "<="),
            Comparison("T_q over T_0^(1-q) T_1^q, 1", np.exp(times - between), np.array(1), 1e-12, "absolute", "<="),
            Comparison("(1-q) p0^(1-q) T_q at (1-q) log 1/p0 = 30, 1", leading[:1], np.array(1), 1e-9, "absolute"),
            Comparison("the same at (1-q) log 1/p0 = 0.1, 1", leading[1:], np.array(1), 0.5, "absolute", "!="),
            Comparison("||s|| ~ p0: exponent, -(1-q)", vanishing, Q - 1, 0.9, "absolute", "!="),
            Comparison("||s|| ~ p0: exponent, -(2-q)", vanishing, Q - 2, 1e-3, "absolute"),
            Comparison(
                "beyond the paper, opposed scores: the easier one's T_0/T_1, above 1",
                opposed.times / opposed.limits,
                np.array(1),
                0.5,
                "absolute",
                "!=",
            ),
            Comparison(
                "opposed scores, q = 1: P of both at rest, at the geometric mean of their odds",
                opposed.at_rest,
                _balanced()[:, None],
                1e-8,
                "relative",
            ),
            Comparison(
                "opposed scores, q = 0: the easier one's T_0, quadrature",
                opposed.times,
                _opposed_times(),
                1e-8,
                "relative",
            ),
        )
    )


def _log_ratios(log_p0: np.ndarray) -> np.ndarray:
    """(K, 5, 5) log T_q/T_q' of the sigmoid."""
    times = log_sigmoid_time(log_p0[:, None], DELTA, Q)
    return times[:, :, None] - times[:, None, :]


def _vanishing_exponents() -> np.ndarray:
    """(2, 5) exponents if nearly all of p0 comes from a rationale of low weight that cannot improve.

    The other rationale, always right, has the prior p0^2, so that the score, posterior less prior, is about p0.
    """
    log_p0, times = np.log(np.geomspace(1e-6, 1e-4, 3)), []
    for level in log_p0:
        prior = math.exp(2 * level)
        model = FixedAnswers(np.array([0.0, math.log((math.exp(level) - prior) / (1 - prior))]))
        theta = np.array([2 * level, math.log1p(-prior)])
        path = follow(model.score, lambda at, model=model: float(model.log_p(at)), theta, math.log(DELTA), Q.tolist())
        times.append(path.log_time[0])
    return local_exponents(log_p0, np.array(times))


@dataclass(frozen=True, eq=False)
class _Opposed:
    """Pairs of examples with opposite scores, from the starts OPPOSED.

    Attributes:
        times: (3,) the easier one's T_0.
        limits: (3,) the easier one's T_1: infinite, as it never escapes.
        at_rest: (3, 2) P of both at the end at q = 1.
    """

    times: np.ndarray
    limits: np.ndarray
    at_rest: np.ndarray


def _opposed() -> _Opposed:
    times, limits, at_rest = [], [], []
    for starts in OPPOSED:
        pair = AngledSigmoids(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.log(starts))
        first, last = (
            escape(
                velocity(pair.score, pair.log_p, q),
                pair.score,
                pair.log_p,
                np.zeros(2),
                math.log(DELTA),
                HORIZON / starts[0],
            )
            for q in (0.0, 1.0)
        )
        times.append(first.time[0])
        limits.append(last.time[0])
        at_rest.append(np.exp(last.log_p))
    return _Opposed(np.array(times), np.array(limits), np.array(at_rest))


def _balanced() -> np.ndarray:
    """(3,) the P at which both odds are equal; their product is constant, as the logits move at opposite rates."""
    odds = np.sqrt(np.prod(OPPOSED / (1 - OPPOSED), axis=-1))
    return odds / (1 + odds)


def _opposed_times() -> np.ndarray:
    """(3,) integrals of 2 dx/(P (1-P) - P' (1-P')) over the easier one's logit x; the other's is a sum less x."""

    def rate(x: float, total: float) -> float:
        p, other = expit(x), expit(total - x)
        return 2 / (p * (1 - p) - other * (1 - other))

    logits = np.log(OPPOSED / (1 - OPPOSED))
    return np.array(
        [
            quad(rate, begin[0], math.log(DELTA / (1 - DELTA)), args=(begin.sum(),), epsabs=0, epsrel=1e-11)[0]
            for begin in logits
        ]
    )


THM_5_2 = Claim(
    label="Thm 5.2",
    statement="with c <= ||s|| <= C, T_q = Θ(p0^-(1-q)), T_1 = Θ(log 1/p0), and T_q/T_q' -> inf for q < q'",
    verdict="conditional",
    condition=(
        "c does not shrink with p0, and, beyond the paper, the flow is that of one example; the leading constant shows "
        "once (1-q) log(1/p0) >> 1"
    ),
    check=check_rates,
    quick=functools.partial(check_rates, FEW),
    figure="conflict",
)
