"""Study `adam_epsilon`: Adam's epsilon as the threshold below which low q stalls (QC-6).

If epsilon dominates the gradient in every coordinate, Adam is SGD at rate lr/eps and escapes as SGD does; if epsilon is
far smaller, the size of a step does not depend on that of the gradient. The starts are those of `escape_exponents`,
whose measured ||s||^2 predicts the times.
"""

from collections.abc import Sequence
from pathlib import Path

from figures.studies.shipped import shipped_config
from qtrain.comparison import cell
from qtrain.jobs.runner import Run

EPS = (1e-8, 3e-4, 3e-2, 3e-1)
P0 = (1e-3, 1e-5)
Q = ("rb_rloo", "garl:q=.25", "garl:q=.5", "garl:q=.75", "garl:q=1")
MOST_STEPS = 600


def adam_epsilon(seeds: Sequence[int], folder: Path) -> list[Run]:
    """`adam_alike.toml` x q x epsilon x p0 x seeds, stopped at escape."""
    config = shipped_config("adam_alike").with_values(
        {"train.steps": MOST_STEPS, "train.stop_at_p": 0.05, "eval.every": MOST_STEPS}
    )
    return [
        cell(
            config.with_values({"estimator": estimator, "optimizer.eps": eps, "pretrain.p0": p0}),
            seed,
            folder,
            suffix=f"eps{eps:g}-p0-{p0:g}",
        )
        for seed in seeds
        for p0 in P0
        for eps in EPS
        for estimator in Q
    ]
