"""Escape times with a measured score norm of any model, as one integral over L = log P."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from qtheory._arrays import refuse
from qtheory._numbers import order, single, vector
from qtheory.escape._inputs import squared_norms, start_and_target

_GRID = 4001  # nodes of the quadrature, at least
_STEP = math.log(1e12) / (_GRID - 1)  # nats between nodes, at most

Norm = Callable[[np.ndarray], np.ndarray]
"""||s||^2 (n,) at log P (n,)."""


def interpolated_norm(log_p: Sequence[float], norm_sq: Sequence[float]) -> Norm:
    """||s||^2 between its measurements: linear in log P, constant beyond them.

    Args:
        log_p: (n,) log P in nats, any order.
        norm_sq: (n,) measured ||s||^2.

    Returns:
        A function of log P.

    Raises:
        TypeError: An argument holds no numbers.
        ValueError: There is no measurement, the two differ in length, a log P is above 0, or a norm is not positive
            (it is an inner product of two independent estimates of s, which noise can make negative).
    """
    if np.size(log_p) == 0 and np.size(norm_sq) == 0:
        raise ValueError("||s||^2 was never measured on a path: measure more often")
    x_n, y_n = vector("log_p", log_p), vector("norm_sq", norm_sq)
    if x_n.shape != y_n.shape:
        raise ValueError(f"log_p has {len(x_n)} entries and norm_sq {len(y_n)}: pass one ||s||^2 for each log P")
    refuse(np, "log_p", x_n, x_n > 0, "a log-probability must be at most 0")
    if not (y_n > 0).all():
        worst = int(y_n.argmin())
        raise ValueError(f"||s||^2 is {y_n[worst]:g} at log P = {x_n[worst]:.2f}: measure it with more samples")
    by_place = np.argsort(x_n)
    return lambda at_n: np.interp(at_n, x_n[by_place], y_n[by_place])


def constant_norm(at_n: np.ndarray) -> np.ndarray:
    """||s||^2 = 1 at every P, the assumption of the exponent -(1-q); any constant gives the same slope."""
    return np.ones_like(at_n)


def measured_time(p0: float, delta: float, q: float, norm: Norm) -> float:
    """The time of gradient flow from p0 to delta (Eq 6).

    The trapezoid rule has at least 4001 nodes, at most 0.007 nats apart: within 1e-4 relative if ||s||^2 is a power of
    P between P^-1 and P, or as smooth.

    Args:
        p0: P at the start, in (0, delta).
        delta: Target in (0, 1).
        q: In [0, 1].
        norm: ||s||^2 as a function of log P along the path from this start, (...,) -> (...,), positive.

    Returns:
        The integral of e^(-(1-q) L) / ||s||^2(L) over L from log p0 to log delta, in units of one over the
        learning rate; inf beyond the largest float.

    Raises:
        TypeError: An argument is no number, or norm no function.
        ValueError: p0, delta or q outside its range, or a norm that is not positive and finite.
    """
    start, target = (
        single(name, array) for name, array in zip(("p0", "delta"), start_and_target(p0, delta), strict=True)
    )
    if start == target:
        raise ValueError(f"p0 is delta, {target}: the escape takes no time; lower p0")
    rate = 1 - single("q", order(q))
    nodes = max(_GRID, 1 + math.ceil(math.log(target / start) / _STEP))
    at_n = np.linspace(math.log(start), math.log(target), nodes)
    squared = squared_norms(norm, "log P", at_n)
    with np.errstate(over="ignore"):
        return float(np.trapezoid(np.exp(-rate * at_n) / squared, at_n))
