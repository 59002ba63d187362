"""Cor B.3: as a scoring rule log_q rewards the honest report strictly at q = 1, and at no other q."""

import numpy as np
import sympy

from qtheory import tsallis
from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import REALS, floats
from qtheory.claims.support.symbolic import vanishes

BELIEFS = np.random.default_rng(0).dirichlet(np.full(4, 0.7), size=20) + 1e-6  # a, not uniform
BELIEFS /= BELIEFS.sum(-1, keepdims=True)
Q = np.array([0.0, 0.25, 0.5, 0.75, 0.9, 0.99])
REPORTS = 500
SHORT = 1e-5  # 1 - q


def expected_score(t: np.ndarray, a: np.ndarray, q: float) -> np.ndarray:
    """sum_j a_j log_q t_j (...,) of reports t (..., J) under beliefs a (..., J)."""
    return (a * np.asarray(tsallis.log_q(t, q))).sum(-1)


def check() -> Evidence:
    """The loss of any other report at q = 1, and the gain of the escort over the honest report below."""
    rng = np.random.default_rng(1)
    far = rng.dirichlet(np.full(4, 0.5), size=(REPORTS, len(BELIEFS))) + 1e-12
    near = BELIEFS * np.exp(0.01 * rng.normal(size=far.shape))
    reports = np.concatenate([far, near])
    reports /= reports.sum(-1, keepdims=True)
    lost = expected_score(BELIEFS, BELIEFS, 1.0) - expected_score(reports, BELIEFS, 1.0)
    gained = np.array([_gain(q) for q in Q])
    exact = floats([[_exact_gain(a, q) for a in BELIEFS] for q in Q])
    # Near q = 1 the gain is (1-q)^2/2 times the variance of log a: no q below 1 is spared.
    spread = ((BELIEFS * np.log(BELIEFS) ** 2).sum(-1) - (BELIEFS * np.log(BELIEFS)).sum(-1) ** 2) / 2
    small = floats([_exact_gain(a, 1 - SHORT) / SHORT**2 for a in BELIEFS])
    a, q = sympy.symbols("a q", positive=True)
    t = sympy.Symbol("t", positive=True)
    score = (a * (t ** (1 - q) - 1) + (1 - a) * ((1 - t) ** (1 - q) - 1)) / (1 - q)
    slope = sympy.powsimp(sympy.expand(sympy.diff(score, t).subs(t, a)), force=True)
    return Evidence(
        (
            # Pinsker's bound is positive for every t but a, which makes the honest report the only best one.
            Comparison("q = 1: |t - a|^2/2, score lost by t", _pinsker(reports), lost, 1e-14, "absolute", "<="),
            Comparison("q = 1: score lost by t, KL(a, t)", lost, _divergence(reports), 1e-13, "absolute"),
            Comparison("q < 1: gain of the escort on t = a", gained, exact, 1e-12, "absolute"),
            Comparison(
                "q < 1: (1-q)^2 Var(log a)/20, that gain",
                (1 - Q[:, None]) ** 2 * spread / 10,
                gained,
                0,
                "absolute",
                "<=",
            ),
            Comparison("q -> 1: gain/(1-q)^2, Var(log a)/2", small, spread, 1e-3, "relative"),
            vanishes("slope of the score at t = a, J = 2", slope - (a ** (1 - q) - (1 - a) ** (1 - q))),
        )
    )


def _pinsker(t: np.ndarray) -> np.ndarray:
    return np.abs(t - BELIEFS).sum(-1) ** 2 / 2


def _divergence(t: np.ndarray) -> np.ndarray:
    return (BELIEFS * np.log(BELIEFS / t)).sum(-1)


def _gain(q: float) -> np.ndarray:
    """(N,) gain of a forecaster with beliefs a who reports their escort, which is a vertex at the mode at q = 0."""
    escort = np.asarray(tsallis.escort(BELIEFS, np.full(len(BELIEFS), q)))
    # log_0 t = t - 1 is finite at t = 0; above q = 0 no entry of the escort is 0.
    return expected_score(escort, BELIEFS, q) - expected_score(BELIEFS, BELIEFS, q)


def _exact_gain(a: np.ndarray, q: float) -> float:
    """((sum a^(1/q))^q - sum a^(2-q))/(1-q), with max a as its first term's limit at q = 0."""
    beliefs, order = [REALS.mpf(x) for x in a], REALS.mpf(q)
    best = sum(x ** (1 / order) for x in beliefs) ** order if q else max(beliefs)
    return (best - sum(x ** (2 - order) for x in beliefs)) / (1 - order)


COR_B_3 = Claim(
    label="Cor B.3",
    statement=(
        "the score log_q is strictly proper at q = 1 and improper at every q < 1, where beliefs that are not uniform "
        "score less than their escort"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="escort",
)
