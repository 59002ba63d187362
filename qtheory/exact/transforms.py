"""Laplace transforms of a finite task's weights and scores, on the nodes of a lattice.

Weights are in units of the largest one, so that powers of weights and nodes neither over- nor underflow. On the far
nodes, which the smallest weights dominate, a power of w comes with the same power of s: the relevant x = s w is of
order 1, even for w = 1e-300.
"""

from functools import cached_property

import numpy as np

from qtheory.exact.laplace import lattice
from qtheory.models.finite import FiniteTask

# Up to this excess, transforms are relative to those of a constant weight; beyond it little cancels.
_NEAR = 0.5


class Transforms:
    """E[... e^(-s w)] over the prior of a task, w in units of the largest weight, f = grad log p(z, y*|x).

    Attributes:
        v: (N,) log s.
        log_unit: The largest log w, in nats.
        prior: (Z,) p(z|x).
        log_w: (Z,) log weights; the largest is 0.
        w: (Z,) weights.
        possible: (Z, 1) whether w > 0, even if w underflows.
        f: (Z, d) joint scores; 0 for an impossible answer, which has none.
        h: (Z, d) prior scores.
        p: P, the mean weight.
        log_impossible: Log of the prior mass of impossible answers.
        score: (d,) s = grad log P, the mean of f weighted by w.
        drift: (d,) E[w f] = grad P = P s.
        x: (N, Z) s w.
        reach: (N, Z) w on the near nodes, s w on the far ones.
        decay: (N, Z) e^-x.
        log_phi: (N,) log phi, phi = E e^-x.
        excess: (N,) log phi + s P >= 0, ascending.
        mean_x: (N,) s P.
        near: The number of leading nodes on which transforms are close to those of a constant weight.
        far: (N,) 0 on the near nodes, 1 on the others.
    """

    def __init__(self, task: FiniteTask, sizes: np.ndarray) -> None:
        """Compute the transforms.

        Args:
            task: The task.
            sizes: Sample sizes M that the lattice must serve, (C,).

        Raises:
            ValueError: P = 0.
        """
        self.log_unit = float(task.log_w.max())
        if self.log_unit == -np.inf:
            raise ValueError("every log_w is -inf: give one a finite value, as P = 0 has no gradient to estimate")
        prior = np.exp(task.log_prior)
        self.prior = prior / prior.sum()
        self.log_w = task.log_w - self.log_unit
        self.w = np.exp(self.log_w)
        possible = self.log_w > -np.inf
        self.h = task.prior_score
        self.possible = possible[:, None]
        self.f = np.where(self.possible, self.h + task.answer_score, 0.0)
        self.p = float(self.prior @ self.w)
        with np.errstate(divide="ignore"):
            hit, miss = float(self.prior[possible].sum()), float(self.prior[~possible].sum())
            self.log_impossible = float(np.log1p(-hit) if hit < 0.5 else np.log(miss))
        self.drift = (self.prior * self.w) @ self.f
        self.score = self.drift / self.p
        smallest = min(float(self.log_w[possible].min()), float(np.log(self.p * sizes.min())))
        self.v = lattice(float(np.log(sizes.max())), smallest)
        with np.errstate(under="ignore", over="ignore"):
            self.x = np.exp(self.v[:, None] + self.log_w)
            self.decay = np.exp(-self.x)
            self.mean_x = np.exp(np.minimum(self.v + np.log(self.p), 500.0))  # e^-x is 0 long before
            self.log_phi = log_mean(-np.expm1(-self.x) @ self.prior, self.decay @ self.prior)
            self.excess = _excess(self.prior, self.x, self.mean_x, self.log_phi)
            tilted = (self.decay * self.prior) @ self.w / np.exp(self.log_phi)
        self.near = int(np.argmax((self.excess > _NEAR) | (tilted < _NEAR * self.p) | (self.v == self.v[-1])))
        self.far = (np.arange(len(self.v)) >= self.near).astype(int)
        # Beyond 1000 the decay underflows to 0, and the cap keeps products with it 0.
        self.reach = np.where(self.far[:, None] > 0, np.minimum(self.x, 1000.0), self.w)

    def mean(self, values: np.ndarray, power: int) -> np.ndarray:
        """E[values w^power e^-x], times s^power on the far nodes.

        Args:
            values: (Z,) or (Z, d).
            power: Power of w, at least 1.

        Returns:
            (N,) or (N, d), for weights with `absorbed` = power * far.
        """
        return (self.reach**power * self.decay * self.prior) @ values

    @cached_property
    def gradient(self) -> np.ndarray:
        """(N, d) E[w f e^-x] = A, s A on the far nodes."""
        return self.mean(self.f, 1)

    @cached_property
    def square(self) -> np.ndarray:
        """(N,) E[||w f||^2 e^-x], times s^2 on the far nodes."""
        return self.mean(np.sum(self.f**2, -1), 2)

    @cached_property
    def curvature(self) -> np.ndarray:
        """(N, d) E[w^2 f e^-x], times s^2 on the far nodes."""
        return self.mean(self.f, 2)

    @cached_property
    def height(self) -> np.ndarray:
        """(N,) E[w e^-x], times s on the far nodes."""
        return self.mean(np.ones_like(self.w), 1)

    @cached_property
    def difference(self) -> np.ndarray:
        """(near, Z) p(z|x) (e^(-s w) - e^(-s P)) on the near nodes, without cancellation."""
        s = np.exp(self.v[: self.near, None])
        u = s * (self.w - self.p)
        return self.prior * np.sign(u) * np.exp(-s * np.minimum(self.w, self.p)) * np.expm1(-np.abs(u))


def log_mean(fall: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Log phi from 1 - phi and phi, with full relative precision near 0 too.

    Args:
        fall: 1 - phi, any shape.
        phi: phi, of the same shape.
    """
    return np.where(fall < 0.5, np.log1p(-np.minimum(fall, 0.5)), np.log(np.maximum(phi, 1e-300)))


def _excess(prior: np.ndarray, x: np.ndarray, mean_x: np.ndarray, log_phi: np.ndarray) -> np.ndarray:
    """Log E e^-x + E x, (N,), from x (N, Z), E x and log E e^-x (N,)."""
    close = mean_x < 600  # e^(E x) is finite; beyond, e^(-E x) is negligible compared with phi
    excess = log_phi + mean_x
    excess[close] = np.log1p(_second_order(x[close] - mean_x[close, None]) @ prior)
    # The split of the nodes relies on ascending values, which rounding must not break.
    return np.maximum.accumulate(np.maximum(excess, 0.0))


def _second_order(u: np.ndarray) -> np.ndarray:
    """e^-u - 1 + u, of the shape of u, without cancellation at small u."""
    small = np.abs(u) < 0.5
    t = np.where(small, -u, 0.0)
    series = np.ones_like(t)
    for k in range(16, 2, -1):
        series = 1 + t / k * series
    return np.where(small, t**2 / 2 * series, np.expm1(-u) + u)
