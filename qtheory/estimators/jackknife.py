"""The jackknifed plug-in: GARL's plug-in with the 1/M term of its bias taken off by leaving draws out."""

import math

from qtheory._arrays import Array, device
from qtheory.estimators.baseline import known_baseline, with_baseline
from qtheory.estimators.checks import log_weights, q_per_pool
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.garl import Baseline
from qtheory.estimators.pool import mean_power, pool
from qtheory.estimators.spec import Estimator


def jackknife(log_w: Array, q: float | Array, *, baseline: Baseline = "loo") -> Coefficients:
    """Coefficients a_m - wbar_(-m)^(1-q) on rationales, a_m = w_m [M/wbar^q - sum_(n != m) wbar_(-n)^-q] on answers.

    That is M T - (M-1) mean_n T_(-n) with the plug-in T = gbar/wbar^q of the pool and T_(-n) of the pool without
    draw n (Quenouille 1956). With M = 1 nobody can be left out, and it is the plug-in. Conventions for impossible
    pools and the baseline are `garl`'s. a_m may be negative.

    In float64 a coefficient is within 1e-14 of exact, relative to (w_m/wbar^q) (1 + sum_(n != m) |(wbar/wbar_(-n))^q
    - 1|) + baseline term, for log_w from 0 to -10000 in one pool. Time and memory are O(M) a pool.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        q: In [0, 1]; a number, or an array broadcastable to log_w.shape[:-1] with one q a pool.
        baseline: "loo", the leave-one-out mean's power, or "none".

    Returns:
        Coefficients (..., M).

    Raises:
        TypeError: log_w or q of a wrong type, or no float32 or float64.
        ValueError: log_w 0-d, with M = 0, positive or NaN; q outside [0, 1] or NaN or of a wrong shape; an
            unknown baseline.
    """
    known_baseline(baseline)
    xp, log_w = log_weights(log_w)
    q = q_per_pool(xp, q, log_w)
    statistics = pool(xp, log_w)
    plug_in = statistics.ratio * mean_power(xp, statistics, q)
    size = log_w.shape[-1]
    if size == 1:
        return with_baseline(xp, plug_in, statistics, q, baseline)
    is_top = xp.arange(size, device=device(log_w)) == xp.argmax(log_w, axis=-1, keepdims=True)

    # (wbar/wbar_(-n))^q - 1 of all n but the largest weight, whose share of the pool is at most a half.
    share = xp.where(is_top, xp.ones_like(log_w), statistics.ratio)
    gain = xp.expm1(-q * xp.log1p((1 - share) / (size - 1)))
    corrected = plug_in * (1 - (xp.sum(gain, axis=-1, keepdims=True) - gain))

    # Without the largest the mean may be e^10000 times smaller: w_m/wbar_(-top)^q is the plug-in of that pool.
    rest = pool(xp, xp.where(is_top, xp.full_like(log_w, -math.inf), log_w))
    without_top = rest.ratio * mean_power(xp, rest, q) * xp.exp(q * math.log1p(-1 / size))
    answer = xp.where(is_top, corrected, corrected + (plug_in - without_top))
    answer = xp.where(statistics.equal, plug_in, answer)  # where nothing is to be corrected, to the last bit
    return with_baseline(xp, answer, statistics, q, baseline)


SPEC = Estimator(
    name="jackknife",
    function=jackknife,
    inputs="log_w",
    target="J_q with a bias of O(1/M^2) (QC-2); J_0 exactly at q = 0",
    paper="this project (QC-2), from Thm 6.1; Quenouille 1956",
    limits=(
        "Where pools hold less than one success on average the bias stays and the variance grows, by (1+q)^2 for "
        "weights of 0 or 1."
    ),
)
