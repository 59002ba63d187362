"""Exact moments of the gradient estimators at finite M, without sampling."""

from qtheory import _theory as _theory
from qtheory.exact.moments import FORMS, Moments, baseline_multiplier, mean, moments, moments_of_tasks
from qtheory.exact.poisson import PoissonLimit, poisson_limit

__all__ = [
    "FORMS",
    "Moments",
    "PoissonLimit",
    "baseline_multiplier",
    "mean",
    "moments",
    "moments_of_tasks",
    "poisson_limit",
]
