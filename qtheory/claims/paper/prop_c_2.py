"""Prop C.2: growth of the contamination on noisy labels, its equilibrium, and the time to reach it."""

import math
from dataclasses import dataclass

import numpy as np
import sympy
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.symbolic import vanishes
from qtheory.escape import FAMILIES, contamination_time, equilibrium
from qtheory.flow import follow
from qtheory.models import Model, NoisyLabels, Sigmoid
from qtheory.models.checks import parameters

FLIP = 0.2
Q = np.array([0.25, 0.5, 0.75, 1.0])
RISES = [(0.25, 1e-5, 1e-4), (0.5, 1e-4, 1e-2), (0.75, 1e-4, 1e-2), (1.0, 1e-4, 0.1)]  # q, n at the start, at the end
NEAR = np.array([1e-2, 1e-4, 1e-6])


@dataclass(frozen=True)
class Linear(Model):
    """P = 1 - theta for theta in (0, 1), the model whose score does not vanish at P = 1; its parameter is n."""

    @property
    def dimension(self) -> int:
        """One parameter."""
        return 1

    def log_p(self, theta: np.ndarray) -> np.ndarray:
        """Log P in nats, (...,), of parameters (..., 1)."""
        return np.log1p(-parameters(theta, 1)[..., 0])

    def score(self, theta: np.ndarray) -> np.ndarray:
        """The score -1/P, (..., 1)."""
        return -1 / (1 - parameters(theta, 1))


@dataclass(frozen=True)
class Reached:
    """Event of scipy's solve_ivp: the wrong label reaches a probability, which ends the solution."""

    noisy: NoisyLabels
    contamination: float
    terminal: bool = True

    def __call__(self, _: float, theta: np.ndarray) -> float:
        """A function that is 0 at the event."""
        return float(self.noisy.log_p(theta)[1]) - math.log(self.contamination)


def linear_norm(n: np.ndarray) -> np.ndarray:
    """||s||^2 of the linear model."""
    return (1 - n) ** -2


def check() -> Evidence:
    """The equation of motion, its equilibrium and its times, for a score that does not vanish and smooth models."""
    measured, formula = _motion()
    rests = np.array([equilibrium(FLIP, q) for q in Q])
    odds = (FLIP / (1 - FLIP)) ** (1 / Q)
    # Far below the equilibrium, where (1-e) n^q is small compared with e.
    early = np.array([contamination_time(1e-60, 1e-28, FLIP, q, linear_norm) for q in Q])
    low, high = 1e-40, 1e-28
    smooth = np.array([contamination_time(low, high, FLIP, q) for q in Q])
    way = -np.array([1 - q for q in Q])
    law = np.array([math.log(high / low) if a == 0 else (high**a - low**a) / a for a in way]) / FLIP
    return Evidence(
        (
            Comparison("dn/dt of six families, the formula", measured, formula, 1e-8, "relative"),
            Comparison("dn/dt at q = 0, 0", measured[..., 0], np.array(0), 0, "absolute", "<="),
            Comparison("n where the gradient is 0, r/(1+r)", _rests(), rests, 1e-9, "relative"),
            Comparison(
                "its distance to r = (e/(1-e))^(1/q) over r, r", np.abs(rests / odds - 1), odds, 0, "absolute", "<="
            ),
            Comparison(
                "||s|| = 1/P: time to n, n^(q+1)/((q+1) e)", early, 1e-28 ** (Q + 1) / (Q + 1) / FLIP, 1e-5, "relative"
            ),
            Comparison(
                "sigmoid: time from n0 to n, n^(q+1)/((q+1) e)",
                smooth,
                high ** (Q + 1) / (Q + 1) / FLIP,
                10,
                "relative",
                "!=",
            ),
            Comparison("the same, (n0^-(1-q) - n^-(1-q))/((1-q) e)", smooth, law, 1e-5, "relative"),
            Comparison(
                "these times, the flow of theta: ||s|| = 1/P",
                np.array([contamination_time(a, b, FLIP, q, linear_norm) for q, a, b in RISES]),
                np.array([_flow_time(Linear(), np.array([a]), b, q) for q, a, b in RISES]),
                1e-8,
                "relative",
            ),
            Comparison(
                "these times, the flow of theta: sigmoid",
                np.array([contamination_time(a, b, FLIP, q) for q, a, b in RISES]),
                np.array([_flow_time(Sigmoid(), Sigmoid().start(math.log1p(-a)), b, q) for q, a, b in RISES]),
                1e-8,
                "relative",
            ),
            Comparison("||s||² near P = 1, six families, n", _norms_near_one(), NEAR, 0, "absolute", "<="),
            vanishes("dn/dt for any p(theta)", _symbolic()),
        )
    )


