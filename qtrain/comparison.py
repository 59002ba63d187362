"""Compare estimators: one run per estimator and seed from one configuration, with the results in one file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from qtrain.callbacks import Callback
from qtrain.config import Config, EstimatorChoice
from qtrain.errors import UserError
from qtrain.jobs.runner import Run, run_all
from qtrain.runs.folder import (
    COMPARISON,
    CONFIG,
    ENVIRONMENT,
    METRICS,
    PER_RUN,
    check_same,
    environment,
    read_json,
    write_json,
)

COLUMNS = ("estimator", "q", "seed", "p0", "steps", "escape_step")
"""The first columns of comparison.json; scores and `seconds` follow."""


def cells_of(config: Config, estimators: Iterable[EstimatorChoice], seeds: Iterable[int], out: Path) -> list[Run]:
    """One run per estimator and seed. The seed determines the base model and everything sampled in training."""
    return [cell(config.with_values({"estimator": str(choice)}), seed, out) for seed in seeds for choice in estimators]


def cell(config: Config, seed: int, out: Path, *, suffix: str = "", callbacks: Sequence[Callback] = ()) -> Run:
    """One run in a folder below `out`; `suffix` names further settings that vary, in label and folder name."""
    config = config.with_values({"train.seed": seed, "pretrain.seed": seed})
    label = " ".join(filter(None, [str(config.estimator), suffix, f"seed {seed}"]))
    folder = out / folder_name(config, suffix=suffix)
    return Run(label=label, config=config, folder=folder, callbacks=tuple(callbacks))


def folder_name(config: Config, *, suffix: str = "") -> str:
    """A run folder's name from estimator, further settings that vary, and seed: `garl-q.75-seed0`."""
    estimator = str(config.estimator).replace(":", "-").replace("=0.", ".").replace("=", "").replace(",", "-")
    return "-".join(filter(None, [estimator, suffix, f"seed{config.train.seed}"]))


def compare(
    config: Config,
    estimators: Sequence[EstimatorChoice],
    seeds: Sequence[int],
    out: Path,
    *,
    jobs: int | None = None,
) -> list[dict[str, Any]]:
    """Train every estimator with every seed and write `comparison.json`, or extend an existing one.

    Args:
        config: The settings of all runs, except `estimator`, `train.seed` and `pretrain.seed`.
        estimators: The estimators.
        seeds: The seeds of base models and training.
        out: The comparison's folder, which contains the run folders.
        jobs: See `qtrain.jobs.runner.run_all`.

    Returns:
        The rows of comparison.json: rows of earlier calls whose run folders still exist, then new rows.

    Raises:
        UserError: `out` holds something other than this comparison, or a run fails.
    """
    _existing_rows(config, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from None
    started = environment()
    new = [row(result) for result in run_all(cells_of(config, estimators, seeds, out), jobs=jobs, title=config.name)]
    # Read again: another command may have added rows in the meantime.
    rows = {(entry["estimator"], entry["seed"]): entry for entry in [*_existing_rows(config, out), *new]}
    write_json(out / CONFIG, config.as_table())
    write_json(out / ENVIRONMENT, started)
    write_json(out / COMPARISON, list(rows.values()))
    return list(rows.values())


def row(result: dict[str, Any]) -> dict[str, Any]:
    """A result as a row of comparison.json: columns in a fixed order, scores null if the run diverged."""
    scores = [key for key in result if key.startswith(("p_at_", "maj_at_", "mean_log_p"))]
    return {key: result[key] for key in (*COLUMNS, *scores, "seconds")}


def _existing_rows(config: Config, out: Path) -> list[dict[str, Any]]:
    """The rows of an existing comparison whose run folders still exist, in their order.

    Raises:
        UserError: The comparison has another configuration or is damaged, or the folder is a run folder.
    """
    path = out / COMPARISON
    if not path.exists():
        if (out / METRICS).exists():
            raise UserError(f"{out}: is a run folder, not a comparison's; choose another --out")
        return []
    check_same(config, out, "comparison", apart_from=PER_RUN)
    rows = read_json(path, "a comparison")
    try:
        # Only folder names are needed here, so the configuration's own code is not run.
        plain = config.without_code()
        runs = [cell(plain.with_values({"estimator": entry["estimator"]}), entry["seed"], out) for entry in rows]
    except (TypeError, KeyError, ValueError, AttributeError, UserError):
        raise UserError(f"{path}: damaged: not a list of results; delete it, and name its estimators again") from None
    return [row(result) for run in runs if (result := run.finished()) is not None]
