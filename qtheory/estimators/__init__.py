"""Gradient estimators: pure functions from what the rollouts gave to coefficients, and their registry."""

from qtheory.estimators.allocate import allocate, draw_gain
from qtheory.estimators.best_q import best_q
from qtheory.estimators.bound import bound
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.delta import delta
from qtheory.estimators.dr_grpo import dr_grpo
from qtheory.estimators.garl import garl
from qtheory.estimators.garl_weighted import garl_weighted
from qtheory.estimators.grpo import grpo
from qtheory.estimators.iwae import iwae
from qtheory.estimators.jackknife import jackknife
from qtheory.estimators.jepo import jepo
from qtheory.estimators.logprob import logprob
from qtheory.estimators.logprob_mean import logprob_mean
from qtheory.estimators.maxrl import maxrl
from qtheory.estimators.noise_q import noise_q
from qtheory.estimators.paft import paft, paft_from_counts, resample
from qtheory.estimators.pkpo import pkpo
from qtheory.estimators.rb_pkpo import rb_pkpo
from qtheory.estimators.rb_rloo import rb_rloo
from qtheory.estimators.registry import ESTIMATORS, get
from qtheory.estimators.rloo import rloo
from qtheory.estimators.sign import sign
from qtheory.estimators.spec import Estimator, Parameter
from qtheory.estimators.star import star
from qtheory.estimators.trice import trice
from qtheory.estimators.u_series import u_series

__all__ = [
    "ESTIMATORS",
    "Coefficients",
    "Estimator",
    "Parameter",
    "allocate",
    "best_q",
    "bound",
    "delta",
    "dr_grpo",
    "draw_gain",
    "garl",
    "garl_weighted",
    "get",
    "grpo",
    "iwae",
    "jackknife",
    "jepo",
    "logprob",
    "logprob_mean",
    "maxrl",
    "noise_q",
    "paft",
    "paft_from_counts",
    "pkpo",
    "rb_pkpo",
    "rb_rloo",
    "resample",
    "rloo",
    "sign",
    "star",
    "trice",
    "u_series",
]
