"""Prop D.4: resampling only adds variance to the plug-in; PAFT's may be above or below that of GARL with baseline."""

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import (
    LatentModel,
    Pool,
    Real,
    all_tuples,
    dot,
    expectation,
    floats,
    mean,
    power,
    probability,
)
from qtheory.claims.support.symbolic import vanishes
from qtheory.exact import moments
from qtheory.models import FiniteTask, FixedAnswers, SigmoidAnswers, bernoulli

MODEL = LatentModel((0.3, -0.8, 0.9), (1.0, -2.5, -0.4))
TASK = SigmoidAnswers(3).task(np.array(MODEL.prior_logits + MODEL.answer_logits))
Q = np.array([0.0, 0.3, 0.75, 1.0])
SAMPLES = 3
DRAWS = np.array([1, 2, 3, 1000])
COUNTS = np.array([1, 2, 8, 32, 1000])
MARGIN = 1.05


def check() -> Evidence:
    """The difference by enumeration of pools and draws, its sign on many tasks, and both signs against RLOO."""
    added = moments(TASK, Q[:, None], SAMPLES, "paft", DRAWS).variance - moments(TASK, Q[:, None], SAMPLES).variance
    formula = floats([[_added(q) / int(k) for k in DRAWS] for q in Q])
    rng = np.random.default_rng(0)
    tasks = [_random_task(rng) for _ in range(20)]
    plug_in, paft = (
        np.stack([moments(task, Q[:, None], COUNTS, form).variance for task in tasks]) for form in ("plugin", "paft")
    )
    warm = _hard(np.log(0.99))
    return Evidence(
        (
            Comparison("Var(PAFT), all pools and draws, M = K = 2", _fast(2, 2), _enumerated(2), 1e-12, "relative"),
            Comparison("Var(PAFT) - Var(plug-in), the formula, M = 3", added, formula, 1e-13, "absolute"),
            Comparison("Var(plug-in), Var(PAFT), random tasks, K = M", plug_in, paft, 1e-12, "relative", "<="),
            Comparison(
                "w in {0, 1}, P = .99: 1.05 Var(PAFT), Var(GARL with baseline)",
                MARGIN * moments(warm, Q[:2], 32, "paft").variance,
                moments(warm, Q[:2], 32, "rloo").variance,
                0,
                "relative",
                "<=",
            ),
            Comparison(
                "w of three sizes: 1.05 Var(GARL with baseline), Var(PAFT)",
                MARGIN * moments(TASK, Q, 32, "rloo").variance,
                moments(TASK, Q, 32, "paft").variance,
                0,
                "relative",
                "<=",
            ),
            vanishes("Var(PAFT | pool) = wbar^(2-2q) Var_pool(f)/K, M = 2, K = 1", _symbolic_gap()),
        )
    )


def _added(q: float) -> Real:
    """E[ wbar^(2-2q) tr Cov(f) ] with f resampled from the pool by weight: K times the added variance."""
    pools = all_tuples(len(MODEL.prior), SAMPLES)
    values = [[_resampled_variance(pool, q)] for pool in pools]
    return expectation(values, [probability(pool, MODEL.prior) for pool in pools])[0]


def _resampled_variance(pool: Pool, q: float) -> Real:
    weights = [MODEL.weights[z] for z in pool]
    shares = [w / sum(weights) for w in weights]
    columns = list(zip(*(MODEL.joint_scores[z] for z in pool), strict=True))
    spread = sum(dot(shares, [f * f for f in column]) - dot(shares, column) ** 2 for column in columns)
    return power(mean(weights), 2 - 2 * q) * spread


def _enumerated(size: int) -> np.ndarray:
    """(Q,) the trace of PAFT's covariance over all pools of `size` draws and all tuples of `size` indices."""
    pools = all_tuples(len(MODEL.prior), size)
    variances = []
    for q in Q:
        values, chances = [], []
        for pool in pools:
            weights = [MODEL.weights[z] for z in pool]
            shares = [w / sum(weights) for w in weights]
            for draw in all_tuples(size, size):
                scores = zip(*(MODEL.joint_scores[pool[m]] for m in draw), strict=True)
                values.append([-power(mean(weights), 1 - q) * mean(column) for column in scores])
                chances.append(probability(pool, MODEL.prior) * probability(draw, shares))
        squares = expectation([[x * x for x in value] for value in values], chances)
        variances.append(sum(squares) - sum(x * x for x in expectation(values, chances)))
    return floats(variances)


def _fast(size: int, draws: int) -> np.ndarray:
    return moments(TASK, Q, size, "paft", draws).variance


def _random_task(rng: np.random.Generator) -> FiniteTask:
    """Five rationales, three parameters, weights from e^-30 to 1."""
    prior, scores = rng.dirichlet(np.ones(5)), rng.normal(size=(5, 3))
    log_w = -(10 ** rng.uniform(-1, 1.5)) * rng.random(5)
    return FiniteTask(np.log(prior), log_w, scores - prior @ scores, rng.normal(size=(5, 3)))


def _hard(log_p: float) -> FiniteTask:
    law = bernoulli(log_p)
    return FixedAnswers(law.log_w).task(law.log_prior)


def _symbolic_gap() -> sympy.Expr:
    w, v, f, h, q = sympy.symbols("w_1 w_2 f_1 f_2 q", positive=True)
    average, share = (w + v) / 2, w / (w + v)
    draws = [(share, -(average ** (1 - q)) * f), (1 - share, -(average ** (1 - q)) * h)]
    first, second = (sum(p * x**n for p, x in draws) for n in (1, 2))
    return (second - first**2) / average ** (2 - 2 * q) - share * (1 - share) * (f - h) ** 2


PROP_D_4 = Claim(
    label="Prop D.4",
    statement=(
        "Var(PAFT) = Var(plug-in) + E[wbar^(2-2q) Var(f | pool)]/K >= Var(plug-in); against GARL with its baseline "
        "either may be larger"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="variance",
)
