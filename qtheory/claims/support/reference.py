"""Slow reference of the estimators' claims: a small latent model in 100-digit arithmetic and plain Python loops.

It is written from the definitions (Eq 7-9), without the fast code. Only `estimates` takes the fast code's
coefficients, so that the two can be compared.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import MPContext

from qtheory.estimators import Coefficients

Real = Any  # an mpf of REALS; mpmath creates the class at run time, where a type checker cannot see it
Vector = list[Real]
Pool = tuple[int, ...]

REALS = MPContext()  # a separate context, so that mpmath's global precision is unchanged
REALS.dps = 100
_STEP = REALS.mpf(10) ** -25  # the error of a central difference is its square, far below a float's precision


@dataclass(frozen=True)
class LatentModel:
    """p(z|x) = softmax(prior_logits)_z and p(y*|x, z) = sigmoid(answer_logits_z); all 2 Z logits are parameters.

    Attributes:
        prior_logits: (Z,).
        answer_logits: (Z,), -inf for a rationale with which the answer is impossible.
    """

    prior_logits: tuple[float, ...]
    answer_logits: tuple[float, ...]

    @property
    def parameters(self) -> Vector:
        """(2 Z,) prior logits, then answer logits."""
        return [REALS.mpf(logit) for logit in self.prior_logits + self.answer_logits]

    @functools.cached_property
    def prior(self) -> Vector:
        """(Z,) p(z|x)."""
        return softmax(self.parameters[: len(self.prior_logits)])

    @functools.cached_property
    def weights(self) -> Vector:
        """(Z,) p(y*|x, z)."""
        return [sigmoid(logit) for logit in self.parameters[len(self.prior_logits) :]]

    @functools.cached_property
    def log_weights(self) -> np.ndarray:
        """(Z,) log p(y*|x, z) in nats, as floats for the fast code."""
        return np.array([float(REALS.log(w)) if w else -math.inf for w in self.weights])

    @functools.cached_property
    def prior_scores(self) -> list[Vector]:
        """(Z, 2 Z) grad log p(z|x)."""
        rows = range(len(self.prior))
        return [[REALS.mpf(z == j) - self.prior[j] for j in rows] + [REALS.zero for _ in rows] for z in rows]

    @functools.cached_property
    def answer_scores(self) -> list[Vector]:
        """(Z, 2 Z) grad log p(y*|x, z); its finite limit if the answer is impossible."""
        rows = range(len(self.prior))
        return [[REALS.zero for _ in rows] + [(z == j) * (1 - self.weights[j]) for j in rows] for z in rows]

    @functools.cached_property
    def joint_scores(self) -> list[Vector]:
        """(Z, 2 Z) grad log p(z, y*|x)."""
        return [
            [h + a for h, a in zip(*pair, strict=True)]
            for pair in zip(self.prior_scores, self.answer_scores, strict=True)
        ]

    def success(self, parameters: Sequence[Real]) -> Real:
        """P = p(y*|x) for other parameters (2 Z,)."""
        size = len(self.prior_logits)
        weights = [sigmoid(logit) for logit in parameters[size:]]
        return dot(softmax(parameters[:size]), weights)

    def plug_in(self, pool: Pool, q: float) -> Vector:
        """(2 Z,) gbar / wbar^q of the rationales in a pool (Eq 9), 0 for a pool of impossible answers."""
        weights = [self.weights[z] for z in pool]
        if not sum(weights):
            return [REALS.zero for _ in self.parameters]
        # g_m = -w_m grad log p(z_m, y*|x); the estimate is sum_m g_m/(M wbar^q).
        scale = -1 / (len(pool) * power(mean(weights), q))
        return [scale * dot(weights, scores) for scores in zip(*(self.joint_scores[z] for z in pool), strict=True)]

    def estimates(self, pools: Sequence[Pool], coefficients: Coefficients) -> np.ndarray:
        """(N, 2 Z) gradient estimates of N pools from coefficients (N, M), as `Coefficients` defines them."""
        index = np.array(pools)
        prior_scores, answer_scores = (np.array(s, dtype=float) for s in (self.prior_scores, self.answer_scores))
        total = np.einsum("nm,nmd->nd", coefficients.rationale, prior_scores[index])
        total += np.einsum("nm,nmd->nd", coefficients.answer, answer_scores[index])
        return -total / index.shape[1]


def all_tuples(size: int, length: int) -> list[Pool]:
    """All tuples of `length` indices below `size`, in lexicographic order."""
    return list(itertools.product(range(size), repeat=length))


def probability(indices: Pool, distribution: Sequence[Real]) -> Real:
    """Probability of drawing a tuple independently from a distribution (Z,)."""
    return math.prod((distribution[i] for i in indices), start=REALS.one)


def expectation(values: Sequence[Sequence[Real]], probabilities: Sequence[Real]) -> Vector:
    """(d,) mean of values (N, d) under probabilities (N,)."""
    return [dot(probabilities, column) for column in zip(*values, strict=True)]


def gradient(function: Callable[[Vector], Real], point: Vector) -> Vector:
    """(d,) central differences of a function at a point (d,)."""

    def slope(i: int) -> Real:
        upper, lower = list(point), list(point)
        upper[i], lower[i] = point[i] + _STEP, point[i] - _STEP
        return (function(upper) - function(lower)) / (2 * _STEP)

    return [slope(i) for i in range(len(point))]


def loss(p: Real, q: float) -> Real:
    """-log_q P, from its formula."""
    rate = 1 - REALS.mpf(q)
    return (1 - p**rate) / rate if rate else -REALS.log(p)


def softmax(logits: Sequence[Real]) -> Vector:
    """Normalised exponentials."""
    raised = [REALS.exp(logit) for logit in logits]
    return [r / sum(raised) for r in raised]


def sigmoid(logit: Real) -> Real:
    """1 / (1 + e^-logit)."""
    return REALS.zero if logit == -REALS.inf else 1 / (1 + REALS.exp(-logit))


def power(base: Real, exponent: float) -> Real:
    """base^exponent for base >= 0, with 0^0 = 1."""
    return base ** REALS.mpf(exponent) if base else REALS.mpf(exponent == 0)


def mean(values: Sequence[Real]) -> Real:
    """The arithmetic mean."""
    return sum(values) / len(values)


def dot(a: Sequence[Real], b: Sequence[Real]) -> Real:
    """Sum of products."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def floats(values: Sequence[Any]) -> np.ndarray:
    """Nested lists of reals as a float array."""
    return np.array(values, dtype=float)
