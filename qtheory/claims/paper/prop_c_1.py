"""Prop C.1: near the optimum P^-(1-q) is close to 1, and so is the ratio of any two times."""

import math

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.symbolic import vanishes
from qtheory.escape import FAMILIES, sigmoid_time
from qtheory.flow import follow

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
RATIO = 4.0  # eps0/eps1
EPS = np.array([0.1, 0.01, 1e-3])  # eps0 on the families' paths
SMALL = np.geomspace(1e-5, 1e-3, 3)
START = 0.2


def check() -> Evidence:
    """Times from 1 - eps0 to 1 - eps1 on model families, their slope in eps0, and a start that is far away."""
    ends = np.stack([EPS, EPS / RATIO], axis=-1).ravel()
    excesses = []
    for family in FAMILIES.values():
        model, theta = family.model, family.start(math.log(START))
        path = follow(model.score, lambda at, model=model: float(model.log_p(at)), theta, np.log1p(-ends), Q.tolist())
        passed = np.exp(path.log_time).reshape(len(EPS), 2, len(Q))
        times = passed[:, 1] - passed[:, 0]
        excesses.append(times / times[:, -1:] - 1)
    bound = (1 - EPS[:, None]) ** (Q - 1) - 1
    near = sigmoid_time(1 - SMALL[:, None], 1 - SMALL[:, None] / RATIO, Q)
    excess = near[:, :-1] / near[:, -1:] - 1
    slopes = np.diff(np.log(excess), axis=0) / np.diff(np.log(SMALL))[:, None]
    far = sigmoid_time(np.array([[1e-12], [1e-9]]), 1 - SMALL[-1], Q)
    return Evidence(
        (
            Comparison(
                "T_q/T_1 - 1, six families, (1-eps0)^-(1-q) - 1",
                np.array(excesses),
                bound,
                1e-7,
                "absolute",
                "<=",
            ),
            Comparison("1 - T_q/T_1, six families, 0", -np.array(excesses), np.array(0), 1e-7, "absolute", "<="),
            Comparison("slope of log(T_q/T_1 - 1) in log eps0, 1", slopes, np.array(1), 2e-3, "absolute"),
            Comparison(
                "sigmoid: (T_q/T_1 - 1)/((1-q) eps0), log(k)/(k-1), k = eps0/eps1",
                excess / ((1 - Q[:-1]) * SMALL[:, None]),
                np.array(math.log(RATIO) / (RATIO - 1)),
                2e-3,
                "relative",
            ),
            Comparison(
                "start far away, target at 1 - 1e-3: T_q/T_1, 1",
                far[:, :3] / far[:, -1:],
                np.array(1),
                0.5,
                "absolute",
                "!=",
            ),
            vanishes("expansion of du/(u^(2-q) (1-u)²) at u = 1", _symbolic()),
        )
    )


def _symbolic() -> sympy.Expr:
    """The integrand at u = 1 - e less 1/e^2 + (2-q)/e, which is bounded as e -> 0."""
    e, q = sympy.symbols("e q", positive=True)
    remainder = sympy.series((1 - e) ** (q - 2), e, 0, 3).removeO() - (1 + (2 - q) * e)
    return sympy.expand(remainder / e**2) - (2 - q) * (3 - q) / 2


PROP_C_1 = Claim(
    label="Prop C.1",
    statement="from 1 - eps0 to 1 - eps1 the time is that of q = 1 up to a factor 1 + O(eps0)",
    verdict="conditional",
    condition=(
        "one example starts near the optimum: T_1 <= T_q <= (1-eps0)^-(1-q) T_1; a target near it is not enough"
    ),
    check=check,
    figure="trajectories",
)
