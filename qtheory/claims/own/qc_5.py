"""QC-5: the q of the best aligned plug-in at finite M.

The alignment R(q) = <E g, s>^2/(||s||^2 E||g||^2) of the plug-in g with the score s = grad log P is the gain of a small
step along g, at the best learning rate of this q, relative to the largest possible gain. For w in {0, 1} and K
successes g is proportional to K^(1-q) fbar_K, with E||fbar_K||^2 = ||s||^2 (1 + rho/K), rho = Var_post f/||s||^2. Of
all weights a(K) the best aligned is K/(K + rho), by Cauchy-Schwarz and for any law of K; K^(1-q) has the same slope in
log K if 1 - q = rho/(K + rho).

For soft weights K_eff = (sum w)^2/sum w^2 replaces K, and wbar determines it only in part: with c the regression of
log K_eff on log wbar, 1 - q = c rho/(K + rho), K = M P/E_post w. c is 1 for w in {0, 1} and 0 for Gamma weights, whose
sum is independent of their shares.
"""

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.alignment import (
    GRID,
    adaptive_alignment,
    alignment,
    best_aligned,
    fixed_alignments,
    law_of_best_q,
    rule_alignment,
    spread_scores,
    successes,
)
from qtheory.claims.support.slope import fitted_slope
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import Coefficients, best_q
from qtheory.models import Likelihoods, bernoulli, beta, log_normal
from qtheory.montecarlo import simulate

RHO = np.array([0.3, 1.0, 3.0, 10.0, 100.0])
SUCCESSES = np.array([60, 120, 240])
"""M P/E_post w at which the order of the law's error is fitted."""
HELD = np.array([10, 30, 100, 1000])
"""M P at which the rule's q is compared with the best one."""
DRAWS = 32
FEW = (1e-3, 0.3)
MIXED = np.geomspace(1e-4, 0.9, 13)
"""Success probabilities of the prompts of a mixture."""
POOLS = 40_000
DEVIATIONS = 4.5  # standard errors


def adaptive(log_w: np.ndarray, rho: float) -> Coefficients:
    """K/(K + rho) on the mean score of the K successes of pools (N, M): w_m/wbar K/(K + rho), without a baseline."""
    right = np.exp(log_w)
    scale = right * log_w.shape[-1] / (right.sum(-1, keepdims=True) + rho)
    return Coefficients(scale, scale.copy())


def check() -> Evidence:
    """Exact alignments against their law; the rule's loss; the weights of every K over mixtures."""
    graded, narrow = beta(float(np.log(0.05)), 2.0, 200), log_normal(float(np.log(0.01)), 0.5, 100)
    cells = [(law, rho) for law in (_hard(0.05), graded) for rho in (0.5, 2.0)]
    gaps = np.array([[_gap(law, rho, k) for k in SUCCESSES] for law, rho in cells])
    single = [(p, rho) for p in np.geomspace(1e-5, 0.9, 13) for rho in RHO]
    best = np.array([fixed_alignments([p], DRAWS, rho).max() for p, rho in single])
    ruled = np.array([rule_alignment(np.array([p]), DRAWS, rho) for p, rho in single])
    mixed = np.array([fixed_alignments(MIXED, DRAWS, rho).max() for rho in RHO])
    adapted = np.array([adaptive_alignment(MIXED, DRAWS, rho) for rho in RHO])
    cold = np.array([[*fixed_alignments([1e-5], DRAWS, rho)] for rho in RHO])
    return Evidence(
        (
            Comparison(
                "R(q), w in {0, 1}, exact moments, M = 32",
                np.array([alignment(spread_scores(_hard(p), 3.0), GRID, DRAWS) for p in FEW]),
                np.array([fixed_alignments([p], DRAWS, 3.0) for p in FEW]),
                1e-9,
                "relative",
            ),
            Comparison(
                "w in {0, 1}, M P of 10 to 1000: |best q - the rule's|, 3.5 rho/(M P + rho)²",
                *_rule_gaps(),
                0,
                "absolute",
                "<=",
            ),
            Comparison("best q, 0/1 and Beta weights, K = 240: its law", gaps[:, -1], np.array(0), 2e-4, "absolute"),
            Comparison(
                "its distance from the law: order in K, -2",
                fitted_slope(SUCCESSES, abs(gaps)),
                np.array(-2),
                0.05,
                "absolute",
            ),
            Comparison(
                "log-normal weights (c < 0): best q, 1",
                np.array([best_aligned(spread_scores(narrow, 5.0), size) for size in (4, 32, 256)]),
                np.array(1),
                1e-6,
                "absolute",
            ),
            Comparison(
                "Beta and log-normal weights, K = 30: best q, K/(K + rho)",
                np.array([best_aligned(spread_scores(law, 5.0), _size(law, 30)) for law in (graded, narrow)]),
                np.array(30 / 35),
                0.05,
                "absolute",
                "!=",
            ),
            Comparison("the rule's R, 0.99 of the best q's", 0.99 * best, ruled, 0, "absolute", "<="),
            Comparison(
                "M P = 3e-4: R at any q, 1/(1 + rho) of the pools that hold a success",
                cold,
                -np.expm1(DRAWS * np.log1p(-1e-5)) / (1 + RHO)[:, None],
                2e-4,
                "relative",
            ),
            Comparison("best fixed q's R over mixed P, that of K/(K + rho)", mixed, adapted, 0, "absolute", "<="),
            Comparison("that of K/(K + rho), 1.02 of the best fixed q's", adapted, 1.02 * mixed, 0, "absolute", "<="),
            Comparison(
                "mixed P, a q for each prompt: R over the best fixed q's, 1",
                np.array([rule_alignment(MIXED, DRAWS, rho) for rho in RHO[1:4]]) / mixed[1:4],
                np.array(1),
                0.03,
                "absolute",
                "!=",
            ),
            Comparison(
                "K/(K + rho) on drawn pools: z-scores of its mean, 0", _z_scores(), np.array(0), DEVIATIONS, "absolute"
            ),
            vanishes("slopes in log K; mean of K/(K + rho) at K = M P", *_symbolic()),
        )
    )


