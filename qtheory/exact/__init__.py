"""Exact moments of the gradient estimators at finite M, without sampling."""

from qtheory import _theory as _theory
from qtheory.exact.moments import FORMS, Moments, baseline_multiplier, mean, moments, moments_of_tasks
from qtheory.exact.poisson import PoissonLimit, poisson_limit
from qtheory.exact.reweighted import REWEIGHTED, best_alpha, reweighted_moments

__all__ = [
    "FORMS",
    "REWEIGHTED",
    "Moments",
    "PoissonLimit",
    "baseline_multiplier",
    "best_alpha",
    "mean",
    "moments",
    "moments_of_tasks",
    "poisson_limit",
    "reweighted_moments",
]
