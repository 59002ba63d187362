"""What a run carries from step to step besides weights: its counters, its last scores, its sources of randomness."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, field_validator, model_validator


class RunState(BaseModel):
    """How far a run is.

    Attributes:
        step: The last step taken.
        first: Scores of the base.
        last: Scores of the last evaluation.
        log_p: Log of the mean P of the last batch, before the first step that of the base, in nats.
        callbacks: What the callbacks keep, in their order.
        escape_step: See `qtrain.runs.folder.ESCAPED`.
        skipped: Steps skipped for want of a finite gradient.
        failing: How many of them in a row up to now.
        evaluated: The step of the last evaluation; None in checkpoints of older versions, which came after it.
        best_step: The step of the best evaluation, 0 for the base's.
        best_score: Its maj@k, and its mean log P (nats) between equals: at a cold start all maj@k are 0.
        seconds: Spent on the run up to the last checkpoint, all processes together.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_gone(cls, table: Any) -> Any:
        """Checkpoints of older versions have `measured_at`, which is a callback's now."""
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
    def _scores(cls, scores: dict[str, float]) -> dict[str, float]:
        if "p" not in scores:
            raise ValueError("scores without p")
        return scores


@dataclass(frozen=True)
class RandomStates:
    """A run's generators: of batches, of stochastic estimators, of callbacks, and of sampled tokens."""

    batch: np.random.Generator
    coefficients: np.random.Generator
    callbacks: np.random.Generator
    tokens: torch.Generator

    @classmethod
    def seeded(cls, seed: int, device: torch.device) -> "RandomStates":
        """The sources at the start of a run; that of tokens draws on `device`."""
        batch, coefficients, callbacks = np.random.default_rng(seed).spawn(3)
        return cls(batch, coefficients, callbacks, torch.Generator(device).manual_seed(seed))

    @property
    def numpy(self) -> dict[str, np.random.Generator]:
        """The numpy generators by their names in checkpoints."""
        return {"batch": self.batch, "coefficients": self.coefficients, "measures": self.callbacks}
