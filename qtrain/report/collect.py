"""Reads comparisons and single runs from disk into checked records."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from qtrain.errors import UserError
from qtrain.report.names import estimator_name, order, section_name
from qtrain.run_folder import (
    COMPARISON,
    CONFIG,
    ENVIRONMENT,
    EVALS,
    METRICS,
    RESULT,
    SAMPLES,
    read_json,
    read_jsonl,
)

PER_RUN = (("estimator",), ("train", "seed"), ("pretrain", "seed"))
"""The keys of a configuration in which the runs of one comparison differ."""

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


class Record(BaseModel):
    """A JSON object of a run: the named fields are checked, others (scores depend on the task) are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Result(Record):
    """result.json: what the run came to. Scores are None where it diverged."""

    estimator: str
    q: float | None
    seed: int
    p0: float
    steps: int
    escape_step: int | None
    p_at_1: float | None
    mean_log_p: float | None
    diverged_step: int | None
    seconds: float

    @model_validator(mode="after")
    def _scores_are_numbers(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            if name.startswith(("p_at_", "maj_at_")) and not isinstance(value, float | int | None):
                raise ValueError(f"score {name} is {value!r:.60}")
        return self

    def score(self, name: str) -> float | None:
        """A score by its key, None where the run has none."""
        return self.model_dump().get(name)


class Metric(Record):
    """A line of metrics.jsonl: P is the mean w of a training batch."""

    step: int
    p: float


class Eval(Record):
    """A line of evals.jsonl."""

    step: int
    p_at_1: float


class Sample(Record):
    """A line of samples.jsonl: what the model said to one held-out prompt."""

    step: int
    prompt: str
    gold: str
    easy: bool = False
    rationale: str
    forced: bool = False
    answer: str
    log_w: float
    success: bool


class Environment(Record):
    """environment.json: what made the numbers."""

    command: str
    commit: str
    python: str
    libraries: dict[str, str]
    machine: str
    threads: str | None = None


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path
    config: dict[str, Any]
    environment: Environment
    result: Result
    metrics: list[Metric]
    evals: list[Eval]
    samples: list[Sample]


@dataclass(frozen=True)
class Section:
    """A comparison, or a single run, of the page.

    Attributes:
        title: Its name in words.
        folder: As the user gave it.
        config: The configuration that all its runs share; of a single run the whole one.
        environment: Of the command that made it.
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
        _records(Metric, folder / METRICS),
        _records(Eval, folder / EVALS),
        _records(Sample, folder / SAMPLES),
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
    own = {path[0] for path in PER_RUN if len(path) == 1}
    shared = {key: value for key, value in config.items() if key not in own}
    for table, key in (path for path in PER_RUN if len(path) == 2):
        shared[table] = {name: value for name, value in shared.get(table, {}).items() if name != key}
    return shared
