"""QC-11: dividing draws among prompts, one by one to where a draw adds most.

On 0/1 weights the best estimate of a prompt's grad log P from K successes is K/(K + rho) times their mean score (QC-5),
and E[K/(K + rho)] is its share of the exact step's progress; 1 less that share is its relative squared error. A draw
succeeds with probability P, whatever the others did, and turns K into K + 1: it adds

    P E[(K+1)/(K+1+rho) - K/(K+rho)] = P rho E[1/((K+rho)(K+1+rho))].

The bracket falls with K, and K grows with M in distribution, so that the gain falls with M: the share is concave. Any
division of a budget takes, of every prompt, the first so many gains. Their sum is at most that of the largest gains of
all prompts together, and since gains fall those are first ones too: the greedy division takes them, for any positive
values of the prompts. With K near M P the gain is rho/(M^2 P), so that equal gains with the values P^-q want M ~
P^(-(1+q)/2); a first draw is worth P^(1-q)/(1+rho).
"""

import itertools
from collections.abc import Sequence

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.own.qc_5 import DEVIATIONS, MIXED, adaptive
from qtheory.claims.support.alignment import adaptive_alignment, alignment, spread_scores
from qtheory.claims.support.reference import REALS, Real, floats
from qtheory.claims.support.slope import fitted_slope
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import allocate, draw_gain
from qtheory.models import bernoulli, log_normal
from qtheory.montecarlo import simulate

Q = (0.0, 0.5, 1.0)
RHO = (0.3, 2.0, 30.0)
P, BUDGET = np.array([0.3, 0.03, 0.003]), 48
EACH = 32
"""Draws a prompt where the prompts are MIXED."""
KNOWN, UNKNOWN = 3.0, 30.0
"""Factors that P is taken too large or too small by."""
POOLS = 20_000


def check() -> Evidence:
    """Gains in 100 digits, divisions by brute force, progress against equal numbers, and where that is lost."""
    budget = EACH * len(MIXED)
    wrong = np.arange(len(MIXED)) % 2 * 2 - 1  # the exponent of the factor, -1 and 1 in turn
    told = {factor: np.minimum(MIXED * factor**wrong, 1.0) for factor in (KNOWN, UNKNOWN)}
    best = [(q, rho, *_best_division(q, rho)) for q in Q for rho in RHO]
    fed = np.geomspace(1e-3, 1e-2, 3)
    slopes = [fitted_slope(fed, allocate(np.log(fed), 300_000, q, 1.0).astype(float)) for q in Q]
    exact, gains, after = _gains()
    k, rho = sympy.symbols("K rho", positive=True)
    return Evidence(
        (
            Comparison("a draw's gain, that of E[K/(K + rho)] in 100 digits", gains, exact, 1e-12, "relative"),
            Comparison("concave: the next draw's gain, this one's", after, gains, 0, "absolute", "<="),
            Comparison(
                "greedy draws, the best of all divisions of 48 among 3 prompts",
                np.array([allocate(np.log(P), BUDGET, q, rho) for q, rho, _, _ in best]),
                np.array([division for _, _, division, _ in best]),
                0,
                "absolute",
            ),
            Comparison(
                "their weighted progress, the most of all divisions",
                np.array([progress(P, allocate(np.log(P), BUDGET, q, rho), q, rho) for q, rho, _, _ in best]),
                np.array([most for *_, most in best]),
                1e-12,
                "relative",
            ),
            Comparison(
                "well fed: exponent of M in P, -(1+q)/2", np.array(slopes), -(1 + np.array(Q)) / 2, 0.02, "absolute"
            ),
            Comparison(
                "q = 1, as many draws as prompts: each gets 1",
                allocate(np.log(MIXED), len(MIXED), 1.0, 3.0),
                np.array(1),
                0,
                "absolute",
            ),
            Comparison(
                "13 prompts of P from 1e-4 to .9: 1.1, progress over that of equal numbers",
                np.full((len(Q), 3), 1.1),
                over_equal(MIXED, budget, (1.0, 3.0, 10.0)),
                0,
                "absolute",
                "<=",
            ),
            Comparison(
                "P wrong by 3 either way: 1.1, the same",
                np.full((len(Q), 3), 1.1),
                over_equal(told[KNOWN], budget, (1.0, 3.0, 10.0)),
                0,
                "absolute",
                "<=",
            ),
            Comparison(
                "sampled pools: z-scores of progress, 0", _z_scores(budget), np.array(0), DEVIATIONS, "absolute"
            ),
            Comparison(
                "P wrong by 30 either way, q < 1: progress over that of equal numbers, 1",
                over_equal(told[UNKNOWN], budget, (1.0, 3.0), Q[:2]),
                np.array(1),
                0.1,
                "absolute",
                "!=",
            ),
            Comparison("soft weights of the same P, q < 1: the same, 1", _soft(), np.array(1), 0.1, "absolute", "!="),
            vanishes(
                "(K+1)/(K+1+rho) - K/(K+rho) = rho/((K+rho)(K+1+rho))",
                (k + 1) / (k + 1 + rho) - k / (k + rho) - rho / ((k + rho) * (k + 1 + rho)),
            ),
        )
    )


