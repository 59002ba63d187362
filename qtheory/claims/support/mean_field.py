"""Show that the plug-in's expected update at finite M is not the gradient of any loss (Thm 6.1)."""

import numpy as np

from qtheory.claims.claim import Comparison
from qtheory.claims.support.reference import LatentModel, Vector, all_tuples, expectation, floats, gradient, probability
from qtheory.claims.support.slope import fitted_slope
from qtheory.exact import moments
from qtheory.models import SigmoidAnswers

MODEL = SigmoidAnswers(2)
THETA = np.array([0.4, -0.3, 1.0, -1.5])
Q = (0.5, 1.0)
FEW = 2
SAMPLES = 500 * 2 ** np.arange(5)
STEP = 1e-3
_OFFSETS, _WEIGHTS = np.array([-2, -1, 1, 2]), np.array([1, -8, 8, -1]) / 12  # central differences of fourth order


def curl_comparisons() -> tuple[Comparison, ...]:
    """The antisymmetric part of the expected update's Jacobian, which is 0 for a gradient and not 0 here."""
    turns = np.stack([curl(q, FEW) for q in Q])
    exact = np.stack([_enumerated_curl(q) for q in Q])
    fading = np.stack([[np.linalg.norm(curl(q, int(size))) for size in SAMPLES] for q in Q])
    return (
        Comparison("curl of the expected update, M = 2, enumeration", turns, exact, 1e-9, "absolute"),
        Comparison("no gradient field: 0.003, |curl|", np.full(2, 0.003), _sizes(turns), 0, "absolute", "<="),
        Comparison("order of the curl in M, -1", fitted_slope(SAMPLES, fading), np.array(-1), 3e-3, "absolute"),
        Comparison("q = 0: curl, 0", curl(0.0, FEW), np.array(0), 1e-10, "absolute"),
    )


def curl(q: float, size: int) -> np.ndarray:
    """(d, d) the antisymmetric part of d E[plug-in]_i / d theta_j, by differences of exact moments."""
    points = THETA + STEP * _OFFSETS[:, None, None] * np.eye(len(THETA))  # (4, d, d)
    fields = np.array([[moments(MODEL.task(at), q, size).mean for at in row] for row in points])  # (4, j, i)
    jacobian = np.einsum("k,kji->ij", _WEIGHTS, fields) / STEP
    return (jacobian - jacobian.T) / 2


def _enumerated_curl(q: float) -> np.ndarray:
    """(d, d) the same from all pools in 100 digits."""

    def mean(at: Vector) -> Vector:
        model = LatentModel(tuple(at[:2]), tuple(at[2:]))
        pools = all_tuples(2, FEW)
        return expectation(
            [model.plug_in(pool, q) for pool in pools], [probability(pool, model.prior) for pool in pools]
        )

    size = len(THETA)
    start = LatentModel(tuple(THETA[:2]), tuple(THETA[2:])).parameters
    jacobian = floats([gradient(lambda at, i=i: mean(at)[i], start) for i in range(size)])
    return (jacobian - jacobian.T) / 2


def _sizes(turns: np.ndarray) -> np.ndarray:
    return np.linalg.norm(turns, axis=(-2, -1))
