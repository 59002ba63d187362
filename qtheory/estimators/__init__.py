"""Gradient estimators: pure functions from what the rollouts gave to coefficients, and their registry."""

from qtheory.estimators.best_q import best_q
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.delta import delta
from qtheory.estimators.dr_grpo import dr_grpo
from qtheory.estimators.garl import garl
from qtheory.estimators.garl_weighted import garl_weighted
from qtheory.estimators.grpo import grpo
from qtheory.estimators.iwae import iwae
from qtheory.estimators.jackknife import jackknife
from qtheory.estimators.maxrl import maxrl
from qtheory.estimators.noise_q import noise_q
from qtheory.estimators.paft import paft, paft_from_counts, resample
from qtheory.estimators.rb_rloo import rb_rloo
from qtheory.estimators.registry import ESTIMATORS, get
from qtheory.estimators.rloo import rloo
from qtheory.estimators.spec import Estimator, Parameter
from qtheory.estimators.star import star
from qtheory.estimators.trice import trice
from qtheory.estimators.u_series import u_series

__all__ = [
    "ESTIMATORS",
    "Coefficients",
    "Estimator",
    "Parameter",
    "best_q",
    "delta",
    "dr_grpo",
    "garl",
    "garl_weighted",
    "get",
    "grpo",
    "iwae",
    "jackknife",
    "maxrl",
    "noise_q",
    "paft",
    "paft_from_counts",
    "rb_rloo",
    "resample",
    "rloo",
    "star",
    "trice",
    "u_series",
]
