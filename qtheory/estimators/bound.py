"""The M-sample bound of the family: the exact gradient of E[log_q wbar], wbar the mean of M weights (QC-14)."""

from qtheory._arrays import Array, Namespace
from qtheory.estimators.checks import log_weights, q_per_pool
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.floor import FLOOR, known_floor, raised
from qtheory.estimators.pool import Pool, mean_power, pool
from qtheory.estimators.spec import Estimator
from qtheory.tsallis import log_q_from_log


def bound(log_w: Array, q: float | Array, *, floor: float = FLOOR) -> Coefficients:
    """Coefficients c_m = M (log_q wbar - log_q wbar_(-m)) on rationales, w_m/wbar^q on answers (QC-14).

    The expectation is the gradient of -E[log_q wbar], exactly at every M: a bound of J_q from above that falls to J_q
    as M grows. q = 0 is `rb_rloo` for M > 1, q = 1 is `jepo`. By the mean value theorem c_m is (w_m - wbar_(-m))/u^q
    with a u between wbar and wbar_(-m), where GARL has w_m/wbar^q - wbar_(-m)/wbar_(-m)^q. With M = 1 nobody is left
    out, and c = log_q w. In a pool of equal weights c is exactly 0.

    At q = 1 the bound is -inf where a pool may hold impossible answers alone, and c is infinite for the one possible
    answer of a pool; so a weight below e^floor counts as e^floor. It is a constant then: its answer's coefficient is 0.
    A pool of impossible answers alone has no coefficient but 0. For q < 1 the formula is finite without a floor, and
    at the default floor the two agree to e^(-10000 (1-q)).

    In float64 c_m is within 1e-14 of exact, relative to (w_m + wbar_(-m))/u^q, and the answer's coefficient relative to
    itself, for log_w from 0 to -10000 in one pool and M up to 100000. Time and memory are O(M) a pool.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        q: In [0, 1]; a number, or an array broadcastable to log_w.shape[:-1] with one q a pool.
        floor: Least log-weight in nats, finite and below 0.

    Returns:
        Coefficients (..., M).

    Raises:
        TypeError: log_w or q of a wrong type, or no float32 or float64; a floor that is no number.
        ValueError: log_w 0-d, with M = 0, positive or NaN; q outside [0, 1] or NaN or of a wrong shape; a floor out of
            range.
    """
    floor = known_floor(floor)
    xp, log_w = log_weights(log_w)
    q = q_per_pool(xp, q, log_w)
    values = raised(xp, log_w, floor)
    statistics = pool(xp, values)
    power = mean_power(xp, statistics, q)
    answer = xp.where(log_w >= floor, statistics.ratio * power, xp.zeros_like(log_w))
    if statistics.log_others is None:
        return Coefficients(log_q_from_log(values, xp.broadcast_to(q, values.shape)), answer)
    gap = (1 - q) * (log_ratio := _others_over_mean(xp, statistics))
    # (e^gap - 1)/(1 - q) without a branch at q = 1.
    nonzero = gap != 0
    slope = xp.where(nonzero, xp.expm1(gap) / xp.where(nonzero, gap, xp.ones_like(gap)), xp.ones_like(gap))
    return Coefficients(-log_w.shape[-1] * power * log_ratio * slope, answer)


def _others_over_mean(xp: Namespace, statistics: Pool) -> Array:
    """log(wbar_(-m)/wbar), (..., M), for possible pools of M > 1."""
    assert statistics.log_others is not None
    size = statistics.ratio.shape[-1]
    # Less than half of the sum is left out, or else the two means are apart and their logarithms' difference is good.
    small = statistics.ratio <= size / 2
    share = xp.where(small, (statistics.ratio - 1) / (size - 1), xp.zeros_like(statistics.ratio))
    others, mean = statistics.log_others, statistics.log_mean
    return xp.where(small, xp.log1p(-share), (others.high - mean.high) + (others.low - mean.low))


SPEC = Estimator(
    name="bound",
    function=bound,
    inputs="log_w",
    target="E[-log_q wbar] of M draws, exactly at every M and q (QC-14); above J_q by O(1/M); J_0 exactly at q = 0",
    paper="this project (QC-14); at q = 1 Tang et al. 2025, arXiv 2503.19618",
    limits=(
        "Near q = 1 the coefficient of one good answer among bad ones grows with the log of their ratio, beyond GARL's "
        "M^q; on weights of 0 or 1 it is M^q/(1-q), and at q = 1 the floor's."
    ),
)
