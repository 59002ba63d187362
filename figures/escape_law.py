"""Updates until the escape under gradient flow with a measured score norm: one integral over L = log P."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from figures.errors import DataError

ESCAPED = 0.05
"""The P at which a run counts as escaped; the trainer's."""

GRID = 4001
"""Nodes of the quadrature; its relative error is below 1e-4 for p0 down to 1e-12."""

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
        DataError: There is no measurement, or one is not positive (they are inner products of two independent
            estimates of s, so that noise can make one negative).
    """
    x_n, y_n = np.asarray(log_p, dtype=float), np.asarray(norm_sq, dtype=float)
    if not len(x_n):
        raise DataError("||s||^2 was never measured on a path: measure more often")
    if not (y_n > 0).all():
        worst = int(y_n.argmin())
        raise DataError(f"||s||^2 is {y_n[worst]:g} at log P = {x_n[worst]:.2f}: measure it with more samples")
    order = np.argsort(x_n)
    return lambda at_n: np.interp(at_n, x_n[order], y_n[order])


def constant_norm(at_n: np.ndarray) -> np.ndarray:
    """||s||^2 = 1 at every P: the assumption behind the exponent -(1-q), whose constant cancels in a slope."""
    return np.ones_like(at_n)


def predicted_updates(p0: float, q: float, lr: float, norm: Norm) -> float:
    """SGD updates from p0 to ESCAPED in the limit of small ones, gradient flow.

    Args:
        p0: P at the start, in (0, ESCAPED).
        q: In [0, 1].
        lr: The learning rate.
        norm: ||s||^2 as a function of log P.

    Returns:
        (1/lr) times the integral of e^(-(1-q) L) / ||s||^2(L) over L from log p0 to log ESCAPED.

    Raises:
        ValueError: p0 is not in (0, ESCAPED).
    """
    if not 0 < p0 < ESCAPED:
        raise ValueError(f"p0 is {p0:g}: it must lie in (0, {ESCAPED:g})")
    at_n = np.linspace(math.log(p0), math.log(ESCAPED), GRID)
    return float(np.trapezoid(np.exp(-(1 - q) * at_n) / norm(at_n), at_n)) / lr
