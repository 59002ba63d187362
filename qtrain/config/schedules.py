"""Schedules over training: of the learning rate, and of q within an estimator's family."""

import math
from typing import Literal

from pydantic import Field, model_validator

from qtheory.estimators import best_q, noise_q
from qtrain.schema import StrictModel

Shape = Literal["constant", "linear", "cosine", "step"]


class RateSchedule(StrictModel):
    """How the learning rate changes, from `optimizer.lr` to `end` times that at the last step.

    `linear` and `cosine` move on at every step; `step` changes at step `at`, all at once. The first `warmup` steps rise
    linearly from lr/warmup to lr, whatever the kind.
    """

    kind: Shape = "constant"
    warmup: int = Field(default=0, ge=0)
    end: float = Field(default=0.0, ge=0, le=1)
    at: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _at_with_step(self) -> "RateSchedule":
        _check_place(self.kind, self.at)
        return self

    def value(self, lr: float, step: int, steps: int) -> float:
        """The learning rate of a step.

        Args:
            lr: The highest one.
            step: 1 to steps.
            steps: Length of training.
        """
        if step <= self.warmup:
            return lr * (step / self.warmup)
        return _between(self.kind, lr, lr * self.end, step - self.warmup, steps - self.warmup, _shifted(self))


class QSchedule(StrictModel):
    """How q changes, from the estimator's own to `end` at the last step.

    `step` with `end` 0 and an estimator of q = 1 is SFT-then-RLVR. `adaptive` takes `qtheory.estimators.best_q` (QC-5)
    of the batch before, for a spread `rho` of the scores: one q for all prompts of a step. `noise` takes
    `qtheory.estimators.noise_q` (QC-9) of the batch before, for a share `e` of wrong labels. The mean P of a batch is
    that of the labels in the data, at most 1 - e of a model that is always right, where the rule has come to q = 0.
    """

    kind: Literal["constant", "linear", "cosine", "step", "adaptive", "noise"] = "constant"
    end: float = Field(default=0.0, ge=0, le=1)
    at: int | None = Field(default=None, ge=2)
    rho: float | None = Field(default=None, ge=0)
    e: float | None = Field(default=None, gt=0, lt=0.5)

    @property
    def reads_p(self) -> bool:
        """Whether q follows the measured P, not the estimator's own q and the step."""
        return self.kind in ("adaptive", "noise")

    @model_validator(mode="after")
    def _each_kind_has_its_keys(self) -> "QSchedule":
        if (self.kind == "adaptive") != (self.rho is not None):
            raise ValueError(f"kind={self.kind!r} and rho={self.rho}: rho belongs to kind='adaptive', which needs it")
        if (self.kind == "noise") != (self.e is not None):
            raise ValueError(f"kind={self.kind!r} and e={self.e}: e belongs to kind='noise', which needs it")
        _check_place(self.kind, self.at)
        return self

    def value(self, q: float, step: int, steps: int, *, log_p: float, samples: int) -> float:
        """The q of a step.

        Args:
            q: The estimator's own.
            step: 1 to steps.
            steps: Length of training.
            log_p: Log of the mean P of the batch before, in nats.
            samples: M.
        """
        if self.kind == "adaptive":
            assert self.rho is not None
            return float(best_q(min(log_p, 0.0), samples, self.rho))
        if self.kind == "noise":
            assert self.e is not None
            return float(noise_q(min(log_p, 0.0), self.e))
        return _between(self.kind, q, self.end, step, steps, self.at)


def _shifted(schedule: RateSchedule) -> int | None:
    return None if schedule.at is None else schedule.at - schedule.warmup


def _between(kind: Shape, start: float, end: float, step: int, steps: int, at: int | None) -> float:
    if kind == "constant":
        return start
    if kind == "step":
        assert at is not None
        return start if step < at else end
    share = (step - 1) / max(1, steps - 1)
    if kind == "cosine":
        share = (1 - math.cos(math.pi * share)) / 2
    # In this form both ends are met exactly.
    return start * (1 - share) + end * share


def _check_place(kind: str, at: int | None) -> None:
    if (kind == "step") != (at is not None):
        raise ValueError(f"kind={kind!r} and at={at}: at belongs to kind='step', which needs it")
