"""The jackknifed plug-in at finite M (QC-2), without a baseline.

With T the plug-in, x_m = s w_m, e_m = e^(-x_m) and r_m = 1 - (1 + x_m) e_m, the estimate
(1/M) sum_m g_m [M wbar^-q - sum_(n != m) wbar_(-n)^-q] is (1 + c) T + (1 - 1/M)^q R,

    R = (M^(q-1)/Gamma(q)) int s^(q-1) X ds, X = sum_m g_m e_m [ x_m prod_k e_k - sum_n r_n prod_(k != n) e_k ]

over draws k and n other than m, from (S - w_n)^-q = (1/Gamma(q)) int s^(q-1) e^(-s S) (1 + x_n + r_n e^(x_n)) ds, whose
second term is q w_n S^(-q-1). c and R are of order 1/M, so that nothing of order 1 is subtracted. The second moments of
R are double sums over the lattice, over the ways in which the draws of two such sums coincide.
"""

import numpy as np
from scipy.special import gammainc

from qtheory.exact.laplace import weights
from qtheory.exact.plugin import PlugIn
from qtheory.exact.transforms import Transforms, log_mean

_CHUNK = 1_000_000  # numbers in one temporary array
_NEGLIGIBLE = 1e-30
_TERMS = 60  # of a power series at 1/2 or less


def jackknife_moments(t: Transforms, plug_in: PlugIn, q: np.ndarray, size: np.ndarray) -> PlugIn:
    """All moments.

    Args:
        t: The task's transforms.
        plug_in: The plug-in's moments.
        q: (C,) in [0, 1].
        size: (C,) M, as floats.

    Returns:
        Moments of the C cells; the plug-in's for M = 1, where nobody can be left out.
    """
    own = np.where(size > 1, _own(q, np.maximum(size, 2)), 0.0)
    other = np.where(size > 1, np.exp(q * np.log1p(-1 / np.maximum(size, 2))), 0.0)
    mean = _remainder_mean(t, q, size)
    product, square = np.zeros(len(q)), np.zeros(len(q))
    for count in np.unique(size[size > 1]):
        cells = size == count
        product[cells], square[cells] = _remainder_products(t, q[cells], float(count))
    covariance = product - np.sum(plug_in.mean * mean, -1)
    variance = (1 + own) ** 2 * plug_in.variance + 2 * (1 + own) * other * covariance
    variance += other**2 * (square - np.sum(mean**2, -1))
    second = (1 + own) ** 2 * plug_in.second + 2 * (1 + own) * other * product + other**2 * square
    added = own[:, None] * plug_in.mean + other[:, None] * mean
    return PlugIn(plug_in.mean + added, plug_in.bias + added, second, variance)


def _own(q: np.ndarray, size: np.ndarray) -> np.ndarray:
    """c, (C,), M [1 - (1-1/M)^(q+1)] - 1 - q (1-1/M)^q: it falls as 1/M from terms of order 1."""
    gone = 1 / size
    term, total = np.ones_like(gone) * (q + 1), np.zeros_like(gone)
    for k in range(2, _TERMS):
        # The k-th term of -M (1-1/M)^(q+1), whose first two are -M and q + 1.
        term = term * -gone * (q - (k - 2)) / k
        total += term
    return total - q * np.expm1(q * np.log1p(-gone))


def _remainder_mean(t: Transforms, q: np.ndarray, size: np.ndarray) -> np.ndarray:
    """E[R], (C, d)."""
    reach = np.minimum(t.x, 1000.0)
    curvature = (t.reach * reach * t.decay * t.prior) @ t.f
    left_out = gammainc(2.0, t.x) @ t.prior
    m, log_size = size[:, None], np.log(size)
    one = weights(t.v, q, log_size, (m - 1) * t.log_phi, t.far)
    two = weights(t.v, q, log_size, np.maximum(m - 2, 0) * t.log_phi, t.far) * (m - 1)
    one[:, 0] = two[:, 0] = 0.0  # the integrand falls as s^(q+1)
    return two @ (t.gradient * left_out[:, None]) - one @ curvature


