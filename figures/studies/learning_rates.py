"""Studies `learning_rates` and `best_learning_rates`: each estimator at its best learning rate.

Every estimator gets the same number of rates over three decades, half a decade apart, on the cold start of
`cold_start.toml`. The windows differ: a small P scales the gradient by P^(1-q), so that smaller q need higher
rates. The scan runs on seed 0; the best rate then runs on every seed.
"""

from collections.abc import Sequence
from pathlib import Path

from figures.studies.shipped import TABLE_1, shipped_config
from qtrain.comparison import cell
from qtrain.errors import UserError
from qtrain.jobs.runner import Run
from qtrain.runs.folder import RESULT, read_json

LOWEST_EXPONENT = {
    "grpo": -3,
    "rb_rloo": -1,
    "garl:q=.25": -2,
    "garl:q=.5": -3,
    "garl:q=.75": -4,
    "garl:q=1": -4,
}
"""Exponent (base 10) of the lowest rate in each estimator's window of three decades."""

SCAN_SEED = 0


def learning_rates(seeds: Sequence[int], folder: Path) -> list[Run]:
    """Seven rates an estimator on SCAN_SEED; `seeds` is not read."""
    del seeds
    return [_cell(estimator, rate, SCAN_SEED, folder) for estimator in TABLE_1 for rate in _rates(estimator)]


def best_learning_rates(seeds: Sequence[int], folder: Path) -> list[Run]:
    """The best rate of each estimator, by p@1 and then mean log P in the finished scan, on every seed."""
    scan = folder.parent / "learning_rates"
    return [_cell(estimator, _best(estimator, scan), seed, folder) for estimator in TABLE_1 for seed in seeds]


def _rates(estimator: str) -> list[float]:
    return [float(f"{10 ** (LOWEST_EXPONENT[estimator] + half / 2):.3g}") for half in range(7)]


def _cell(estimator: str, rate: float, seed: int, folder: Path) -> Run:
    config = shipped_config("cold_start").with_values({"estimator": estimator, "optimizer.lr": rate})
    return cell(config, seed, folder, suffix=f"lr{rate:g}")


def _best(estimator: str, scan: Path) -> float:
    def score(rate: float) -> tuple[float, float]:
        result = read_json(
            _cell(estimator, rate, SCAN_SEED, scan).folder / RESULT, "a finished run of the study learning_rates"
        )
        return (-1.0, 0.0) if result["p_at_1"] is None else (result["p_at_1"], result["mean_log_p"])

    if not scan.exists():
        raise UserError(f"{scan}: run the study learning_rates first, the best rates are read from it")
    return max(_rates(estimator), key=score)
