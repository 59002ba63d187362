"""The kernel 1F1(q; 2q; -x) of two powers at once: (w + S)^-q S^-q as one integral over e^(-s S).

(w + S)^-q S^-q = (1/Gamma(2q)) integral over s > 0 of s^(2q-1) e^(-s S) 1F1(q; 2q; -s w) ds, from the Beta mixture
of e^(-s (S + tau w)) over tau. As a Bessel function, 1F1(q; 2q; -x) = Gamma(q + 1/2) (x/4)^(1/2-q) e^(-x/2)
I_(q-1/2)(x/2).
"""

import math

import numpy as np
from scipy.special import ive

_SERIES_BELOW = 2.0
_TERMS = 30
_POWER_FROM = 1e6


def kummer(q: float, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1F1(q; 2q; -x) and 1F1(q; 2q; -x) - 1, each with full relative precision.

    Args:
        q: In [0, 1]; at 0 the limit (1 + e^-x)/2.
        x: At least 0, any shape; inf gives the limit.

    Returns:
        Two arrays of the shape of x.
    """
    small = x < _SERIES_BELOW
    t = np.where(small, -x, 0.0)
    less_one = np.zeros_like(t)
    for k in range(_TERMS, 0, -1):
        # (q + k - 1)/(2q + k - 1) is 1/2 at k = 1 for every q, 0 included.
        ratio = 0.5 if k == 1 else (q + k - 1) / (2 * q + k - 1)
        less_one = ratio * t / k * (1 + less_one)
    bessel_at = np.where(small, _SERIES_BELOW, np.minimum(x, _POWER_FROM))
    value = math.gamma(q + 0.5) * (bessel_at / 4) ** (0.5 - q) * ive(q - 0.5, bessel_at / 2)
    # The asymptotic series, whose third term is below 1e-18 here; scipy's Bessel function fails beyond 1e9.
    far = np.maximum(x, _POWER_FROM)
    power = 2 ** (2 * q - 1) * math.gamma(q + 0.5) / math.sqrt(math.pi) * far**-q
    asymptotic = power * (1 + q * (1 - q) / far * (1 + (1 + q) * (2 - q) / (2 * far)))
    value = np.where(x > _POWER_FROM, asymptotic, value)
    return np.where(small, 1 + less_one, value), np.where(small, less_one, value - 1)
