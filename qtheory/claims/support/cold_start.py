"""For QC-8: plug-in updates from sampled pools, step by step, from a cold start until P passes a target.

The model is P = sigmoid(c theta): its score is c (1-P), and a wrong draw's -c P. GARL's own coefficients move theta.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import expit

from qtheory.estimators.garl import Baseline, garl

Update = tuple[np.ndarray, np.ndarray | int]
"""What the logit moves by, and the number of steps that it took, for P (n,)."""


def hard_steps(
    p0: float, delta: float, q: float, samples: int, lr: float, runs: int, rng: np.random.Generator, slope: float = 1.0
) -> np.ndarray:
    """Steps of the plug-in on 0/1 weights, (runs,): pools without a success are passed over in one geometric draw."""
    right, _ = _pushes(q, samples, "none")

    def next_success(p: np.ndarray) -> Update:
        chance = -np.expm1(samples * np.log1p(-p))
        waited = rng.geometric(chance)
        # The place of the first success in a pool that has one; the draws after it are free.
        first = np.ceil(np.log1p(-chance * rng.random(p.size)) / np.log1p(-p)).clip(1, samples)
        k = 1 + rng.binomial(samples - first.astype(int), p)
        return slope * lr * right[k] * slope * (1 - p), waited

    return _steps(p0, delta, runs, next_success)


def baseline_steps(
    p0: float, delta: float, q: float, samples: int, lr: float, runs: int, rng: np.random.Generator
) -> np.ndarray:
    """Steps of GARL with its leave-one-out baseline on 0/1 weights, (runs,), every pool drawn."""
    right, wrong = _pushes(q, samples, "loo")

    def next_pool(p: np.ndarray) -> Update:
        k = rng.binomial(samples, p)
        return lr * (right[k] * (1 - p) - wrong[k] * p), 1

    return _steps(p0, delta, runs, next_pool)


def soft_steps(
    p0: float,
    delta: float,
    q: float,
    samples: int,
    lr: float,
    runs: int,
    rng: np.random.Generator,
    law: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Steps of the plug-in on weights w = P v, (runs,), with v (Z,) of a prior (Z,): `law` is (prior, v)."""
    prior, relative = law

    def next_pool(p: np.ndarray) -> Update:
        v = relative[np.searchsorted(np.cumsum(prior)[:-1], rng.random((p.size, samples)), side="right")]
        push = garl(np.log(p[:, None] * v), q, baseline="none").answer.mean(-1)
        return lr * push * (1 - p), 1

    return _steps(p0, delta, runs, next_pool)


def _steps(p0: float, delta: float, runs: int, update: Callable[[np.ndarray], Update]) -> np.ndarray:
    """(runs,) steps from p0 until P passes delta, by an update of the runs that are still below it."""
    logit, steps = np.full(runs, _logit(p0)), np.zeros(runs)
    goal, running = _logit(delta), np.arange(runs)
    while running.size:
        moved, taken = update(expit(logit[running]))
        logit[running] += moved
        steps[running] += taken
        running = running[logit[running] < goal]
    return steps


def _pushes(q: float, samples: int, baseline: Baseline) -> tuple[np.ndarray, np.ndarray]:
    """(M+1,) sums of the right and of the wrong draws' coefficients over M, by the number of right ones."""
    right = np.arange(samples) < np.arange(samples + 1)[:, None]
    coefficients = garl(np.where(right, 0.0, -math.inf), q, baseline=baseline).rationale
    return (coefficients * right).mean(-1), (coefficients * ~right).mean(-1)


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)
