"""Thm 5.1: a lower bound on escape times from a bound on the score; a second, easy example can break it."""

import functools
import math
from collections.abc import Sequence

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.symbolic import vanishes
from qtheory.escape import FAMILIES, family, log_family_times, sigmoid_time
from qtheory.flow import escape, follow, velocity
from qtheory.models import AngledSigmoids

DELTA = 0.5
Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
LOG_P0 = np.log(np.geomspace(1e-12, 1e-2, 6))
# Squares of the scores' bounds: e - p of K equal wrong arms; the prior's part is at most 2, an answer's at most 1
# for a sigmoid and 2 for a softmax, each in separate parameters.
LARGEST = {"sigmoid": 1.0, "arms": 10 / 9, "latent-sigmoid": 3.0, "latent-softmax": 4.0, "fixed": 2.0, "chain": 4.0}
FEW = ("sigmoid", "fixed", "latent-sigmoid")
IN_TIME = [0, 2, 4]  # of Q


def log_rate(log_p0: np.ndarray) -> np.ndarray:
    """Log of (p0^-(1-q) - delta^-(1-q))/(1-q), of log(delta/p0) at q = 1, for each q of Q: (..., 5)."""
    way = (math.log(DELTA) - np.asarray(log_p0))[..., None]
    rate = 1 - Q
    below = rate > 0
    shrunk = np.where(below, -np.expm1(-rate * way) / np.where(below, rate, 1.0), way)
    return np.log(shrunk) - rate * np.asarray(log_p0)[..., None]


def check_lower(names: Sequence[str] = tuple(FAMILIES)) -> Evidence:
    """Times of model families and the bound on them; an unbounded score; an easy example at an angle to a hard one."""
    times = np.array([log_times(name) for name in names])
    squares = np.array([LARGEST[name] for name in names])
    largest = np.array([score_norms(name)[1] for name in names])
    closed = {name: family(name).over_sigmoid for name in names if family(name).over_sigmoid is not None}
    others = [name for name in names if name not in closed]
    free = _free_times()
    cosines, q = np.array([1.0, 0.5]), Q[:-1]
    log_p0 = np.log([1e-16, 1e-14])
    together = np.array(
        [[[_beside_easy(cosine, order, start) for order in q] for start in log_p0] for cosine in cosines]
    )
    alone = log_rate(log_p0)[:, :-1] + math.log(2)  # each has half the weight
    slopes = np.diff(together, axis=1)[:, 0] / np.diff(log_p0)
    return Evidence(
        (
            Comparison(
                "bound over T_q, model families, 1",
                np.exp(log_rate(LOG_P0) - times) / squares[:, None, None],
                np.array(1),
                0,
                "absolute",
                "<=",
            ),
            Comparison(
                "T_q, closed form where there is one",
                np.exp(times[[names.index(name) for name in closed]]),
                np.array(list(closed.values()))[:, None, None] * sigmoid_time(np.exp(LOG_P0)[:, None], DELTA, Q),
                1e-8,
                "relative",
            ),
            Comparison(
                "elsewhere, from p0 = .01, the flow solved in time",
                np.exp(times[[names.index(name) for name in others]][:, -1, IN_TIME]),
                np.array([[_time_in_time(name, q) for q in Q[IN_TIME]] for name in others]),
                1e-8,
                "relative",
            ),
            Comparison("largest ||s||² on their paths, C²", largest, squares, 1e-12, "relative", "<="),
            Comparison(
                "||s|| = 1/P: T_q over the bound with C = 1, at least 1",
                np.minimum(free / np.exp(log_rate(LOG_P0)), 1),
                np.array(1),
                0.5,
                "absolute",
                "!=",
            ),
            Comparison(
                "||s|| = 1/P: T_q, (d^(1+q) - p0^(1+q))/(1+q)",
                free,
                (DELTA ** (1 + Q) - np.exp(LOG_P0)[:, None] ** (1 + Q)) / (1 + Q),
                1e-8,
                "relative",
            ),
            Comparison(
                "beyond the paper, beside an easy example: T_q over the bound, at least 1",
                np.minimum(np.exp(together - alone), 1),
                np.array(1),
                0.5,
                "absolute",
                "!=",
            ),
            Comparison(
                "its exponent, -(1-q)/(1 + (1-q) cos)",
                slopes,
                -(1 - q) / (1 + (1 - q) * cosines[:, None]),
                2e-3,
                "absolute",
            ),
            vanishes("the bound is the time of Eq 6 with ||s|| = C", *_symbolic()),
        )
    )


