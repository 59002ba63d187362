"""Reads comparisons and single runs from disk into checked records."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from qtrain.errors import UserError
from qtrain.report.names import estimator_name, order, section_name
from qtrain.report.records import (
    Environment,
    Eval,
    Metric,
    Record,
    Result,
    Run,
    Sample,
    Section,
    Skipped,
    Warned,
    columns,
)
from qtrain.runs.folder import (
    COMPARISON,
    CONFIG,
    ENVIRONMENT,
    EVALS,
    METRICS,
    PER_RUN,
    RESULT,
    SAMPLES,
    SKIPPED,
    WARNINGS,
    read_json,
    read_jsonl,
)

CONFIG_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "task.name": str,
    "rollout.prompts": int,
    "rollout.samples": int,
    "optimizer.name": str,
    "optimizer.lr": (float, int),
    "eval.prompts": int,
    "eval.samples": int,
    "train.steps": int,
}
"""What the page says of a configuration."""


def read_section(folder: Path) -> Section:
    """Read a comparison or a single run.

    Args:
        folder: What `qtrain compare` or `qtrain train` wrote.

    Raises:
        UserError: It is neither, is not finished, or is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one that `qtrain compare` or `qtrain train` wrote")
    if (folder / COMPARISON).exists():
        return _comparison(folder)
    if (folder / RESULT).exists():
        run = _run(folder)
        word = f"{estimator_name(run.result.estimator)}, seed {run.result.seed}"
        title = f"{section_name(run.config)}: {word}"
        return Section(title, folder, run.config, run.environment, [run])
    if (folder / CONFIG).exists() or any(folder.glob(f"*/{CONFIG}")):
        raise UserError(f"{folder}: is not finished ({RESULT} or {COMPARISON} is missing); run its command again")
    raise UserError(f"{folder}: is not a run folder or a comparison ({RESULT} and {COMPARISON} are missing)")


def _comparison(folder: Path) -> Section:
    config, environment = _config(folder), _record(Environment, folder / ENVIRONMENT)
    found = [(path.parent, read_json(path, "a run folder")) for path in sorted(folder.glob(f"*/{RESULT}"))]
    rows = read_json(folder / COMPARISON, "a comparison")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{folder / COMPARISON}: a list of results is needed; run the comparison again")
    runs = [_run(_run_of(row, found, folder)) for row in rows]
    for run in runs:
        if _shared(run.config) != _shared(config):
            raise UserError(f"{run.folder}: its configuration is not that of {folder}; run the comparison again")
    runs.sort(key=lambda run: (order(run.result.estimator, run.result.q), run.result.seed))
    return Section(section_name(config), folder, _shared(config), environment, runs)


def _run_of(row: dict[str, Any], found: list[tuple[Path, Any]], folder: Path) -> Path:
    for run, result in found:
        if isinstance(result, dict) and row.items() <= result.items():
            return run
    raise UserError(
        f"{folder}: no run folder below it holds the result of {row.get('estimator')}, seed {row.get('seed')}, "
        f"that {COMPARISON} gives; run the comparison again"
    )


def _run(folder: Path) -> Run:
    return Run(
        folder,
        _config(folder),
        _record(Environment, folder / ENVIRONMENT),
        _record(Result, folder / RESULT),
        columns(_records(Metric, folder / METRICS)),
        columns(_records(Eval, folder / EVALS)),
        _records(Sample, folder / SAMPLES),
        _records(Skipped, folder / SKIPPED) if (folder / SKIPPED).exists() else None,
        _records(Warned, folder / WARNINGS) if (folder / WARNINGS).exists() else None,
    )


R = TypeVar("R", bound=Record)


def _record(kind: type[R], path: Path) -> R:
    return _checked(kind, read_json(path, "a run folder"), str(path))


def _records(kind: type[R], path: Path) -> list[R]:
    return [_checked(kind, row, f"{path}, line {number}") for number, row in enumerate(read_jsonl(path), start=1)]


def _checked(kind: type[R], value: object, where: str) -> R:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{where}: damaged: {f'key {key!r}: ' if key else ''}{first['msg']}") from None


def _config(folder: Path) -> dict[str, Any]:
    """The configuration as the plain JSON it is; `qtrain.config` would load transformers."""
    config = read_json(folder / CONFIG, "a run folder")
    for place, kind in CONFIG_KEYS.items():
        value = config
        for key in place.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, kind):
            raise UserError(f"{folder / CONFIG}: damaged: key {place!r} is {value!r}; run the command again")
    return config


def _shared(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what differs between the runs of a comparison."""
    shared = {key: value for key, value in config.items() if key not in PER_RUN}
    for table, key in (path.split(".") for path in PER_RUN if "." in path):
        shared[table] = {name: value for name, value in shared.get(table, {}).items() if name != key}
    return shared
