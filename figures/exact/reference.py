"""Compute slow moments of the estimators from their definitions: enumeration and mpmath's quadrature, 50 digits.

It imports nothing from qtheory.exact.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import MPContext

from qtheory.models import FiniteTask

Real = Any  # an mpf of REALS; mpmath creates the class at run time, where a type checker cannot see it
Counts = tuple[int, ...]

REALS = MPContext()
REALS.dps = 50


@dataclass(frozen=True)
class Reference:
    """A mean (d,), a bias (d,), a second moment and a variance, as floats."""

    mean: np.ndarray
    bias: np.ndarray
    second_moment: float
    variance: float


class SlowTask:
    """A finite task in mpf, its prior normalised, its prior scores of mean 0."""

    def __init__(self, task: FiniteTask) -> None:
        prior = [REALS.exp(REALS.mpf(x)) for x in task.log_prior]
        self.prior = [p / sum(prior) for p in prior]
        self.w = [REALS.exp(REALS.mpf(x)) if x > -np.inf else REALS.zero for x in task.log_w]
        h, a = (np.vectorize(REALS.mpf, otypes=[object])(s) for s in (task.prior_score, task.answer_score))
        self.h = h - np.array(self.prior) @ h
        self.a = a
        self.f = self.h + a
        self.p = sum(p * w for p, w in zip(self.prior, self.w, strict=True))
        self.drift = np.array([p * w for p, w in zip(self.prior, self.w, strict=True)]) @ self.f

    def target(self, q: float) -> np.ndarray:
        """(d,) grad l_q."""
        return -self.drift * self.p ** -REALS.mpf(q)


def power(base: Real, exponent: Real) -> Real:
    """base^exponent for base >= 0, with 0^0 = 1."""
    return base**exponent if base else REALS.mpf(exponent == 0)


def pools(task: SlowTask, size: int, most: int | None = None) -> Iterator[tuple[Counts, Real]]:
    """All pools as counts of each rationale, with their probabilities.

    With `most`, for two rationales only: pools that hold the first rationale at most `most` times.
    """
    rationales = len(task.prior)
    if most is not None:
        counts = ((k, size - k) for k in range(min(most, size) + 1))
    else:
        bars = itertools.combinations(range(size + rationales - 1), rationales - 1)
        counts = (tuple(np.diff((-1, *b, size + rationales - 1)) - 1) for b in bars)
    for count in counts:
        probability, left = REALS.one, size
        for n, p in zip(count, task.prior, strict=True):
            probability *= REALS.binomial(left, int(n)) * p ** int(n)
            left -= int(n)
        yield tuple(int(n) for n in count), probability


def plug_in(task: SlowTask, count: Counts, q: Real) -> np.ndarray:
    """(d,) gbar/wbar^q of a pool, 0 if every answer is impossible."""
    size = sum(count)
    weights = [n * w for n, w in zip(count, task.w, strict=True)]
    mean = sum(weights) / size
    return -(np.array(weights) @ task.f) / (size * mean**q) if mean else 0 * task.drift


def rloo(task: SlowTask, count: Counts, q: Real) -> np.ndarray:
    """(d,) plug-in plus the mean of h_m times the others' mean weight to the power 1 - q."""
    estimate, size = plug_in(task, count, q), sum(count)
    for z, n in enumerate(count):
        if n and size > 1:
            others = sum((k - (z == j)) * task.w[j] for j, k in enumerate(count) if k - (z == j))
            estimate = estimate + n * task.h[z] * power(others / (size - 1), 1 - q) / size
    return estimate


def jackknife(task: SlowTask, count: Counts, q: Real) -> np.ndarray:
    """(d,) sum of g_m [wbar^-q - (1/M) sum over the others n of wbar_(-n)^-q]; the plug-in of a single draw."""
    size = sum(count)
    if size == 1:
        return plug_in(task, count, q)
    without = {z: _inverse_power(task, _left_out(count, z), q) for z, n in enumerate(count) if n}
    whole, estimate = _inverse_power(task, count, q), 0 * task.drift
    for z in without:
        others = sum((count[j] - (j == z)) * without[j] for j in without if count[j] > (j == z))
        estimate = estimate - count[z] * task.w[z] * task.f[z] * (whole - others / size)
    return estimate


def delta(task: SlowTask, count: Counts, q: Real) -> np.ndarray:
    """(d,) plug-in less the pool's own estimate of its bias at order 1/M; the plug-in of a single draw."""
    size, estimate = sum(count), plug_in(task, count, q)
    mean = sum(n * w for n, w in zip(count, task.w, strict=True)) / size
    if size == 1 or not mean:
        return estimate
    variance = sum(n * (w - mean) ** 2 for n, w in zip(count, task.w, strict=True)) / (size - 1)
    g = [-w * f for w, f in zip(task.w, task.f, strict=True)]
    average = sum(n * row for n, row in zip(count, g, strict=True)) / size
    covariance = 0 * task.drift
    for n, w, row in zip(count, task.w, g, strict=True):
        covariance = covariance + n * (w - mean) * (row - average) / (size - 1)
    bias = (q + 1) / 2 * variance * average / mean - covariance
    return estimate - q / (size * mean ** (q + 1)) * bias


