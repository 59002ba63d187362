"""Study `common_factor`: the advantage of q > 0 that remains when every batch may be rescaled (QC-6).

Weights relative to the batch's largest rescale all coefficients of a batch by one factor and leave the weighting
between examples unchanged; an epsilon of almost 0 has the same effect through Adam. Cases: "sgd", the cold start
with prompts all alike; "tiny_p0", the same under Adam from a p0 so small that gradients are below epsilon; "conflict",
easy and hard prompts.
"""

from collections.abc import Sequence
from pathlib import Path

from figures.studies.shipped import TABLE_1, shipped_config
from qtrain.comparison import cell
from qtrain.config import Config
from qtrain.jobs.runner import Run

ON_WEIGHTS = TABLE_1[1:]
TINY_P0 = 1e-12
NO_EPS = 1e-30


def common_factor(seeds: Sequence[int], folder: Path) -> list[Run]:
    """Each case with and without the common factor x q x seeds; what other studies ran already is left out."""
    cold, alike, conflict = (shipped_config(name) for name in ("cold_start", "adam_alike", "adam_conflict"))
    tiny = alike.with_values({"pretrain.p0": TINY_P0, "train.steps": 250, "eval.every": 25})
    cases: list[tuple[str, Config, tuple[str, ...]]] = [
        ("sgd-relative", _relative(cold), ON_WEIGHTS),
        ("tiny_p0-plain", tiny, ON_WEIGHTS),
        ("tiny_p0-relative", _relative(tiny), ON_WEIGHTS),
        ("conflict-relative", _relative(conflict), ON_WEIGHTS),
        ("conflict-no_eps", conflict.with_values({"optimizer.eps": NO_EPS}), ON_WEIGHTS[:2]),
    ]
    return [
        cell(config.with_values({"estimator": estimator}), seed, folder, suffix=case)
        for seed in seeds
        for case, config, estimators in cases
        for estimator in estimators
    ]


def _relative(config: Config) -> Config:
    return config.with_values({"train.relative_weights": True})
