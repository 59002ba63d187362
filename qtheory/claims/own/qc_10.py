"""QC-10: on 0/1 weights and rare successes M and P enter through M P alone.

K of M draws succeed, and the plug-in is (K/M)^(1-q) fbar_K, E||fbar_K||^2 = ||s||^2 (1 + rho/K). The gradient is
P^(1-q) s. As P -> 0 at a fixed lambda = M P the binomial K becomes a Poisson one, at a distance of O(1/M), and

    relative bias        1 - lambda^(q-1) E[K^(1-q)]
    relative second moment   lambda^(2q-2) E[K^(2-2q) (1 + rho/K)]
    mean-field escape    M^(1-q) times the integral of d lambda / (lambda E[K^(1-q)])

with K^(1-q) = 0 at K = 0. lambda << 1 is QC-1's saturation, lambda >> 1 Thm 6.1's bias, q (1-q)/(2 lambda).
"""

import numpy as np

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.own.qc_1 import PRIOR, RELATIVE
from qtheory.claims.support.alignment import alignment, spread_scores
from qtheory.claims.support.reference import REALS, Real, floats
from qtheory.claims.support.slope import fitted_slope
from qtheory.escape import hard_time, poisson_time
from qtheory.exact import moments, poisson_limit
from qtheory.models import FixedAnswers, Likelihoods, bernoulli

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
HELD = np.array([0.01, 0.3, 1.0, 3.0, 30.0])
RHO = 2.0
SIZES = np.array([1000, 4000, 16_000, 64_000])
"""M where the order of the distance is fitted."""
MANY = 1_000_000
SPANS = np.array([[0.01, 0.1], [0.01, 10.0], [1.0, 30.0]])
"""M P at the start and at the end of escapes."""


def check() -> Evidence:
    """Sums against 100 digits and closed forms; exact moments and escape times, and how fast they come to the limit."""
    limit = poisson_limit(HELD[:, None], Q, RHO)
    ours = np.stack([limit.bias, limit.variance, limit.alignment])
    exact = np.array([_finite(size) for size in (*SIZES, MANY)])  # (M, 3, lambda, Q)
    gaps = np.abs(np.moveaxis(exact[:-1] - ours, 0, -1))
    limits = _limits()
    finite = np.array([_times(size) for size in (*SIZES, MANY)])  # (M, spans, Q)
    time_gaps = np.abs(np.moveaxis(finite[:-1] / limits - 1, 0, -1))
    few, many = poisson_limit(1e-6, Q, RHO), poisson_limit(1e4, Q, RHO)
    tiny = poisson_time(1e-9, 1e-7, Q)
    return Evidence(
        (
            Comparison("bias, variance and alignment: Poisson sums in 100 digits", ours, _sums(), 1e-11, "absolute"),
            Comparison("q = 1: bias, e^-lambda", limit.bias[:, -1], np.exp(-HELD), 1e-13, "absolute"),
            Comparison("q = 0: variance, (1 + rho)/lambda", limit.variance[:, 0], (1 + RHO) / HELD, 1e-11, "relative"),
            Comparison("exact moments at M = 1e6, the limit", exact[-1], ours, 1e-4, "absolute"),
            Comparison(
                "their distance: order in M, -1, by lambda and q inside (0, 1)",
                fitted_slope(SIZES, gaps[:, :, 1:-1]),
                np.array(-1),
                0.02,
                "absolute",
            ),
            Comparison("escape times at M = 1e6 over M^(1-q), the limit", finite[-1], limits, 1e-4, "relative"),
            Comparison(
                "their distance: order in M, -1", fitted_slope(SIZES, time_gaps), np.array(-1), 0.02, "absolute"
            ),
            Comparison("lambda = 1e-6: bias, 1 - lambda^q (QC-1)", few.bias, 1 - 1e-6**Q, 1e-5, "absolute"),
            Comparison(
                "lambda = 1e4: bias times lambda, q (1-q)/2", 1e4 * many.bias, Q * (1 - Q) / 2, 1e-4, "absolute"
            ),
            Comparison("lambda << 1: time, 1/start - 1/end at every q", tiny, np.array(1e9 - 1e7), 1e-6, "relative"),
            Comparison(
                "M = 4, P = 1/2: bias inside (0, 1), the limit's",
                _warm(),
                poisson_limit(2.0, Q[1:]).bias,
                0.01,
                "absolute",
                "!=",
            ),
            Comparison(
                "w = P v, M P = .01: bias, the limit's", _soft(), poisson_limit(0.01, Q[1:]).bias, 0.5, "absolute", "!="
            ),
        )
    )


def _finite(size: int, held: np.ndarray = HELD, rho: float = RHO) -> np.ndarray:
    """(3, lambda, Q) relative bias and variance and the alignment from exact moments."""
    rows = []
    for p in (held / size).tolist():
        task = spread_scores(bernoulli(float(np.log(p))), rho)
        value, score = moments(task, Q, size), task.score
        length = p ** (1 - Q) * np.linalg.norm(score)
        bias = value.bias @ score / np.linalg.norm(score) / length
        rows.append([bias, value.variance / length**2, alignment(task, Q, size)])
    return np.moveaxis(np.array(rows), 1, 0)


def _sums() -> np.ndarray:
    """(3, lambda, Q) from sums over K = 1, 2, ... of lambda^K e^-lambda/K! in 100 digits."""

    def values(held: float, q: float) -> list[Real]:
        mean, power = REALS.mpf(held), 1 - REALS.mpf(q)
        mass, first, second = REALS.exp(-mean), REALS.zero, REALS.zero
        for k in range(1, 200):
            mass *= mean / k
            size = (k / mean) ** power
            first, second = first + mass * size, second + mass * size**2 * (1 + REALS.mpf(RHO) / k)
        return [1 - first, second - first**2, first**2 / second]

    return np.moveaxis(floats([[values(held, q) for q in Q.tolist()] for held in HELD.tolist()]), -1, 0)


def _times(size: int) -> np.ndarray:
    """(spans, Q) mean-field escape times of the sigmoid over M^(1-q)."""
    start, end = SPANS.T[:, :, None] / size
    return hard_time(start, end, Q, size) / float(size) ** (1 - Q)


def _limits() -> np.ndarray:
    return poisson_time(SPANS[:, :1], SPANS[:, 1:], Q)


def _warm() -> np.ndarray:
    """(Q-1,) relative bias at M = 4 and P = 1/2."""
    return _finite(4, np.array([2.0]))[0, 0, 1:]


def _soft() -> np.ndarray:
    """(Q-1,) relative bias of weights w = P v at M = 32 and M P = .01."""
    law = Likelihoods(np.log(PRIOR), np.log(0.01 / 32 * RELATIVE))
    task = FixedAnswers(law.log_w).task(law.log_prior)
    return np.array(
        [np.linalg.norm(moments(task, q, 32).bias) / np.linalg.norm(task.gradient(q)) for q in Q[1:].tolist()]
    )


QC_10 = Claim(
    label="QC-10",
    statement=(
        "as P -> 0 at a fixed M P = lambda the plug-in's relative bias is 1 - lambda^(q-1) E[K^(1-q)], K ~ "
        "Poisson(lambda), and its relative variance, its alignment and M^-(1-q) times its mean-field escape time are "
        "functions of lambda, q and rho too, at a distance of O(1/M)"
    ),
    verdict="conditional",
    condition=(
        "w in {0, 1} and P << 1: at P = 1/2 the bias is smaller, and weights of the size of P have no such limit, as "
        "their bias at M P << 1 stays small"
    ),
    check=check,
    figure="poisson",
)
