"""QC-4: the condition for the leave-one-out baseline to lower GARL's variance, and its best multiple.

With b the baseline's part, whose mean is 0 (Prop 6.2), Var(g + beta b) is a parabola in beta with its minimum at beta*:
b itself lowers the variance if beta* > 1/2. The plug-in's influence function is -P^-q w (f - q s) and b is
P^(1-q) h to leading order, hence beta* = E_post<f - q s, h>/E||h||^2 + O(1/M), f the joint and h the prior score. The
norm-weighted baseline multiplies b by E_post||h||^2/E||h||^2, which is, if answers have separate parameters,
beta*/(1 - q/(1 + rho)), rho = Var_post h/||E_post h||^2.
"""

from collections.abc import Callable

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support import definitions
from qtheory.claims.support.baselines import (
    WEIGHTS,
    alike,
    chain,
    leading_multiplier,
    loo_ratio,
    measured_multiple,
    one_right,
    sigmoids,
    sigmoids_in_reals,
    soft,
    vertex,
    weighted,
    weighted_best,
    weighted_multiplier,
    weighted_ratio,
)
from qtheory.claims.support.enumerated import enumerated
from qtheory.claims.support.reference import all_tuples, dot, expectation, floats, probability
from qtheory.claims.support.slope import fitted_slope
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import garl
from qtheory.exact import baseline_multiplier, moments
from qtheory.models import FiniteTask
from qtheory.montecarlo import simulate

Q = np.array([0.0, 0.25, 0.75, 1.0])
FEW, SAMPLES = 12, 32
FEWEST = (2, 3, 4)  # M at which pools are enumerated in 100 digits
MANY = 2 ** np.arange(10, 14)
SIZES = np.array([2, 3, 8, 32, 1000])
POOLS = 20_000
DEVIATIONS = 4.5  # standard errors


def check() -> Evidence:
    """Both sides of the condition by exact moments; the weighted baseline over all pools and from sampled ones."""
    few = [one_right(0.3), sigmoids(0.1), sigmoids(0.9), chain(0.1), chain(0.9), soft(0.01)]
    every = [*few, alike(0.2), alike(0.9)]
    below_one, warm = Q[:-1], [one_right(0.9), one_right(0.99), chain(0.9)]
    best = np.stack([baseline_multiplier(task, Q, SAMPLES) for task in every])
    plain, loo = (np.stack([moments(task, Q, SAMPLES, form).variance for task in every]) for form in ("plugin", "rloo"))
    repaired = np.stack(
        [moments(task, Q, SAMPLES, "rloo", multiplier=row).variance for task, row in zip(every, best, strict=True)]
    )
    gaps = np.stack(
        [
            [abs(baseline_multiplier(task, q, MANY) - leading_multiplier(task, q)) for q in below_one]
            for task in (one_right(0.3), sigmoids(0.9), chain(0.2), chain(0.9), soft(0.01))
        ]
    )
    return Evidence(
        (
            Comparison(
                f"beta* at M = {FEW}, over all pools",
                np.array([baseline_multiplier(task, below_one, FEW) for task in few]),
                np.array([[_enumerated_multiplier(task, q, FEW) for q in below_one] for task in few]),
                1e-7,
                "relative",
            ),
            Comparison(
                "beta* at q = 0, closed form at every M",
                np.array([baseline_multiplier(task, 0.0, SIZES) for task in every]),
                np.array([_multiplier_at_zero(task, SIZES) for task in every]),
                1e-8,
                "relative",
            ),
            Comparison(
                "its leading term, E_post||h||^2/E||h||^2 (1 - q/(1 + rho))",
                np.array([leading_multiplier(task, below_one) for task in every]),
                np.array([weighted_multiplier(task) * (1 - below_one / (1 + _spread(task))) for task in every]),
                1e-12,
                "relative",
            ),
            Comparison(
                "beta* less its leading term: order in M, -1", fitted_slope(MANY, gaps), np.array(-1), 0.05, "absolute"
            ),
            Comparison(
                "one right, P = 2(M-2)/(3M-5), q = 0: variance over that without, 1",
                np.array([loo_ratio(one_right(2 * (m - 2) / (3 * m - 5)), 0.0, m) for m in (3, 8, 32, 1000)]),
                np.array(1),
                1e-9,
                "relative",
            ),
            Comparison(
                "one right, P = (1-q)/(3/2-q), M = 1e5: likewise",
                np.array([loo_ratio(one_right((1 - q) / (1.5 - q)), q, 10**5) for q in below_one]),
                np.array(1),
                1e-3,
                "relative",
            ),
            Comparison(
                "beta* > 1/2: variance with the baseline, without",
                loo[best > 0.5],
                plain[best > 0.5],
                0,
                "relative",
                "<=",
            ),
            Comparison(
                "warm, beta* < 1/2: variance over that without, 1",
                np.array([loo_ratio(task, float(q), SAMPLES) for task in warm for q in below_one]),
                np.array(1),
                0.5,
                "absolute",
                "!=",
            ),
            Comparison(
                "beta* times the baseline: variance, the less of both",
                repaired,
                np.minimum(plain, loo),
                1e-9,
                "relative",
                "<=",
            ),
            *_weighted_evidence(few),
            vanishes("one right, q = 0: beta* = (1-P)/(P + 2(1-P)/(M-1)), M = 2, 3, 4", *map(_symbolic_gap, (2, 3, 4))),
        )
    )


