"""Prop D.2: GARL and PAFT at the two ends of the continuum.

Every known method is given by the objective that defines it, which is differentiated numerically. PAFT uses the pool's
posterior: it is EM's E-step if that is the model's posterior, and the E-step of another posterior otherwise.
"""

from collections.abc import Callable

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import (
    REALS,
    LatentModel,
    Pool,
    Real,
    Vector,
    all_tuples,
    dot,
    expectation,
    floats,
    gradient,
    mean,
    probability,
    sigmoid,
    softmax,
)
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import garl, iwae, paft_from_counts, rb_rloo

MODEL = LatentModel(tuple(np.log([1.0, 2.0, 3.0]).tolist()), (-0.5, 1.2, -4.0))
# Each rationale in proportion to its prior: the pool's posterior is the model's, and its mean weight is P.
POOL: Pool = (0, 1, 1, 2, 2, 2)
OTHER: Pool = (0, 0, 1, 2)  # a pool with another posterior
SMALL = 3  # M at which all pools are enumerated
DRAWS = 2
MARGIN = 0.1


def check() -> Evidence:
    """The four endpoints on one pool, PAFT's on pools whose posterior is not the model's, and over all pools."""
    log_w = MODEL.log_weights[np.array(POOL)]
    garl_0, garl_1 = (MODEL.estimates([POOL], garl(log_w[None], q, baseline="none"))[0] for q in (0.0, 1.0))
    weights = [MODEL.weights[z] for z in POOL]
    others = [(sum(weights) - w) / (len(weights) - 1) for w in weights]
    success = MODEL.success(MODEL.parameters)
    posterior = [p * w / success for p, w in zip(MODEL.prior, MODEL.weights, strict=True)]
    expectation_step = gradient(_negative_em_bound(posterior), MODEL.parameters)
    shares = [sum(MODEL.weights[z] for z in OTHER if z == kind) for kind in range(len(MODEL.prior))]
    other_step = gradient(_negative_em_bound([x / sum(shares) for x in shares]), MODEL.parameters)
    other = _mean_paft(OTHER, 1.0)
    at_zero, at_one = (_mean_over_pools(q) for q in (0.0, 1.0))
    return Evidence(
        (
            Comparison(
                "GARL q = 0, gradient of -mean of w (VeriFree)",
                garl_0,
                floats(gradient(_of_importance_mean(lambda w: -w), MODEL.parameters)),
                1e-12,
                "relative",
            ),
            Comparison(
                "GARL q = 1, gradient of -log mean of w (IWAE)",
                garl_1,
                floats(gradient(_of_importance_mean(lambda w: -REALS.log(w)), MODEL.parameters)),
                1e-12,
                "relative",
            ),
            Comparison(
                "with baseline: w_m - mean of the others, w_m/wbar - 1",
                np.stack([rb_rloo(log_w).rationale, iwae(log_w).rationale]),
                floats(
                    [
                        [w - o for w, o in zip(weights, others, strict=True)],
                        [w / mean(weights) - 1 for w in weights],
                    ]
                ),
                1e-12,
                "relative",
            ),
            Comparison(
                "E[PAFT q = 1], gradient of EM's bound after the E-step (TRICE)",
                _mean_paft(POOL, 1.0),
                floats(expectation_step),
                1e-12,
                "relative",
            ),
            Comparison(
                "a pool of another posterior: the same, the E-step of that posterior",
                other,
                floats(other_step),
                1e-12,
                "relative",
            ),
            Comparison(
                "that pool: relative distance to the E-step of the model's posterior, 0",
                np.array(_distance(other, expectation_step)),
                np.array(0),
                MARGIN,
                "absolute",
                "!=",
            ),
            Comparison(
                "mean over all pools, M = 3, q = 1: relative distance to the same, 0",
                np.array(_distance(at_one, expectation_step)),
                np.array(0),
                MARGIN,
                "absolute",
                "!=",
            ),
            Comparison(
                "mean over all pools, M = 3, q = 0: P times the E-step of the model's posterior",
                at_zero,
                floats([success * slope for slope in expectation_step]),
                1e-12,
                "relative",
            ),
            Comparison(
                "E[PAFT q = 0], P times the E-step, where the pool's posterior is the model's",
                _mean_paft(POOL, 0.0),
                floats([success * slope for slope in expectation_step]),
                1e-12,
                "relative",
            ),
            Comparison(
                "PAFT of each draw, wbar^(1-q) times the SFT gradient",
                np.concatenate([_paft_of_draws(POOL, q) for q in (0.0, 1.0)]),
                np.concatenate([floats([_sft(draw, factor) for draw in _draws(POOL)]) for factor in (success, 1)]),
                1e-14,
                "absolute",
            ),
            vanishes("GARL's coefficients at q = 0 and 1, M = 3", *_symbolic_coefficients()),
        )
    )


