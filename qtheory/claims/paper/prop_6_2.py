"""Prop 6.2: the leave-one-out baseline does not change the plug-in's expectation if samples are from the model.

The baseline of a draw does not depend on that draw, so that the mean of its term is E[h] E[wbar_(-m)^(1-q)], h =
grad log p(z|x). E[h] = 0 holds under p(z|x) itself, but not under a truncated or tempered version of it.
"""

from collections.abc import Sequence

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import (
    LatentModel,
    Real,
    Vector,
    all_tuples,
    expectation,
    floats,
    mean,
    power,
    probability,
    softmax,
)
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import Coefficients, garl

MODEL = LatentModel((0.5, -0.4, 1.3), (-1.0, 1.5, float("-inf")))
Q = (0.0, 0.3, 0.75, 1.0)
SAMPLES = (1, 2, 4)
FEW = 3  # M of the counterexamples
MARGIN = 0.02


def check() -> Evidence:
    """Expectations over all M-tuples of rationales, on both sides of the condition."""
    mass = MODEL.prior[0] + MODEL.prior[2]  # the two most likely rationales
    truncated = [MODEL.prior[0] / mass, 0 * mass, MODEL.prior[2] / mass]
    tempered = softmax([2 * logit for logit in MODEL.parameters[: len(MODEL.prior)]])
    grid = [(q, size) for size in SAMPLES for q in Q]
    gaps = floats([_fast(q, FEW, truncated) - floats(_plug_in(q, FEW, truncated)) for q in Q])
    return Evidence(
        (
            Comparison(
                "E[RLOO form], E[plug-in], M = 1, 2, 4",
                floats([_fast(q, size, MODEL.prior) for q, size in grid]),
                floats([_plug_in(q, size, MODEL.prior) for q, size in grid]),
                1e-12,
                "relative",
            ),
            _counterexample("top-2 sampling", truncated),
            _counterexample("temperature 1/2", tempered),
            Comparison(
                "top-2 sampling: their difference, E[h] E[wbar_(-m)^(1-q)]",
                gaps,
                floats([_predicted_gap(q, FEW, truncated) for q in Q]),
                1e-12,
                "absolute",
            ),
            Comparison(
                "pools without success skipped, q = 1: distance likewise, 0",
                floats([_distance(_fast(1.0, FEW, MODEL.prior, skip=True), _plug_in(1.0, FEW, MODEL.prior))]),
                np.array(0),
                MARGIN,
                "absolute",
                "!=",
            ),
            vanishes("E[h_m wbar_(-m)^(1-q)] = 0, M = 2", _symbolic_baseline()),
        )
    )


def _fast(q: float, size: int, sampling: Sequence[Real], *, skip: bool = False) -> np.ndarray:
    """(2 Z,) mean of the RLOO form over all pools drawn from a distribution (Z,)."""
    pools = all_tuples(len(MODEL.prior), size)
    log_w = MODEL.log_weights[np.array(pools)]
    rationale, answer = garl(log_w, q)
    if skip:
        rationale = np.where(log_w.max(-1, keepdims=True) == -np.inf, 0, rationale)
    estimates = MODEL.estimates(pools, Coefficients(rationale, answer))
    return floats([probability(pool, sampling) for pool in pools]) @ estimates


def _plug_in(q: float, size: int, sampling: Sequence[Real]) -> Vector:
    """(2 Z,) mean of the plug-in, slowly."""
    pools = all_tuples(len(MODEL.prior), size)
    return expectation([MODEL.plug_in(pool, q) for pool in pools], [probability(pool, sampling) for pool in pools])


def _predicted_gap(q: float, size: int, sampling: Sequence[Real]) -> Vector:
    """(2 Z,) E[h] E[wbar_(-m)^(1-q)]: the baseline enters the descended gradient with a plus."""
    others = all_tuples(len(MODEL.prior), size - 1)
    powers = [[power(mean([MODEL.weights[z] for z in pool]), 1 - q)] for pool in others]
    (height,) = expectation(powers, [probability(pool, sampling) for pool in others])
    return [height * h for h in expectation(MODEL.prior_scores, sampling)]


def _counterexample(name: str, sampling: Sequence[Real]) -> Comparison:
    distances = [_distance(_fast(q, FEW, sampling), _plug_in(q, FEW, sampling)) for q in Q]
    what = f"{name}: relative distance of E[RLOO form] to E[plug-in], 0"
    return Comparison(what, floats(distances), np.array(0), MARGIN, "absolute", "!=")


def _distance(gradient: np.ndarray, reference: Vector) -> float:
    exact = floats(reference)
    return float(np.linalg.norm(gradient - exact) / np.linalg.norm(exact))


def _symbolic_baseline() -> sympy.Expr:
    prior, q = sympy.symbols("pi q", positive=True)
    weights = sympy.symbols("w_0 w_1", positive=True)
    probabilities, scores = (1 - prior, prior), (-prior, 1 - prior)  # softmax of (0, theta), d/d theta
    terms = [
        probabilities[i] * probabilities[j] * (scores[i] * weights[j] ** (1 - q) + scores[j] * weights[i] ** (1 - q))
        for i, j in all_tuples(2, 2)
    ]
    return sympy.Add(*terms)


PROP_6_2 = Claim(
    label="Prop 6.2",
    statement="the leave-one-out (RLOO) form has exactly the plug-in's expectation",
    verdict="conditional",
    condition=(
        "rationales are drawn from p(z|x) itself: no top-k or top-p, temperature 1; "
        "and at q = 1 pools without success keep their baseline"
    ),
    check=check,
    figure="variance",
)
