"""Eq 1-3: the family of losses, its two poles, and its continuity between them."""

import numpy as np
import sympy

from qtheory import tsallis
from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import REALS, floats
from qtheory.claims.support.symbolic import vanishes

P = np.array([1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.9, 1.0])
Q = np.array([0.0, 0.25, 0.5, 0.75, 1 - 1e-9, 1.0])
NEAR_ONE = np.array([1e-4, 1e-6, 1e-8])


def check() -> Evidence:
    """The loss as an integral, its poles from mpmath, and its slope in q at the density-estimation pole."""
    # log_q is the function with value 0 at 1 and slope u^-q: quadrature in log u, where the integrand is smooth.
    integrals = [
        [REALS.quad(lambda t, q=q: REALS.exp((1 - REALS.mpf(q)) * t), [REALS.log(REALS.mpf(p)), 0]) for q in Q]
        for p in P
    ]
    exploitation, density = tsallis.loss(P, 0.0), tsallis.loss(P, 1.0)
    below = P[P < 1]
    log_p = np.log(below)[:, None]
    falls = (tsallis.loss(below, 1.0)[:, None] - tsallis.loss(below[:, None], 1 - NEAR_ONE)) / NEAR_ONE
    p, q = sympy.symbols("P q", positive=True)
    log_q = (p ** (1 - q) - 1) / (1 - q)
    return Evidence(
        (
            Comparison("l_q, integral of u^-q", tsallis.loss(P[:, None], Q), floats(integrals), 1e-13, "relative"),
            Comparison("l_0, 1 - P", exploitation, floats([1 - REALS.mpf(x) for x in P]), 1e-14, "relative"),
            Comparison("|l_0 - 1/2|, 1/2", np.abs(exploitation - 0.5), np.array(0.5), 0, "absolute", "<="),
            Comparison("l_1, -log P", density, floats([-REALS.log(REALS.mpf(x)) for x in P]), 1e-14, "relative"),
            # (l_1 - l_q)/(1-q) = log^2 P/2 + O((1-q) |log P|^3): the jump at q = 1, if there were one, over 1-q.
            Comparison("(l_1 - l_q)/(1-q) near q = 1, log^2(P)/2", falls, log_p**2 / 2, 2e-3, "relative"),
            vanishes(
                "log_q at q -> 1 and q = 0, and its slope",
                sympy.limit(log_q, q, 1) - sympy.log(p),
                log_q.subs(q, 0) - (p - 1),
                sympy.diff(log_q, p) - p**-q,
            ),
        )
    )


EQ_1_3 = Claim(
    label="Eq 1-3",
    statement="l_q = -log_q P runs continuously in q from l_0 = 1 - P, in [0, 1], to l_1 = -log P",
    verdict="holds",
    condition=None,
    check=check,
    figure="continuum",
)
