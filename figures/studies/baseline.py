"""Study `baseline`: is GARL's leave-one-out baseline a cause of collapses in warm start (QC-4)?

Tagged prompts, whose gold format the base model knows, under Adam at two rates; GARL with its baseline, without any,
and with the norm-weighted one. The runs with the baseline also measure its effect on the gradient's variance.
"""

from collections.abc import Sequence
from pathlib import Path

from figures.studies.baseline_gain import BaselineGain
from figures.studies.shipped import shipped_config
from qtrain.comparison import cell
from qtrain.jobs.runner import Run

Q = (0.25, 1.0)
LR = (1e-3, 3e-3)
ESTIMATORS = ("garl:q={q}", "garl:q={q},baseline=none", "garl_weighted:q={q}")


def baseline(seeds: Sequence[int], folder: Path) -> list[Run]:
    """`warm_start.toml` x baseline x q x rate x seeds."""
    config = shipped_config("warm_start")
    return [
        cell(
            config.with_values({"estimator": estimator.format(q=q), "optimizer.lr": lr}),
            seed,
            folder,
            suffix=f"lr{lr:g}",
            callbacks=[BaselineGain(every=50)] if estimator == ESTIMATORS[0] else [],
        )
        for seed in seeds
        for lr in LR
        for q in Q
        for estimator in ESTIMATORS
    ]
