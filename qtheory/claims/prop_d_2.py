"""Prop D.2: what GARL and PAFT are at the two ends of the continuum.

Every neighbour is given by the objective it is defined with, and that objective is differentiated numerically.
"""

from collections.abc import Callable

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.reference import (
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
from qtheory.claims.symbolic import vanishes
from qtheory.estimators import garl, iwae, paft_from_counts, rb_rloo

MODEL = LatentModel(tuple(np.log([1.0, 2.0, 3.0]).tolist()), (-0.5, 1.2, -4.0))
# Each rationale as often as its prior says: the pool's posterior is the model's, and its mean weight is P.
POOL: Pool = (0, 1, 1, 2, 2, 2)
DRAWS = 2


def check() -> Evidence:
    """The four endpoints on one pool."""
    log_w = MODEL.log_weights[np.array(POOL)]
    garl_0, garl_1 = (MODEL.estimates([POOL], garl(log_w[None], q, baseline="none"))[0] for q in (0.0, 1.0))
    weights = [MODEL.weights[z] for z in POOL]
    others = [(sum(weights) - w) / (len(weights) - 1) for w in weights]
    expectation_step = gradient(_negative_em_bound, MODEL.parameters)
    success = MODEL.success(MODEL.parameters)
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
                _mean_paft(log_w, 1.0),
                floats(expectation_step),
                1e-12,
                "relative",
            ),
            Comparison(
                "E[PAFT q = 0], P times the same",
                _mean_paft(log_w, 0.0),
                floats([success * slope for slope in expectation_step]),
                1e-12,
                "relative",
            ),
            Comparison(
                "PAFT of each draw, wbar^(1-q) times the SFT gradient",
                np.concatenate([_paft_of_draws(log_w, q) for q in (0.0, 1.0)]),
                np.concatenate([floats([_sft(draw, factor) for draw in _DRAWN]) for factor in (success, 1)]),
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


def _negative_em_bound(parameters: Vector) -> Real:
    """-E[log p(z, y*|x)] under the posterior of the model as it stands."""
    posterior = [p * w / MODEL.success(MODEL.parameters) for p, w in zip(MODEL.prior, MODEL.weights, strict=True)]
    prior = softmax(parameters[: len(MODEL.prior)])
    weights = [sigmoid(logit) for logit in parameters[len(MODEL.prior) :]]
    return -dot(posterior, [REALS.log(p * w) for p, w in zip(prior, weights, strict=True)])


_DRAWN = all_tuples(len(POOL), DRAWS)


def _paft_of_draws(log_w: np.ndarray, q: float) -> np.ndarray:
    """(N, 2 Z) PAFT's estimates for all N draws of indices."""
    counts = floats([[draw.count(m) for m in range(len(POOL))] for draw in _DRAWN])
    pools = [POOL] * len(_DRAWN)
    return MODEL.estimates(pools, paft_from_counts(np.tile(log_w, (len(_DRAWN), 1)), q, counts))


def _mean_paft(log_w: np.ndarray, q: float) -> np.ndarray:
    weights = [MODEL.weights[z] for z in POOL]
    shares = [w / sum(weights) for w in weights]
    chances = [probability(draw, shares) for draw in _DRAWN]
    return floats(expectation(_paft_of_draws(log_w, q).tolist(), chances))


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
    verdict="holds",
    condition=None,
    check=check,
    figure="factorisations",
)
