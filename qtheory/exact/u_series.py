"""The U-series at finite M (QC-3), without a baseline.

The estimate (1/M) sum_m g_m a_m, a_m = sum_(k<M) b_k E_k of the other draws' complements u = 1 - w, b_k = (q)_k/k!, has
the mean G sum_(k<M) b_k (1-P)^k, G = grad l_0: the truncated series of P^-q, whose remainder is P^-q I_(1-P)(M, q),
a regularised incomplete beta function. Two draws' coefficients share the other N = M - 2: with E_k of those,
a_1 = alpha + u_2 beta. Their covariances are those of Hoeffding's decomposition: E_k is the sum over j of
C(k, j) (1-P)^(k-j) H_j, H_j the mean of products of j centred complements, uncorrelated, of variance Var(u)^j/C(N, j).
So Cov(a.E, b.E) = sum_j A_j B_j, A_j = (Var(u)^j/C(N, j))^(1/2) sum_k a_k C(k, j) (1-P)^(k-j), sums of positive terms.
"""

import numpy as np
from scipy.special import betainc, betaincc, gammaln

from qtheory.exact.plugin import PlugIn
from qtheory.models.finite import FiniteTask

LARGEST = 4096
_CHUNK = 1_000_000  # numbers in one temporary array
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
        ValueError: P = 0, or M above 4096.
    """
    if task.log_p == -np.inf:
        raise ValueError("every log_w is -inf: give one a finite value, as P = 0 has no gradient to estimate")
    if size.max(initial=1) > LARGEST:
        raise ValueError(
            f"M is {int(size.max())} with form 'u_series': its variance takes M^2 steps; M may be at most {LARGEST}"
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
        cells = np.flatnonzero(size == m)
        b = np.stack([_series(first, m) for first in q[cells]])
        amplification = b @ absent ** np.arange(m)
        means[cells] = amplification[:, None] * gradient
        left = [_rest(first, m, float(prior @ w), absent) for first in q[cells]]
        biases[cells] = -np.array(left)[:, None] * gradient
        others = np.sum(_components(absent, variance, b) ** 2, -1)
        variances[cells] = (own * amplification**2 + (own + length) * others) / m
        if m > 1:
            share = np.arange(m) / (m - 1)
            alpha, beta = (b * (1 - share))[:, :-1], (b * share)[:, 1:]
            level = beta @ absent ** np.arange(m - 1)
            first, second = np.split(_components(absent, variance, np.concatenate([alpha, beta])), 2)
            pairs = length * np.sum(first**2, -1) + (along @ along) * np.sum(second**2, -1)
            pairs += 2 * (gradient @ along) * np.sum(first * second, -1)
            pairs += 2 * (gradient @ cross) * level * amplification + (cross @ cross) * level**2
            variances[cells] += (1 - 1 / m) * pairs
    return PlugIn(means, biases, variances + np.sum(means**2, -1), variances)


def _series(q: float, size: int) -> np.ndarray:
    """(q)_k/k! for k < M, (M,)."""
    k = np.arange(1, size)
    return np.concatenate([[1.0], np.cumprod((q + k - 1) / k)])


def _rest(q: float, size: int, p: float, absent: float) -> float:
    """sum_(k>=M) (q)_k/k! (1-P)^k."""
    if q == 0:
        return 0.0
    if absent < _HALF:  # the remainder is small: by its first term and a series in 1 - P
        return float(p**-q * betainc(size, q, absent))
    return float(p**-q * betaincc(q, size, p))


def _components(mean: float, variance: float, series: np.ndarray) -> np.ndarray:
    """The A_j, (C, N), j from 1, of sums over k <= N of coefficients (C, N + 1) times E_k of N draws.

    The mean and the variance are those of the draws' complements.
    """
    draws = series.shape[1] - 1
    if mean == 0 or variance == 0 or draws == 0:
        return np.zeros((len(series), draws))
    log_mean, log_factorial = np.log(mean), gammaln(np.arange(draws + 1) + 1.0)
    k, components = np.arange(draws + 1), np.zeros((len(series), draws))
    rows = max(1, _CHUNK // (draws + 1))
    for start in range(1, draws + 1, rows):
        j = np.arange(start, min(start + rows, draws + 1))[:, None]
        # Half the log of Var(u)^j/C(N, j), with the factorials of j that C(k, j) contributes.
        log_size = (j * np.log(variance) - log_factorial[draws] - log_factorial[j] + log_factorial[draws - j]) / 2
        away = np.maximum(k - j, 0)
        log_term = log_size + log_factorial[k] - log_factorial[away] + away * log_mean
        components[:, j[:, 0] - 1] = series @ np.where(k >= j, np.exp(np.where(k >= j, log_term, -np.inf)), 0.0).T
    return components
