"""JEPO: the exact gradient of the M-sample bound of log P, `bound` at q = 1."""

from qtheory._arrays import Array
from qtheory.estimators.bound import bound
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.spec import Estimator


def jepo(log_w: Array) -> Coefficients:
    """`bound` at q = 1 (QC-14): M (log wbar - log wbar_(-m)) on rationales, w_m/wbar on answers.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, finite, at most 0, detached.

    Returns:
        Coefficients (..., M).

    Raises:
        TypeError: As `bound`.
        ValueError: As `bound`.
    """
    return bound(log_w, 1.0)


SPEC = Estimator(
    name="jepo",
    function=jepo,
    inputs="log_w",
    target="E[-log wbar] of M draws, exactly at every M (QC-14); above J_1 by O(1/M)",
    paper="Tang et al. 2025, arXiv 2503.19618; Kwiatkowski et al. 2026, arXiv 2602.03979, eq. 11",
    limits=(
        "M bounds no coefficient: one good answer among bad ones has M times the log of their ratio. Needs possible "
        "answers."
    ),
    fixed_q=1.0,
)