def _remainder_products(t: Transforms, q: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """E<T, R> and E||R||^2, (C,) each, at one M > 1."""
    rule = weights(t.v, q, np.full(len(q), np.log(size)), np.zeros((len(q), len(t.v))), t.far)
    level = np.sqrt((t.reach**2 * t.decay**2 * t.prior) @ np.sum(t.f**2, -1))
    sizes = rule * level * np.exp(max(size - 4, 0) * t.log_phi)
    kept = np.flatnonzero(np.any(sizes > _NEGLIGIBLE * sizes.max(-1, keepdims=True), axis=0))
    rule = rule[:, kept]
    remainder_rule = np.where(kept == 0, 0.0, rule)
    pairs = _Pairs(t, kept)
    product, square = np.zeros(len(q)), np.zeros(len(q))
    rows = max(1, _CHUNK // max(1, len(kept)))
    for start in range(0, len(kept), rows):
        part = slice(start, start + rows)
        mixed, own = pairs.kernels(part, size)
        product += np.sum((rule[:, part] @ mixed) * remainder_rule, -1)
        square += np.sum((remainder_rule[:, part] @ own) * remainder_rule, -1)
    return product, square


class _Pairs:
    """Means over one draw at two nodes of the lattice, s for the first sum and s' for the second."""

    def __init__(self, t: Transforms, kept: np.ndarray) -> None:
        """Take the transforms (N, Z) of the nodes kept (N,), and scores (Z, D) with the same products as f."""
        x = t.x[kept]
        self.prior, self.decay = t.prior, t.decay[kept]
        self.falls = -np.expm1(-x) * t.prior
        self.left_out = gammainc(2.0, x)
        self.weighted = t.reach[kept] * self.decay  # w e^-x, and its product with x
        self.curved = self.weighted * np.minimum(x, 1000.0)
        # Only products of scores count: with fewer rationales than parameters, fewer columns do.
        self.f = np.asarray(np.linalg.qr(t.f.T, mode="r")).T if t.f.shape[1] > t.f.shape[0] else t.f

    def kernels(self, part: slice, size: float) -> tuple[np.ndarray, np.ndarray]:
        """Integrands (N', N) of E<T, R> and, to be summed with equal weights on both sides, of E||R||^2."""
        e, u, c, r = (a[part] * self.prior for a in (self.decay, self.weighted, self.curved, self.left_out))
        fall = self.falls[part].sum(-1)[:, None] + self.decay[part] @ self.falls.T
        log_phi = log_mean(fall, e @ self.decay.T)
        one, two, three, four = (_ways(size, drawn) * np.exp(max(size - drawn, 0) * log_phi) for drawn in (1, 2, 3, 4))
        first, second, both = r @ self.decay.T, e @ self.left_out.T, r @ self.left_out.T
        norm = np.sum(self.f**2, -1)
        same, curved = (u * norm) @ self.weighted.T, (c * norm) @ self.weighted.T
        mixed = one * ((u * norm) @ self.curved.T) - two * same * second
        own = one * ((c * norm) @ self.curved.T) - 2 * two * curved * second
        own += same * (two * both + three * first * second)
        apart = three * both + four * first * second  # weights of <A, A'>
        for column in self.f.T:
            a, a_curved = (u * column) @ self.decay.T, (c * column) @ self.decay.T
            b, b_curved = (e * column) @ self.weighted.T, (e * column) @ self.curved.T
            lost, lost_curved = (u * column) @ self.left_out.T, (c * column) @ self.left_out.T
            other = (r * column) @ self.weighted.T
            mixed += two * (a * b_curved - lost * b) - three * second * a * b
            own += two * (a_curved * b_curved + lost * other - 2 * lost_curved * b) + apart * a * b
            own += three * (first * lost * b + second * a * other - 2 * second * a_curved * b)
        return mixed, own


def _ways(size: float, drawn: int) -> float:
    """Ordered choices of different draws, over M^2."""
    ways = 1 / size**2
    for taken in range(drawn):
        ways *= size - taken
    return max(ways, 0.0)
