"""Weights that are not the likelihoods themselves: tempered ones (QC-12) and those of off-policy draws (QC-13)."""

import math

from qtheory._arrays import Array, Namespace, refuse
from qtheory._exact import Pair, product, two_sum
from qtheory._numbers import number
from qtheory.estimators.checks import beside


def known_alpha(alpha: float) -> float:
    """Check the power that weights are taken to.

    Args:
        alpha: What was passed.

    Returns:
        It.

    Raises:
        TypeError: It is no number.
        ValueError: It is not in (0, 1].
    """
    power = number("alpha", alpha)
    if not 0 < power <= 1:
        raise ValueError(f"alpha is {power}: the power of the weights must lie in (0, 1]")
    return power


def log_ratios(xp: Namespace, log_ratio: Array | None, log_w: Array) -> Array | None:
    """Check log pi(z_m|x)/mu(z_m|x).

    Args:
        xp: The namespace of log_w.
        log_ratio: What was passed; None for draws of the model itself.
        log_w: (..., M).

    Returns:
        It, (..., M) in the dtype of log_w; None as it came.

    Raises:
        TypeError: No float32 or float64 array, or of another library than log_w.
        ValueError: Another shape than log_w's, +inf or NaN, or a tensor that requires grad.
    """
    if log_ratio is None:
        return None
    _, checked = beside(log_w, "log_ratio", log_ratio)
    if checked.shape != log_w.shape:
        raise ValueError(f"log_ratio has shape {tuple(checked.shape)}: it must be log_w's, {tuple(log_w.shape)}")
    rule = "a log-ratio must be below inf, as the draws come from mu; -inf where the model never goes"
    refuse(xp, "log_ratio", checked, ~(checked < math.inf), rule)
    return xp.astype(checked, log_w.dtype)


def reweighted(xp: Namespace, log_w: Array, alpha: float, log_ratio: Array | None) -> Pair:
    """Logarithm of (pi/mu) w^alpha, (..., M), as a pair.

    Args:
        xp: The namespace of log_w.
        log_w: (..., M) log-weights in nats, at most 0, -inf for weight 0.
        alpha: In (0, 1].
        log_ratio: (..., M) of `log_ratios`.

    Returns:
        The logarithm, with high -inf for weight 0 and the low part finite: log_w and 0 for alpha = 1 and no ratio.
    """
    possible = log_w > -math.inf
    if log_ratio is not None:
        possible = possible & (log_ratio > -math.inf)
    nothing = xp.zeros_like(log_w)
    value = Pair(xp.where(possible, log_w, nothing), nothing)
    if alpha != 1:
        # float32 holds 0.4 only to 8 digits.
        rounded = float(xp.asarray(alpha, dtype=log_w.dtype))
        value = product(xp, Pair(xp.full_like(log_w, rounded), xp.full_like(log_w, alpha - rounded)), value)
    if log_ratio is not None:
        total = two_sum(value.high, xp.where(possible, log_ratio, nothing))
        value = Pair(total.high, total.low + value.low)
    return Pair(xp.where(possible, value.high, xp.full_like(log_w, -math.inf)), xp.where(possible, value.low, nothing))