def _of_importance_mean(objective: Callable[[Real], Real]) -> Callable[[Vector], Real]:
    """The objective of the pool's mean likelihood, reweighted from the sampling model to other parameters."""

    def value(parameters: Vector) -> Real:
        prior = softmax(parameters[: len(MODEL.prior)])
        weights = [sigmoid(logit) for logit in parameters[len(MODEL.prior) :]]
        return objective(mean([prior[z] / MODEL.prior[z] * weights[z] for z in POOL]))

    return value


def _negative_em_bound(posterior: Vector) -> Callable[[Vector], Real]:
    """-E[log p(z, y*|x)] under a posterior (Z,), as a function of the parameters."""

    def value(parameters: Vector) -> Real:
        prior = softmax(parameters[: len(MODEL.prior)])
        weights = [sigmoid(logit) for logit in parameters[len(MODEL.prior) :]]
        return -dot(posterior, [REALS.log(p * w) for p, w in zip(prior, weights, strict=True)])

    return value


def _draws(pool: Pool) -> list[Pool]:
    """All tuples of DRAWS indices into a pool."""
    return all_tuples(len(pool), DRAWS)


def _paft_of_draws(pool: Pool, q: float) -> np.ndarray:
    """(N, 2 Z) PAFT's estimates for all N draws of indices."""
    drawn = _draws(pool)
    counts = floats([[draw.count(m) for m in range(len(pool))] for draw in drawn])
    log_w = np.tile(MODEL.log_weights[np.array(pool)], (len(drawn), 1))
    return MODEL.estimates([pool] * len(drawn), paft_from_counts(log_w, q, counts))


def _mean_paft(pool: Pool, q: float) -> np.ndarray:
    """(2 Z,) mean of PAFT over its draws from a pool."""
    weights = [MODEL.weights[z] for z in pool]
    shares = [w / sum(weights) for w in weights]
    chances = [probability(draw, shares) for draw in _draws(pool)]
    return floats(expectation(_paft_of_draws(pool, q).tolist(), chances))


def _mean_over_pools(q: float) -> np.ndarray:
    """(2 Z,) mean of PAFT over all pools of SMALL rationales and its draws from each."""
    pools = all_tuples(len(MODEL.prior), SMALL)
    return floats(
        expectation(
            [_mean_paft(pool, q).tolist() for pool in pools], [probability(pool, MODEL.prior) for pool in pools]
        )
    )


def _distance(estimate: np.ndarray, exact: Vector) -> float:
    """Distance of an estimate to a gradient, relative to the gradient's norm."""
    return float(np.linalg.norm(estimate - floats(exact)) / np.linalg.norm(floats(exact)))


def _sft(draw: Pool, factor: Real) -> Vector:
    """(2 Z,) fine-tuning on the drawn rationales with the gold answer, times a factor."""
    return [-factor * mean(column) for column in zip(*(MODEL.joint_scores[POOL[m]] for m in draw), strict=True)]


def _symbolic_coefficients() -> tuple[sympy.Expr, sympy.Expr]:
    w, v, u, q = sympy.symbols("w_1 w_2 w_3 q", positive=True)
    average, others = (w + v + u) / 3, (v + u) / 2
    coefficient = w / average**q - others ** (1 - q)
    return coefficient.subs(q, 0) - (w - others), coefficient.subs(q, 1) - (w / average - 1)


PROP_D_2 = Claim(
    label="Prop D.2",
    statement=(
        "GARL is Rao-Blackwellised REINFORCE (VeriFree) at q = 0 and the IWAE gradient at q = 1; "
        "PAFT is EM's E-step (TRICE) at q = 1 and P times it at q = 0"
    ),
    verdict="conditional",
    condition=(
        "PAFT's pool has the model's posterior, as in the limit of large M. Any other pool makes its own posterior's "
        "E-step, and over all pools of M draws q = 1 keeps the bias of Thm 6.1, while q = 0 has none"
    ),
    check=check,
    figure="factorisations",
)
