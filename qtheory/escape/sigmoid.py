"""Escape times of the scalar sigmoid P = sigma(theta) under gradient flow, in closed form (App C.1).

With the odds r = u/(1-u) the paper's integral of du / (u^(2-q) (1-u)^2) becomes that of (1 + 1/r)^(2-q) dr,
which has no pole at u = 1. It is summed by the binomial series in r for small odds, by that in 1/r for large odds, and
by one Gauss-Legendre rule in the logit in between: the terms of each piece have similar sizes, and the three pieces are
positive, so nothing cancels.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from qtheory._numbers import order, together
from qtheory.escape._inputs import Floats, log_start_and_target, start_and_target

_EDGE = 2.0  # the quadrature covers logits within +-2; its integrand is analytic up to imaginary part pi
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_TERMS = 22  # e^(-2 * 22) is below the rounding of float64


def sigmoid_time(p0: ArrayLike, delta: ArrayLike, q: ArrayLike) -> Floats:
    """The time T_q(p0, delta) at which P reaches delta (App C.1).

    Args:
        p0: Success probability at the start, at least the smallest normal float and at most delta, any shape.
        delta: Target in (0, 1), broadcastable.
        q: In [0, 1], broadcastable.

    Returns:
        Times in units of one over the learning rate, broadcast shape, within 1e-12 relative; inf beyond the
        largest float.

    Raises:
        TypeError: An argument is no number and no array of numbers.
        ValueError: p0, delta or q outside its range or NaN, p0 above delta, or shapes that do not broadcast.
    """
    start, target = start_and_target(p0, delta, "; log_sigmoid_time goes lower")
    start, target, orders = together(p0=start, delta=target, q=order(q))
    with np.errstate(over="ignore"):
        ratio = (target - start) / start / (1 - target)
        return np.exp(_log_time(np.log(start) - np.log1p(-start), _logit(target), ratio, orders))


def log_sigmoid_time(log_p0: ArrayLike, delta: ArrayLike, q: ArrayLike) -> Floats:
    """The logarithm of `sigmoid_time` as a function of log p0, for any finite log p0.

    Args:
        log_p0: Log of the success probability at the start in nats, at most log delta, any shape.
        delta: Target in (0, 1), broadcastable.
        q: In [0, 1], broadcastable.

    Returns:
        log T_q, broadcast shape, within 1e-14 max(1, |log T_q|) if p0 is well below delta; -inf for p0 = delta.

    Raises:
        TypeError: An argument is no number and no array of numbers.
        ValueError: log_p0, delta or q outside its range or NaN, p0 above delta, or shapes that do not broadcast.
    """
    start, target = log_start_and_target(log_p0, delta)
    start, target, orders = together(log_p0=start, delta=target, q=order(q))
    with np.errstate(over="ignore"):
        ratio = np.expm1(np.log(target) - start) / (1 - target)
    return _log_time(start - np.log(-np.expm1(start)), _logit(target), ratio, orders)


def _logit(p: Floats) -> Floats:
    return np.log(p) - np.log1p(-p)


def _log_time(start: Floats, end: Floats, ratio: Floats, q: Floats) -> Floats:
    """Log of the integral between two logits; ratio = odds ratio - 1 gives small distances."""
    near = ratio < 1
    distance = np.where(near, np.log1p(np.where(near, ratio, 0.0)), end - start)
    low = np.where(start < -_EDGE, np.minimum(distance, -_EDGE - start), 0.0)
    high = np.where(end > _EDGE, np.minimum(distance, end - _EDGE), 0.0)
    middle = np.maximum(distance - low - high, 0.0)
    # Without a low piece the middle begins at the start; a piece of length 0 adds nothing.
    pieces = (
        _series(start, low, q, lambda k: q - 1 + k),
        _middle(np.clip(start, -_EDGE, _EDGE), middle, q),
        _series(end - high, high, q, lambda k: np.full_like(q, 1 - k)),
    )
    return np.logaddexp(np.logaddexp(pieces[0], pieces[1]), pieces[2])


def _series(start: Floats, length: Floats, q: Floats, power: Callable[[int], Floats]) -> Floats:
    """Log of sum_k binom(2-q, k) times the integral of e^(power(k) x) from start over a length."""
    logs, factors = [], []
    factor = np.ones_like(q)
    for k in range(_TERMS):
        logs.append(_log_exponential(start, length, power(k)))
        factors.append(factor)
        factor = factor * (2 - q - k) / (k + 1)
    return logsumexp(np.array(logs), b=np.array(factors), axis=0)


def _log_exponential(start: Floats, length: Floats, a: Floats) -> Floats:
    """Log of the integral of e^(a x) over [start, start + length], from its larger end; -inf for no length."""
    decay = np.abs(a) * length
    steep = decay > 0
    mean = np.where(steep, -np.expm1(-decay) / np.where(steep, decay, 1.0), 1.0)
    with np.errstate(divide="ignore"):
        return np.maximum(a * start, a * (start + length)) + np.log(length) + np.log(mean)


def _middle(start: Floats, length: Floats, q: Floats) -> Floats:
    """Log of the integral of (1 + e^x)^(2-q) e^(-(1-q) x) over logits within +-_EDGE."""
    half = length[..., None] / 2
    x = start[..., None] + half * (1 + _NODES)
    order_q = q[..., None]
    values = np.exp((2 - order_q) * np.log1p(np.exp(x)) - (1 - order_q) * x)
    with np.errstate(divide="ignore"):
        return np.log((half * _WEIGHTS * values).sum(-1))
