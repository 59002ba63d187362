"""The U-series at finite M (QC-3), without a baseline.

The estimate (1/M) sum_m g_m a_m, a_m = sum_(k<M) b_k E_k of the other draws' complements u = 1 - w, b_k = (q)_k/k!, has
the mean G sum_(k<M) b_k (1-P)^k, G = grad l_0: the series of P^-q cut off, whose rest is P^-q I_(1-P)(M, q), a
regularised incomplete beta function. Two draws' coefficients share the other N = M - 2: with E_k of those,
a_1 = alpha + u_2 beta. As E[E_k E_l] = (1-P)^(k+l) sum_j p_j (E[u^2]/(1-P)^2)^j, p_j the hypergeometric chance that k
and l draws of N share j, covariances are sums of positive terms.
"""

import numpy as np
from scipy.special import betainc, betaincc, gammaln

from qtheory.exact.plugin import PlugIn
from qtheory.tasks.finite import FiniteTask

LARGEST = 256
_HALF = 0.5


def u_series_moments(task: FiniteTask, q: np.ndarray, size: np.ndarray) -> PlugIn:
    """All moments.

    Args:
        task: The task.
        q: (C,) in [0, 1].
        size: (C,) M.

    Returns:
        Moments of the C cells, in natural units.

    Raises:
        ValueError: P = 0, or M above 256.
    """
    if task.log_p == -np.inf:
        raise ValueError("every log_w is -inf: give one a finite value, as P = 0 has no gradient to estimate")
    if size.max(initial=1) > LARGEST:
        raise ValueError(
            f"M is {int(size.max())} with form 'u_series': its variance takes M^3 steps; M may be at most {LARGEST}"
        )
    prior = np.exp(task.log_prior)
    prior = prior / prior.sum()
    w, miss = np.exp(task.log_w), -np.expm1(task.log_w)
    g = np.where(w[:, None] > 0, -w[:, None] * (task.prior_score + task.answer_score), 0.0)
    gradient, absent = prior @ g, float(prior @ miss)
    spread = g - gradient
    variance = float(prior @ (miss - absent) ** 2)
    cross, own = (prior * (miss - absent)) @ spread, float(prior @ np.sum(spread**2, -1))
    length = gradient @ gradient
    along = gradient * absent + cross  # E[g u]

    means, biases, variances = np.zeros((len(q), len(gradient))), np.zeros((len(q), len(gradient))), np.zeros(len(q))
    for m in np.unique(size.astype(int)):
        others, rest = _covariances(absent, variance, m - 1), _covariances(absent, variance, max(m - 2, 0))
        for cell in np.flatnonzero(size == m):
            b = _series(q[cell], m)
            amplification = b @ absent ** np.arange(m)
            means[cell] = gradient * amplification
            biases[cell] = -gradient * _rest(q[cell], m, float(prior @ w), absent)
            variances[cell] = (own * amplification**2 + (own + length) * (b @ others @ b)) / m
            if m > 1:
                share = np.arange(m) / (m - 1)
                alpha, beta = (b * (1 - share))[:-1], (b * share)[1:]
                level = beta @ absent ** np.arange(m - 1)
                pairs = length * (alpha @ rest @ alpha) + (along @ along) * (beta @ rest @ beta)
                pairs += 2 * (gradient @ along) * (alpha @ rest @ beta)
                pairs += 2 * (gradient @ cross) * level * amplification + (cross @ cross) * level**2
                variances[cell] += (1 - 1 / m) * pairs
    return PlugIn(means, biases, variances + np.sum(means**2, -1), variances)


def _series(q: float, size: int) -> np.ndarray:
    """(q)_k/k! for k < M, (M,)."""
    k = np.arange(1, size)
    return np.concatenate([[1.0], np.cumprod((q + k - 1) / k)])


def _rest(q: float, size: int, p: float, absent: float) -> float:
    """sum_(k>=M) (q)_k/k! (1-P)^k."""
    if q == 0:
        return 0.0
    if absent < _HALF:  # all terms count little: the first, and a series in 1 - P
        return float(p**-q * betainc(size, q, absent))
    return float(p**-q * betaincc(q, size, p))


def _covariances(mean: float, variance: float, draws: int) -> np.ndarray:
    """Cov(E_k, E_l) over N draws, (N + 1, N + 1), from the mean 1 - P and the variance of u."""
    total = np.zeros((draws + 1, draws + 1))
    if mean == 0 or variance == 0:
        return total
    log_ratio, log_mean = np.log1p(variance / mean**2), np.log(mean)
    log_factorial = gammaln(np.arange(draws + 1) + 1.0)
    left, right = np.ogrid[: draws + 1, : draws + 1]
    # C(k, j) C(N-k, l-j)/C(N, l) is a product of this and of three factorials that depend on j.
    orders = log_factorial[:, None] + log_factorial + log_factorial[::-1, None] + log_factorial[::-1]
    orders = orders - log_factorial[-1] + (left + right) * log_mean
    for shared in range(1, draws + 1):
        here, there = left[shared:], right[:, shared:]
        fits = here + there - shared <= draws
        away = np.where(fits, draws - here - there + shared, 0)
        log_chance = orders[shared:, shared:] - log_factorial[shared] - log_factorial[away]
        log_chance = log_chance - log_factorial[here - shared] - log_factorial[there - shared]
        # Log of (E[u^2]/E[u]^2)^j - 1, which may be no float.
        gain = shared * log_ratio + np.log(-np.expm1(-shared * log_ratio))
        total[shared:, shared:] += np.where(fits, np.exp(np.where(fits, log_chance + gain, -np.inf)), 0.0)
    return total
