"""The leave-one-out form of GARL at finite M: the variance that its baseline adds to the plug-in's (Prop 6.2, D.4).

The form is the plug-in + B, B = (1/M) sum_m h_m b_m, b_m = wbar_(-m)^(1-q), h = grad log p(z|x). As E[h] = 0, B has
mean 0 and Var(plug-in + c B) = Var(plug-in) + 2 c E<plug-in, B> + c^2 E||B||^2, least at c = -E<plug-in, B>/E||B||^2
(QC-4). At q = 1 every b_m is 1, 0^0 included.
"""

import numpy as np
from scipy.special import rgamma

from qtheory.exact.kummer import kummer
from qtheory.exact.laplace import STEP, series, weights
from qtheory.exact.plugin import pair_weights
from qtheory.exact.transforms import Transforms, log_mean

_CENTRED = 1e-9
_ROUNDING = 1e-15
_DEEPEST = -692.0  # nats: w = 1e-300, for which s w is still a float
_CHUNK = 2_000_000  # numbers in one temporary array
_NEGLIGIBLE = 1e-30


def baseline_products(t: Transforms, q: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E<plug-in, B>, which may have either sign, and E||B||^2.

    Args:
        t: The task's transforms.
        q: (C,) in [0, 1].
        size: (C,) M, as floats.

    Returns:
        Two arrays (C,) in units of the largest weight to the power 2 (1 - q); 0 for M = 1, which has no baseline.

    Raises:
        ValueError: E[h] is not 0, or positive weights spread over more than 1e300.
    """
    h = _centred_scores(t)
    if t.log_w[t.possible[:, 0]].min() < _DEEPEST:
        raise ValueError(
            f"log_w spreads over more than {-_DEEPEST:g} nats: the rloo form's moments need weights within 1e300 of "
            "the largest; use -inf for an impossible answer"
        )
    products, squares = np.zeros(len(q)), np.zeros(len(q))
    for value in np.unique(q[size > 1]):
        cells = (size > 1) & (q == value)
        product = _product_at_one if value == 1 else _product
        products[cells] = product(t, h, value, size[cells])
    at_one = (size > 1) & (q == 1)
    squares[at_one] = (t.prior @ np.sum(h**2, -1)) / size[at_one]
    cells = (size > 1) & (q < 1)
    squares[cells] = _square(t, h, q[cells], size[cells])
    return products, squares


def _centred_scores(t: Transforms) -> np.ndarray:
    """(Z, d) h less the rounding of E[h]."""
    mean = t.prior @ t.h
    largest = float(np.abs(mean).max(initial=0.0))
    if largest > _CENTRED * float(np.abs(t.h).max(initial=0.0)) + _ROUNDING:
        raise ValueError(
            f"E[prior_score] has entries up to {largest:.3g}: the rloo form needs the mean 0 that scores have under "
            "their own distribution (Prop 6.2)"
        )
    return t.h - mean


def _product(t: Transforms, h: np.ndarray, q: float, size: np.ndarray) -> np.ndarray:
    """E<plug-in, B>, (C,), at one q < 1.

    It is -M^(q-1) (M-1)^(q-1) E[<w_1 f_1 + F', h_1> (w_1 + S')^-q S'^(1-q)], with F' and S' the sums of w f and of w
    over the others: one integral, by `kummer`.
    """
    kernel, kernel_less_one = kummer(q, t.x)
    alone = (kernel * np.where(t.far[:, None] > 0, t.x, t.w) * t.prior) @ np.sum(h * t.f, -1)
    scores = (kernel_less_one * t.prior) @ h  # as E[h] = 0
    n = (size - 1)[:, None]
    order, log_size = np.full(len(size), 2 * q), np.log(size)
    single = weights(t.v, order, log_size, (n - 1) * t.log_phi, 2 * t.far)
    pair = weights(t.v, order, log_size, np.maximum(n - 2, 0) * t.log_phi, 2 * t.far) * (n - 1)
    value = single @ (alone * t.height + np.sum(scores * t.curvature, -1))
    value += pair @ (np.sum(scores * t.gradient, -1) * t.height)
    return -value * ((size - 1) / size) ** q / size


def _product_at_one(t: Transforms, h: np.ndarray, q: float, size: np.ndarray) -> np.ndarray:
    """E<plug-in, B>, (C,), at q = 1, where B is the mean of h: -E[<w_1 f_1 + F', h_1>/(w_1 + S')]."""
    alone = t.mean(np.sum(h * t.f, -1), 1)
    scores = -_falls(t) @ h
    n = (size - 1)[:, None]
    order, log_size = np.full(len(size), q), np.log(size)
    single = weights(t.v, order, log_size, n * t.log_phi, t.far)
    pair = weights(t.v, order, log_size, (n - 1) * t.log_phi, t.far) * n
    return -(single @ alone + pair @ np.sum(scores * t.gradient, -1)) / size


def _square(t: Transforms, h: np.ndarray, q: np.ndarray, size: np.ndarray) -> np.ndarray:
    """E||B||^2, (C,), for q < 1 and M > 1: terms of single draws and of pairs."""
    others = size - 1
    own, pairs = pair_weights(t, q, others)
    power = own @ t.mean(np.ones_like(t.w), 2) + pairs @ t.height**2
    squared = t.prior @ np.sum(h**2, -1)
    return (power * squared + others ** (2 * q - 1) * _pairs(t, h, q, others - 1)) / size


def _pairs(t: Transforms, h: np.ndarray, q: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """E||E[h (S + w)^(1-q) | S]||^2, (C,), with S the sum of `draws` weights.

    As E[h] = 0, (S + w)^a - S^a = (a/Gamma(1-a)) int t^(-a-1) e^(-t S) (1 - e^(-t w)) dt is applied twice, a = 1 - q:
    a double sum over the lattice with phi(t_k + t_l), whose matrix depends on the task alone.
    """
    falls = _falls(t)
    scores = falls @ h
    rule = _positive_power_weights(t.v, q)
    sizes = np.abs(rule) * np.linalg.norm(scores, axis=-1)
    relevant = np.any(sizes > _NEGLIGIBLE * sizes.max(-1, keepdims=True), axis=0)
    rule, scores, decay, falls = rule[:, relevant], scores[relevant], t.decay[relevant], falls[relevant]
    total = np.zeros(len(q))
    rows = max(1, _CHUNK // max(1, len(scores)))
    for start in range(0, len(scores), rows):
        part = slice(start, start + rows)
        # 1 - e^(-a-b) = (1 - e^-a) + e^-a (1 - e^-b), without cancellation.
        fall = falls[part].sum(-1)[:, None] + decay[part] @ falls.T
        log_phi = log_mean(fall, (decay[part] * t.prior) @ decay.T)
        gram = scores[part] @ scores.T
        for count in np.unique(draws):
            cells = draws == count
            kernel = np.exp(count * log_phi) * gram
            total[cells] += np.sum((rule[cells, part] @ kernel) * rule[cells], -1)
    return total


def _falls(t: Transforms) -> np.ndarray:
    """p(z|x) (1 - e^-x), (N, Z)."""
    return -np.expm1(-t.x) * t.prior


def _positive_power_weights(v: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Weights (C, N) of e^(-t S)(1 - e^(-t w)) in (S + w)^a - S^a, a = 1 - q > 0.

    Both ends are geometric series: to the left 1 - e^(-t w) falls as t, and to the right both factors are constant if
    S = 0 is possible.
    """
    a = 1 - q
    value = np.exp(-a[:, None] * v) * (rgamma(1 + q) * q * a * STEP)[:, None]
    value[:, 0] = np.exp(-a * v[0]) * rgamma(1 + q) * a * series(q)
    value[:, -1] = np.exp(-a * v[-1]) * rgamma(1 + q) * q * series(a)
    return value
