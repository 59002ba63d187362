"""Dividing a budget of samples among prompts, each to where it gains most (QC-11).

K of M draws succeed, K ~ Binomial(M, P), and the mean score of the successes has the relative variance rho/K. The best
weight on it is K/(K + rho) (QC-5), which leaves the relative squared error 1 - E[K/(K + rho)]. That share is concave
in M: as t^(K + rho - 1) integrates to 1/(K + rho) and E t^K = (1 - P (1 - t))^M, one draw more adds

    P rho E[1/((K + rho)(K + 1 + rho))] = P rho integral over u in (0, 1) of u (1 - u)^(rho - 1) (1 - P u)^M du,

which falls with M. So a greedy choice is the best one: the gains of the draws that any division takes are at most the
largest of all gains, and the largest come in each prompt's own order.
"""

import heapq
import math
from collections.abc import Iterator
from itertools import islice

import numpy as np

from qtheory._arrays import Array, device, float_array, is_number, refuse, to_numpy
from qtheory._numbers import count, non_negative, order, single


def allocate(log_p: Array, total: int, q: float, rho: float, *, least: int = 0) -> Array:
    """The number of draws of each prompt that makes sum_i P_i^-q E[K_i/(K_i + rho)] largest.

    P^-q is the weight that the gradient of l_q gives a prompt's gradient of P (Prop 4.1). At q = 0 the sum is that of
    the prompts' shares of exact progress: prompts that hold many successes get M ~ P^(-1/2), those of small P nothing.
    At q = 1 every first draw is worth the same, no prompt is left out while draws are there for all, and M ~ 1/P: each
    holds the same number of successes. In general M ~ P^(-(1+q)/2) where M P >> rho. Ties go to the prompt with fewer
    draws, then to the first.

    The rule is for weights of 0 or 1 and known P. Soft weights of small relative spread make every draw count alike,
    whatever P is, and then equal numbers are best (QC-11).

    In float64 gains are compared to 1e-13 relative. Time is O((N + total) log N).

    Args:
        log_p: (N,) log success probabilities in nats, at most 0; -inf is the limit of small P.
        total: The number of draws for all prompts together, at least N least.
        q: In [0, 1].
        rho: Var_post f/||E_post f||^2 of the joint scores, the same for all prompts, finite and at least 0.
        least: Draws that every prompt gets, at least 0. A baseline needs 2.

    Returns:
        (N,) draws, int64, which sum to total; in the library of log_p and on its device.

    Raises:
        TypeError: log_p no float array, total or least no integer, q or rho no number.
        ValueError: log_p of another number of axes, empty, positive or NaN; q or rho out of range; total below N least.
    """
    xp, log_p = float_array("log_p", log_p)
    if log_p.ndim != 1 or not log_p.shape[0]:
        raise ValueError(f"log_p has shape {tuple(log_p.shape)}: pass one axis with at least one prompt")
    refuse(xp, "log_p", log_p, ~(log_p <= 0), "a log-probability must be at most 0")
    least, prompts = count("least", least, 0), log_p.shape[0]
    total = count("total", total, least * prompts)
    q, rho = single("q", order(q)), single("rho", non_negative("rho", rho))
    logs = to_numpy(log_p).astype(np.float64).tolist()
    gains = [islice(_log_gains(log, q, rho), least, None) for log in logs]
    draws = [least] * prompts
    queue = [(-next(gain), least, i) for i, gain in enumerate(gains)]
    heapq.heapify(queue)
    for _ in range(total - least * prompts):
        i = queue[0][2]
        draws[i] += 1
        heapq.heapreplace(queue, (-next(gains[i]), draws[i], i))
    return xp.asarray(draws, dtype=xp.int64, device=device(log_p))


def draw_gain(log_p: Array | float, samples: int, rho: float) -> Array:
    """What one draw adds to E[K/(K + rho)] after M draws: P rho E[1/((K + rho)(K + 1 + rho))].

    Within 1e-13 relative. Time is O(M) an entry.

    Args:
        log_p: Log success probability in nats, at most 0; a number or an array of any shape.
        samples: M, at least 0.
        rho: Var_post f/||E_post f||^2 of the joint scores, finite and at least 0.

    Returns:
        Gains in [0, 1] of the shape, library and dtype of log_p; 0-d numpy float64 for a number.

    Raises:
        TypeError: log_p no number or float array, samples no integer, rho no number.
        ValueError: log_p positive or NaN, samples < 0, rho out of range.
    """
    xp, logs = float_array("log_p", np.asarray(float(log_p)) if is_number(log_p) else log_p)
    refuse(xp, "log_p", logs, ~(logs <= 0), "a log-probability must be at most 0")
    size, rho = count("samples", samples, 0), single("rho", non_negative("rho", rho))
    flat = to_numpy(logs).astype(np.float64).reshape(-1).tolist()
    gains = [math.exp(next(islice(_log_gains(log, 0.0, rho), size, None))) for log in flat]
    return xp.asarray(np.reshape(gains, logs.shape), dtype=logs.dtype, device=device(logs))


def _log_gains(log_p: float, q: float, rho: float) -> Iterator[float]:
    """Logarithm of P^-q times what the draws add in turn.

    With F the gain over that of the first draw, P/(1 + rho), F = (1-P)^M + h, where h is the part of pools with a
    success. Gauss's relation between neighbours of 2F1(-M, 2; 2 + rho; P), which F is, gives the step of h: no term
    cancels, and what rounding adds falls with M as h does.
    """
    p, miss = math.exp(log_p), -math.expm1(log_p)
    log_miss = math.log(miss) if miss > 0 else -math.inf
    # The limit P -> 0 has a first draw worth P^(1-q).
    log_first = ((1 - q) * log_p if q < 1 else 0.0) - math.log1p(rho)
    held = step = 0.0
    draws = 0
    while True:
        log_none = draws * log_miss if draws else 0.0
        none = math.exp(log_none)
        if held > none:
            yield log_first + math.log(held) + math.log1p(none / held)
        else:
            yield log_first + log_none + (math.log1p(held / none) if none > 0 else 0.0)
        step = (draws * miss * step - 2 * p * held + rho * p * none) / (draws + 2 + rho)
        held += step
        draws += 1
