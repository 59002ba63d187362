"""The U-series: P^-q as its binomial series in 1 - P, each power of it estimated without bias from the other draws."""

from qtheory._arrays import Array, Namespace
from qtheory.estimators.baseline import known_baseline, with_baseline
from qtheory.estimators.checks import log_weights, q_per_pool
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.garl import Baseline
from qtheory.estimators.pool import mean_power, pool
from qtheory.estimators.spec import Estimator
from qtheory.estimators.symmetric import leave_one_out


def u_series(log_w: Array, q: float | Array, *, baseline: Baseline = "loo") -> Coefficients:
    """Coefficients a_m - wbar_(-m)^(1-q) on rationales, a_m = w_m sum_(k<M) (q)_k/k! E_k(1 - w_(-m)) on answers.

    E_k is the mean product of k different complements 1 - w_n of the other draws, so that its expectation is
    (1 - P)^k: the estimate's mean is grad l_0 times sum_(k<M) (q)_k/k! (1 - P)^k, the series of P^-q cut off, and
    parallel to grad l_q at every M (QC-3). (q)_k = q (q+1) ... (q+k-1). The baseline's conventions are `garl`'s.

    In float64 a coefficient is within 1e-14 of exact, relative to reward term + baseline term, for log_w from 0 to
    -10000 in one pool and M up to 1000: all terms of the sum are non-negative. Time is O(M^2) a pool, in M log2 M
    steps, and memory O(M).

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
    weights = xp.exp(log_w)
    series = _series(xp, q + xp.zeros_like(log_w[..., :1]), log_w.shape[-1])
    answer = weights * leave_one_out(xp, series, -xp.expm1(log_w))
    statistics = pool(xp, log_w)
    # Equal weights leave no rationale's coefficient at q = 0, where the answers' are the weights: to the last bit.
    answer = xp.where(statistics.equal & (q == 0), mean_power(xp, statistics, q), answer)
    return with_baseline(xp, answer, statistics, q, baseline)


def _series(xp: Namespace, q: Array, size: int) -> Array:
    """(q)_k/k! for k < M, (..., M)."""
    terms = [xp.ones_like(q)]
    for k in range(1, size):
        terms.append(terms[-1] * ((q + (k - 1)) / k))
    return xp.concat(terms, axis=-1)


SPEC = Estimator(
    name="u_series",
    function=u_series,
    inputs="log_w",
    target="the direction of J_q exactly at every M (QC-3), its length cut to sum_(k<M) (q)_k/k! (1 - P)^k P^q",
    paper="this project (QC-3)",
    limits=(
        "For uniformly small weights the amplification stays near M^q/Gamma(q+1), far below P^-q. Time grows as M^2."
    ),
)
