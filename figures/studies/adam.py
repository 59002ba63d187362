"""Studies `adam_conflict` and `adam_alike`: separation of the estimators under Adam, with and without conflict."""

from collections.abc import Sequence
from pathlib import Path

from figures.studies.shipped import TABLE_1, choices, shipped_config
from qtrain.comparison import cells_of
from qtrain.jobs.runner import Run


def adam_conflict(seeds: Sequence[int], folder: Path) -> list[Run]:
    """`adam_conflict.toml` x the six estimators and PAFT .75 x seeds."""
    return cells_of(shipped_config("adam_conflict"), choices(*TABLE_1, "paft:q=.75"), seeds, folder)


def adam_alike(seeds: Sequence[int], folder: Path) -> list[Run]:
    """`adam_alike.toml` x the six estimators x seeds."""
    return cells_of(shipped_config("adam_alike"), choices(*TABLE_1), seeds, folder)
