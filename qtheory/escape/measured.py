"""Escape times with a measured score norm: one integral over L = log P, whatever model the norm is from."""

import math
from collections.abc import Callable, Sequence

import numpy as np

_GRID = 4001  # nodes of the quadrature; its relative error is below 1e-4 for p0 down to 1e-12

Norm = Callable[[np.ndarray], np.ndarray]
"""||s||^2 (n,) at log P (n,)."""


def interpolated_norm(log_p: Sequence[float], norm_sq: Sequence[float]) -> Norm:
    """||s||^2 between its measurements: linear in log P, constant beyond them.

    Args:
        log_p: (n,) log P in nats, any order.
        norm_sq: (n,) measured ||s||^2.

    Returns:
        The function.

    Raises:
        ValueError: There is no measurement, or one is not positive (they are inner products of two independent
            estimates of s, so that noise can make one negative).
    """
    x_n, y_n = np.asarray(log_p, dtype=float), np.asarray(norm_sq, dtype=float)
    if not len(x_n):
        raise ValueError("||s||^2 was never measured on a path: measure more often")
    if not (y_n > 0).all():
        worst = int(y_n.argmin())
        raise ValueError(f"||s||^2 is {y_n[worst]:g} at log P = {x_n[worst]:.2f}: measure it with more samples")
    order = np.argsort(x_n)
    return lambda at_n: np.interp(at_n, x_n[order], y_n[order])


def constant_norm(at_n: np.ndarray) -> np.ndarray:
    """||s||^2 = 1 at every P: the assumption behind the exponent -(1-q), whose constant cancels in a slope."""
    return np.ones_like(at_n)


def measured_time(p0: float, delta: float, q: float, norm: Norm) -> float:
    """The time of gradient flow from p0 to delta (Eq 6).

    Args:
        p0: P at the start, in (0, delta).
        delta: Target in (0, 1).
        q: In [0, 1].
        norm: ||s||^2 as a function of log P along the path from this start.

    Returns:
        The integral of e^(-(1-q) L) / ||s||^2(L) over L from log p0 to log delta, in units of one over the
        learning rate.

    Raises:
        ValueError: p0 is not in (0, delta).
    """
    if not 0 < p0 < delta:
        raise ValueError(f"p0 is {p0:g}: it must lie in (0, {delta:g})")
    at_n = np.linspace(math.log(p0), math.log(delta), _GRID)
    return float(np.trapezoid(np.exp(-(1 - q) * at_n) / norm(at_n), at_n))
