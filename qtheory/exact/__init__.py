"""Exact moments of the gradient estimators at finite M, without sampling."""

from qtheory.exact.moments import FORMS, Moments, moments

__all__ = ["FORMS", "Moments", "moments"]
