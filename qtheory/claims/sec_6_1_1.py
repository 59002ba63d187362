"""Sec 6.1.1: the effective reward is bounded by M^q."""

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.symbolic import vanishes
from qtheory.estimators import garl

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
SAMPLES = (1, 2, 8, 32, 1000)
POOLS = 200


def check() -> Evidence:
    """The largest effective reward of pools of every spread, and the pool that attains the bound."""
    rng = np.random.default_rng(0)
    largest, attained = [], []
    for size in SAMPLES:
        # Spreads from all but equal weights to one that outweighs the others by e^1000.
        spread = 10 ** rng.uniform(-3, 3, size=(POOLS, 1))
        log_w = -spread * rng.exponential(size=(POOLS, size))
        log_w -= log_w.max(-1, keepdims=True) * (rng.random((POOLS, 1)) < 0.5)
        lone = np.where(np.arange(size) == 0, 0.0, -np.inf)
        largest.append([garl(log_w, q, baseline="none").answer.max() for q in Q])
        attained.append([garl(lone, q, baseline="none").answer[0] for q in Q])
    bound = np.array(SAMPLES)[:, None] ** Q
    w, others, count, q = sympy.symbols("w r M q", positive=True)
    effective = w / ((w + others) / count) ** q
    factors = count**q * w ** (1 - q) * (w / (w + others)) ** q
    return Evidence(
        (
            Comparison("largest w_m/wbar^q of random pools, M^q", np.array(largest), bound, 1e-13, "relative", "<="),
            Comparison("w_m/wbar^q of a lone success, M^q", np.array(attained), bound, 1e-13, "relative"),
            # Both factors besides M^q are at most 1 for w <= 1.
            vanishes("w_m/wbar^q = M^q w_m^(1-q) (w_m/sum w)^q", sympy.powsimp(effective / factors, force=True) - 1),
        )
    )


SEC_6_1_1 = Claim(
    label="Sec 6.1.1",
    statement="the effective reward w_m/wbar^q is at most M^q, and a lone certain success attains it",
    verdict="holds",
    condition=None,
    check=check,
    figure="saturation",
)
