"""Eq 7-9: the expectation of gbar, and the function whose gradient the plug-in is.

The plug-in is not the gradient of the expected loss of M samples, whose sampling law changes with the parameters. It is
that of a loss of given draws, each reweighted by p(z|x) over the probability with which it was drawn.
"""

from collections.abc import Callable

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import (
    LatentModel,
    Pool,
    Real,
    Vector,
    all_tuples,
    expectation,
    floats,
    gradient,
    loss,
    mean,
    probability,
    sigmoid,
    softmax,
)
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import garl

MODEL = LatentModel((0.5, -0.4, 1.3), (-1.0, 1.5, -6.0))
DEEP = LatentModel((0.0, 1.0, -2.0, 0.5), (-690.0, -3.0, float("-inf"), -40.0))  # w from 1e-300, and 0
Q = (0.0, 0.3, 0.75, 1.0)
SAMPLES = (1, 2, 4)
POOLS: list[Pool] = [(0, 1, 2), (2, 2, 0), (1, 1, 1), (0, 2, 1)]


def check() -> Evidence:
    """All M-tuples for the mean of gbar; numerical gradients and 100 digits for the plug-in of given pools."""
    exact = gradient(lambda at: loss(MODEL.success(at), 0.0), MODEL.parameters)
    pools = [(model, pool) for model, drawn in ((MODEL, POOLS), (DEEP, all_tuples(4, 3))) for pool in drawn]
    fast = np.concatenate([_fast(model, pool, q) for model, pool in pools for q in Q])
    slow = np.concatenate([floats(model.plug_in(pool, q)) for model, pool in pools for q in Q])
    return Evidence(
        (
            Comparison("E[gbar], differences of l_0, M = 1, 2, 4", _mean_bar(), floats(exact), 1e-13, "relative"),
            Comparison(
                "gbar/wbar^q, gradient of l_q(reweighted wbar)",
                np.array([_fast(MODEL, pool, q) for pool in POOLS for q in Q]),
                floats([gradient(_reweighted(pool, q), MODEL.parameters) for pool in POOLS for q in Q]),
                1e-13,
                "absolute",
            ),
            Comparison("garl without baseline, Eq 9 in 100 digits, w from 0 to 1", fast, slow, 1e-13, "relative"),
            Comparison("pools of impossible answers: estimate, 0", _impossible(), np.array(0), 0, "absolute"),
            Comparison("M = 2: 0.05, its mean's distance to grad E[l_q(wbar)]", *_redrawn(), 0, "absolute", "<="),
            vanishes("gbar/wbar^q = grad l_q(reweighted wbar), M = 2", *_symbolic_gaps()),
        )
    )


def _mean_bar() -> np.ndarray:
    """(S, 2 Z) mean of gbar over all pools, by pool size: the estimator's at q = 0."""
    means = []
    for size in SAMPLES:
        pools = all_tuples(len(MODEL.prior), size)
        estimates = MODEL.estimates(pools, garl(MODEL.log_weights[np.array(pools)], 0.0, baseline="none"))
        means.append(floats([probability(pool, MODEL.prior) for pool in pools]) @ estimates)
    return np.array(means)


def _fast(model: LatentModel, pool: Pool, q: float) -> np.ndarray:
    """(2 Z,) the estimate of one pool from the estimator's coefficients."""
    return model.estimates([pool], garl(model.log_weights[np.array([pool])], q, baseline="none"))[0]


def _reweighted(pool: Pool, q: float) -> Callable[[Vector], Real]:
    """l_q of the pool's mean weight as a function of the parameters, with the draws of the current model."""

    def value(parameters: Vector) -> Real:
        prior = softmax(parameters[: len(MODEL.prior)])
        weights = [sigmoid(logit) for logit in parameters[len(MODEL.prior) :]]
        return loss(mean([prior[z] / MODEL.prior[z] * weights[z] for z in pool]), q)

    return value


def _redrawn() -> tuple[np.ndarray, np.ndarray]:
    """(3,) a bound, and the relative distance of E[plug-in] to the gradient of the pools' mean loss at q > 0."""
    pools, distances = all_tuples(len(MODEL.prior), 2), []
    chances = [probability(pool, MODEL.prior) for pool in pools]
    for q in Q[1:]:

        def mean_loss(parameters: Vector, q: float = q) -> Real:
            size = len(MODEL.prior)
            prior, weights = softmax(parameters[:size]), [sigmoid(logit) for logit in parameters[size:]]
            return sum(probability(pool, prior) * loss(mean([weights[z] for z in pool]), q) for pool in pools)

        plug_in = floats(expectation([MODEL.plug_in(pool, q) for pool in pools], chances))
        exact = floats(gradient(mean_loss, MODEL.parameters))
        distances.append(np.linalg.norm(plug_in - exact) / np.linalg.norm(exact))
    return np.full(3, 0.05), np.array(distances)


def _impossible() -> np.ndarray:
    """(Q, 2 Z) estimates from a pool of impossible answers."""
    return np.array([_fast(DEEP, (2, 2, 2), q) for q in Q])


def _symbolic_gaps() -> list[sympy.Expr]:
    """Two draws whose likelihoods and prior ratios have the slopes a_m and h_m of their logarithms at t = 0."""
    t, q = sympy.symbols("t q", positive=True)
    weights, answer_scores, prior_scores = (sympy.symbols(f"{name}_1 {name}_2", positive=True) for name in "wah")
    draws = list(zip(weights, answer_scores, prior_scores, strict=True))
    reweighted = sum(w * sympy.exp(a * t) * sympy.exp(h * t) for w, a, h in draws) / 2
    slope = sympy.diff(-(reweighted ** (1 - q) - 1) / (1 - q), t).subs(t, 0)
    plug_in = -sum(w * (h + a) for w, a, h in draws) / 2 / (sum(weights) / 2) ** q
    return [slope - plug_in]


EQ_7_9 = Claim(
    label="Eq 7-9",
    statement=(
        "gbar is unbiased for grad l_0 at every M, and the plug-in gbar/wbar^q is the gradient of l_q of the pool's "
        "mean likelihood, its draws reweighted and not redrawn"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="bias",
)
