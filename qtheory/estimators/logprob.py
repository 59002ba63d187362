"""The log-probability of the gold answer as the reward of its rationale: the M-sample bound of log P at M = 1."""

import math

from qtheory._arrays import Array, refuse
from qtheory.estimators.centring import centred
from qtheory.estimators.checks import log_weights
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.spec import Estimator


def logprob(log_w: Array) -> Coefficients:
    """Coefficients log w_m - mean of the other log w_n on rationales, 1 on answers (Kwiatkowski et al. 2026, eq. 4, 9).

    The expectation is the gradient of E[-log w], exactly at every M: by Jensen's inequality a bound of J_1 from above,
    which more samples do not tighten. With M = 1 there are no others, and c = log w.

    In float64 a rationale's coefficient is within 1e-14 of exact, relative to the pool's largest log w less its least.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, finite, at most 0, detached.

    Returns:
        Coefficients (..., M); for M > 1 the rationales' sum to 0, and are exactly 0 in a pool of equal weights.

    Raises:
        TypeError: log_w is no float32 or float64 array.
        ValueError: log_w 0-d, with M = 0, positive, NaN or -inf.
    """
    xp, log_w = log_weights(log_w)
    rule = "the reward is the logarithm of a weight: clip log_w to a finite value"
    refuse(xp, "log_w", log_w, log_w == -math.inf, rule)
    size, answer = log_w.shape[-1], xp.ones_like(log_w)
    if size == 1:
        return Coefficients(xp.asarray(log_w, copy=True), answer)
    # Less the largest, so that what all have in common is not rounded.
    below = log_w - xp.max(log_w, axis=-1, keepdims=True)
    return Coefficients(centred(xp, below) * (size / (size - 1)), answer)


SPEC = Estimator(
    name="logprob",
    function=logprob,
    inputs="log_w",
    target="E[-log w], exactly at every M: above J_1 by a gap that does not fall with M",
    paper="Kwiatkowski et al. 2026, arXiv 2602.03979, eq. 4 and 9",
    limits=(
        "Trains the answer after bad rationales as much as after good ones, and one rationale that fails badly weighs "
        "more than many that succeed. Needs possible answers."
    ),
    fixed_q=1.0,
)