def u_series(task: SlowTask, count: Counts, q: Real) -> np.ndarray:
    """(d,) (1/M) sum of g_m sum_(k<M) (q)_k/k! e_k/C(M-1, k), e_k the elementary symmetric sum of the others' 1 - w."""
    size, estimate = sum(count), 0 * task.drift
    series = [REALS.rf(q, k) / REALS.factorial(k) / REALS.binomial(size - 1, k) for k in range(size)]
    for z, n in enumerate(count):
        if n:
            symmetric = [REALS.one]
            for k, w in zip(_left_out(count, z), task.w, strict=True):
                for _ in range(k):
                    shifted = [0, *(e * (1 - w) for e in symmetric)]
                    symmetric = [a + b for a, b in zip([*symmetric, 0], shifted, strict=True)]
            amplification = sum(b * e for b, e in zip(series, symmetric, strict=True))
            estimate = estimate - n * task.w[z] * task.f[z] * amplification / size
    return estimate


def _left_out(count: Counts, z: int) -> Counts:
    return tuple(n - (j == z) for j, n in enumerate(count))


def _inverse_power(task: SlowTask, count: Counts, q: Real) -> Real:
    """wbar^-q, 0 if every answer is impossible, as for the estimate."""
    mean = sum(n * w for n, w in zip(count, task.w, strict=True)) / sum(count)
    return mean**-q if mean else REALS.zero


def enumerate_moments(
    task: SlowTask,
    q: float,
    size: int,
    estimate: Callable[[SlowTask, Counts, Real], np.ndarray] = plug_in,
    draws: int | None = None,
    most: int | None = None,
) -> Reference:
    """Moments over all pools; with `draws`, moments of PAFT, which resamples that many rationales from each pool."""
    order = REALS.mpf(q)
    mean, second = 0 * task.drift, REALS.zero
    for count, probability in pools(task, size, most):
        value = estimate(task, count, order)
        mean = mean + probability * value
        square = value @ value
        if draws is not None:
            weights = [n * w for n, w in zip(count, task.w, strict=True)]
            average = sum(weights) / size
            if average:
                # K independent draws, each -wbar^(1-q) f_z with probability proportional to the weight.
                share = np.array(weights) / sum(weights)
                single_square = average ** (2 - 2 * order) * (share @ np.sum(task.f**2, -1))
                square = square + (single_square - square) / draws
        second += probability * square
    return _floats(mean, mean - task.target(q), second, second - mean @ mean)


def quadrature_moments(task: SlowTask, q: float, size: int) -> Reference:
    """The plug-in's moments for 0 < q by Gauss-Legendre panels in log s, from the Laplace transforms."""
    order, m = REALS.mpf(q), REALS.mpf(size)
    low = REALS.log(min(w for w in task.w if w))
    ends = [-REALS.log(m) - 60 / order, min(-REALS.log(m), low), *(-REALS.log(m) + 2 * k for k in range(1, 60))]
    ends = [*sorted(e for e in ends if e < -low + 6), -low + 6]

    def transforms(v: Real) -> tuple[Real, Real, np.ndarray, Real]:
        s = REALS.exp(v)
        decay = np.array([p * REALS.exp(-s * w) for p, w in zip(task.prior, task.w, strict=True)])
        weighted = decay * np.array(task.w)
        return s, sum(decay), weighted @ task.f, (weighted * np.array(task.w)) @ np.sum(task.f**2, -1)

    def component(i: int) -> Callable[[Real], Real]:
        def integrand(v: Real) -> Real:
            s, phi, a, _ = transforms(v)
            return s**order * a[i] * phi ** (m - 1)

        return integrand

    def square(v: Real) -> Real:
        s, phi, a, b = transforms(v)
        pair = (1 - 1 / m) * (a @ a) * phi ** (m - 2) if size > 1 else 0
        return s ** (2 * order) * (b * phi ** (m - 1) / m + pair)

    def integral(f: Callable[[Real], Real], exponent: Real) -> Real:
        return m**exponent / REALS.gamma(exponent) * REALS.quad(f, ends, maxdegree=7)

    mean = np.array([-integral(component(i), order) for i in range(len(task.drift))])
    second = integral(square, 2 * order)
    return _floats(mean, mean - task.target(q), second, second - mean @ mean)


def _floats(mean: np.ndarray, bias: np.ndarray, second: Real, variance: Real) -> Reference:
    return Reference(mean.astype(float), bias.astype(float), float(second), float(variance))
