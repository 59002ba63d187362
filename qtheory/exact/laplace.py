"""Powers of a sum of weights as sums of exponentials: the trapezoid rule for S^-a in v = log s.

S^-a = (1/Gamma(a)) integral over s > 0 of s^(a-1) e^(-s S) ds. On the lattice v = v_0 + n STEP the rule's error
is |Gamma(a + 2 pi i/STEP)/Gamma(a)| < 1e-17 relative, for every S, and so for every mean over S. To the left of the
first node the integrand is s^a times a constant, and the remaining lattice is a geometric series: it is added to the
first node, which keeps small a cheap and makes the rule exact at a = 0.
"""

import numpy as np
from scipy.special import rgamma

STEP = 0.2
# e^-37 is below the rounding of a constant, and e^-66 (e^4.2 = 66) below that of a power times a constant.
_LEFT = 37.0
_RIGHT = 4.2


def lattice(largest: float, smallest: float) -> np.ndarray:
    """Nodes for sums S between two bounds, for `weights`.

    Args:
        largest: Upper bound of log S, in nats.
        smallest: Lower bound of log S over S > 0, in nats.

    Returns:
        v (N,), ascending.
    """
    first = -largest - _LEFT
    return first + STEP * np.arange(int(np.ceil((_RIGHT - smallest - first) / STEP)) + 1)


def weights(
    v: np.ndarray, a: np.ndarray, log_scale: np.ndarray, exponent: np.ndarray, absorbed: int | np.ndarray
) -> np.ndarray:
    """Quadrature weights whose product with the nodes' values of an integrand is the integral.

    The weight of node v is scale^a s^(a - absorbed) e^exponent STEP/Gamma(a), s = e^v.

    Args:
        v: (N,) of `lattice`.
        a: (C,) in [0, 6]; beyond 4 the rule's error is 1e-15.
        log_scale: (C,) log of the scale, taken to the power a.
        exponent: (C, N) log of a factor of the integrand.
        absorbed: The power of s that the integrand's other factor already contains; one for all nodes or (N,).

    Returns:
        (C, N). The weight of the first node includes all nodes to its left.
    """
    value = np.exp((a[:, None] - absorbed) * v + (a * log_scale)[:, None] + exponent) * rgamma(1 + a)[:, None]
    value[:, 0] *= series(a)
    value[:, 1:] *= (a * STEP)[:, None]
    return value


def series(a: np.ndarray) -> np.ndarray:
    """The sum a STEP (1 + e^(-a STEP) + e^(-2 a STEP) + ...), 1 at a = 0.

    Args:
        a: (C,), at least 0.

    Returns:
        (C,).
    """
    gap = np.maximum(a, 1e-30) * STEP  # below this the sum is 1 to rounding
    return gap / -np.expm1(-gap)
