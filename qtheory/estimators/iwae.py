"""IWAE: the importance-weighted gradient with the prior as proposal, GARL at q = 1."""

from qtheory._arrays import Array
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.garl import Baseline, garl
from qtheory.estimators.spec import Estimator


def iwae(log_w: Array, *, baseline: Baseline = "loo") -> Coefficients:
    """`garl` at q = 1 (Prop D.2): w_m/wbar - 1 on rationales, w_m/wbar on answers.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        baseline: "loo" or "none".

    Returns:
        Coefficients (..., M).

    Raises:
        TypeError: As `garl`.
        ValueError: As `garl`.
    """
    return garl(log_w, 1.0, baseline=baseline)


SPEC = Estimator(
    name="iwae",
    function=iwae,
    inputs="log_w",
    target="J_1 with a bias of O(1/M)",
    paper="Prop D.2; Burda et al. 2015",
    limits="Fits label noise: at flip rate e the flow settles at contamination e (Prop C.2).",
    fixed_q=1.0,
)
