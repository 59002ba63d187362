"""Study `cold_start`: the paper's Table 1 on the testbed, one learning rate for all."""

from collections.abc import Sequence
from pathlib import Path

from figures.studies.shipped import TABLE_1, choices, shipped_config
from qtrain.comparison import cells_of
from qtrain.jobs.runner import Run


def cold_start(seeds: Sequence[int], folder: Path) -> list[Run]:
    """`cold_start.toml` x the six estimators x seeds."""
    return cells_of(shipped_config("cold_start"), choices(*TABLE_1), seeds, folder)
