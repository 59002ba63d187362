"""Read the data files of the studies, checked by pydantic; a missing or malformed file gives a one-line error."""

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qtrain.errors import UserError

DATA = Path(__file__).parent / "data"


class Record(BaseModel):
    """Base of all records: frozen; keys that no figure reads are ignored."""

    model_config = ConfigDict(frozen=True)


class Curve(Record):
    """Evaluations along a run, lists of equal length."""

    step: list[int]
    p_at_1: list[float]
    maj_at_16: list[float] | None = None


class Series(Record):
    """Metrics of every step of a run that `figures.studies.SERIES` names, lists of equal length."""

    step: list[int]
    max_c: list[float]
    log_p: list[float]


class ScoreNorm(Record):
    """||s||^2 along a run: log P in nats, and estimates of the squared norm (noise can make one negative)."""

    log_p: list[float]
    norm_sq: list[float]


class BaselineGain(Record):
    """Effect of baselines on the gradient's variance along a run; see `figures.studies.baseline_gain`."""

    step: list[int]
    p: list[float]
    best_multiplier: list[float]
    variance_none: list[float]
    variance_loo: list[float]
    variance_weighted: list[float]


class Row(Record):
    """One run. Scores are those of the last evaluation, None if the run diverged.

    Attributes:
        estimator: As results name it ("garl:q=0.75").
        q: Its q, None for an estimator without one.
        seed: Seed of the base model and of training.
        p0: Measured P on held-out prompts at the start.
        escape_step: First step whose batch had a mean P above .05, None if there was none.
        eps: Adam's epsilon, None under SGD and in older files.
        p0_wanted: Requested P at the start.
        variant: Variant of the testbed's training prompts.
        relative_weights: Whether weights were taken relative to the batch's largest.
    """

    estimator: str
    q: float | None
    seed: int
    p0: float = Field(gt=0)
    steps: int
    escape_step: int | None
    p_at_1: float | None
    p_at_16: float | None = None
    maj_at_16: float | None = None
    mean_log_p: float | None
    p_at_1_easy: float | None = None
    diverged_step: int | None
    seconds: float
    optimizer: str
    lr: float = Field(gt=0)
    eps: float | None = None
    p0_wanted: float | None
    variant: str = "cold"
    relative_weights: bool = False
    prompts: int
    samples: int
    curve: Curve
    series: Series | None = None
    score_norm: ScoreNorm | None = None
    baseline_gain: BaselineGain | None = None


class Provenance(Record):
    """Command, commit, machine and libraries that made a data file."""

    command: str
    commit: str
    python: str
    libraries: dict[str, str]
    machine: str


class Study(Record):
    """One data file."""

    study: str
    provenance: Provenance
    rows: list[Row] = Field(min_length=1)

    @property
    def seeds(self) -> list[int]:
        """The bases, ascending."""
        return sorted({row.seed for row in self.rows})

    @property
    def by_estimator(self) -> dict[str, list[Row]]:
        """Rows of each estimator, sorted by seed: GRPO first, then by q, PAFT after GARL."""
        rows = sorted(self.rows, key=lambda row: (row.q is not None, row.q or 0.0, row.estimator, row.seed))
        grouped: dict[str, list[Row]] = {}
        for row in rows:
            grouped.setdefault(row.estimator, []).append(row)
        return grouped


def read_study(name: str, folder: Path = DATA) -> Study:
    """Read a study's data file.

    Args:
        name: The study.
        folder: Folder of NAME.json.

    Returns:
        The study, checked.

    Raises:
        UserError: The file is missing or malformed; the message names the command that makes it.
    """
    path = folder / f"{name}.json"
    try:
        study = Study.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; `python -m figures run {name}` makes it") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {key}: {first['msg']}; `python -m figures run {name}` makes it anew") from None
    if study.study != name:
        raise UserError(f"{path}: holds the study {study.study!r}; `python -m figures run {name}` makes it anew")
    return study


def only(values: Iterable[float], what: str) -> float:
    """The one value that all runs share.

    Raises:
        UserError: The values differ.
    """
    distinct = sorted(set(values))
    if len(distinct) != 1:
        raise UserError(f"{what} differs between runs: {', '.join(f'{value:g}' for value in distinct)}; one is needed")
    return distinct[0]
