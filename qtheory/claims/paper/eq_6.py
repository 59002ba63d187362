"""Eq 6: the growth of P under gradient flow, and the contribution of other examples on the same parameters.

The paper states it for the flow on the loss of one example, for which it holds. Examples that share parameters are
beyond its statement; their contribution is shown in addition.
"""

import itertools

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.symbolic import vanishes
from qtheory.escape import FAMILIES
from qtheory.flow import velocity
from qtheory.models import AngledSigmoids, Examples, Model

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
LOG_P = np.log([1e-12, 1e-3, 0.3])
NATS = 0.02  # first-order change of log P by the longest Euler step
LEVELS = 5  # of Richardson extrapolation, each with half the step


def check() -> Evidence:
    """Euler steps of the flow, extrapolated to step 0, on every model family and on two examples at an angle."""
    measured, predicted = [], []
    for family in FAMILIES.values():
        for log_p in LOG_P:
            theta = family.start(float(log_p))
            measured.append([_growth(family.model, theta, q) for q in Q])
            score = family.model.score(theta)
            predicted.append(np.exp((1 - Q) * log_p) * (score @ score))
    pair = AngledSigmoids(np.array([[1.0, -0.8], [-0.8, 1.0]]), np.log([1e-4, 0.1]))
    theta = np.zeros(2)
    together = np.array([_growth(pair, theta, q) for q in Q])
    factors, scores = np.exp(np.outer(1 - Q, pair.log_p(theta))) / 2, pair.score(theta)
    return Evidence(
        (
            Comparison(
                "dlog P/dt of six model families, P^(1-q) ||s||^2",
                np.array(measured),
                np.array(predicted),
                1e-9,
                "relative",
            ),
            Comparison(
                "beyond the paper, two examples: dlog P_i/dt, sum_j a_j P_j^(1-q) s_j.s_i",
                together,
                factors @ (scores @ scores.T),
                1e-9,
                "relative",
            ),
            Comparison(
                "the harder of them: 1/2, |dlog P/dt over its own P^(1-q) ||s||^2/2, less 1|",
                np.full(len(Q), 0.5),
                abs(together[:, 0] / (factors[:, 0] * (scores[0] @ scores[0])) - 1),
                0,
                "absolute",
                "<=",
            ),
            vanishes("dp/dt = p^(2-q) ||s||^2, sigmoid and softmax of 3", *_symbolic()),
        )
    )


def _growth(model: Model | Examples, theta: np.ndarray, q: float) -> np.ndarray:
    """Slope of log P in time, () or (N,), at the start of the flow, from Euler steps of decreasing size."""
    several = isinstance(model, Examples)
    flow = velocity(
        model.score if several else lambda at: model.score(at)[..., None, :],
        model.log_p if several else lambda at: model.log_p(at)[..., None],
        q,
    )
    v = flow(theta, 0.0)
    # Central differences along v, whose error has only even powers of the step.
    scale = np.abs(model.score(theta) @ v).max()
    slopes = []
    for level in range(LEVELS):
        step = NATS / scale / 2**level
        slopes.append((model.log_p(theta + step * v) - model.log_p(theta - step * v)) / (2 * step))
    for order in range(1, LEVELS):
        slopes = [fine + (fine - rough) / (4**order - 1) for rough, fine in itertools.pairwise(slopes)]
    return slopes[0]


def _symbolic() -> list[sympy.Expr]:
    """dp/dt less p^(2-q) ||s||^2 with d theta/dt = -grad l_q, for a logit and for three."""
    q = sympy.Symbol("q", positive=True)
    differences = []
    for count in (1, 3):
        theta = sympy.symbols(f"theta0:{count}", real=True)
        raised = [sympy.exp(x) for x in theta]
        p = raised[0] / (1 + raised[0] if count == 1 else sum(raised))
        slopes = [sympy.diff(p, x) for x in theta]
        # grad l_q = -p^-q grad p, and dp/dt = grad p . d theta/dt; over p^(2-q).
        squared = sum(sympy.diff(sympy.log(p), x) ** 2 for x in theta)
        differences.append(sum(slope * p**-q * slope for slope in slopes) / p ** (2 - q) - squared)
    return differences


EQ_6 = Claim(
    label="Eq 6",
    statement=(
        "under gradient flow on l_q, dp/dt = p^(2-q) ||s||²; beyond the paper, others on the same parameters add "
        "a_j P_j^(1-q) s_j·s_i to dlog P_i/dt, with either sign"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="escape_times",
)
