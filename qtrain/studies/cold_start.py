"""Study `cold_start`: the paper's Table 1 on the testbed, one learning rate for all."""

from collections.abc import Sequence
from pathlib import Path

from qtrain.compare import cells_of
from qtrain.jobs.runner import Run
from qtrain.studies.shipped import TABLE_1, choices, shipped_config


def cold_start(seeds: Sequence[int], folder: Path) -> list[Run]:
    """`cold_start.toml` x the six estimators x seeds."""
    return cells_of(shipped_config("cold_start"), choices(*TABLE_1), seeds, folder)
