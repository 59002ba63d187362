"""Study `escape_exponents`: escape steps against p0 under SGD for five values of q, and ||s||^2 along the path.

Each run ends at its escape. The grids of p0 differ because the times do: every q gets the p0 from which it escapes
within MOST_STEPS. From every p0 one more run climbs slowly at q = 1 and measures ||s||^2 on the way; on one example the
path through parameter space does not depend on q, so this run serves every q. The path does depend on p0.
"""

from collections.abc import Sequence
from pathlib import Path

from figures.studies.score_norm import ScoreNorm
from figures.studies.shipped import shipped_config
from qtrain.comparison import cell
from qtrain.jobs.runner import Run

MOST_STEPS = 1500

GRIDS = {
    "rb_rloo": (2e-2, 1e-2, 5e-3, 2e-3),
    "garl:q=.25": (1e-2, 3e-3, 1e-3, 3e-4),
    "garl:q=.5": (3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5),
    "garl:q=.75": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9),
    "garl:q=1": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9),
}
SLOW = 10
"""The learning rate of runs that measure ||s||^2 is divided by this factor."""

NATS = 1.5
"""||s||^2 is measured whenever log P has moved by this much."""


def escape_exponents(seeds: Sequence[int], folder: Path) -> list[Run]:
    """Q x p0 x seeds, stopped at escape, and a slow run from every p0 that measures ||s||^2."""
    config = shipped_config("cold_start").with_values(
        {
            "train.steps": MOST_STEPS,
            "train.stop_at_p": 0.05,
            "eval.every": MOST_STEPS,
            "eval.prompts": 128,
            "eval.samples": 32,
        }
    )
    slow = {"estimator": "garl:q=1", "optimizer.lr": config.optimizer.lr / SLOW}
    starts = sorted({p0 for grid in GRIDS.values() for p0 in grid}, reverse=True)
    runs = [({"estimator": estimator}, p0, f"p0-{p0:g}") for estimator, grid in GRIDS.items() for p0 in grid]
    runs += [(slow, p0, f"score-norm-p0-{p0:g}") for p0 in starts]
    return [
        cell(
            config.with_values({**values, "pretrain.p0": p0}),
            seed,
            folder,
            suffix=suffix,
            callbacks=[ScoreNorm(NATS)] if values is slow else [],
        )
        for seed in seeds
        for values, p0, suffix in runs
    ]
