"""Escape times of the sigmoid under the expected finite-M plug-in update (Thm 6.1), for hard and soft weights.

The plug-in of M draws is gbar/wbar^q. If every draw with w > 0 has the same score s = grad log P, its mean is
-s E[wbar^(1-q)], so the expected update (the mean field) moves P by dP/dt = P ||s||^2 E[wbar^(1-q)], where E[...]
replaces the exact flow's P^(1-q). Two extreme cases:

- hard: w in {0, 1}, right with probability P. E[wbar^(1-q)] <= min(P^(1-q), M^q P): once P << 1/M a pool
  rarely holds more than one success, and the escape time is M^-q T_0 at every q.
- soft: w_z = P v_z with relative weights v of mean 1. E[wbar^(1-q)] = P^(1-q) E[vbar^(1-q)], a constant factor.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, gamma, logsumexp

from qtheory._arrays import refuse
from qtheory._numbers import count, numbers, order, single, together
from qtheory.escape._inputs import Floats, probability, start_and_target
from qtheory.escape.sigmoid import sigmoid_time

_STEP = 0.2  # of the trapezoid rule in log t: its error is e^(-pi^2/step) relative
_PANEL = 1.0  # logits per panel: the integrand is analytic up to imaginary part pi/2 for P > 1/M
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_LARGEST, _SMALLEST = np.finfo(float).max, 1e-305  # of a pool's sum, and of a weight whose inverse times 60 is a float


def mean_power(prior: ArrayLike, w: ArrayLike, q: float, samples: int) -> Floats:
    """E[wbar^(1-q)] over pools of M independent draws, without sampling and at a cost independent of M.

    With S the pool's sum, S^(1-q) = (1/Gamma(1+q)) times the integral of t^q S^2 e^(-t S), whose mean needs
    only E[w^k e^(-t w)], k = 0, 1, 2, of one draw.

    Args:
        prior: (..., Z) probabilities that sum to 1 on the last axis.
        w: (Z,) weights, non-negative and finite.
        q: In [0, 1].
        samples: Draws M of a pool, at least 1.

    Returns:
        (...) means, within 1e-12 relative. 0 if the whole prior is on w = 0.

    Raises:
        TypeError: samples is no integer, or another argument no number or array of numbers.
        ValueError: Shapes that differ, an invalid prior, a weight that is negative, not finite, or positive and
            below 1e-305, a sum of M weights beyond the floats, q outside [0, 1], or M < 1.
    """
    (pi, w), q, size = _law(prior, "w", w), single("q", order(q)), count("samples", samples, 1)
    refuse(np, "w", w, size * (w / _LARGEST) > 1, f"the sum of {size} such weights is no float; lower it")
    if not (w > 0).any():
        return np.zeros(pi.shape[:-1])
    # t S covers e^-40 ... 60 for the smallest positive sum and for the largest.
    u = np.arange(-40 - math.log(size * w.max()), math.log(60 / w[w > 0].min()) + _STEP, _STEP)
    x = np.minimum(np.multiply.outer(np.exp(u), w), 700)  # t w, (T, Z); beyond 700 e^-x is negligible
    # E[(t w)^k e^(-t w)] t^(k (q-1)/2), (..., T): the power of t goes inside, where nothing under- or overflows.
    scaled = x * np.exp((q - 1) / 2 * u)[:, None]
    first, second = (pi @ (scaled**k * np.exp(-x)).T for k in (1, 2))
    log_single = _log_laplace(pi, x)
    pools = size * second * np.exp((size - 1) * log_single)
    if size > 1:
        pools = pools + size * (size - 1) * first**2 * np.exp((size - 2) * log_single)
    return pools.sum(-1) * _STEP / (gamma(1 + q) * float(size) ** (1 - q))


def hard_time(p0: ArrayLike, delta: ArrayLike, q: ArrayLike, samples: int) -> Floats:
    """The mean-field escape time with weights w in {0, 1}, each draw right with probability P.

    Args:
        p0: Success probability at the start, at least the smallest normal float and at most delta, any shape.
        delta: Target in (0, 1), broadcastable.
        q: In [0, 1], broadcastable.
        samples: Draws M of a pool, at least 1.

    Returns:
        Times in units of one over the learning rate, broadcast shape, within 1e-11 relative: T_0 at q = 0 and at
        M = 1, and never below T_q.

    Raises:
        TypeError: samples is no integer, or another argument no number or array of numbers.
        ValueError: p0, delta or q outside its range, p0 above delta, shapes that do not broadcast, or M < 1.
    """
    (start, target), size = start_and_target(p0, delta), count("samples", samples, 1)
    start, target, orders = together(p0=start, delta=target, q=order(q))
    begin, end = (np.log(x) - np.log1p(-x) for x in (start, target))
    with np.errstate(over="ignore"):
        ratio = (target - start) / start / (1 - target)
    # On a short way the difference would cancel.
    way = np.where(ratio < 1, np.log1p(np.minimum(ratio, 1.0)), end - begin)
    cells = zip(begin.ravel().tolist(), way.ravel().tolist(), orders.ravel().tolist(), strict=True)
    return np.array([_hard_time(x, length, cell_q, size) for x, length, cell_q in cells]).reshape(orders.shape)


def soft_time(
    p0: ArrayLike, delta: ArrayLike, q: ArrayLike, samples: int, *, prior: ArrayLike, relative: ArrayLike
) -> Floats:
    """The mean-field escape time with weights w_z = P v_z: T_q over E[vbar^(1-q)].

    Args:
        p0: As in `hard_time`.
        delta: As in `hard_time`, with delta max(v) at most 1, so that w stays a likelihood.
        q: As in `hard_time`.
        samples: Draws M of a pool, at least 1.
        prior: (Z,) probabilities of the rationales.
        relative: (Z,) relative weights v, non-negative and of mean 1 under the prior.

    Returns:
        Times in units of one over the learning rate, broadcast shape, within 1e-12 relative.

    Raises:
        TypeError: samples is no integer, or another argument no number or array of numbers.
        ValueError: As `hard_time` and `mean_power`, a prior with more than one axis, v not of mean 1, or a w above 1
            at delta.
    """
    (pi, v), orders = _law(prior, "relative", relative), order(q)
    if pi.ndim > 1:
        raise ValueError(f"prior has shape {pi.shape}: pass one prior (Z,)")
    if abs(pi @ v - 1) > 1e-9:
        raise ValueError(f"relative has mean {pi @ v:.9g} under the prior: divide it by that, as w = P v has mean P")
    top = probability("delta", delta).max(initial=0.0) * v.max()
    if top > 1:
        raise ValueError(f"delta times the largest relative weight is {top:.4g}: lower one of them, as w is at most 1")
    times = sigmoid_time(p0, delta, orders)
    return times / np.array([mean_power(pi, v, cell_q, samples) for cell_q in orders.ravel()]).reshape(orders.shape)


def _hard_time(start: float, way: float, q: float, size: int) -> float:
    """Integral of dx / ((1-P) E[wbar^(1-q)]) over a length in the logit x = log P/(1-P), panel by panel."""
    panels = max(1, math.ceil(way / _PANEL))
    half = way / panels / 2
    x = start + half * (2 * np.arange(panels)[:, None] + 1 + _NODES)  # (panels, nodes)
    gain = mean_power(np.stack([expit(-x), expit(x)], axis=-1), [0.0, 1.0], q, size)
    return float(np.exp(logsumexp(-np.log(gain) - np.log(expit(-x)), b=half * _WEIGHTS)))


def _log_laplace(pi: Floats, x: Floats) -> Floats:
    """The logarithm of E[e^(-x)], (..., T), by log1p near 1, as the power of M amplifies rounding."""
    missing = pi @ -np.expm1(-x).T
    near = missing < 0.5
    return np.where(near, np.log1p(-np.where(near, missing, 0.0)), np.log(pi @ np.exp(-x).T))


def _law(prior: ArrayLike, name: str, weights: ArrayLike) -> tuple[Floats, Floats]:
    """Check the prior (..., Z) and the weights (Z,), which messages call `name`."""
    pi, w = numbers("prior", prior), numbers(name, weights)
    if w.ndim != 1 or pi.shape[-1:] != w.shape or w.size == 0:
        raise ValueError(f"prior has shape {pi.shape} and {name} {w.shape}: pass (..., Z) and (Z,) with one Z")
    refuse(np, "prior", pi, ~((pi >= 0) & (pi <= 1)), "a probability must lie in [0, 1]")
    total = pi.sum(-1)
    refuse(np, "the sum of prior", total, ~(np.abs(total - 1) <= 1e-9), "its last axis must sum to 1")
    refuse(np, name, w, ~((w >= 0) & (w < math.inf)), "a weight must be non-negative and finite")
    refuse(np, name, w, (w > 0) & (w < _SMALLEST), f"pass 0, or a weight of at least {_SMALLEST:g}")
    return pi, w
