"""PKPO on likelihoods: the gradient of pass@k with the answers' sampling averaged out."""

from qtheory._arrays import Array
from qtheory.estimators.checks import log_weights, set_size
from qtheory.estimators.coefficients import Coefficients, shared
from qtheory.estimators.spec import Estimator
from qtheory.estimators.symmetric import leave_one_out


def rb_pkpo(log_w: Array, k: int) -> Coefficients:
    """Coefficients k w_m E_(k-1)(1 - w_(-m)) on rationales and answers: `pkpo` averaged over sampled answers.

    E_(k-1) is the mean product of k - 1 different complements 1 - w_n of the other draws: the chance that k - 1 of them
    all answer wrongly. That is the term k - 1 of `u_series` with another factor. An impossible answer has coefficient
    0, and k = 1 is `rb_rloo` without baseline.

    In float64 a coefficient is within 1e-14 of exact, relative to itself, for log_w from 0 to -10000 in one pool and
    M up to 1000: all terms are non-negative. Time is O(M^2) a pool, in M log2 M steps, and memory O(M).

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        k: The size of the sets, from 1 to M.

    Returns:
        Coefficients (..., M), rationale and answer equal, from 0 to k.

    Raises:
        TypeError: log_w is no float32 or float64 array, or k no integer.
        ValueError: log_w 0-d, with M = 0, positive or NaN; k < 1 or k > M.
    """
    xp, log_w = log_weights(log_w)
    k = set_size(k, log_w.shape[-1])
    series = xp.zeros_like(log_w)
    series[..., k - 1] = k
    return shared(xp, xp.exp(log_w) * leave_one_out(xp, series, -xp.expm1(log_w)))


SPEC = Estimator(
    name="rb_pkpo",
    function=rb_pkpo,
    inputs="log_w",
    target="1 - pass@k = (1-P)^k, exactly at every M >= k",
    paper="Walder & Karkhanis 2025, arXiv 2505.15201, with likelihoods for rewards",
    limits="No baseline beyond that of the sets; amplifies J_0 by k (1-P)^(k-1), k at most. Time grows as M^2.",
    least_m="k",
)
