"""Families of likelihood weights over Z rationales with a given mean, the success probability p0."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from qtheory._numbers import count
from qtheory.models.checks import log_distribution, log_success, log_weights
from qtheory.models.numerics import log_complement, log_mean, logit

_GAMMA_LIMIT = -32.0  # log p0 below which a Beta law of given relative spread is a Gamma law to double precision


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """A prior over rationales and their weights; log P equals `log_p0` to rounding.

    `FixedAnswers(log_w).task(log_prior)` or a model's `start(log_prior, log_w)` turns it into a task.

    Attributes:
        log_prior: (Z,) log p(z|x) in nats.
        log_w: (Z,) log p(y*|x, z) in nats, -inf for an impossible answer.

    Raises:
        TypeError: An array is no numpy array of float64.
        ValueError: The prior is not normalised to 1e-12, a log_w is positive or NaN, or the shapes differ.
    """

    log_prior: np.ndarray
    log_w: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_prior", log_distribution("log_prior", self.log_prior))
        object.__setattr__(self, "log_w", log_weights("log_w", self.log_w))
        if self.log_w.shape != self.log_prior.shape:
            raise ValueError(f"log_w has shape {self.log_w.shape}: log_prior's, {self.log_prior.shape}, is needed")

    @property
    def log_p(self) -> float:
        """Log P in nats."""
        return float(log_mean(self.log_prior, self.log_w))


def bernoulli(log_p0: float) -> Likelihoods:
    """Hard weights: w = 1 with probability p0, else 0.

    Args:
        log_p0: Log of the success probability in nats, negative and finite.

    Returns:
        Z = 2 rationales, the right one first.

    Raises:
        TypeError: log_p0 is no number.
        ValueError: log_p0 at or above 0, -inf or NaN.
    """
    return two_level(log_p0, -np.inf, 0.0)


def two_level(log_p0: float, log_low: float, log_high: float) -> Likelihoods:
    """Weights at two levels, with the prior that makes their mean p0.

    Args:
        log_p0: Log of the success probability in nats, between the levels.
        log_low: Log of the lower weight in nats; -inf for 0.
        log_high: Log of the higher weight in nats, at most 0.

    Returns:
        Z = 2 rationales, the better one first.

    Raises:
        TypeError: log_p0 is no number.
        ValueError: Not log_low < log_p0 < log_high <= 0.
    """
    log_p0 = float(log_success(log_p0))
    if not log_low < log_p0 < log_high <= 0:
        levels = f"log_low {log_low}, log_p0 {log_p0}, log_high {log_high}"
        raise ValueError(f"{levels}: log_low < log_p0 < log_high <= 0 is needed, as a mean lies between its levels")
    # (p0 - low)/(high - low), each difference computed relative to its larger term.
    better = log_p0 - log_high + _log_gap(log_low, log_p0) - _log_gap(log_low, log_high)
    better = np.minimum(better, 0.0)
    return Likelihoods(np.array([better, log_complement(better)]), np.array([log_high, log_low], dtype=float))


def beta(log_p0: float, spread: float, size: int) -> Likelihoods:
    """Beta weights of mean p0 and coefficient of variation `spread`, in cells of equal mass.

    The weight of a cell is the law's mean within it, so that the mean over cells is p0. As p0 -> 0 the law of
    w/p0 tends to the Gamma law of shape 1/spread^2 and mean 1, which replaces it below log p0 = -32.

    Args:
        log_p0: Log of the success probability in nats, negative and finite.
        spread: std(w)/p0 of the law before discretisation, positive and below sqrt((1 - p0)/p0).
        size: The number Z of rationales, at least 1.

    Returns:
        Z rationales of equal prior in ascending order of weight; -inf if a weight underflows relative to p0.

    Raises:
        TypeError: log_p0 is no number or size no integer.
        ValueError: An argument out of range.
    """
    log_p0, size = float(log_success(log_p0)), count("size", size, 1)
    widest = np.exp(np.minimum(-0.5 * logit(np.array(log_p0)), 300.0))
    if not 0 < spread < widest:
        raise ValueError(f"spread is {spread}: a Beta law of this mean has one between 0 and {widest:.6g}")
    a = -np.expm1(log_p0) / spread**2 - np.exp(log_p0)
    if log_p0 < _GAMMA_LIMIT:
        edges = special.gammaincinv(a, np.arange(1, size) / size)
        share = np.diff(np.concatenate([[0.0], special.gammainc(a + 1, edges), [1.0]]))
        return _equal_prior(np.minimum(log_p0 + np.log(size) + _log(share), 0.0))
    return _equal_prior(np.minimum(_log(size * _beta_partial_means(np.exp(log_p0), a, size)), 0.0))


def log_normal(log_p0: float, sigma: float, size: int) -> Likelihoods:
    """Weights whose logarithms are the normal quantiles at (i + 1/2)/Z times sigma, shifted to mean p0.

    Args:
        log_p0: Log of the success probability in nats, negative and finite.
        sigma: Standard deviation of log w in nats, finite and at least 0.
        size: The number Z of rationales, at least 1.

    Returns:
        Z rationales of equal prior in ascending order of weight.

    Raises:
        TypeError: log_p0 is no number or size no integer.
        ValueError: An argument out of range, or the largest weight would exceed 1.
    """
    log_p0, size = float(log_success(log_p0)), count("size", size, 1)
    if not 0 <= sigma < np.inf:
        raise ValueError(f"sigma is {sigma}: it must be finite and at least 0")
    log_w = sigma * special.ndtri((np.arange(size) + 0.5) / size)
    log_w = log_w - special.logsumexp(log_w) + np.log(size) + log_p0
    if log_w[-1] > 0:
        largest = log_p0 - log_w[-1]
        raise ValueError(f"log_p0 is {log_p0}: with sigma {sigma} and size {size} it can be at most {largest:.6g}")
    return _equal_prior(log_w)


def token_answers(log_p0: float, variance: float, length: int) -> Likelihoods:
    """Weights of answers of L tokens: each token's log-probability is one of two values, each with probability 1/2.

    The tokens are independent, so that log w has the variance v L and tends to a normal law as L grows. The posterior
    mean weight over the mean one is (1 + tanh^2 sqrt(v))^L, which is e^(v L) for small v (QC-12).

    Args:
        log_p0: Log of the success probability in nats, negative and finite.
        variance: v of one token's log-probability in nats^2, finite and at least 0.
        length: The number L of tokens, at least 1.

    Returns:
        Z = L + 1 rationales in ascending order of weight, one for each number of tokens of the higher probability.

    Raises:
        TypeError: log_p0 is no number or length no integer.
        ValueError: An argument out of range, or the largest weight would exceed 1.
    """
    log_p0, length = float(log_success(log_p0)), count("length", length, 1)
    if not 0 <= variance < np.inf:
        raise ValueError(f"variance is {variance}: it must be finite and at least 0")
    step, high = np.sqrt(variance), np.arange(length + 1)
    choices = special.gammaln(length + 1) - special.gammaln(high + 1) - special.gammaln(length - high + 1)
    log_prior = choices - special.logsumexp(choices)
    log_w = step * (2 * high - length)
    log_w = log_w - special.logsumexp(log_prior + log_w) + log_p0
    if log_w[-1] > 0:
        largest = log_p0 - log_w[-1]
        raise ValueError(
            f"log_p0 is {log_p0}: with variance {variance} and length {length} it can be at most {largest:.6g}"
        )
    return Likelihoods(log_prior, log_w)


def _log_gap(log_small: float, log_large: float) -> float:
    """log(1 - small/large)."""
    return float(log_complement(np.array(log_small - log_large)))


def _beta_partial_means(p0: float, a: float, size: int) -> np.ndarray:
    """(Z,) E[w; cell] of a Beta law of mean p0 and first parameter a, over Z cells of equal mass.

    Below 1/2 it is p0 times increments of I_x(a+1, b). Above, as the edges x may round to 1, it is the mass less 1 - p0
    times increments of I_(1-x)(b+1, a).
    """
    b = a * (1 - p0) / p0
    mass = np.arange(size + 1) / size
    below = np.minimum(special.betaincinv(a, b, mass), 0.5)
    above = np.minimum(special.betaincinv(b, a, 1 - mass), 0.5)
    mass_above = np.minimum(1 - mass, special.betainc(b, a, 0.5))
    tail = mass_above - (1 - p0) * special.betainc(b + 1, a, above)
    return p0 * np.diff(special.betainc(a + 1, b, below)) - np.diff(tail)


def _log(share: np.ndarray) -> np.ndarray:
    return np.where(share > 0, np.log(np.where(share > 0, share, 1.0)), -np.inf)


def _equal_prior(log_w: np.ndarray) -> Likelihoods:
    return Likelihoods(np.full(len(log_w), -np.log(len(log_w))), log_w)
