"""Where a training step's time goes: the loop's own parts, timed from outside by their public names."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain import step, train
from qtrain.config import RolloutConfig
from qtrain.engines.base import Engine, Group, Rationales
from qtrain.estimator_choice import EstimatorChoice
from qtrain.memory import AtOnce
from qtrain.run_folder import RunFolder

STAGES = (
    *("rollout", "score", "answers", "self-check", "forward", "coefficients", "metrics", "backward", "optimizer"),
    *("logs", "evaluation"),
)


class Stages:
    """Seconds by stage; a stage inside another one counts as the outer one's."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._busy = False

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, whose time is added to a stage."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            if self._busy:
                return work(*arguments, **keywords)
            self._busy, began = True, time.perf_counter()
            try:
                return work(*arguments, **keywords)
            finally:
                self._busy = False
                self.seconds[stage] += time.perf_counter() - began

        return call

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time every training run that begins inside."""
        make_engine, make_optimizer, timed = train.make_engine, train.make_optimizer, self.timed

        def optimizer(*arguments: Any) -> torch.optim.Optimizer:
            made = make_optimizer(*arguments)
            made.step = timed("optimizer", made.step)
            return made

        places = (
            (step, "self_check", timed("self-check", step.self_check)),
            (step, "forward", timed("forward", step.forward)),
            (step, "step_metrics", timed("metrics", step.step_metrics)),
            (step, "backward", timed("backward", step.backward)),
            (train, "evaluate", timed("evaluation", train.evaluate)),
            (
                train,
                "make_engine",
                lambda *arguments, **keywords: _TimedEngine(make_engine(*arguments, **keywords), self),
            ),
            (train, "make_optimizer", optimizer),
            (EstimatorChoice, "coefficients", timed("coefficients", EstimatorChoice.coefficients)),
            (RunFolder, "log", timed("logs", RunFolder.log)),
        )
        with ExitStack() as stack:
            for where, name, replacement in places:
                stack.enter_context(patch.object(where, name, replacement))
            yield


class _TimedEngine:
    """An engine whose groups' calls are timed."""

    def __init__(self, engine: Engine, stages: Stages) -> None:
        self._engine, self._stages = engine, stages
        self.ids, self.device, self.max_positions = engine.ids, engine.device, engine.max_positions

    def start(self, prompts: Sequence[list[int]], config: RolloutConfig) -> Group:
        return _TimedGroup(self._stages.timed("rollout", self._engine.start)(prompts, config), self._stages)

    def at_once(self, prompts: Sequence[list[int]], answer_tokens: int, config: RolloutConfig) -> AtOnce:
        return self._engine.at_once(prompts, answer_tokens, config)

    def noise(self, generator: torch.Generator, prompts: int, samples: int, tokens: int) -> Tensor:
        return self._stages.timed("rollout", self._engine.noise)(generator, prompts, samples, tokens)

    def take_weights(self, model: PreTrainedModel) -> None:
        self._stages.timed("rollout", self._engine.take_weights)(model)

    def rest(self) -> None:
        self._engine.rest()


class _TimedGroup:
    def __init__(self, group: Group, stages: Stages) -> None:
        self._group, self._timed = group, stages.timed

    def rationales(self, noise: Tensor, *, score_norms: bool) -> Rationales:
        return self._timed("rollout", self._group.rationales)(noise, score_norms=score_norms)

    def score(self, answers: Sequence[list[int]]) -> Tensor:
        return self._timed("score", self._group.score)(answers)

    def answers(self, noise: Tensor) -> list[list[int]]:
        return self._timed("answers", self._group.answers)(noise)