@functools.cache
def log_times(name: str) -> np.ndarray:
    """(6, 5) log T_q of a family from LOG_P0."""
    return log_family_times(family(name), LOG_P0, DELTA, Q.tolist(), rtol=1e-10)


@functools.cache
def score_norms(name: str) -> tuple[float, float]:
    """The smallest and the largest ||s||^2 at points of a family's paths from LOG_P0 to DELTA."""
    member = family(name)
    squares = []
    for start in LOG_P0:
        theta = member.start(float(start))
        levels = np.linspace(float(start), math.log(DELTA), 7)[1:]
        path = follow(
            member.model.score, lambda at: float(member.model.log_p(at)), theta, levels, [], rtol=1e-5, atol=1e-6
        )
        scores = member.model.score(np.vstack([theta, path.theta]))
        squares.append((scores**2).sum(-1))
    return float(np.min(squares)), float(np.max(squares))


def _time_in_time(name: str, q: float) -> float:
    """T_q of a family from the last of LOG_P0, by the solver in time."""
    solved = family(name)

    def scores(theta: np.ndarray) -> np.ndarray:
        return solved.model.score(theta)[None]

    def log_p(theta: np.ndarray) -> np.ndarray:
        return solved.model.log_p(theta)[None]

    theta, target = solved.start(float(LOG_P0[-1])), math.log(DELTA)
    flow = velocity(scores, log_p, q)
    return float(escape(flow, scores, log_p, theta, target, 1e30, rtol=1e-11, atol=1e-11).time[0])


def _free_times() -> np.ndarray:
    """(6, 5) T_q from LOG_P0 for the model whose parameter is P itself."""
    times = [
        follow(lambda p: 1 / p, lambda p: math.log(p[0]), np.exp([at]), math.log(DELTA), Q.tolist(), atol=1e-30)
        for at in LOG_P0
    ]
    return np.exp(np.array([path.log_time[0] for path in times]))


def _beside_easy(cosine: float, q: float, log_p0: float) -> float:
    """Log of a hard example's time with an easy one of P = 0.3 on the same parameters."""
    pair = AngledSigmoids(np.array([[1.0, cosine], [cosine, 1.0]]), np.array([log_p0, math.log(0.3)]))
    flow = velocity(pair.score, pair.log_p, q)
    return math.log(escape(flow, pair.score, pair.log_p, np.zeros(2), math.log(DELTA), 1e30).time[0])


def _symbolic() -> list[sympy.Expr]:
    p0, delta, rate, bound = sympy.symbols("p0 delta r C", positive=True)  # r = 1 - q
    time = (p0**-rate - delta**-rate) / (rate * bound**2)
    return [
        sympy.diff(time, delta) - 1 / (delta ** (1 + rate) * bound**2),
        time.subs(delta, p0),
        sympy.limit(time, rate, 0) - sympy.log(delta / p0) / bound**2,
    ]


THM_5_1 = Claim(
    label="Thm 5.1",
    statement=("||s|| <= C: T_q >= (p0^-(1-q) - d^-(1-q))/((1-q) C²), and T_1 >= log(d/p0)/C²; so Ω(1/p0) at q = 0"),
    verdict="conditional",
    condition=(
        "||s|| stays bounded as P falls: with P itself the parameter, ||s|| = 1/P, no T_q grows. Beyond the paper it "
        "takes the flow of one example: beside an easy one whose score has the cosine c to its own, a hard one needs "
        "only p0^(-(1-q)/(1 + (1-q) c))"
    ),
    check=check_lower,
    quick=functools.partial(check_lower, FEW),
    figure="escape_times",
)
