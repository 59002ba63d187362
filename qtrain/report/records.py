"""Read run folders and comparisons from disk into checked records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from qtrain.errors import UserError
from qtrain.report.labels import estimator_name, section_name, sort_key
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
"""The settings that the page describes in words, and their types."""


class Record(BaseModel):
    """A JSON object written by a run. Named fields are checked; other fields (scores depend on the task) are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Result(Record):
    """The final result, result.json. Scores are None if the run diverged."""

    estimator: str
    q: float | None
    seed: int
    p0: float
    steps: int
    escape_step: int | None
    p_at_1: float | None
    mean_log_p: float | None
    best_step: int | None = None
    diverged_step: int | None
    diagnosis: str | None = None
    seconds: float

    @model_validator(mode="after")
    def _check_scores(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            if name.startswith(("p_at_", "maj_at_")) and not isinstance(value, float | int | None):
                raise ValueError(f"score {name} is {value!r:.60}")
        return self

    def score(self, name: str) -> float | None:
        """A score by its key, None if the run has no such score."""
        return self.model_dump().get(name)


class Logged(Record):
    """A log line with numbers at a step."""

    step: int


class Metric(Logged):
    """A line of metrics.jsonl. P is the mean w of the training batch, if that is sampled from the model itself."""

    p: float | None = None


class Eval(Logged):
    """A line of evals.jsonl."""

    p_at_1: float


class Sample(Record):
    """A line of samples.jsonl: the model's rationale and answer to one held-out prompt."""

    step: int
    prompt: str
    gold: str
    group: str = ""
    rationale: str
    forced: bool = False
    answer: str
    log_w: float
    rationale_coefficient: float | None = None
    answer_coefficient: float | None = None
    success: bool

    @model_validator(mode="before")
    @classmethod
    def _read_older_group(cls, line: Any) -> Any:
        """Translate `easy`, which older versions wrote instead of the group's name."""
        if isinstance(line, dict) and "group" not in line and line.get("easy"):
            return {**line, "group": "easy"}
        return line


class Skipped(Record):
    """A line of skipped.jsonl: a step that did not update the weights."""

    step: int
    reason: str
    prompt: str | None = None


class Warned(Record):
    """A line of warnings.jsonl."""

    step: int
    category: str
    message: str


class Environment(Record):
    """The command, code version and machine of a run or comparison, environment.json."""

    command: str
    commit: str
    python: str
    libraries: dict[str, str]
    machine: str
    threads: str | None = None


class Points(NamedTuple):
    """A number against the step: both arrays (S,), steps ascending, values finite."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def columns(rows: Sequence[Logged]) -> dict[str, Points]:
    """Turn the lines of a log into one series per key, without values that are not finite numbers."""
    series: dict[str, dict[int, float]] = {}
    for row in rows:
        for key, value in {**row.__dict__, **(row.__pydantic_extra__ or {})}.items():
            if type(value) in (int, float) and key != "step":
                series.setdefault(key, {})[row.step] = value
    tables = {key: np.array(sorted(points.items()), dtype=float) for key, points in series.items()}
    return {key: Points(*table[np.isfinite(table[:, 1])].T) for key, table in tables.items()}


@dataclass(frozen=True)
class Run:
    """A run folder's content. `skipped` and `warned` are None if the version that made the run had no such log."""

    folder: Path
    config: dict[str, Any]
    environment: Environment
    result: Result
    metrics: dict[str, Points]
    evals: dict[str, Points]
    samples: list[Sample]
    skipped: list[Skipped] | None
    warned: list[Warned] | None


@dataclass(frozen=True)
class Section:
    """A section of the page: a comparison or a single run.

    Attributes:
        title: Its heading.
        folder: The folder, as the user gave it.
        config: The configuration shared by all runs; the whole configuration of a single run.
        environment: That of the command that made the folder.
        runs: Estimators in the order of the tables (GRPO first, then by q), seeds ascending.
    """

    title: str
    folder: Path
    config: dict[str, Any]
    environment: Environment
    runs: list[Run]

    @property
    def by_estimator(self) -> dict[str, list[Run]]:
        """The runs of each estimator, in the order of the tables."""
        groups: dict[str, list[Run]] = {}
        for run in self.runs:
            groups.setdefault(run.result.estimator, []).append(run)
        return groups


def read_section(folder: Path) -> Section:
    """Read a comparison or a single run.

    Args:
        folder: A folder written by `qtrain compare` or `qtrain train`.

    Raises:
        UserError: The folder is neither, is not finished, or is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one that `qtrain compare` or `qtrain train` wrote")
    if (folder / COMPARISON).exists():
        return _read_comparison(folder)
    if (folder / RESULT).exists():
        run = _read_run(folder)
        label = f"{estimator_name(run.result.estimator)}, seed {run.result.seed}"
        title = f"{section_name(run.config)}: {label}"
        return Section(title, folder, run.config, run.environment, [run])
    if (folder / CONFIG).exists() or any(folder.glob(f"*/{CONFIG}")):
        raise UserError(f"{folder}: is not finished ({RESULT} or {COMPARISON} is missing); run its command again")
    raise UserError(f"{folder}: is not a run folder or a comparison ({RESULT} and {COMPARISON} are missing)")


def _read_comparison(folder: Path) -> Section:
    config, environment = _read_config(folder), _read_record(Environment, folder / ENVIRONMENT)
    results = [(path.parent, read_json(path, "a run folder")) for path in sorted(folder.glob(f"*/{RESULT}"))]
    rows = read_json(folder / COMPARISON, "a comparison")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{folder / COMPARISON}: a list of results is needed; run the comparison again")
    runs = [_read_run(_find_run(row, results, folder)) for row in rows]
    for run in runs:
        if _shared_settings(run.config) != _shared_settings(config):
            raise UserError(f"{run.folder}: its configuration is not that of {folder}; run the comparison again")
    runs.sort(key=lambda run: (sort_key(run.result.estimator, run.result.q), run.result.seed))
    return Section(section_name(config), folder, _shared_settings(config), environment, runs)


def _find_run(row: dict[str, Any], results: list[tuple[Path, Any]], folder: Path) -> Path:
    """The run folder whose result contains a row of comparison.json."""
    for run, result in results:
        if isinstance(result, dict) and row.items() <= result.items():
            return run
    raise UserError(
        f"{folder}: no run folder below it holds the result of {row.get('estimator')}, seed {row.get('seed')}, "
        f"that {COMPARISON} gives; run the comparison again"
    )


def _read_run(folder: Path) -> Run:
    return Run(
        folder,
        _read_config(folder),
        _read_record(Environment, folder / ENVIRONMENT),
        _read_record(Result, folder / RESULT),
        columns(_read_log(Metric, folder / METRICS)),
        columns(_read_log(Eval, folder / EVALS)),
        _read_log(Sample, folder / SAMPLES),
        _read_log(Skipped, folder / SKIPPED) if (folder / SKIPPED).exists() else None,
        _read_log(Warned, folder / WARNINGS) if (folder / WARNINGS).exists() else None,
    )


R = TypeVar("R", bound=Record)


def _read_record(kind: type[R], path: Path) -> R:
    return _validate(kind, read_json(path, "a run folder"), str(path))


def _read_log(kind: type[R], path: Path) -> list[R]:
    return [_validate(kind, row, f"{path}, line {number}") for number, row in enumerate(read_jsonl(path), start=1)]


def _validate(kind: type[R], value: object, source: str) -> R:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{source}: damaged: {f'key {key!r}: ' if key else ''}{first['msg']}") from None


def _read_config(folder: Path) -> dict[str, Any]:
    """Read the configuration as plain JSON: an older run's need not fit today's `Config`."""
    config = read_json(folder / CONFIG, "a run folder")
    for path, kind in CONFIG_KEYS.items():
        value = config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, kind):
            raise UserError(f"{folder / CONFIG}: damaged: key {path!r} is {value!r}; run the command again")
    return config


def _shared_settings(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the settings that differ between the runs of a comparison."""
    shared = {key: value for key, value in config.items() if key not in PER_RUN}
    for table, key in (path.split(".") for path in PER_RUN if "." in path):
        shared[table] = {name: value for name, value in shared.get(table, {}).items() if name != key}
    return shared
