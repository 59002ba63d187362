"""Schedules of the learning rate and of q over the steps of a run."""

import math
from typing import Literal

from pydantic import Field, model_validator

from qtheory.estimators import best_q, noise_q
from qtrain.schema import StrictModel

Shape = Literal["constant", "linear", "cosine", "step"]


class RateSchedule(StrictModel):
    """Table `[optimizer.schedule]`: the learning rate goes from `optimizer.lr` to `end` times that at the last step.

    Attributes:
        kind: `linear` and `cosine` change the rate at every step; `step` changes it once, at step `at`.
        warmup: Number of first steps over which the rate rises linearly from lr/warmup to lr, for every kind.
        end: Final learning rate as a fraction of `optimizer.lr`.
        at: The step of the change, for the kind `step` alone.
    """

    kind: Shape = "constant"
    warmup: int = Field(default=0, ge=0)
    end: float = Field(default=0.0, ge=0, le=1)
    at: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _check_at(self) -> "RateSchedule":
        _check_step_of_change(self.kind, self.at)
        return self

    def value(self, lr: float, step: int, steps: int) -> float:
        """The learning rate of a step.

        Args:
            lr: The highest learning rate.
            step: 1 to `steps`.
            steps: Number of training steps.
        """
        if step <= self.warmup:
            return lr * (step / self.warmup)
        return _between(self.kind, lr, lr * self.end, step - self.warmup, steps - self.warmup, _shifted(self))


class QSchedule(StrictModel):
    """Table `[q]`: q goes from the estimator's own value to `end` at the last step.

    Attributes:
        kind: `linear` and `cosine` change q at every step; `step` changes it once, at step `at`, so that `end` 0 after
            an estimator with q = 1 is SFT-then-RLVR. `adaptive` takes `qtheory.estimators.best_q` (QC-5) of the
            previous batch, one q for all prompts of a step. `noise` takes `qtheory.estimators.noise_q` (QC-9) of the
            previous batch; its mean P is that of the labels in the data, at most 1 - e for a model that is always
            right, where the rule has reached q = 0.
        end: q at the last step.
        at: The step of the change, for the kind `step` alone.
        rho: Spread of the scores that `best_q` assumes, for the kind `adaptive` alone.
        e: Share of wrong labels, for the kind `noise` alone.
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
    def _check_keys(self) -> "QSchedule":
        if (self.kind == "adaptive") != (self.rho is not None):
            raise ValueError(f"kind={self.kind!r} and rho={self.rho}: rho belongs to kind='adaptive', which needs it")
        if (self.kind == "noise") != (self.e is not None):
            raise ValueError(f"kind={self.kind!r} and e={self.e}: e belongs to kind='noise', which needs it")
        _check_step_of_change(self.kind, self.at)
        return self

    def value(self, q: float, step: int, steps: int, *, log_p: float, samples: int) -> float:
        """The q of a step.

        Args:
            q: The estimator's own q.
            step: 1 to `steps`.
            steps: Number of training steps.
            log_p: Log of the previous batch's mean P, in nats.
            samples: M, samples per prompt.
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
    # This form is exact at both ends.
    return start * (1 - share) + end * share


def _check_step_of_change(kind: str, at: int | None) -> None:
    if (kind == "step") != (at is not None):
        raise ValueError(f"kind={kind!r} and at={at}: at belongs to kind='step', which needs it")
