"""How long a model on noisy labels takes to fit the noise (Prop C.2): one integral over the contamination n = 1 - P."""

import math
from collections.abc import Callable

import numpy as np

from qtheory.escape._inputs import order, probability

_PANEL = 0.5  # nats of n per panel of the quadrature
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


def sigmoid_norm(n: np.ndarray) -> np.ndarray:
    """||s||^2 = n^2 of the sigmoid, (...,)."""
    return n**2


def equilibrium(flip_rate: float, q: float) -> float:
    """The contamination at which the flow rests, r/(1 + r) with r = (e/(1-e))^(1/q).

    Args:
        flip_rate: e in (0, 1).
        q: In (0, 1].

    Returns:
        n*, which is near r where r is small.

    Raises:
        ValueError: An argument out of range; at q = 0 nothing rests inside (0, 1).
    """
    e, rate = float(probability("flip_rate", flip_rate)), float(order(q))
    if rate == 0:
        raise ValueError("q is 0.0: at q = 0 the flow runs to one label; pass q above 0")
    return 1 / (1 + math.exp((math.log1p(-e) - math.log(e)) / rate))


def contamination_time(
    start: float,
    end: float,
    flip_rate: float,
    q: float,
    norm: Callable[[np.ndarray], np.ndarray] = sigmoid_norm,
) -> float:
    """The time in which the flow takes n from one value up to another.

    Args:
        start: n at the start, in (0, end).
        end: n at the end, below the equilibrium.
        flip_rate: e in (0, 1).
        q: In (0, 1]; at q = 0 and e < 1/2 the contamination never grows.
        norm: ||s||^2 (...,) on the path as a function of n (...,).

    Returns:
        The integral of dn / ([e n^-q - (1-e)(1-n)^-q] (1-n)^2 ||s||^2), in units of one over the learning rate.

    Raises:
        ValueError: An argument out of range, or an end at or beyond the equilibrium.
    """
    low, high, rest = float(probability("start", start)), float(probability("end", end)), equilibrium(flip_rate, q)
    if not low < high < rest:
        raise ValueError(f"start is {low:g} and end {high:g}: n rises from start to end below the equilibrium {rest:g}")
    panels = max(1, math.ceil(math.log(high / low) / _PANEL))
    half = math.log(high / low) / panels / 2
    log_n = math.log(low) + half * (2 * np.arange(panels)[:, None] + 1 + _NODES)
    n = np.exp(log_n)
    pull = flip_rate * np.exp(-q * log_n) - (1 - flip_rate) * np.exp(-q * np.log1p(-n))
    return float((half * _WEIGHTS * n / (pull * (1 - n) ** 2 * norm(n))).sum())
