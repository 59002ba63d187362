"""Updates until the escape under gradient flow with a measured score norm: one integral over L = log P."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from figures.errors import DataError

ESCAPED = 0.05
"""The P at which a run counts as escaped; the trainer's."""

BANDWIDTH = 1.0
"""Standard deviation in nats of the kernel that smooths ||s||^2."""

GRID = 4001
"""Nodes of the quadrature; its relative error is below 1e-4 for p0 down to 1e-12."""

Norm = Callable[[np.ndarray], np.ndarray]
"""||s||^2 (n,) at log P (n,)."""


def smoothed_norm(log_p: Sequence[float], norm_sq: Sequence[float]) -> Norm:
    """Local-linear kernel regression of ||s||^2 on log P, constant beyond the measured range.

    It works on ||s||^2 and not on its logarithm, because the measurements are unbiased for the former (they are inner
    products of two independent estimates of s) and one of them can be negative. The kernel is Gaussian, BANDWIDTH wide.

    Args:
        log_p: (n,) log P in nats, any order.
        norm_sq: (n,) measured ||s||^2.

    Returns:
        The smooth function.

    Raises:
        DataError: Fewer than three measurements, or the smooth function is not positive at one of them.
    """
    x_n, y_n = np.asarray(log_p, dtype=float), np.asarray(norm_sq, dtype=float)
    if len(x_n) < 3:
        raise DataError(f"||s||^2 was measured {len(x_n)} times on a path: at least 3 are needed; measure more often")
    first, last = float(x_n.min()), float(x_n.max())

    def smooth(at: float) -> float:
        distance_n = x_n - min(max(at, first), last)
        root_n = np.exp(-0.25 * (distance_n / BANDWIDTH) ** 2)  # square root of the kernel's weight
        design = np.stack([root_n, root_n * distance_n], axis=1)
        return float(np.linalg.lstsq(design, root_n * y_n, rcond=None)[0][0])

    grid = np.linspace(first, last, 256)
    values = np.array([smooth(at) for at in grid])
    if not (values > 0).all():
        worst = int(values.argmin())
        raise DataError(
            f"smoothed ||s||^2 is {values[worst]:g} at log P = {grid[worst]:.2f}: measure it with more samples"
        )
    return lambda at_n: np.interp(at_n, grid, values)


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
