"""Study `max_coefficient`: the paper's Fig 3, the largest c_m/M^q of each step's batch in a cold start."""

from collections.abc import Sequence
from pathlib import Path

from figures.studies.shipped import TABLE_1, choices, shipped_config
from qtrain.comparison import cells_of
from qtrain.jobs.runner import Run

SERIES = ("max_c", "log_p")
"""Metrics that the data file keeps for every step."""


def max_coefficient(seeds: Sequence[int], folder: Path) -> list[Run]:
    """`cold_start.toml` x five values of q x seeds; GRPO has no c_m."""
    config = shipped_config("cold_start")
    # The figure reads steps only; two evaluations are enough for a result.
    config = config.with_values({"eval.every": config.train.steps})
    return cells_of(config, choices(*TABLE_1[1:]), seeds, folder)
