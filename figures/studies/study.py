"""Run a study: its training runs, then one small data file with rows, curves and provenance."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures.studies import SERIES, STUDIES
from qtheory.command.names import did_you_mean
from qtrain.commands import print_results
from qtrain.comparison import row as table_row
from qtrain.errors import UserError
from qtrain.jobs.runner import Run, run_all
from qtrain.runs.folder import EVALS, METRICS, environment, read_jsonl, write_json


def study_command(name: str, seeds: int, runs: Path | None, output: Path | None, jobs: int | None) -> None:
    """See `figures.cli.run`."""
    folder, output = runs or Path("runs") / "studies" / name, output or Path("figures") / "data" / f"{name}.json"
    rows = run_study(name, range(seeds), folder, output, jobs=jobs)["rows"]
    print_results([table_row(result) for result in rows], title=f"{name}: {output}")


def run_study(
    name: str, seeds: Sequence[int], folder: Path, output: Path, *, jobs: int | None = None
) -> dict[str, Any]:
    """Run the runs of a study that have not finished yet and write its data file.

    Args:
        name: Its name in STUDIES.
        seeds: Bases and training seeds.
        folder: Folder of the run folders; finished ones are reused.
        output: The data file, JSON.
        jobs: See `qtrain.jobs.runner.run_all`.

    Returns:
        The data: `study`, `about`, `provenance`, `rows`. A row has the run's result, its varied settings (`optimizer`,
        `lr`, `eps`, `p0_wanted`, `variant`, `relative_weights`), `curve` (lists of step, p_at_1, maj_at_k, p,
        mean_log_p from the evaluations), `series` (lists of the metrics in SERIES, for every step) if the study has
        them and, if they were measured, `score_norm` (lists of log_p and norm_sq) and `baseline_gain` (lists of
        step, p and the results of `figures.studies.baseline_gain`).

    Raises:
        UserError: Unknown study, or a folder that cannot be used.
    """
    if name not in STUDIES:
        raise UserError(f"unknown study {name!r}; {did_you_mean(name, STUDIES)}")
    started = environment()
    runs = STUDIES[name](seeds, folder)
    _check_output(output)
    results = run_all(runs, jobs=jobs, title=name)
    data = {
        "study": name,
        "about": (STUDIES[name].__doc__ or "").strip(),
        "provenance": started,
        "rows": [_row(run, result, SERIES.get(name, ())) for run, result in zip(runs, results, strict=True)],
    }
    write_json(output, data)
    return data


def _check_output(output: Path) -> None:
    """Refuse a data file that cannot be written before the runs begin, not hours later."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror or error}") from None
    if output.is_dir() or not os.access(output.parent, os.W_OK):
        raise UserError(f"{output}: cannot be written; choose another --output")


def _row(run: Run, result: dict[str, Any], series: Sequence[str]) -> dict[str, Any]:
    config = run.config
    evals = read_jsonl(run.folder / EVALS)
    names = ("step", "p_at_1", f"maj_at_{config.eval.samples}", "p", "mean_log_p")
    names = [name for name in names if name in evals[0]]
    row = {
        **_rounded(result),
        "optimizer": config.optimizer.name,
        "lr": config.optimizer.lr,
        "eps": config.optimizer.eps if config.optimizer.name == "adamw" else None,
        "p0_wanted": config.pretrain.p0,
        "variant": config.task.model_dump()["variant"],
        "prompts": config.rollout.prompts,
        "samples": config.rollout.samples,
        "relative_weights": config.train.relative_weights,
        "curve": {name: [_short(entry[name]) for entry in evals] for name in names},
    }
    metrics = read_jsonl(run.folder / METRICS)
    if series:
        row["series"] = {name: [_short(entry[name]) for entry in metrics] for name in ("step", *series)}
    measured = [entry for entry in metrics if "score_norm_sq" in entry]
    if measured:
        row["score_norm"] = {
            "log_p": [_short(entry["log_p"]) for entry in measured],
            "norm_sq": [_short(entry["score_norm_sq"]) for entry in measured],
        }
    gains = [entry for entry in metrics if "best_multiplier" in entry]
    if gains:
        row["baseline_gain"] = {
            name: [_short(entry[name]) for entry in gains]
            for name in ("step", "p", "best_multiplier", "variance_none", "variance_loo", "variance_weighted")
        }
    return row


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _short(value) for key, value in values.items()}


def _short(value: Any) -> Any:
    """Round to six digits, more than the measurements are accurate to, which keeps the committed file small."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
