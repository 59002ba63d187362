"""Study `warm_paft`: the paper's Fig 4, GARL against PAFT in warm start, at a learning rate at which GARL falls here.

At a third of that rate no run of the study `baseline` falls, and PAFT cannot be steadier.
"""

from collections.abc import Sequence
from pathlib import Path

from figures.studies.shipped import choices, shipped_config
from qtrain.comparison import cells_of
from qtrain.jobs.runner import Run

Q = (".25", ".75", "1")
LR = 3e-3


def warm_paft(seeds: Sequence[int], folder: Path) -> list[Run]:
    """`warm_start.toml` at LR x GARL and PAFT x q x seeds."""
    config = shipped_config("warm_start").with_values({"optimizer.lr": LR, "eval.every": 10})
    return cells_of(config, choices(*(f"{name}:q={q}" for q in Q for name in ("garl", "paft"))), seeds, folder)
