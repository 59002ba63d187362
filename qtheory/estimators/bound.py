"""The M-sample bound of the family: the exact gradient of E[-log_q wbar], wbar the mean of M weights (QC-14)."""

import math

from qtheory._arrays import Array, Namespace, refuse
from qtheory.estimators.checks import log_weights, q_per_pool
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.pool import Pool, mean_power, pool
from qtheory.estimators.spec import Estimator
from qtheory.tsallis import log_q_from_log


def bound(log_w: Array, q: float | Array) -> Coefficients:
    """Coefficients c_m = M (log_q wbar - log_q wbar_(-m)) on rationales, w_m/wbar^q on answers (QC-14).

    The expectation is the gradient of E[-log_q wbar], exactly at every M: a bound of J_q from above that falls to J_q
    as M grows. q = 0 is `rb_rloo` for M > 1, q = 1 is `jepo`. By the mean value theorem c_m is (w_m - wbar_(-m))/u^q
    with a u between wbar and wbar_(-m), where GARL has w_m/wbar^q - wbar_(-m)/wbar_(-m)^q. With M = 1 nobody is left
    out, and c = log_q w. In a pool of equal weights c is exactly 0, and so it is for q < 1 where all answers are
    impossible.

    In float64 c_m is within 1e-14 of exact, relative to (w_m + wbar_(-m))/u^q, and the answer's coefficient relative to
    itself, for log_w from 0 to -10000 in one pool and M up to 100000. Time and memory are O(M) a pool.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer, but not at q = 1,
            where the bound is infinite if a pool can hold impossible answers alone.
        q: In [0, 1]; a number, or an array broadcastable to log_w.shape[:-1] with one q a pool.

    Returns:
        Coefficients (..., M).

    Raises:
        TypeError: log_w or q of a wrong type, or no float32 or float64.
        ValueError: log_w 0-d, with M = 0, positive or NaN, or -inf at q = 1; q outside [0, 1] or NaN or of a wrong
            shape.
    """
    xp, log_w = log_weights(log_w)
    q = q_per_pool(xp, q, log_w)
    rule = "at q = 1 the bound takes the logarithm of every weight: clip log_w to a finite value, or take q below 1"
    refuse(xp, "log_w", log_w, (log_w == -math.inf) & (q == 1), rule)
    statistics, size = pool(xp, log_w), log_w.shape[-1]
    power = mean_power(xp, statistics, q)
    answer = statistics.ratio * power
    if size == 1:
        return Coefficients(log_q_from_log(log_w, xp.broadcast_to(q, log_w.shape)), answer)
    # log_q wbar - log_q wbar_(-m) = -wbar^(1-q) (x^(1-q) - 1)/(1-q) in x = wbar_(-m)/wbar.
    log_x = _log_others_over_mean(xp, statistics)
    below_one = q < 1
    slope = xp.where(below_one, 1 - q, xp.ones_like(q))
    relative = xp.where(below_one, xp.expm1(slope * log_x) / slope, log_x)
    return Coefficients(-size * power * relative, answer)


def _log_others_over_mean(xp: Namespace, statistics: Pool) -> Array:
    """log(wbar_(-m)/wbar), (..., M), for M > 1; any finite number in a pool of impossible answers."""
    ratio, mean, others = statistics.ratio, statistics.log_mean, statistics.log_others
    assert others is not None
    size = ratio.shape[-1]
    # Where half of the sum or less is left out, the quotient is near 1 and its distance from it is known. Elsewhere the
    # two means are apart, and the difference of their logarithms is good.
    near, nothing = ratio <= size / 2, xp.zeros_like(ratio)
    share = xp.where(near, (ratio - 1) / (size - 1), nothing)
    high = xp.where(near, nothing, others.high) - xp.where(near, nothing, mean.high)
    return xp.where(near, xp.log1p(-share), high + (others.low - mean.low))


SPEC = Estimator(
    name="bound",
    function=bound,
    inputs="log_w",
    target="E[-log_q wbar] of M draws, exactly at every M and q (QC-14); above J_q by O(1/M); J_0 exactly at q = 0",
    paper="this project (QC-14); at q = 1 Tang et al. 2025, arXiv 2503.19618",
    limits=(
        "For weights of 0 or 1 a coefficient is M^q/(1-q) at most, 1/(1-q) times GARL's; near q = 1 that of one good "
        "answer among bad ones grows with the log of their ratio. At q = 1 it needs possible answers."
    ),
)
