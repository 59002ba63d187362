"""The delta-corrected plug-in: GARL's plug-in less an estimate of its leading bias (Thm 6.1)."""

from qtheory._arrays import Array
from qtheory.estimators.baseline import known_baseline, with_baseline
from qtheory.estimators.checks import log_weights, q_per_pool
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.garl import Baseline
from qtheory.estimators.pool import mean_power, pool
from qtheory.estimators.spec import Estimator


def delta(log_w: Array, q: float | Array, *, baseline: Baseline = "loo") -> Coefficients:
    """Coefficients a_m - wbar_(-m)^(1-q) on rationales and a_m on answers, with the bias of Thm 6.1 estimated.

    a_m = (w_m/wbar^q) [1 - (q/M) ((q+1)/2 v/wbar^2 - M/(M-1) (w_m - wbar)/wbar)], v the pool's unbiased variance of w:
    the theorem's q/(M P^(q+1)) [(q+1)/2 Var(w) grad l_1 - Cov(g, w)] with the pool's own moments. With M = 1 there is
    no variance to estimate, and it is the plug-in. Conventions for impossible pools and the baseline are `garl`'s. a_m
    may be negative.

    In float64 a coefficient is within 1e-14 of exact, relative to the sizes of the bracket's three terms times
    w_m/wbar^q + baseline term, for log_w from 0 to -10000 in one pool. Time and memory are O(M) a pool.

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
    excess = statistics.ratio - 1  # (w_m - wbar)/wbar
    variance = xp.sum(excess**2, axis=-1, keepdims=True) / (size - 1)
    answer = plug_in * (1 - q * ((q + 1) / 2 * variance / size - excess / (size - 1)))
    return with_baseline(xp, answer, statistics, q, baseline)


SPEC = Estimator(
    name="delta",
    function=delta,
    inputs="log_w",
    target="J_q with a bias of O(1/M^2) (QC-2); J_0 exactly at q = 0",
    paper="this project (QC-2), from Thm 6.1",
    limits=(
        "Where pools hold less than one success on average the bias stays and the variance grows, by "
        "(1+q(1-q)/2)^2 for weights of 0 or 1."
    ),
)
