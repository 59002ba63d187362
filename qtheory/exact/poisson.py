"""The plug-in on 0/1 weights where successes are rare: one law for all M and P of one M P (QC-10).

A pool of M draws holds K successes, and the plug-in is (K/M)^(1-q) times their mean score. As P -> 0 at a fixed
lambda = M P, K becomes a Poisson variable of that mean, and what is left of M and P is lambda.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qtheory._arrays import refuse
from qtheory._numbers import non_negative, order, positive, together
from qtheory._poisson import poisson

MOST = 1e8
"""lambda up to which the sums are taken; beyond it the bias is q (1-q)/(2 lambda) to eight digits."""


@dataclass(frozen=True, eq=False)
class PoissonLimit:
    """Moments of the plug-in in units of the true gradient's length; the leading axes are the grid's.

    Attributes:
        bias: (...) 1 - lambda^(q-1) E[K^(1-q)], the part of the gradient that is missing in the mean.
        variance: (...) trace of the covariance over the gradient's square.
        alignment: (...) squared cosine of a step with the gradient, <E g, s>^2/(||s||^2 E||g||^2) (QC-5).
    """

    bias: np.ndarray
    variance: np.ndarray
    alignment: np.ndarray


def poisson_limit(successes: ArrayLike, q: ArrayLike, spread: ArrayLike = 0.0) -> PoissonLimit:
    """The limit of the plug-in's moments as P -> 0 at a fixed number of successes M P, for w in {0, 1} (QC-10).

    Moments at finite M are off by O(1/M): `moments` gives them exactly.

    Args:
        successes: lambda = M P, the mean number of successes in a pool, in (0, 1e8], any shape.
        q: In [0, 1], broadcastable.
        spread: rho, the posterior variance of the joint scores over the square of their mean, non-negative,
            broadcastable; 0 where all successes share one score.

    Returns:
        Moments of the broadcast shape. Bias is within 1e-13 absolute, variance and alignment within 1e-11 relative, and
        no variance is known better than to 1e-30.

    Raises:
        TypeError: An argument is no number and no array of numbers.
        ValueError: An argument out of range, or shapes that do not broadcast.
    """
    held, orders, rho = together(
        successes=positive("successes", successes), q=order(q), spread=non_negative("spread", spread)
    )
    refuse(np, "successes", held, held > MOST, f"pass at most {MOST:g}; beyond, the bias is q (1-q)/(2 successes)")
    bias, variance, alignment = (np.zeros(held.shape) for _ in range(3))
    for at in np.ndindex(held.shape):
        count, mass = poisson(float(held[at]))
        part = count / held[at]
        there = count > 0
        size = np.where(there, np.where(there, part, 1.0) ** (1 - orders[at]), 0.0)
        mean = mass @ size
        around = mass @ (size - mean) ** 2 + rho[at] * (mass[there] @ (size[there] ** 2 / count[there]))
        bias[at], variance[at], alignment[at] = 1 - mean, around, mean**2 / (around + mean**2)
    return PoissonLimit(bias, variance, alignment)
