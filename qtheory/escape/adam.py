"""Steps to escape under full-gradient Adam: its epsilon is a threshold on the gradient P^(1-q) ||s|| (QC-6).

One step without memory is lr g/(g + eps): lr g/eps far below eps, lr far above. Steps per nat of log P are thus
1/(lr s) + eps/(lr s^2 P^(1-q)); only the second term depends on q. The terms are equal at P_c = (eps/s)^(1/(1-q)).
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import root_scalar

from qtheory._numbers import fraction, non_negative, order, positive, single, together
from qtheory.escape._inputs import Floats, log_start_and_target

_HALVINGS = 60  # of [0, 1], below float64's spacing


def adam_time(
    log_p0: ArrayLike, delta: ArrayLike, q: ArrayLike, lr: ArrayLike, eps: ArrayLike, score_norm: ArrayLike = 1.0
) -> Floats:
    """Steps from p0 to delta at a constant score along one coordinate (QC-6).

    The law is log(delta/p0)/(lr s) + (eps/(lr s^2)) (p0^-(1-q) - delta^-(1-q))/(1-q): a first part as for sign
    descent, independent of q, and that of SGD at the rate lr/eps. It is exact for small steps and beta1 = beta2 = 0.
    With the default betas the mean's lag adds at most beta1/(1-beta1) (1-q) log(delta/p0) steps to the second part, and
    the second moment's memory shortens the first (see `memory_gain`): apart from the lag, the law is an upper bound.

    Args:
        log_p0: Log of the success probability at the start in nats, at most log delta, any shape.
        delta: Target in (0, 1), broadcastable.
        q: In [0, 1], broadcastable.
        lr: Learning rate, positive, broadcastable.
        eps: Adam's epsilon, non-negative, broadcastable.
        score_norm: ||s||, positive, broadcastable.

    Returns:
        Steps as floats, not rounded, broadcast shape; inf beyond the largest float.

    Raises:
        TypeError: An argument is no number and no array of numbers.
        ValueError: An argument outside its range, p0 above delta, or shapes that do not broadcast.
    """
    start, target = log_start_and_target(log_p0, delta)
    start, target, orders, rate, threshold, norm = together(
        log_p0=start,
        delta=target,
        q=order(q),
        lr=positive("lr", lr),
        eps=non_negative("eps", eps),
        score_norm=positive("score_norm", score_norm),
    )
    distance = np.log(target) - start
    with np.errstate(divide="ignore", over="ignore"):
        slow = np.exp(np.log(threshold) + _log_flow(np.log(target), distance, orders) - np.log(rate * norm**2))
        return distance / (rate * norm) + slow


def critical_q(
    log_p0: ArrayLike,
    steps: ArrayLike,
    delta: ArrayLike,
    lr: ArrayLike,
    eps: ArrayLike,
    score_norm: ArrayLike = 1.0,
) -> Floats:
    """The smallest q that gets from p0 to delta within a budget of steps, by the law of `adam_time`.

    Args:
        log_p0: As for `adam_time`.
        steps: The budget, positive, broadcastable.
        delta: As for `adam_time`.
        lr: As for `adam_time`.
        eps: As for `adam_time`.
        score_norm: As for `adam_time`.

    Returns:
        q in [0, 1], broadcast shape; 0 if every q escapes, NaN if none does.

    Raises:
        TypeError: As for `adam_time`.
        ValueError: As for `adam_time`, or a budget that is not positive.
    """
    budget = positive("steps", steps)
    at_one = adam_time(log_p0, delta, 1.0, lr, eps, score_norm)
    shape = together(steps=budget, adam_time=at_one)[0].shape
    low, high = np.zeros(shape), np.ones(shape)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        escapes = adam_time(log_p0, delta, middle, lr, eps, score_norm) <= budget
        low, high = np.where(escapes, low, middle), np.where(escapes, middle, high)
    every = adam_time(log_p0, delta, 0.0, lr, eps, score_norm) <= budget
    return np.where(every, 0.0, np.where(at_one <= budget, high, np.nan))


def memory_gain(q: float, lr: float, score_norm: float = 1.0, beta1: float = 0.9, beta2: float = 0.999) -> float:
    """Adam's speed above its epsilon, relative to lr s nats a step, after bias correction has become negligible.

    The gradient then grows as e^(a n), a = (1-q) lr s r. The second moment lags, which lengthens steps, and so does the
    mean, which shortens them:
    r = (1-beta1)/(1 - beta1 e^-a) sqrt((1 - beta2 e^-2a)/(1-beta2)), solved for r.

    Args:
        q: In [0, 1]; at q = 1 the gain is 1.
        lr: Learning rate, positive.
        score_norm: ||s||, positive.
        beta1: In [0, 1).
        beta2: In [0, 1).

    Returns:
        The gain r, positive.

    Raises:
        TypeError: An argument is no number.
        ValueError: An argument outside its range.
    """
    growth = 1 - single("q", order(q))
    for name, value in (("lr", lr), ("score_norm", score_norm)):
        growth *= single(name, positive(name, value))
    beta1, beta2 = fraction("beta1", beta1), fraction("beta2", beta2)

    def excess(gain: float) -> float:
        mean = (1 - beta1) / (1 - beta1 * math.exp(-growth * gain))
        return gain - mean * math.sqrt((1 - beta2 * math.exp(-2 * growth * gain)) / (1 - beta2))

    return float(root_scalar(excess, bracket=(0.0, 2 / math.sqrt(1 - beta2)), xtol=1e-14).root)


def _log_flow(log_target: Floats, distance: Floats, q: Floats) -> Floats:
    """Log of (p0^-a - delta^-a)/a, a = 1-q; of the distance log(delta/p0) at a = 0."""
    a, log_target, distance = np.broadcast_arrays(1 - q, log_target, distance)
    reach = a * distance
    steep = reach > 0
    mean = np.where(steep, -np.expm1(-reach) / np.where(steep, reach, 1.0), 1.0)
    with np.errstate(divide="ignore"):
        return reach - a * log_target + np.log(mean) + np.log(distance)