def _weighted_evidence(tasks: list[FiniteTask]) -> tuple[Comparison, ...]:
    """The norm-weighted baseline: mean, best multiple, gain in a warm start, and a case in which it fails."""
    cells = [(task, q) for task in tasks for q in Q if weighted_multiplier(task) < 1.6 * leading_multiplier(task, q)]
    apart = [one_right(0.3), sigmoids(0.1), chain(0.9)]  # f = h + a with a orthogonal to h, or 0
    orders = Q[1:3]
    return (
        *_weighted_by_definition(),
        Comparison(
            "what the weighted baseline is of the plain one, extrapolated in M, E_post||h||^2/E||h||^2",
            np.array([_extrapolated(measured_multiple, task, orders[-1]) for task in apart]),
            np.array([weighted_multiplier(task) for task in apart]),
            0.01,
            "relative",
        ),
        Comparison(
            "its best multiple, extrapolated in M, 1 - q/(1 + rho)",
            np.array([[_extrapolated(weighted_best, task, q) for q in orders] for task in apart]),
            np.array([1 - orders / (1 + _spread(task)) for task in apart]),
            0.01,
            "absolute",
        ),
        Comparison(
            "weighted baseline: E[estimate], without a baseline",
            np.concatenate([weighted(task, q, 6).mean for task in tasks for q in Q]),
            np.concatenate([enumerated(task, garl, 6, q, baseline="none").mean for task in tasks for q in Q]),
            1e-12,
            "absolute",
        ),
        Comparison(
            "1 - q/(1 + rho) times it: variance, that of it",
            np.array([weighted_ratio(t, q, SAMPLES, multiplier=1 - q / (1 + _spread(t))) for t in tasks for q in Q]),
            np.array([weighted_ratio(t, q, SAMPLES) for t in tasks for q in Q]),
            1e-12,
            "relative",
            "<=",
        ),
        Comparison(
            "its multiple < 1.6 beta*: variance over that without, 1",
            np.array([weighted_ratio(task, q, SAMPLES) for task, q in cells]),
            np.array(1),
            0,
            "absolute",
            "<=",
        ),
        Comparison(
            "chain, warm: variance over that of the plain baseline, 0.2",
            np.array([weighted_ratio(chain(0.9), q, SAMPLES) / loo_ratio(chain(0.9), q, SAMPLES) for q in Q]),
            np.array(0.2),
            0,
            "absolute",
            "<=",
        ),
        Comparison(
            "one right, q = .75: the weighted baseline's variance over that without, 1",
            np.array([weighted_ratio(one_right(p), 0.75, SAMPLES) for p in (0.3, 0.9)]),
            np.array(1),
            1,
            "absolute",
            "!=",
        ),
    )


