"""Escape times T_q(p0, delta) of the sigmoid: closed forms, finite M, exponents and the command's table."""

from qtheory.escape.exponent import increment_exponents, local_exponents
from qtheory.escape.sampled import hard_time, mean_power, soft_time
from qtheory.escape.sigmoid import log_sigmoid_time, sigmoid_time
from qtheory.escape.table import EscapeRow, escape_table

__all__ = [
    "EscapeRow",
    "escape_table",
    "hard_time",
    "increment_exponents",
    "local_exponents",
    "log_sigmoid_time",
    "mean_power",
    "sigmoid_time",
    "soft_time",
]
