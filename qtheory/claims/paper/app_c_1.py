"""App C.1: the sigmoid's escape time as an integral, and the documented precision of its closed form."""

import math

import numpy as np
import sympy
from mpmath import MPContext

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import floats
from qtheory.claims.support.symbolic import vanishes
from qtheory.escape import log_sigmoid_time, sigmoid_time
from qtheory.flow import follow
from qtheory.models import Sigmoid

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
P0 = np.array([1e-300, 1e-100, 1e-12, 1e-3, 0.3])
DELTA = np.array([0.31, 0.5, 0.99])
BELOW = np.array([-1e3, -1e5])  # log p0 under the smallest float
REALS = MPContext()
REALS.dps = 30


def check() -> Evidence:
    """The closed form against quadrature in mpmath and the path solver; the integrand and its primitives by sympy."""
    grid = [(p0, delta, q) for p0 in P0 for delta in DELTA for q in Q]
    p0, delta, q = np.array(grid).T
    below = [(log_p0, order) for log_p0 in BELOW for order in Q]
    log_p0, orders = np.array(below).T
    model = Sigmoid()
    solved = [
        follow(
            model.score, lambda at: float(model.log_p(at)), model.start(math.log(start)), np.log(DELTA), Q.tolist()
        ).log_time
        for start in P0
    ]
    return Evidence(
        (
            Comparison(
                "closed form, mpmath quadrature",
                sigmoid_time(p0, delta, q),
                floats([_quadrature(REALS.log(start), end, order) for start, end, order in grid]),
                1e-12,
                "relative",
            ),
            Comparison(
                "its logarithm at log p0 = -1e3 and -1e5, mpmath",
                log_sigmoid_time(log_p0, 0.5, orders),
                floats([REALS.log(_quadrature(REALS.mpf(start), 0.5, order)) for start, order in below]),
                1e-12,
                "relative",
            ),
            Comparison(
                "closed form, path solver",
                sigmoid_time(P0[:, None, None], DELTA[:, None], Q),
                np.exp(np.array(solved)),
                1e-9,
                "relative",
            ),
            vanishes("dp/dt along the flow, and primitives at q = 0, 1/2, 1", *_symbolic()),
        )
    )


def _quadrature(log_p0: object, delta: float, q: float) -> object:
    """The paper's integral, over y = log u for small u and over the log-odds above."""
    rate, edge = 1 - REALS.mpf(q), REALS.log(REALS.mpf("0.05"))
    # Below P = 0.05 the integrand is e^(-(1-q) y) sum_k (k+1) e^(k y), which has primitives.
    start, total = REALS.mpf(log_p0), REALS.mpf(0)
    if start < edge:
        for k in range(26):
            a = k - rate
            piece = (REALS.exp(a * edge) - REALS.exp(a * start)) / a if a else edge - start
            total += (k + 1) * piece
        start = edge
    ends = [y - REALS.log(-REALS.expm1(y)) for y in (start, REALS.log(REALS.mpf(delta)))]
    knots = [ends[0] + (ends[1] - ends[0]) * k / 3 for k in range(4)]
    return total + REALS.quad(lambda x: REALS.exp(x) * (1 + REALS.exp(-x)) ** (1 + rate), knots)


def _symbolic() -> list[sympy.Expr]:
    theta, u, q = sympy.Symbol("theta", real=True), sympy.Symbol("u", positive=True), sympy.Symbol("q", positive=True)
    p = 1 / (1 + sympy.exp(-theta))
    slope = sympy.diff(p, theta)
    odds = sympy.log(u / (1 - u))
    root = sympy.sqrt(u)
    # dp/dt = p' (d theta/dt) with d theta/dt = p^-q p'.
    flow = slope * p**-q * slope / (p ** (2 - q) * (1 - p) ** 2) - 1
    half = sympy.Rational(3, 2) * sympy.log((1 + root) / (1 - root)) + (3 * u - 2) / ((1 - u) * root)
    primitives = {
        sympy.Integer(0): 2 * odds + 1 / (1 - u) - 1 / u,
        sympy.Rational(1, 2): half,
        sympy.Integer(1): odds + 1 / (1 - u),
    }
    return [
        flow,
        *(sympy.diff(primitive, u) * u ** (2 - order) * (1 - u) ** 2 - 1 for order, primitive in primitives.items()),
    ]


APP_C_1 = Claim(
    label="App C.1",
    statement="for P = sigma(t), T_q = integral from p0 to d of du/(u^(2-q) (1-u)²), exactly",
    verdict="holds",
    condition=None,
    check=check,
    figure="escape_times",
)