def _weighted_by_definition() -> tuple[Comparison, ...]:
    """The norm-weighted baseline against its definition, over all pools in 100 digits and on sampled pools."""
    rng = np.random.default_rng(4)
    fast, slow, scores = [], [], []
    for good in (0.1, 0.9):
        task, model = sigmoids(good), sigmoids_in_reals(good)
        for size in FEWEST:
            pools = all_tuples(len(WEIGHTS), size)
            chances = [probability(pool, model.prior) for pool in pools]
            for q in Q.tolist():
                values = [definitions.norm_weighted(model, pool, q) for pool in pools]
                average = expectation(values, chances)
                variance = float(dot(chances, [dot(value, value) for value in values]) - dot(average, average))
                exact = weighted(task, q, size)
                fast.append([*exact.mean, exact.variance])
                slow.append([*floats(average), variance])
                if size == FEWEST[-1]:
                    drawn = simulate(task, "garl_weighted", {"q": q}, size, POOLS, rng)
                    scores.append((drawn.variance - variance) / drawn.variance_error)
    return (
        Comparison(
            "weighted baseline: mean and variance, M = 2, 3, 4, its definition in 100 digits",
            np.array(fast),
            np.array(slow),
            1e-11,
            "absolute",
        ),
        Comparison(
            "its variance from sampled pools, M = 4, by the definition: z-scores, 0",
            np.array(scores),
            np.array(0),
            DEVIATIONS,
            "absolute",
        ),
    )


def _extrapolated(value: Callable[[FiniteTask, float, int], float], task: FiniteTask, q: float) -> float:
    """The limit of a + b/M, from M = 64 and 128."""
    return 2 * value(task, q, 128) - value(task, q, 64)


def _enumerated_multiplier(task: FiniteTask, q: float, samples: int) -> float:
    """beta* from the variances at the multiples 0, 1 and 2, which determine the parabola."""
    return vertex(
        *(enumerated(task, garl, samples, q, multiplier=multiplier).variance for multiplier in (0.0, 1.0, 2.0))
    )


def _multiplier_at_zero(task: FiniteTask, samples: np.ndarray) -> np.ndarray:
    """E_post<f, h> P^2/[E||h||^2 (P^2 + Var(w)/(M-1)) + P^2 ||E_post h||^2/(M-1)], from E[h] = 0 and independence."""
    prior, w, h = np.exp(task.log_prior), np.exp(task.log_w), task.prior_score
    p, norms = prior @ w, prior @ np.sum(h**2, -1)
    mean = task.posterior @ h
    inner = task.posterior @ np.sum((h + task.answer_score) * h, -1)
    noise = (norms * (prior @ (w - p) ** 2) / p**2 + mean @ mean) / (samples - 1)
    return inner / (norms + noise)


def _spread(task: FiniteTask) -> float:
    """Var_post h/||E_post h||^2."""
    mean = task.posterior @ task.prior_score
    return float(task.posterior @ np.sum((task.prior_score - mean) ** 2, -1) / (mean @ mean))


def _symbolic_gap(size: int) -> sympy.Expr:
    """Over all pools of M draws of the scalar sigmoid: scores 1 - P and -P."""
    p = sympy.Symbol("P", positive=True)
    product = square = sympy.Integer(0)
    for pool in all_tuples(2, size):
        right = sum(pool)
        chance = p**right * (1 - p) ** (size - right)
        plug_in = -right * (1 - p)
        baseline = sum((w - p) * sympy.Rational(right - w, size - 1) for w in pool)
        product, square = product + chance * plug_in * baseline, square + chance * baseline**2
    return sympy.simplify(-product / square - (1 - p) / (p + 2 * (1 - p) / (size - 1)))


QC_4 = Claim(
    label="QC-4",
    statement="the leave-one-out baseline lowers GARL's variance; beta* times it has the least",
    verdict="conditional",
    condition=(
        "beta* > 1/2, beta* = E_post<f - q s, h>/E‖h‖² + O(1/M); one right rationale, w in {0, 1}: "
        "P < (1-q)/(3/2-q) for large M. Weighting by ‖h‖² multiplies b by beta*/(1 - q/(1 + rho)), rho = "
        "Var_post h/‖E_post h‖². Whether the baseline deepens falls in a warm start is not settled"
    ),
    check=check,
    figure="baseline",
)
