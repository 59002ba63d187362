"""TRICE: fine-tuning on rationales resampled from the posterior, PAFT at q = 1 (the E-step of EM)."""

import numpy as np

from qtheory._arrays import Array
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.paft import paft
from qtheory.estimators.spec import Estimator


def trice(log_w: Array, *, k: int | None = None, rng: np.random.Generator) -> Coefficients:
    """`paft` at q = 1 (Prop D.2): n_m M/K on rationales and answers.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        k: The number K of draws, None for M.
        rng: Source of the draws.

    Returns:
        Coefficients (..., M), rationale and answer equal.

    Raises:
        TypeError: As `paft`.
        ValueError: As `paft`.
    """
    return paft(log_w, 1.0, k=k, rng=rng)


SPEC = Estimator(
    name="trice",
    function=trice,
    inputs="log_w",
    target="J_1 with a bias of O(1/M)",
    paper="Prop D.2; Phan et al. 2023",
    limits="A fresh pool stands in for the original's Markov chain over rationales; no control variate.",
    fixed_q=1.0,
)
