"""The plug-in gbar/wbar^q: mean, bias, second moment and variance at finite M (Eq 9, Thm 6.1).

With phi(s) = E e^(-s w), A(s) = E[w f e^(-s w)], F = E[w f] = grad P, and S the sum of M weights,

    mean = -(M^q/Gamma(q)) int s^(q-1) A phi^(M-1) ds
    bias = -(M^q/Gamma(q)) int s^(q-1) [ A phi^(M-1) - F e^(-s M P) ] ds
    E||.||^2 = (M^2q/Gamma(2q)) int s^(2q-1) [ E(||w f||^2 e^(-s w)) phi^(M-1)/M + (1 - 1/M) ||A||^2 phi^(M-2) ] ds.

No two means are subtracted. With A = phi F + C, C = E[(w f - F)(e^(-s w) - e^(-s P))], the bias' bracket is
C phi^(M-1) + F (phi^M - e^(-s M P)); so is the second moment's less ||grad l_q||^2. The scores are taken about their
posterior mean, which leaves the bias of wbar^(1-q) to be added; at q = 1 that is known in closed form.
"""

from typing import NamedTuple

import numpy as np

from qtheory.exact.laplace import weights
from qtheory.exact.transforms import Transforms

_LOST = 1e-4  # of the second moment: a smaller variance has lost four digits or more


class PlugIn(NamedTuple):
    """Moments of C cells (q, M), in units of the largest weight to the power 1 - q.

    Attributes:
        mean: (C, d).
        bias: (C, d) mean less grad l_q.
        second: (C,) E||.||^2.
        variance: (C,) trace of the covariance.
    """

    mean: np.ndarray
    bias: np.ndarray
    second: np.ndarray
    variance: np.ndarray


def plug_in(t: Transforms, q: np.ndarray, size: np.ndarray) -> PlugIn:
    """All moments.

    Args:
        t: The task's transforms.
        q: (C,) in [0, 1].
        size: (C,) M, as floats.

    Returns:
        Moments of the C cells.
    """
    near = t.near
    single = weights(t.v, q, np.log(size), (size - 1)[:, None] * t.log_phi, t.far)
    own, pairs = pair_weights(t, q, size)
    squared = np.sum(t.gradient**2, -1)
    mean = -single @ t.gradient
    second = own @ t.square + pairs @ squared
    bias = _bias(t, q, size, single)

    spread = t.w[:, None] * t.f - t.drift
    covariance = t.difference @ spread
    above = own[:, near:] @ t.square[near:] + pairs[:, near:] @ squared[near:]  # E||.||^2 - ||grad l_q||^2
    above += own[:, :near] @ ((t.decay[:near] * t.prior) @ np.sum(spread**2, -1))
    above += pairs[:, :near] @ np.sum(covariance**2, -1) + 2 * size * (own[:, :near] @ (covariance @ t.drift))
    above += _drift_weights(t, 2 * q, size).sum(-1) * (t.drift @ t.drift)

    # Of the two formulas for the variance, the one whose larger term is smaller has less rounding.
    target = -np.exp(-q * np.log(t.p))[:, None] * t.drift
    shift = 2 * np.sum(target * bias, -1) + np.sum(bias**2, -1)
    larger = np.maximum(np.abs(above), np.abs(shift))
    variance = np.where(larger >= second, second - np.sum(mean**2, -1), above - shift)
    for cell in np.flatnonzero((q == 1) & (variance < _LOST * second)):
        variance[cell] = _variance_at_one(t, size[cell], mean[cell], own[cell], pairs[cell])
    return PlugIn(mean, bias, second, variance)


def plug_in_mean(t: Transforms, q: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The mean alone.

    Args:
        t: The task's transforms.
        q: (C,) in [0, 1].
        size: (C,) M, as floats.

    Returns:
        (C, d), as `plug_in`.
    """
    return -weights(t.v, q, np.log(size), (size - 1)[:, None] * t.log_phi, t.far) @ t.gradient


def _bias(t: Transforms, q: np.ndarray, size: np.ndarray, single: np.ndarray) -> np.ndarray:
    """(C, d), from the mean's weights (C, N)."""
    near = t.near
    # The bracket falls as s to the left: the first node gets no weight, at q = 0 exactly.
    rule, drift = single.copy(), _drift_weights(t, q, size)
    rule[:, 0] = drift[:, 0] = 0.0
    about = np.where(t.possible, t.f - t.score, 0.0)
    bias = -rule[:, :near] @ (t.difference @ (t.w[:, None] * about)) - rule[:, near:] @ t.mean(about, 1)[near:]
    power = rule[:, :near] @ (t.difference @ (t.w - t.p)) + rule[:, near:] @ t.height[near:] + drift.sum(-1) * t.p
    # wbar^0 is 1, except that the estimate is 0 for pools of impossible answers only.
    power = np.where(q == 1, -np.exp(size * t.log_impossible), power)
    return bias - power[:, None] * t.score


def _variance_at_one(t: Transforms, size: float, mean: np.ndarray, own: np.ndarray, pairs: np.ndarray) -> float:
    """The variance at q = 1 if nearly all pools agree, from scores about their mean estimate.

    At q = 1 the estimate is an average of -f, or 0 if all answers are impossible.

    Args:
        t: The task's transforms.
        size: M.
        mean: (d,).
        own: (N,) from `pair_weights`.
        pairs: (N,) from `pair_weights`.

    Returns:
        The trace of the covariance.
    """
    failed, succeeded = np.exp(size * t.log_impossible), -np.expm1(size * t.log_impossible)
    centre = -mean / succeeded
    about = np.where(t.possible, t.f - centre, 0.0)
    within = own @ t.mean(np.sum(about**2, -1), 2) + pairs @ np.sum(t.mean(about, 1) ** 2, -1)
    return float(within + centre @ centre * failed * succeeded)


def pair_weights(t: Transforms, q: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of a sum over draws, and of one over ordered pairs of draws, in M^(2q-2) E[... /S^2q].

    Args:
        t: The task's transforms.
        q: (C,).
        size: (C,) M.

    Returns:
        (C, N) with phi^(M-1)/M and (C, N) with (1 - 1/M) phi^(M-2), 0 for M = 1; both for sums of order w^2.
    """
    m, log_size = size[:, None], np.log(size)
    own = weights(t.v, 2 * q, log_size, (m - 1) * t.log_phi, 2 * t.far) / m
    pairs = weights(t.v, 2 * q, log_size, np.maximum(m - 2, 0) * t.log_phi, 2 * t.far) * ((m - 1) / m)
    return own, pairs


def _drift_weights(t: Transforms, a: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Weights (C, N) of phi^M - e^(-s M P) on the near nodes and of -e^(-s M P) on the others."""
    near, m = t.near, size[:, None]
    exponent = m * np.where(t.far, -t.mean_x, t.log_phi)
    value = weights(t.v, a, np.log(size), exponent, 0)
    value[:, :near] *= -np.expm1(-m * t.excess[:near])
    value[:, near:] *= -1
    return value