def progress(p: np.ndarray, draws: Sequence[int] | np.ndarray, q: float, rho: float) -> float:
    """sum_i P_i^-q E[K_i/(K_i + rho)], by binomial sums."""
    return float(np.sum(p**-q * shares(p, draws, rho)))


def shares(p: np.ndarray, draws: Sequence[int] | np.ndarray, rho: float) -> np.ndarray:
    """(N,) E[K/(K + rho)] of prompts with so many draws."""
    return np.array(
        [adaptive_alignment([chance], int(m), rho) if m else 0.0 for chance, m in zip(p, draws, strict=True)]
    )


def over_equal(told: np.ndarray, budget: int, spreads: Sequence[float], orders: Sequence[float] = Q) -> np.ndarray:
    """(Q, rho) progress of the division by what is told of P, over that of EACH draws for every prompt."""
    return np.array(
        [
            [
                progress(MIXED, allocate(np.log(told), budget, q, rho), q, rho)
                / progress(MIXED, [EACH] * len(MIXED), q, rho)
                for rho in spreads
            ]
            for q in orders
        ]
    )


def _gains() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P, rho, M) differences of E[K/(K + rho)] in 100 digits, gains as coded, and those of the next draw."""
    log_p, sizes = np.log([1e-6, 0.003, 0.2, 0.95]), (0, 1, 7, 40)

    def share(p: Real, size: int, rho: float) -> Real:
        terms = (
            REALS.binomial(size, k) * p**k * (1 - p) ** (size - k) * k / (k + REALS.mpf(rho))
            for k in range(1, size + 1)
        )
        return sum(terms, REALS.zero)

    reals = [REALS.exp(REALS.mpf(log)) for log in log_p]
    exact = [[[share(p, m + 1, rho) - share(p, m, rho) for m in sizes] for rho in RHO] for p in reals]
    fast = np.array([[draw_gain(log_p, m, rho) for m in sizes] for rho in RHO])
    after = np.array([[draw_gain(log_p, m + 1, rho) for m in sizes] for rho in RHO])
    return floats(exact), np.moveaxis(fast, -1, 0), np.moveaxis(after, -1, 0)


def _best_division(q: float, rho: float) -> tuple[tuple[int, ...], float]:
    """The division of BUDGET draws among the prompts P with the most progress, and that progress."""
    values = np.array([p**-q * shares(np.full(BUDGET + 1, p), np.arange(BUDGET + 1), rho) for p in P])
    divisions = [(a, b, BUDGET - a - b) for a, b in itertools.product(range(BUDGET + 1), repeat=2) if a + b <= BUDGET]
    totals = [float(sum(row[m] for row, m in zip(values, division, strict=True))) for division in divisions]
    return divisions[int(np.argmax(totals))], max(totals)


def _z_scores(budget: int) -> np.ndarray:
    """(2,) of <g, s> summed over the prompts of a step, s of length 1, less the binomial sums, in standard errors."""
    rng, rho = np.random.default_rng(11), 3.0
    values = []
    for q in Q[:2]:
        draws = allocate(np.log(MIXED), budget, q, rho)
        mean, variance = 0.0, 0.0
        for p, m in zip(MIXED, draws, strict=True):
            if m:
                task = spread_scores(bernoulli(float(np.log(p))), rho)
                sampled = simulate(task, adaptive, {"rho": rho}, int(m), POOLS // int(m), rng)
                mean -= p**-q * sampled.mean[0]
                variance += (p**-q * sampled.mean_error[0]) ** 2
        values.append((mean - progress(MIXED, draws, q, rho)) / np.sqrt(variance))
    return np.array(values)


def _soft() -> np.ndarray:
    """(Q, rho) progress of the division by P over that of equal numbers, on weights that spread little about P."""

    def soft_progress(draws: Sequence[int] | np.ndarray, q: float, rho: float) -> float:
        laws = [spread_scores(log_normal(float(np.log(p)), 0.5, 40), rho) for p in P]
        gained = [
            float(alignment(law, np.array(1.0), int(m))) if m else 0.0 for law, m in zip(laws, draws, strict=True)
        ]
        return float(np.sum(P**-q * np.array(gained)))

    equal = [BUDGET // len(P)] * len(P)
    return np.array(
        [
            [soft_progress(allocate(np.log(P), BUDGET, q, rho), q, rho) / soft_progress(equal, q, rho) for rho in RHO]
            for q in Q[:2]
        ]
    )


QC_11 = Claim(
    label="QC-11",
    statement=(
        "E[K/(K + rho)] is concave in M, a draw adds P rho E[1/((K+rho)(K+1+rho))], and giving each draw to the prompt "
        "where it adds most, valued at P^-q, is the best division; well-fed prompts get M ~ P^(-(1+q)/2), hard ones "
        "nothing at q = 0; at q = 1 none goes without"
    ),
    verdict="conditional",
    condition=(
        "w in {0, 1} and P is known to a factor of 3 or so; by P wrong thirtyfold, or on soft weights, whose draws "
        "count alike at every P, equal numbers gain more at q < 1"
    ),
    check=check,
    figure="division",
)
