"""Prop 4.1: along the continuum the gradient of one example keeps its direction and changes its length."""

import numpy as np
import sympy

from qtheory import tsallis
from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import REALS, LatentModel, floats, gradient, loss
from qtheory.claims.support.symbolic import vanishes

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
# Success probabilities of about .5, 1e-3, 1e-12 and 1e-35.
MODELS = [
    LatentModel((0.4, -0.3, 1.1), tuple(logit - ease for logit in (0.9, -2.0, 0.2))) for ease in (0.0, 7.0, 28.0, 80.0)
]


def check() -> Evidence:
    """Finite differences of l_q against the two factors times finite differences of l_0 and l_1."""
    exact = np.stack([_slopes(model) for model in MODELS])
    log_p = floats([REALS.log(model.success(model.parameters)) for model in MODELS])[:, None]
    amplified = tsallis.amplification_from_log(log_p, Q)[..., None] * exact[:, :1]
    attenuated = tsallis.attenuation_from_log(log_p, Q)[..., None] * exact[:, -1:]
    t, q = sympy.symbols("t q")
    p = sympy.Function("P", positive=True)(t)
    slope = sympy.diff(-(p ** (1 - q) - 1) / (1 - q), t)
    return Evidence(
        (
            Comparison("P^-q grad l_0, differences of l_q", amplified, exact, 1e-12, "relative"),
            Comparison("P^(1-q) grad l_1, differences of l_q", attenuated, exact, 1e-12, "relative"),
            vanishes(
                "both factors for any P(t)",
                slope - p**-q * sympy.diff(1 - p, t),
                slope - p ** (1 - q) * sympy.diff(-sympy.log(p), t),
            ),
        )
    )


def _slopes(model: LatentModel) -> np.ndarray:
    """(Q, 2 Z) grad l_q by central differences."""
    return floats([gradient(lambda at, q=q: loss(model.success(at), q), model.parameters) for q in Q])


PROP_4_1 = Claim(
    label="Prop 4.1",
    statement="grad l_q = P^-q grad l_0 = P^(1-q) grad l_1",
    verdict="holds",
    condition=None,
    check=check,
    figure="continuum",
)
