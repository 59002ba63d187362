"""QC-1: on 0/1 weights M draws amplify by M^q at most, and at every q the escape is as slow as at q = 0.

A pool of 0/1 weights with M P << 1 has at most one success, whose effective reward is M^q for any P. If every draw has
a weight of the size of P, the pool's mean measures P, and the amplification is P^-q at every M.
"""

import math

import numpy as np
import sympy
from scipy.integrate import quad

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import REALS, Real, floats
from qtheory.claims.support.slope import fitted_slope
from qtheory.claims.support.symbolic import vanishes
from qtheory.escape import hard_time, increment_exponents, local_exponents, sigmoid_time, soft_time
from qtheory.exact import moments
from qtheory.models import FixedAnswers, Likelihoods, bernoulli

Q = np.array([0.0, 0.25, 0.5, 0.75, 0.9, 1.0])
SAMPLES = 32
STARTS = np.logspace(-13, -9, 5)  # p0 far below 1/M
TARGET = 0.1
WARM = (0.01, 0.9)  # a start and a target between which P passes 1/M
PRIOR, RELATIVE = np.array([0.5, 0.3, 0.2]), np.array([0.2, 1.0, 3.0])  # v of mean 1: w = P v


def check() -> Evidence:
    """Amplification from exact moments and from the binomial sum; exponents of mean-field escape times."""
    few = np.array([1e-6, 1e-5, 1e-4]) / SAMPLES  # P with M P << 1
    hard = np.array([_amplification(bernoulli(np.log(p))) for p in few])  # (P, Q)
    below_one = Q[1:-1]
    gaps = 1 - hard[:, 1:] / SAMPLES ** Q[1:]
    soft = np.array([_amplification(_proportional(p)) * p**Q for p in few])
    log_p0 = np.log(STARTS)
    hard_times = np.stack([hard_time(p0, TARGET, Q, SAMPLES) for p0 in STARTS])
    soft_times = np.stack([_soft_times(p0, SAMPLES) for p0 in STARTS])
    enough = np.stack([hard_time(p0, 1e3 * p0, below_one, round(100 / p0)) for p0 in STARTS])
    return Evidence(
        (
            Comparison("w in {0, 1}: amplification, binomial sum", hard, _binomial_sums(few), 1e-12, "relative"),
            Comparison("P from 1e-9 to .99: amplification, M^q", _everywhere(), SAMPLES**Q, 1e-12, "relative", "<="),
            Comparison("M P = 1e-6: amplification, M^q", hard[0], SAMPLES**Q, 1e-5, "relative"),
            Comparison(
                "its distance to M^q: order in M P, 1", fitted_slope(few, gaps.T), np.array(1), 1e-3, "absolute"
            ),
            Comparison("w = P v: amplification over P^-q, its value at P = .1", soft, _far(), 1e-11, "relative"),
            Comparison("w in {0, 1}: escape exponent, -1", _local(log_p0, hard_times), np.array(-1), 1e-3, "absolute"),
            Comparison(
                "M^q T, T_0 in closed form",
                SAMPLES**Q * hard_times,
                sigmoid_time(STARTS, TARGET, 0.0)[:, None],
                1e-5,
                "relative",
            ),
            Comparison(
                "M = 1, 4, 32, P from .01 to .9: T, quadrature of the binomial sum", *_warm_times(), 1e-10, "relative"
            ),
            Comparison(
                "w = P v: escape exponent, -(1-q)",
                increment_exponents(log_p0, np.log(soft_times)),
                Q - 1,
                1e-3,
                "absolute",
            ),
            Comparison("M = 100/p0: escape exponent, -(1-q)", _local(log_p0, enough), below_one - 1, 1e-3, "absolute"),
            vanishes("E[wbar^(1-q)]/P -> M^q as P -> 0, M = 3", _symbolic_gap()),
        )
    )


def _amplification(law: Likelihoods) -> np.ndarray:
    """(Q,) norm of the plug-in's mean over that of grad l_0, for fixed answers."""
    task = FixedAnswers(law.log_w).task(law.log_prior)
    mean, exploitation = moments(task, Q, SAMPLES).mean, task.gradient(0.0)
    return mean @ exploitation / (exploitation @ exploitation)


def _everywhere() -> np.ndarray:
    """(20, Q) amplification on 0/1 weights."""
    return np.array([_amplification(bernoulli(log_p)) for log_p in np.linspace(np.log(1e-9), np.log(0.99), 20)])


def _proportional(p: float) -> Likelihoods:
    return Likelihoods(np.log(PRIOR), np.log(p * RELATIVE))


def _far() -> np.ndarray:
    """(Q,) amplification times P^q at P = 0.1."""
    return _amplification(_proportional(0.1)) * 0.1**Q


def _binomial_sums(few: np.ndarray) -> np.ndarray:
    """(P, Q) E[wbar^(1-q)]/P = sum_k Binomial(k; M, P) (k/M)^(1-q) / P in 100 digits."""

    def value(p: float, q: float) -> Real:
        success, rate = REALS.mpf(p), 1 - REALS.mpf(q)
        terms = [
            REALS.binomial(SAMPLES, k) * success**k * (1 - success) ** (SAMPLES - k) * (REALS.mpf(k) / SAMPLES) ** rate
            for k in range(1, SAMPLES + 1)
        ]
        return sum(terms) / success

    return floats([[value(p, q) for q in Q] for p in few])


def _warm_times() -> tuple[np.ndarray, np.ndarray]:
    """(3, Q) times between the ends of WARM, and integrals of dP/(P (1-P)^2 E[wbar^(1-q)]) over log P."""
    sizes = (1, 4, SAMPLES)

    def integral(q: float, size: int) -> float:
        def rate(log_p: float) -> float:
            p = math.exp(log_p)
            gains = (
                math.comb(size, k) * p**k * (1 - p) ** (size - k) * (k / size) ** (1 - q) for k in range(1, size + 1)
            )
            return 1 / ((1 - p) ** 2 * sum(gains))

        return quad(rate, *np.log(WARM), epsabs=0, epsrel=1e-11, limit=200)[0]

    times = np.stack([hard_time(*WARM, Q, size) for size in sizes])
    return times, np.array([[integral(float(q), size) for q in Q] for size in sizes])


def _soft_times(p0: float, samples: int) -> np.ndarray:
    return soft_time(p0, TARGET, Q, samples, prior=PRIOR, relative=RELATIVE)


def _local(log_p0: np.ndarray, times: np.ndarray) -> np.ndarray:
    return local_exponents(log_p0, np.log(times))


def _symbolic_gap() -> sympy.Expr:
    p, q = sympy.symbols("P q", positive=True)
    mean = sum(sympy.binomial(3, k) * p**k * (1 - p) ** (3 - k) * sympy.Rational(k, 3) ** (1 - q) for k in (1, 2, 3))
    return sympy.limit(sympy.expand(mean / p), p, 0) - 3**q


QC_1 = Claim(
    label="QC-1",
    statement=(
        "on 0/1 rewards M draws amplify by M^q at most: for p0 << 1/M the escape exponent is -1 at every q; weights "
        "w ~ P keep P^-q and -(1-q) at every M"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="saturation",
)
