"""Hold the state of a run besides its weights: counters, last scores and random generators."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, field_validator, model_validator


class RunState(BaseModel):
    """The progress of a run.

    Attributes:
        step: The last completed step.
        first: Scores of the base model.
        last: Scores of the last evaluation.
        log_p: Log of the mean P of the last batch, or of the base model before the first step, in nats.
        callbacks: The callbacks' states, in their order.
        escape_step: The first step whose batch had a mean P above `qtrain.runs.folder.ESCAPED`.
        skipped: Number of steps skipped because the gradient was not finite.
        failing: Number of consecutive skipped steps up to now.
        evaluated: The step of the last evaluation; None in checkpoints of older versions, which evaluated first.
        best_step: The step of the best evaluation, 0 for the base model's.
        best_score: Its maj@k and its mean log P (nats), which breaks ties: at a cold start every maj@k is 0.
        seconds: Time spent up to the last checkpoint, summed over the processes that resumed the run.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_old_keys(cls, table: Any) -> Any:
        """Drop `measured_at`, which older versions wrote and a callback now holds."""
        if not isinstance(table, dict):
            return table
        return {key: value for key, value in table.items() if key != "measured_at"}

    step: NonNegativeInt = 0
    first: dict[str, float]
    last: dict[str, float]
    log_p: float
    callbacks: list[dict[str, Any]] = []
    escape_step: int | None = None
    skipped: NonNegativeInt = 0
    failing: NonNegativeInt = 0
    evaluated: NonNegativeInt | None = None
    best_step: NonNegativeInt | None = None
    best_score: tuple[float, float] = (-math.inf, -math.inf)
    seconds: float = 0.0

    @field_validator("first", "last")
    @classmethod
    def _check_scores(cls, scores: dict[str, float]) -> dict[str, float]:
        if "p" not in scores:
            raise ValueError("scores without p")
        return scores


@dataclass(frozen=True)
class RandomStates:
    """The random generators of a run: for batches, stochastic estimators, callbacks and sampled tokens."""

    batch: np.random.Generator
    coefficients: np.random.Generator
    callbacks: np.random.Generator
    tokens: torch.Generator

    @classmethod
    def seeded(cls, seed: int, device: torch.device) -> "RandomStates":
        """The generators at the start of a run; the tokens' generator is on `device`."""
        batch, coefficients, callbacks = np.random.default_rng(seed).spawn(3)
        return cls(batch, coefficients, callbacks, torch.Generator(device).manual_seed(seed))

    @property
    def numpy(self) -> dict[str, np.random.Generator]:
        """The numpy generators, by their names in checkpoints."""
        return {"batch": self.batch, "coefficients": self.coefficients, "measures": self.callbacks}
