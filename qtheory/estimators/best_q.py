"""The rule for q from the number of successes that a pool is to hold and the spread of their scores (QC-5)."""

import operator
from typing import Any

import numpy as np

from qtheory._arrays import Array, float_array, is_number, refuse, shown


def best_q(log_p: Array | float, samples: int, rho: float) -> Array:
    """The q whose plug-in from M draws points best along its own mean: K/(K + rho), K = M P/(1 - (1-P)^M).

    K is the number of successes of a pool that has one. "Best" means the largest <E g, s>^2/(||s||^2 E||g||^2): the
    progress of a small step of the best length for each q. The rule is for weights of 0 or 1, without a baseline; it
    meets the best q to O(1/(M P)^2), and loses less than 1% of that progress at any M P (QC-5). Soft weights of small
    relative spread are best at q near 1. Where M P << 1 all q are alike by this measure. The rule is for a q that all
    prompts of a step share: pools of different q differ in scale.

    Args:
        log_p: Log success probability in nats, at most 0; a number or an array of any shape.
        samples: M, at least 1.
        rho: Var_post f/||E_post f||^2 of the joint scores f = grad log p(z, y*|x), at least 0; inf for no common part.

    Returns:
        q in [0, 1] of the shape, library and dtype of log_p; 0-d numpy float64 for a number.

    Raises:
        TypeError: log_p no number or float array, samples no integer or rho no number.
        ValueError: log_p positive or NaN, samples < 1, rho negative or NaN.
    """
    xp, log_p = float_array("log_p", np.asarray(float(log_p)) if is_number(log_p) else log_p)
    refuse(xp, "log_p", log_p, ~(log_p <= 0), "a log-probability must be at most 0")
    size, spread = _size(samples), _spread(rho)
    p = xp.exp(log_p)
    sure, never = p >= 1, size * p == 0
    inner = xp.where(sure | never, xp.full_like(p, 0.5), p)
    held = size * inner / -xp.expm1(size * xp.log1p(-inner))
    successes = xp.where(sure, xp.full_like(p, size), xp.where(never, xp.ones_like(p), held))
    return successes / (successes + spread)


def _size(samples: Any) -> int:
    try:
        size = operator.index(samples)
    except TypeError:
        size = None
    if size is None or isinstance(samples, bool):
        raise TypeError(f"samples is {shown(samples)}: M must be an integer")
    if size < 1:
        raise ValueError(f"samples is {size}: a pool needs at least one draw")
    return size


def _spread(rho: Any) -> float:
    if not is_number(rho):
        raise TypeError(f"rho is {shown(rho)}: pass a number of at least 0")
    if not rho >= 0:
        raise ValueError(f"rho is {rho}: a variance over a square must be at least 0")
    return float(rho)
