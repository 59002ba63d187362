"""Moments of an estimator on a task with few rationales, by enumerating all pools of M draws."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln

from qtheory.estimators import Coefficients
from qtheory.models import FiniteTask

_LEAST = -80.0  # log of a probability; coefficients are at most of the order of M^(q+1)


class Enumerated(NamedTuple):
    """Moments of a gradient estimate.

    Attributes:
        mean: (d,) expectation.
        variance: Trace of the covariance.
    """

    mean: np.ndarray
    variance: float


def enumerated(
    task: FiniteTask, estimator: Callable[..., Coefficients], samples: int, q: float, **parameters: Any
) -> Enumerated:
    """Moments over the compositions of M into counts of the rationales, each with its multinomial probability.

    Compositions of probability below 1e-34 are left out.

    Args:
        task: Task with few rationales Z: there are C(M + Z - 1, Z - 1) compositions.
        estimator: Maps log-weights (N, M), q and `parameters` to coefficients.
        samples: M.
        q: In [0, 1].
        **parameters: Further keywords of the estimator.

    Returns:
        The moments. The mean is accurate to rounding of the root of the second moment, the variance to that of the
        second moment.
    """
    counts = compositions(samples, len(task.log_prior))
    log_mass = gammaln(samples + 1) - gammaln(counts + 1).sum(-1) + counts @ task.log_prior
    likely = log_mass > _LEAST
    counts, log_mass = counts[likely], log_mass[likely]
    index = np.repeat(np.tile(np.arange(counts.shape[1]), len(counts)), counts.ravel()).reshape(-1, samples)
    coefficients = estimator(task.log_w[index], q, **parameters)
    on_prior, on_answer = (
        np.stack([(part * (index == z)).sum(-1) for z in range(counts.shape[1])], axis=-1) for part in coefficients
    )
    estimates = -(on_prior @ task.prior_score + on_answer @ task.answer_score) / samples
    mass = np.exp(log_mass)
    mean = mass @ estimates
    return Enumerated(mean, float(mass @ ((estimates - mean) ** 2).sum(-1)))


def compositions(total: int, parts: int) -> np.ndarray:
    """(N, Z) all ways to write a total as an ordered sum of Z = `parts` non-negative integers."""
    bars = np.array(list(itertools.combinations(range(total + parts - 1), parts - 1)), dtype=int)
    ends = np.concatenate(
        [np.full((len(bars), 1), -1), bars.reshape(len(bars), parts - 1), np.full((len(bars), 1), total + parts - 1)],
        axis=1,
    )
    return np.diff(ends, axis=1) - 1