def _motion() -> tuple[np.ndarray, np.ndarray]:
    """dn/dt of families at three P and five q by extrapolated differences of log P along the flow, and by formula."""
    orders = np.append(0.0, Q)
    measured, formula = [], []
    for family in FAMILIES.values():
        noisy = NoisyLabels(family.model, FLIP)
        for p in (1e-3, 0.3, 0.6):
            theta = family.start(math.log(p))
            square = float((family.model.score(theta) ** 2).sum())
            velocities = [-noisy.gradient(theta, float(q)) for q in orders]
            measured.append([_slope(family.model, theta, v) for v in velocities])
            n = 1 - p
            formula.append([(FLIP * n**-q - (1 - FLIP) * p**-q) * p**2 * square for q in orders])
    return np.array(measured), np.array(formula)


def _slope(model: Model, theta: np.ndarray, v: np.ndarray) -> float:
    """Slope of n = 1 - P along v, from central differences of two sizes."""
    step = 2e-3 / np.linalg.norm(v)
    rough, fine = (float(model.p(theta - h * v) - model.p(theta + h * v)) / (2 * h) for h in (step, step / 2))
    return float(fine + (fine - rough) / 3)


def _rests() -> np.ndarray:
    """(Q,) contamination at which the gradient of the sigmoid's noisy loss is 0."""
    noisy = NoisyLabels(Sigmoid(), FLIP)
    logits = [
        brentq(lambda x, q=q: float(noisy.gradient(np.array([x]), float(q))[0]), 0.1, 20.0, xtol=1e-13) for q in Q
    ]
    return 1 / (1 + np.exp(np.array(logits)))


def _flow_time(model: Model, theta: np.ndarray, end: float, q: float) -> float:
    """The time at which the flow of theta on the noisy loss reaches a contamination, solved in time."""
    noisy = NoisyLabels(model, FLIP)
    passed = Reached(noisy, end)
    solution = solve_ivp(
        lambda _, at: -noisy.gradient(at, q), (0, 1e9), theta, method="DOP853", events=passed, rtol=1e-11, atol=1e-14
    )
    return float(solution.t_events[0][0])


def _norms_near_one() -> np.ndarray:
    """(6, 3) ||s||^2 of families at P = 1 - n."""
    norms = []
    for family in FAMILIES.values():
        model, theta = family.model, family.start(math.log(0.2))
        path = follow(
            model.score, lambda at, model=model: float(model.log_p(at)), theta, np.log1p(-NEAR), [], rtol=1e-9
        )
        norms.append((model.score(path.theta) ** 2).sum(-1))
    return np.array(norms)


def _symbolic() -> sympy.Expr:
    """dn/dt less the formula, over p^2 ||s||^2 = p'^2; for any p(theta), as dn/dt = p' dJ/dtheta = p'^2 dJ/dp."""
    q, e, p, n = sympy.symbols("q e p n", positive=True)
    # dn/dp = -1 in the second label's loss.
    slope = (1 - e) * sympy.diff((1 - p ** (1 - q)) / (1 - q), p) - e * sympy.diff((1 - n ** (1 - q)) / (1 - q), n)
    return slope - (e * n**-q - (1 - e) * p**-q)


PROP_C_2 = Claim(
    label="Prop C.2",
    statement=(
        "dn/dt = [e n^-q - (1-e)(1-n)^-q] p² ||s||²; n rests near (e/(1-e))^(1/q); time to n = Θ(n^(q+1)/((q+1) e)), "
        "infinite at q = 0 for e < 1/2"
    ),
    verdict="conditional",
    condition=(
        "for the time, ||s|| is bounded below up to p = 1, as for no smooth p, and n is far below its rest: from n0 "
        "the sigmoid takes (n0^-(1-q) - n^-(1-q))/((1-q) e), log(n/n0)/e at q = 1"
    ),
    check=check,
    figure="label_noise",
)
