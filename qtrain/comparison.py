"""Comparisons: one run per estimator and seed from one configuration, and their results as rows of one file."""

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
"""First columns of a comparison's rows; scores and `seconds` follow."""


def cells_of(config: Config, estimators: Iterable[EstimatorChoice], seeds: Iterable[int], out: Path) -> list[Run]:
    """One run per estimator and seed; a seed decides the base model and everything sampled in training."""
    return [cell(config.with_values({"estimator": str(choice)}), seed, out) for seed in seeds for choice in estimators]


def cell(config: Config, seed: int, out: Path, *, suffix: str = "", callbacks: Sequence[Callback] = ()) -> Run:
    """One run below `out`; `suffix` says what varies besides estimator and seed, in the folder's name too."""
    config = config.with_values({"train.seed": seed, "pretrain.seed": seed})
    label = " ".join(filter(None, [str(config.estimator), suffix, f"seed {seed}"]))
    folder = out / folder_name(config, suffix=suffix)
    return Run(label=label, config=config, folder=folder, callbacks=tuple(callbacks))


def folder_name(config: Config, *, suffix: str = "") -> str:
    """A run folder's name: estimator, whatever else varies, seed (`garl-q.75-seed0`)."""
    word = str(config.estimator).replace(":", "-").replace("=0.", ".").replace("=", "").replace(",", "-")
    return "-".join(filter(None, [word, suffix, f"seed{config.train.seed}"]))


def compare(
    config: Config,
    estimators: Sequence[EstimatorChoice],
    seeds: Sequence[int],
    out: Path,
    *,
    jobs: int | None = None,
) -> list[dict[str, Any]]:
    """Run estimators x seeds from one configuration and write `comparison.json` into `out`, or add to the one there.

    Args:
        config: Of all runs but for `estimator`, `train.seed` and `pretrain.seed`.
        estimators: Which.
        seeds: Of bases and training.
        out: The comparison's folder, with the run folders in it.
        jobs: See `qtrain.jobs.runner.run_all`.

    Returns:
        The rows of comparison.json: first those of earlier calls whose run folders are still there, then new ones.

    Raises:
        UserError: `out` holds something else, or a run cannot be made.
    """
    _earlier(config, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from None
    started = environment()
    new = [row(result) for result in run_all(cells_of(config, estimators, seeds, out), jobs=jobs, title=config.name)]
    # Read now: another command may have added to them meanwhile.
    rows = {(entry["estimator"], entry["seed"]): entry for entry in [*_earlier(config, out), *new]}
    write_json(out / CONFIG, config.as_table())
    write_json(out / ENVIRONMENT, started)
    write_json(out / COMPARISON, list(rows.values()))
    return list(rows.values())


def row(result: dict[str, Any]) -> dict[str, Any]:
    """A result as a row of comparison.json: columns in a fixed order, scores null where it diverged."""
    last = [key for key in result if key.startswith(("p_at_", "maj_at_", "mean_log_p"))]
    return {key: result[key] for key in (*COLUMNS, *last, "seconds")}


def _earlier(config: Config, out: Path) -> list[dict[str, Any]]:
    """The rows of the comparison that a folder holds, in their order, as far as their run folders are there.

    Raises:
        UserError: The comparison is of another configuration or damaged, or the folder is that of a single run.
    """
    path = out / COMPARISON
    if not path.exists():
        if (out / METRICS).exists():
            raise UserError(f"{out}: is a run folder, not a comparison's; choose another --out")
        return []
    check_same(config, out, "comparison", apart_from=PER_RUN)
    rows = read_json(path, "a comparison")
    try:
        # Of these only the names matter: code that the folder names is not run.
        plain = config.without_code()
        runs = [cell(plain.with_values({"estimator": entry["estimator"]}), entry["seed"], out) for entry in rows]
    except (TypeError, KeyError, ValueError, AttributeError, UserError):
        raise UserError(f"{path}: damaged: not a list of results; delete it, and name its estimators again") from None
    return [row(result) for run in runs if (result := run.finished()) is not None]
