"""The JSON records of a run folder, checked when they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator


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
    best_step: int | None = None
    diverged_step: int | None
    diagnosis: str | None = None
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


class Logged(Record):
    """A line of numbers at a step."""

    step: int


class Metric(Logged):
    """A line of metrics.jsonl: P is the mean w of a training batch, where that is sampled from the model itself."""

    p: float | None = None


class Eval(Logged):
    """A line of evals.jsonl."""

    p_at_1: float


class Sample(Record):
    """A line of samples.jsonl: what the model said to one held-out prompt."""

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
    def _groups_of_older_runs(cls, line: Any) -> Any:
        """They had one group, and said of each sample whether it was in it."""
        if isinstance(line, dict) and "group" not in line and line.get("easy"):
            return {**line, "group": "easy"}
        return line


class Skipped(Record):
    """A line of skipped.jsonl: a step that did not move the weights."""

    step: int
    reason: str
    prompt: str | None = None


class Warned(Record):
    """A line of warnings.jsonl."""

    step: int
    category: str
    message: str


class Environment(Record):
    """environment.json: what made the numbers."""

    command: str
    commit: str
    python: str
    libraries: dict[str, str]
    machine: str
    threads: str | None = None


class Points(NamedTuple):
    """A number against the step: both (S,), steps ascending, values finite."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def columns(rows: Sequence[Logged]) -> dict[str, Points]:
    """A log by name instead of by step; what is no number, or not finite, is left out."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        for key, value in {**row.__dict__, **(row.__pydantic_extra__ or {})}.items():
            if type(value) in (int, float) and key != "step":
                found.setdefault(key, {})[row.step] = value
    pairs = {key: np.array(sorted(points.items()), dtype=float) for key, points in found.items()}
    return {key: Points(*one[np.isfinite(one[:, 1])].T) for key, one in pairs.items()}


@dataclass(frozen=True)
class Run:
    """One run folder. `skipped` and `warned` are None where it has no such log, as it was made before there was one."""

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
