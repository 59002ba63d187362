"""Exact moments of the gradient estimators at finite M, without sampling."""

from qtheory import _theory as _theory
from qtheory.exact.moments import FORMS, Moments, baseline_multiplier, mean, moments, moments_of_tasks

__all__ = ["FORMS", "Moments", "baseline_multiplier", "mean", "moments", "moments_of_tasks"]
