"""The jackknifed plug-in at finite M (QC-2), without a baseline.

With T the plug-in, x_m = s w_m, e_m = e^(-x_m) and r_m = 1 - (1 + x_m) e_m, the estimate
(1/M) sum_m g_m [M wbar^-q - sum_(n != m) wbar_(-n)^-q] is (1 + c) T + (1 - 1/M)^q R,

    R = (M^(q-1)/Gamma(q)) int s^(q-1) X ds, X = sum_m g_m e_m [ x_m prod_k e_k - sum_n r_n prod_(k != n) e_k ]

over draws k and n other than m, from (S - w_n)^-q = (1/Gamma(q)) int s^(q-1) e^(-s S) (1 + x_n + r_n e^(x_n)) ds, whose
second term is q w_n S^(-q-1). c and R are of order 1/M, so that nothing of order 1 is subtracted. The second moments of
R are double sums over the lattice, over the ways in which the draws of two such sums coincide. The summands depend on
the task alone and M enters as their weight, so that they are computed once for all sizes.
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
        Moments of the C cells; the plug-in's for M = 1, as no draw can be left out.
    """
    own = np.where(size > 1, _own(q, np.maximum(size, 2)), 0.0)
    other = np.where(size > 1, np.exp(q * np.log1p(-1 / np.maximum(size, 2))), 0.0)
    mean = _remainder_mean(t, q, size)
    product, square = _remainder_products(t, q, size)
    covariance = product - np.sum(plug_in.mean * mean, -1)
    variance = (1 + own) ** 2 * plug_in.variance + 2 * (1 + own) * other * covariance
    variance += other**2 * (square - np.sum(mean**2, -1))
    second = (1 + own) ** 2 * plug_in.second + 2 * (1 + own) * other * product + other**2 * square
    added = own[:, None] * plug_in.mean + other[:, None] * mean
    return PlugIn(plug_in.mean + added, plug_in.bias + added, second, variance)


def _own(q: np.ndarray, size: np.ndarray) -> np.ndarray:
    """c, (C,), M [1 - (1-1/M)^(q+1)] - 1 - q (1-1/M)^q: of order 1/M, from terms of order 1."""
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
    single = weights(t.v, q, log_size, (m - 1) * t.log_phi, t.far)
    pair = weights(t.v, q, log_size, np.maximum(m - 2, 0) * t.log_phi, t.far) * (m - 1)
    single[:, 0] = pair[:, 0] = 0.0  # the integrand falls as s^(q+1)
    return pair @ (t.gradient * left_out[:, None]) - single @ curvature


def _remainder_products(t: Transforms, q: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E<T, R> and E||R||^2, (C,) each; 0 for M = 1."""
    rule = weights(t.v, q, np.log(size), np.zeros((len(q), len(t.v))), t.far)
    level = np.sqrt((t.reach**2 * t.decay**2 * t.prior) @ np.sum(t.f**2, -1))
    sizes = rule * level * np.exp(np.maximum(size - 4, 0)[:, None] * t.log_phi)
    sizes[size == 1] = 0.0
    nodes = np.flatnonzero(np.any(sizes > _NEGLIGIBLE * sizes.max(-1, keepdims=True), axis=0))
    rule = rule[:, nodes]
    remainder_rule = np.where(nodes == 0, 0.0, rule)
    pairs = _Pairs(t, nodes)
    product, square = np.zeros(len(q)), np.zeros(len(q))
    rows = max(1, _CHUNK // max(1, len(nodes)))
    for start in range(0, len(nodes), rows):
        part = slice(start, start + rows)
        log_phi, mixed, own = pairs.kernels(part)
        for count in np.unique(size[size > 1]):
            cells = size == count
            ways = [_ways(count, drawn) * np.exp(max(count - drawn, 0) * log_phi) for drawn in (1, 2, 3, 4)]
            product[cells] += np.sum((rule[cells, part] @ _combined(ways, mixed)) * remainder_rule[cells], -1)
            square[cells] += np.sum((remainder_rule[cells, part] @ _combined(ways, own)) * remainder_rule[cells], -1)
    return product, square


def _combined(ways: list[np.ndarray], kernels: list[np.ndarray]) -> np.ndarray:
    total = ways[0] * kernels[0]
    for way, kernel in zip(ways[1:], kernels[1:], strict=False):
        total += way * kernel
    return total


class _Pairs:
    """Means over one draw at two nodes of the lattice, s for the first sum and s' for the second."""

    def __init__(self, t: Transforms, nodes: np.ndarray) -> None:
        """Select the transforms (N, Z) at the nodes (N,), and make scores (Z, D) with the same products as f."""
        x = t.x[nodes]
        self.prior, self.decay = t.prior, t.decay[nodes]
        self.falls = -np.expm1(-x) * t.prior
        self.left_out = gammainc(2.0, x)
        self.weighted = t.reach[nodes] * self.decay  # w e^-x, and its product with x
        self.curved = self.weighted * np.minimum(x, 1000.0)
        # Only products of scores matter: with fewer rationales than parameters, fewer columns suffice.
        self.f = np.asarray(np.linalg.qr(t.f.T, mode="r")).T if t.f.shape[1] > t.f.shape[0] else t.f

    def kernels(self, part: slice) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Kernels of the integrands of E<T, R> and E||R||^2, to be weighted by the ways in which draws form them.

        Args:
            part: Nodes s.

        Returns:
            Log phi (N', N) at s + s', three kernels (N', N) for E<T, R>, and four for E||R||^2; the latter are to be
            summed with equal weights on both sides.
        """
        e, u, c, r = (a[part] * self.prior for a in (self.decay, self.weighted, self.curved, self.left_out))
        fall = self.falls[part].sum(-1)[:, None] + self.decay[part] @ self.falls.T
        log_phi = log_mean(fall, e @ self.decay.T)
        first, second, lost_twice = r @ self.decay.T, e @ self.left_out.T, r @ self.left_out.T
        norm = np.sum(self.f**2, -1)
        same, curved = (u * norm) @ self.weighted.T, (c * norm) @ self.weighted.T
        sums = np.zeros((8, *first.shape))
        left, right = np.concatenate([u, c]), np.concatenate([self.decay, self.left_out])
        other_left, other_right = np.concatenate([e, r]), np.concatenate([self.weighted, self.curved])
        for column in self.f.T:
            ours, theirs = (left * column) @ right.T, (other_left * column) @ other_right.T
            (a, lost), (a_curved, lost_curved) = (np.hsplit(half, 2) for half in np.vsplit(ours, 2))
            (b, b_curved), (other, _) = (np.hsplit(half, 2) for half in np.vsplit(theirs, 2))
            pairs = ((a, b), (a, b_curved), (lost, b), (a_curved, b_curved), (lost, other), (lost_curved, b))
            for total, (x, y) in zip(sums, (*pairs, (a, other), (a_curved, b)), strict=True):
                total += x * y
        ab, ab_curved, lost_b, curved_curved, lost_other, lost_curved_b, a_other, curved_b = sums
        mixed = [(u * norm) @ self.curved.T, ab_curved - lost_b - same * second, -second * ab]
        own = [
            (c * norm) @ self.curved.T,
            same * lost_twice - 2 * curved * second + curved_curved + lost_other - 2 * lost_curved_b,
            same * first * second + lost_twice * ab + first * lost_b + second * (a_other - 2 * curved_b),
            first * second * ab,
        ]
        return log_phi, mixed, own


def _ways(size: float, drawn: int) -> float:
    """Ordered choices of different draws, over M^2."""
    ways = 1 / size**2
    for taken in range(drawn):
        ways *= size - taken
    return max(ways, 0.0)
