"""Slow references in mpmath, written from the definitions; nothing of the code under test is imported here.

Arguments are floats, taken as the exact numbers that they are; values are mpf at DIGITS digits.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from mpmath import binomial, exp, factorial, fprod, inf, isinf, log, mp, mpf, rf, sqrt

DIGITS = 100
mp.dps = DIGITS

Numbers = Sequence[float]
Real = Any  # an mpf; mpmath makes that class at run time, out of a type checker's sight


def log_q(p: Real, q: float) -> Real:
    """(p^(1-q) - 1)/(1-q)."""
    if q == 1:
        return log(p) if p > 0 else -inf
    return (power(p, 1 - mpf(q)) - 1) / (1 - mpf(q))


def log_exp_q(x: float, q: float) -> Real:
    """Log of [1 + (1-q) x]^(1/(1-q)), cut off at 0."""
    if q == 1:
        return mpf(x)
    base = 1 + (1 - mpf(q)) * mpf(x)
    return log(base) / (1 - mpf(q)) if base > 0 else -inf


def escort(a: Numbers, q: float) -> list[Real]:
    """a_j^(1/q) / sum, uniform over the modes at q = 0."""
    raised = [power(mpf(a_j) / mpf(max(a)), 1 / mpf(q)) if q else mpf(a_j == max(a)) for a_j in a]
    return [r / sum(raised) for r in raised]


def power(base: Real, exponent: Real) -> Real:
    """base^exponent for base >= 0, with 0^0 = 1."""
    if base == 0:
        return mpf(exponent == 0)
    return base**exponent


def weight(log_weight: float) -> Real:
    """e^log_weight, 0 for -inf."""
    return mpf(0) if isinf(mpf(log_weight)) else exp(mpf(log_weight))


def garl_terms(
    log_w: Numbers, q: float, alpha: float = 1.0, log_ratio: Numbers | None = None
) -> tuple[list[Real], list[Real]]:
    """Reward terms v_m/vbar^q (0 in a pool of zeros) and baseline terms r_m vbar_(-m)^(1-q) (0 in a pool of one).

    v = r w^alpha, with r the ratio of the model's probability to that of the distribution that was drawn from.
    """
    r = [weight(x) for x in log_ratio] if log_ratio else [mpf(1)] * len(log_w)
    w = [r_m * power(weight(x), mpf(alpha)) for x, r_m in zip(log_w, r, strict=True)]
    size, mean = len(w), sum(w) / len(w)
    reward = [w_m / power(mean, mpf(q)) if mean else mpf(0) for w_m in w]
    others = [sum(w[:m] + w[m + 1 :]) / (size - 1) for m in range(size)] if size > 1 else []
    return reward, [r_m * power(o, 1 - mpf(q)) for o, r_m in zip(others, r, strict=False)] or [mpf(0)]


def weighted_baseline(log_w: Numbers, norms: Numbers, q: float) -> list[Real]:
    """wbar_(-m)^-q times the others' mean weight in proportion to their norms (0 in a pool of one)."""
    w, weights = [weight(x) for x in log_w], [mpf(x) for x in norms]
    values = []
    for m in range(len(w)):
        others = [n for n in range(len(w)) if n != m]
        plain = sum(w[n] for n in others) / max(len(others), 1)
        mean = sum(weights[n] * w[n] for n in others) / (sum(weights[n] for n in others) or 1)
        # 0^0 = 1, as in GARL's baseline.
        values.append(power(plain, mpf(-q)) * mean if plain else power(plain, 1 - mpf(q)))
    return values if len(w) > 1 else [mpf(0)]


def jackknife(log_w: Numbers, q: float) -> tuple[list[Real], list[Real]]:
    """The factors a_m of g_m/M in M T - (M-1) mean_n T_(-n), T = gbar/wbar^q, and the sizes of their terms."""
    w = [weight(x) for x in log_w]
    size = len(w)
    whole = power(sum(w) / size, mpf(-q)) if any(w) else mpf(0)
    if size == 1:
        return [w[0] * whole], [w[0] * whole]
    means = [sum(w[:n] + w[n + 1 :]) / (size - 1) for n in range(size)]
    without = [power(mean, mpf(-q)) if mean else mpf(0) for mean in means]  # T_(-n) = 0 where all g_m are
    values = [w[m] * (size * whole - sum(without[:m] + without[m + 1 :])) for m in range(size)]
    gaps = [abs(other - whole) for other in without]
    return values, [w[m] * (whole + sum(gaps[:m] + gaps[m + 1 :])) for m in range(size)]


def delta(log_w: Numbers, q: float) -> tuple[list[Real], list[Real]]:
    """The factors a_m of g_m/M in gbar/wbar^q less Thm 6.1's bias with sample moments, and the sizes of their terms."""
    w = [weight(x) for x in log_w]
    size, mean, order = len(w), sum(w) / len(w), mpf(q)
    plain = [w_m / power(mean, order) if mean else mpf(0) for w_m in w]
    if size == 1 or not mean:
        return plain, plain
    variance = sum((w_m - mean) ** 2 for w_m in w) / (size - 1)
    # Cov(g, w) is estimated by sum_m g_m (w_m - wbar)/(M-1), grad l_1 by gbar/wbar.
    scale = order / (size * power(mean, order + 1))
    first = scale * (order + 1) / 2 * variance / mean
    second = [scale * size * (w_m - mean) / (size - 1) for w_m in w]
    values = [p - w_m * (first - b) for p, w_m, b in zip(plain, w, second, strict=True)]
    return values, [p + w_m * (first + abs(b)) for p, w_m, b in zip(plain, w, second, strict=True)]


