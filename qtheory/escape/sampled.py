"""Escape times of the sigmoid under the expected finite-M plug-in update (Thm 6.1), for hard and soft weights.

The plug-in of M draws is gbar/wbar^q. Where every draw with w > 0 has the same score s = grad log P its mean is
-s E[wbar^(1-q)], so the expected update (the mean field) moves P by dP/dt = P ||s||^2 E[wbar^(1-q)], with E[...]
in the place of the exact flow's P^(1-q). Two extremes of that kind:

- hard: w in {0, 1}, right with probability P. E[wbar^(1-q)] <= min(P^(1-q), M^q P): once P << 1/M a pool
  rarely holds more than one success, and the escape time is M^-q T_0 at every q.
- soft: w_z = P v_z with relative weights v of mean 1. E[wbar^(1-q)] = P^(1-q) E[vbar^(1-q)], a constant factor.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, gamma, logsumexp

from qtheory.escape import _inputs
from qtheory.escape._inputs import Floats
from qtheory.escape.sigmoid import sigmoid_time

_STEP = 0.2  # of the trapezoid rule in log t: its error is e^(-pi^2/step) relative
_PANEL = 1.0  # logits per panel: the integrand is analytic up to imaginary part pi/2 where P > 1/M
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def mean_power(prior: ArrayLike, w: ArrayLike, q: float, samples: int) -> Floats:
    """E[wbar^(1-q)] over pools of M independent draws, without sampling and at a cost that M does not change.

    With S the pool's sum, S^(1-q) = (1/Gamma(1+q)) times the integral of t^q S^2 e^(-t S), whose mean needs
    only E[w^k e^(-t w)], k = 0, 1, 2, of one draw.

    Args:
        prior: (..., Z) probabilities that sum to 1 on the last axis.
        w: (Z,) weights, non-negative and finite.
        q: In [0, 1].
        samples: Draws M of a pool, at least 1.

    Returns:
        (...) means, within 1e-12 relative. 0 where all of the prior lies on w = 0.

    Raises:
        TypeError: samples is no int.
        ValueError: Shapes that differ, a prior that is none, a negative or infinite weight, q outside [0, 1], M < 1.
    """
    pi, w, (q, count) = _law(prior, w), np.asarray(w, dtype=float), (float(_inputs.order(q)), _inputs.samples(samples))
    if not (w > 0).any():
        return np.zeros(pi.shape[:-1])
    # t S runs over the whole of e^-40 ... 60 for the smallest positive and the largest sum alike.
    u = np.arange(-40 - math.log(count * w.max()), math.log(60 / w[w > 0].min()) + _STEP, _STEP)
    x = np.minimum(np.multiply.outer(np.exp(u), w), 700)  # t w, (T, Z); beyond 700 its exponential is nothing
    # E[(t w)^k e^(-t w)] t^(k (q-1)/2), (..., T): the power of t goes inside, where nothing under- or overflows.
    scaled = x * np.exp((q - 1) / 2 * u)[:, None]
    first, second = (pi @ (scaled**k * np.exp(-x)).T for k in (1, 2))
    log_one = _log_laplace(pi, x)
    pools = count * second * np.exp((count - 1) * log_one)
    if count > 1:
        pools = pools + count * (count - 1) * first**2 * np.exp((count - 2) * log_one)
    return pools.sum(-1) * _STEP / (gamma(1 + q) * float(count) ** (1 - q))


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
        TypeError: samples is no int.
        ValueError: p0, delta or q outside its range, p0 above delta, or M < 1.
    """
    start, target = _inputs.start_and_target(p0, delta)
    start, target, q = np.broadcast_arrays(start, target, _inputs.order(q))
    logits = [np.log(x) - np.log1p(-x) for x in (start, target)]
    cells = zip(*(x.ravel().tolist() for x in (*logits, q)), strict=True)
    times = [_hard_time(low, high, one, samples) for low, high, one in cells]
    return np.array(times).reshape(q.shape)


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
        TypeError: samples is no int.
        ValueError: As `hard_time` and `mean_power`, or v not of mean 1, or some w above 1 at delta.
    """
    pi, v, orders = _law(prior, relative), np.asarray(relative, dtype=float), _inputs.order(q)
    if abs(pi @ v - 1) > 1e-9:
        raise ValueError(f"relative has mean {pi @ v:.9g} under the prior: divide it by that, as w = P v has mean P")
    top = _inputs.probability("delta", delta).max() * v.max()
    if top > 1:
        raise ValueError(f"delta times the largest relative weight is {top:.4g}: lower one of them, as w is at most 1")
    factors = np.array([mean_power(pi, v, one, samples) for one in orders.ravel()]).reshape(orders.shape)
    return sigmoid_time(p0, delta, q) / factors


def _hard_time(start: float, end: float, q: float, count: int) -> float:
    """Integral of dx / ((1-P) E[wbar^(1-q)]) over the logit x = log P/(1-P), panel by panel."""
    panels = max(1, math.ceil((end - start) / _PANEL))
    half = (end - start) / panels / 2
    x = start + half * (2 * np.arange(panels)[:, None] + 1 + _NODES)  # (panels, nodes)
    gain = mean_power(np.stack([expit(-x), expit(x)], axis=-1), [0.0, 1.0], q, count)
    return float(np.exp(logsumexp(-np.log(gain) - np.log(expit(-x)), b=half * _WEIGHTS)))


def _log_laplace(pi: Floats, x: Floats) -> Floats:
    """The logarithm of E[e^(-x)], (..., T): by log1p where the mean is near 1, as a power of M amplifies rounding."""
    missing = pi @ -np.expm1(-x).T
    near = missing < 0.5
    return np.where(near, np.log1p(-np.where(near, missing, 0.0)), np.log(pi @ np.exp(-x).T))


def _law(prior: ArrayLike, w: ArrayLike) -> Floats:
    """The prior (..., Z), checked together with the weights (Z,)."""
    pi, w = np.asarray(prior, dtype=float), np.asarray(w, dtype=float)
    if w.ndim != 1 or pi.shape[-1:] != w.shape or w.size == 0:
        raise ValueError(f"prior has shape {pi.shape} and the weights {w.shape}: pass (..., Z) and (Z,) with one Z")
    if not ((pi >= 0).all() and np.allclose(pi.sum(-1), 1, rtol=0, atol=1e-9)):
        raise ValueError("prior is no distribution: its last axis must be non-negative and sum to 1")
    if not ((w >= 0) & (w < math.inf)).all():
        raise ValueError(f"the weights are {w.min():.4g} to {w.max():.4g}: they must be non-negative and finite")
    return pi
