"""Prop D.3: PAFT's expectation given the pool is the plug-in, so that both have the same bias."""

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import (
    LatentModel,
    Pool,
    all_tuples,
    expectation,
    floats,
    gradient,
    loss,
    probability,
)
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import paft_from_counts

MODEL = LatentModel((0.3, -0.8, 0.9), (1.0, -2.5, -0.4))
Q = (0.0, 0.3, 0.75, 1.0)
SAMPLES = 3
DRAWS = (1, 3)


def check() -> Evidence:
    """All K-tuples of resampled indices of all M-tuples of rationales."""
    pools = all_tuples(len(MODEL.prior), SAMPLES)
    chances = [probability(pool, MODEL.prior) for pool in pools]
    plug_in = {q: [MODEL.plug_in(pool, q) for pool in pools] for q in Q}
    paft = {(k, q): floats([_mean_paft(pool, q, k) for pool in pools]) for k in DRAWS for q in Q}
    true = {q: floats(gradient(lambda at, q=q: loss(MODEL.success(at), q), MODEL.parameters)) for q in Q}
    biases = {q: floats(expectation(plug_in[q], chances)) - true[q] for q in Q}
    w, v, f, g, q = sympy.symbols("w_1 w_2 f_1 f_2 q", positive=True)
    average = (w + v) / 2
    resampled = average ** (1 - q) * (w * f + v * g) / (w + v)
    return Evidence(
        (
            Comparison(
                "E[PAFT | pool], plug-in, all pools, K = 1, 3",
                floats([paft[k, q] for k in DRAWS for q in Q]),
                floats([plug_in[q] for _ in DRAWS for q in Q]),
                1e-12,
                "relative",
            ),
            Comparison(
                "bias of PAFT, bias of the plug-in, M = 3",
                floats([floats(chances) @ paft[k, q] - true[q] for k in DRAWS for q in Q]),
                floats([biases[q] for _ in DRAWS for q in Q]),
                1e-14,
                "absolute",
            ),
            vanishes("E[PAFT | pool] = plug-in, M = 2, K = 1", resampled - (w * f + v * g) / 2 / average**q),
        )
    )


def _mean_paft(pool: Pool, q: float, k: int) -> list[float]:
    """(2 Z,) mean of PAFT's estimate over all K-tuples of indices into a pool."""
    weights = [MODEL.weights[z] for z in pool]
    shares = [w / sum(weights) for w in weights]
    draws = all_tuples(len(pool), k)
    counts = floats([[draw.count(m) for m in range(len(pool))] for draw in draws])
    log_w = np.tile(MODEL.log_weights[np.array(pool)], (len(draws), 1))
    estimates = MODEL.estimates([pool] * len(draws), paft_from_counts(log_w, q, counts))
    return expectation(estimates.tolist(), [probability(draw, shares) for draw in draws])


PROP_D_3 = Claim(
    label="Prop D.3",
    statement="E[PAFT | pool] is the plug-in, so that both have the same bias at every M",
    verdict="holds",
    condition=None,
    check=check,
    figure="bias",
)