def u_series(log_w: Numbers, q: float) -> tuple[list[Real], list[Real]]:
    """w_m sum_k (q)_k/k! times the mean product over all k-subsets of the others' 1 - w; all terms are positive."""
    w = [weight(x) for x in log_w]

    def series(others: list[Real]) -> Real:
        subsets = [[fprod(1 - v for v in s) for s in combinations(others, k)] for k in range(len(others) + 1)]
        return sum(rf(mpf(q), k) / factorial(k) * sum(s) / len(s) for k, s in enumerate(subsets))

    values = [w[m] * series(w[:m] + w[m + 1 :]) for m in range(len(w))]
    return values, values


def bound(log_w: Numbers, q: float) -> tuple[list[Real], list[Real], list[Real]]:
    """M (log_q wbar - log_q wbar_(-m)), the sizes (w_m + wbar_(-m))/u^q, and w_m/wbar^q.

    u is where the mean value theorem has the slope of log_q between the two means.
    """
    w = [weight(x) for x in log_w]
    size, mean = len(w), sum(w) / len(w)
    answer = garl_terms(log_w, q)[0]
    if size == 1:
        return [log_q(w[0], q)], [abs(log_q(w[0], q))], answer
    rationale, scale = [], []
    for m in range(size):
        others = sum(w[:m] + w[m + 1 :]) / (size - 1)
        # Not the difference of two log_q, in which powers below 1e-100 are lost beside the 1.
        rise = log_q(mean, q) - log_q(others, q) if q == 1 else _difference(mean, others, q)
        gap = (w[m] - others) / size
        rationale.append(size * rise)
        slope = rise / gap if gap else power(mean, mpf(-q)) if mean else mpf(0)
        scale.append((w[m] + others) * slope)
    return rationale, scale, answer


def _difference(a: Real, b: Real, q: float) -> Real:
    return (power(a, 1 - mpf(q)) - power(b, 1 - mpf(q))) / (1 - mpf(q))


def alone(log_w: Numbers, k: int) -> list[Real]:
    """The product of k, w_m and the mean product over all (k-1)-subsets of the others' 1 - w."""
    w, values = [weight(x) for x in log_w], []
    for m in range(len(w)):
        subsets = list(combinations(w[:m] + w[m + 1 :], k - 1))
        values.append(k * w[m] * sum(fprod(1 - v for v in s) for s in subsets) / len(subsets))
    return values


def best_of_sets(reward: Numbers, k: int) -> list[Real]:
    """M times the mean over all sets of k of what a set's best reward loses without m (0 where m is not in it)."""
    size, sets = len(reward), list(combinations(range(len(reward)), k))
    best = {s: max((reward[i] for i in s), default=0) for j in (k, k - 1) for s in combinations(range(size), j)}
    lost = [sum(best[s] - best[tuple(i for i in s if i != m)] for s in sets if m in s) for m in range(size)]
    return [size * mpf(x) / len(sets) for x in lost]


def draw(log_w: Numbers, uniforms: Numbers) -> list[int]:
    """Counts of inverse-CDF draws: u picks the first m with w_0 + ... + w_m > u sum w."""
    w = [weight(x) for x in log_w]
    counts = [0] * len(w)
    for u in uniforms if sum(w) else []:
        counts[next(m for m in range(len(w)) if sum(w[: m + 1]) > mpf(u) * sum(w))] += 1
    return counts


def paft(log_w: Numbers, q: float, counts: Numbers) -> list[Real]:
    """wbar^(1-q) n_m M/K; zeros for a pool of zeros."""
    w = [weight(x) for x in log_w]
    if not sum(w):
        return [mpf(0) for _ in w]
    scale = power(sum(w) / len(w), 1 - mpf(q)) * len(w) / sum(mpf(n) for n in counts)
    return [scale * mpf(n) for n in counts]


def standardised(reward: Numbers) -> list[Real]:
    """(r - mean) / population std, 0 where all are equal."""
    spread = sqrt(sum(a**2 for a in centred(reward)) / len(reward))
    return [a / spread if spread else mpf(0) for a in centred(reward)]


def centred(reward: Numbers) -> list[Real]:
    """R - mean."""
    mean = sum(mpf(r) for r in reward) / len(reward)
    return [mpf(r) - mean for r in reward]


def less_the_others(reward: Numbers) -> list[Real]:
    """r_m - mean of the others; r itself where there are none."""
    r = [mpf(x) for x in reward]
    if len(r) == 1:
        return r
    return [r_m - (sum(r) - r_m) / (len(r) - 1) for r_m in r]


def relative_to_mean(reward: Numbers) -> list[Real]:
    """(r - mean) / mean, 0 where the mean is."""
    mean = sum(mpf(r) for r in reward) / len(reward)
    return [(mpf(r) - mean) / mean if mean else mpf(0) for r in reward]


def binomial_pmf(successes: int, trials: int, p: float) -> Real:
    """Probability of so many successes."""
    return binomial(trials, successes) * power(mpf(p), mpf(successes)) * power(1 - mpf(p), mpf(trials - successes))
