"""Escape times T_q(p0, delta): closed forms, finite M, model families, exponents and the command's tables."""

from qtheory import _theory as _theory
from qtheory.escape.contamination import contamination_time, equilibrium
from qtheory.escape.exponent import increment_exponents, local_exponents
from qtheory.escape.families import FAMILIES, Family, family, family_exponents, log_family_times
from qtheory.escape.jumps import EscapeLaw, escape_law, jump
from qtheory.escape.noise import best_constant_q, noise_switch, noisy_time
from qtheory.escape.output import escape_csv, escape_json, escape_table
from qtheory.escape.poisson import poisson_time
from qtheory.escape.sampled import hard_time, mean_power, soft_time
from qtheory.escape.sigmoid import log_sigmoid_time, sigmoid_time
from qtheory.escape.table import EscapeRow, ExponentRow, escape_rows, exponent_rows

__all__ = [
    "FAMILIES",
    "EscapeLaw",
    "EscapeRow",
    "ExponentRow",
    "Family",
    "best_constant_q",
    "contamination_time",
    "equilibrium",
    "escape_csv",
    "escape_json",
    "escape_law",
    "escape_rows",
    "escape_table",
    "exponent_rows",
    "family",
    "family_exponents",
    "hard_time",
    "increment_exponents",
    "jump",
    "local_exponents",
    "log_family_times",
    "log_sigmoid_time",
    "mean_power",
    "noise_switch",
    "noisy_time",
    "poisson_time",
    "sigmoid_time",
    "soft_time",
]