def _hard(p: float) -> Likelihoods:
    return bernoulli(float(np.log(p)))


def _size(law: Likelihoods, k: float) -> int:
    """The M that gives k effective successes."""
    w, mass = np.exp(law.log_w), np.exp(law.log_prior)
    return max(1, round(float(k * (mass @ w**2) / (mass @ w) ** 2)))


def _gap(law: Likelihoods, rho: float, k: float) -> float:
    task, size = spread_scores(law, rho), _size(law, k)
    return best_aligned(task, size) - law_of_best_q(task, size, rho)


def _rule_gaps() -> tuple[np.ndarray, np.ndarray]:
    """(2, 5, 4) by P, rho and M P: distance of `best_q` from the best aligned q, and its bound.

    A relative error e of rho moves the rule by e M P rho/(M P + rho)^2, so that the bound detects an error of 1%.
    """
    gaps, bounds = [], []
    for p in FEW:
        sizes = np.round(HELD / p).astype(int)
        for rho in RHO:
            task = spread_scores(_hard(p), float(rho))
            best = np.array([best_aligned(task, int(size)) for size in sizes])
            rule = np.array([best_q(float(np.log(p)), int(size), float(rho)) for size in sizes])
            gaps.append(abs(best - rule))
            bounds.append(3.5 * rho / (sizes * p + rho) ** 2)
    shape = len(FEW), len(RHO), len(HELD)
    return np.reshape(gaps, shape), np.reshape(bounds, shape)


def _z_scores() -> np.ndarray:
    """z-scores of <g, s> for the adaptive weights, and of their second moment, against sums over K."""
    rng, rho = np.random.default_rng(5), 3.0
    values = []
    for p in (0.02, 0.3):
        task = spread_scores(_hard(p), rho)
        sampled = simulate(task, adaptive, {"rho": rho}, DRAWS, POOLS, rng)
        k, chances = successes([p], DRAWS)
        # The score is e_1, of length 1: both moments are E[K/(K + rho)].
        expected = float(chances @ (k / (k + rho)))
        values += [
            (-sampled.mean[0] - expected) / sampled.mean_error[0],
            (sampled.second_moment - expected) / sampled.second_moment_error,
        ]
    return np.array(values)


def _symbolic() -> tuple[sympy.Expr, ...]:
    """The slope of log K/(K + rho); -log(P + rho/M) falls by it over P; c of 0/1 and of Gamma weights."""
    k, rho, p, size, shape = sympy.symbols("K rho P M k", positive=True)
    slope = k * sympy.diff(sympy.log(k / (k + rho)), k) - rho / (k + rho)
    shifted = sympy.diff(sympy.log(p + rho / size), p) * p - (size * p) / (size * p + rho)

    def regression(first: sympy.Expr, second: sympy.Expr, third: sympy.Expr) -> sympy.Expr:
        return 2 - (third - second * first) * first / (second * (second - first**2))

    gamma = regression(shape, shape * (shape + 1), shape * (shape + 1) * (shape + 2))
    return slope, shifted, regression(p, p, p) - 1, gamma


QC_5 = Claim(
    label="QC-5",
    statement=(
        "each q at its own learning rate, the plug-in is best aligned with grad log P at q = M P/(M P + rho), "
        "rho = Var_post f/‖E_post f‖²"
    ),
    verdict="conditional",
    condition=(
        "w in {0, 1} and M P is 10 or more, up to O(1/(M P)²); when M P << 1 all q are alike. Soft weights: 1 - c "
        "rho/(K + rho), K = M P/E_post w, c = 0 for Gamma weights and below 0 for log-normal ones, whose best q is 1"
    ),
    check=check,
    figure="best_q",
)
