"""The studies by name: committed experiments whose data files the figures and docs are made from.

To add one: a file here with a function from (seeds, folder) to runs, and one line in STUDIES.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from qtrain.jobs.runner import Run
from qtrain.studies.adam import adam_alike, adam_conflict
from qtrain.studies.adam_epsilon import adam_epsilon
from qtrain.studies.baseline import baseline
from qtrain.studies.cold_start import cold_start
from qtrain.studies.common_factor import common_factor
from qtrain.studies.escape_exponents import escape_exponents
from qtrain.studies.learning_rates import best_learning_rates, learning_rates
from qtrain.studies.max_coefficient import SERIES as MAX_COEFFICIENT_SERIES
from qtrain.studies.max_coefficient import max_coefficient
from qtrain.studies.warm_paft import warm_paft

STUDIES: dict[str, Callable[[Sequence[int], Path], list[Run]]] = {
    "cold_start": cold_start,
    "adam_conflict": adam_conflict,
    "adam_alike": adam_alike,
    "learning_rates": learning_rates,
    "best_learning_rates": best_learning_rates,
    "escape_exponents": escape_exponents,
    "adam_epsilon": adam_epsilon,
    "common_factor": common_factor,
    "baseline": baseline,
    "max_coefficient": max_coefficient,
    "warm_paft": warm_paft,
}

SERIES: dict[str, tuple[str, ...]] = {"max_coefficient": MAX_COEFFICIENT_SERIES}
"""Metrics that a study's data file keeps of every step; of the others it keeps evaluations alone."""
