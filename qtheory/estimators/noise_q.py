"""The rule for q from the success probability and the share of wrong labels: the fastest schedule there is (QC-9)."""

import math

import numpy as np

from qtheory._arrays import Array, float_array, is_number, refuse, shown


def noise_q(log_p: Array | float, flip_rate: float) -> Array:
    """The q at which P rises fastest where a share e of the labels is the wrong one of two (QC-9).

    Along the flow dP/dt = [(1-e) P^-q - e n^-q] P^2 ||s||^2, n = 1 - P, for every model whose label probabilities are
    P and n. Above P = 1/2 the bracket is largest where q = log((1-e) log(1/P) / (e log(1/n))) / log(P/n), held to
    [0, 1]; up to P = 1/2 it is so at q = 1. As the flow has one dimension, no schedule of q reaches any target sooner.
    q is 1 up to a P above 1/2 and falls from there to 0, which it is before P reaches 1 - e.

    Args:
        log_p: Log probability of the right label in nats, at most 0; a number or an array of any shape.
        flip_rate: e, strictly between 0 and 1/2.

    Returns:
        q in [0, 1] of the shape, library and dtype of log_p; 0-d numpy float64 for a number.

    Raises:
        TypeError: log_p no number or float array, or flip_rate no number.
        ValueError: log_p positive or NaN, or flip_rate out of range.
    """
    xp, log_p = float_array("log_p", np.asarray(float(log_p)) if is_number(log_p) else log_p)
    refuse(xp, "log_p", log_p, ~(log_p <= 0), "a log-probability must be at most 0")
    rate = minority(flip_rate)
    common, sure = log_p > math.log(0.5), log_p == 0
    inner = xp.where(common & ~sure, log_p, xp.full_like(log_p, math.log(0.75)))
    log_n = xp.log(-xp.expm1(inner))
    # The first rounding above 1/2 may give both the same length, where q is 1 all the same.
    distance = xp.where(inner > log_n, inner - log_n, xp.full_like(inner, 1e-9))
    rest = (math.log1p(-rate) - math.log(rate) + xp.log(-inner) - xp.log(-log_n)) / distance
    fastest = xp.clip(rest, 0.0, 1.0)
    return xp.where(sure, xp.zeros_like(log_p), xp.where(common, fastest, xp.ones_like(log_p)))


def minority(flip_rate: float) -> float:
    """A flip rate, a number strictly between 0 and 1/2; TypeError or ValueError otherwise."""
    if not is_number(flip_rate):
        raise TypeError(f"flip_rate is {shown(flip_rate)}: pass a number strictly between 0 and 1/2")
    if not 0 < flip_rate < 0.5:
        raise ValueError(f"flip_rate is {flip_rate}: pass a number strictly between 0 and 1/2")
    return float(flip_rate)
