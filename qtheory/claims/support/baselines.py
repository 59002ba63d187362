"""GARL's variance with baselines on small tasks (QC-4): the tasks, and best multiples by theory and as measured."""

from collections.abc import Callable
from typing import Any

import numpy as np

from qtheory.claims.support.enumerated import Enumerated, enumerated
from qtheory.claims.support.reference import LatentModel
from qtheory.estimators import Coefficients, garl, garl_weighted
from qtheory.exact import moments
from qtheory.models import FiniteTask, FixedAnswers, SigmoidAnswers, TwoHopChain, bernoulli, log_normal

SHARES, WEIGHTS = np.array([0.94, 0.06]), np.array([0.95, 0.4, 0.1])
"""Shares of the two good rationales in their prior mass; weights of both and of the bad one."""


def one_right(p: float) -> FiniteTask:
    """A right and a wrong rationale, w in {0, 1}: the scalar sigmoid P = p, up to the scores' common length."""
    law = bernoulli(float(np.log(p)))
    return FixedAnswers(law.log_w).task(law.log_prior)


def sigmoids(good: float) -> FiniteTask:
    """Two good rationales of that prior mass and a bad one, with the weights WEIGHTS and separate answer logits."""
    model = SigmoidAnswers(3)
    return model.task(model.start(np.log(_prior(good)), np.log(WEIGHTS)))


def sigmoids_in_reals(good: float) -> LatentModel:
    """`sigmoids` in 100 digits."""
    return LatentModel(tuple(np.log(_prior(good)).tolist()), tuple(np.log(WEIGHTS / (1 - WEIGHTS)).tolist()))


def chain(good: float) -> FiniteTask:
    """The same prior and weights in two softmax tables of a two-hop chain with four answers."""
    model = TwoHopChain(2, 3, 4)
    return model.task(model.start(np.log(_prior(good)), np.log(WEIGHTS)))


def alike(p: float, size: int = 20) -> FiniteTask:
    """Many rationales of equal prior, a share p of them right: all scores have equal norms, as for long rationales."""
    log_w = np.where(np.arange(size) < round(p * size), 0.0, -np.inf)
    return FixedAnswers(log_w).task(np.full(size, -np.log(size)))


def soft(p: float) -> FiniteTask:
    """Three weights of the size of P."""
    law = log_normal(float(np.log(p)), 1.0, 3)
    return FixedAnswers(law.log_w).task(law.log_prior)


def leading_multiplier(task: FiniteTask, q: np.ndarray) -> np.ndarray:
    """E_post<f - q s, h>/E||h||^2, of the shape of q."""
    h = task.prior_score
    inner = task.posterior @ np.sum((h + task.answer_score) * h, -1) - q * (task.posterior @ (h @ task.score))
    return inner / (np.exp(task.log_prior) @ np.sum(h**2, -1))


def weighted_multiplier(task: FiniteTask) -> float:
    """E_post||h||^2/E||h||^2, the limit of the norm-weighted baseline as a multiple of the leave-one-out one."""
    norms = np.sum(task.prior_score**2, -1)
    return float(task.posterior @ norms / (np.exp(task.log_prior) @ norms))


def measured_multiple(task: FiniteTask, q: float, samples: int) -> float:
    """E<b', b>/E||b||^2 over all pools: the norm-weighted baseline b' as a multiple of the leave-one-out b."""

    def part(of_weighted: float, of_plain: float) -> float:
        """E||x b' + y b||^2, both of mean 0."""
        identify = _norms(task)

        def estimator(log_w: np.ndarray, q: float) -> Coefficients:
            none, loo = (garl(log_w, q, baseline=baseline).rationale for baseline in ("none", "loo"))
            other = garl_weighted(log_w, q, score_norm_sq=identify(log_w)).rationale
            return Coefficients(of_weighted * (other - none) + of_plain * (loo - none), np.zeros_like(log_w))

        return enumerated(task, estimator, samples, q).variance

    total, first, second = part(1, 1), part(1, 0), part(0, 1)
    return (total - first - second) / (2 * second)


def weighted_best(task: FiniteTask, q: float, samples: int) -> float:
    """The multiple of the norm-weighted baseline with the least variance, from those at the multiples 0, 1 and 2."""
    return vertex(*(weighted(task, q, samples, multiplier=multiplier).variance for multiplier in (0.0, 1.0, 2.0)))


def vertex(none: float, once: float, twice: float) -> float:
    """The minimum of the parabola through the values at 0, 1 and 2."""
    return (4 * once - 3 * none - twice) / (2 * (2 * once - none - twice))


def weighted_ratio(task: FiniteTask, q: float, samples: int, **parameters: Any) -> float:
    """Variance with the norm-weighted baseline (parameters as in `weighted`) over that without a baseline."""
    plain = enumerated(task, garl, samples, q, baseline="none")
    return weighted(task, q, samples, **parameters).variance / plain.variance


def loo_ratio(task: FiniteTask, q: float, samples: int) -> float:
    """Exact variance with the leave-one-out baseline over that without a baseline."""
    loo, plain = (float(moments(task, q, samples, form).variance) for form in ("rloo", "plugin"))
    return loo / plain


def weighted(task: FiniteTask, q: float, samples: int, **parameters: Any) -> Enumerated:
    """Moments with the norm-weighted baseline, over all pools; rationales must differ in weight."""
    identify = _norms(task)

    def estimator(log_w: np.ndarray, q: float) -> Coefficients:
        return garl_weighted(log_w, q, score_norm_sq=identify(log_w), **parameters)

    return enumerated(task, estimator, samples, q)


def _norms(task: FiniteTask) -> Callable[[np.ndarray], np.ndarray]:
    """||prior_score||^2 as a function of the log-weights, which identify the rationales."""
    order = np.argsort(task.log_w)
    norms, known = np.sum(task.prior_score**2, -1)[order], task.log_w[order]
    return lambda log_w: norms[np.searchsorted(known, log_w)]


def _prior(good: float) -> np.ndarray:
    return np.array([*(good * SHARES), 1 - good])
