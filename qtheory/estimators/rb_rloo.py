"""RB-RLOO: Rao-Blackwellised REINFORCE with a leave-one-out baseline, GARL at q = 0 (VeriFree)."""

from qtheory._arrays import Array
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.garl import Baseline, garl
from qtheory.estimators.spec import Estimator


def rb_rloo(log_w: Array, *, baseline: Baseline = "loo") -> Coefficients:
    """`garl` at q = 0 (Prop D.2): w_m - wbar_(-m) on rationales, w_m on answers.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        baseline: "loo" or "none".

    Returns:
        Coefficients (..., M).

    Raises:
        TypeError: As `garl`.
        ValueError: As `garl`.
    """
    return garl(log_w, 0.0, baseline=baseline)


SPEC = Estimator(
    name="rb_rloo",
    function=rb_rloo,
    inputs="log_w",
    target="J_0, exactly at every M",
    paper="Prop D.2; VeriFree, Zhou et al. 2026",
    limits="No amplification: from a success probability P the escape takes time of order 1/P (Thm 5.1).",
    fixed_q=0.0,
)
