"""The studies by name: experiments whose data files are the source of figures and docs.

To add one, write a file with a function from (seeds, folder) to runs, and add a line to STUDIES.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from figures.studies.adam import adam_alike, adam_conflict
from figures.studies.adam_epsilon import adam_epsilon
from figures.studies.baseline import baseline
from figures.studies.cold_start import cold_start
from figures.studies.common_factor import common_factor
from figures.studies.escape_exponents import escape_exponents
from figures.studies.learning_rates import best_learning_rates, learning_rates
from figures.studies.max_coefficient import SERIES as MAX_COEFFICIENT_SERIES
from figures.studies.max_coefficient import max_coefficient
from figures.studies.warm_paft import warm_paft
from qtrain.jobs.runner import Run

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
"""Metrics that a study's data file keeps for every step; other studies keep evaluations only."""
