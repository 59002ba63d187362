"""Callbacks: what a run tells while it trains, and what may be measured beside it.

A callback is an object with some of the methods below. `train(..., callbacks=[...])` takes them, and so does the key
`callbacks` of a configuration, as "module:object" (see `qtrain.plugins`).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qtrain import plugins
from qtrain.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from qtrain.config import Config
    from qtrain.tasks import Task

STAGES = (
    *("rollout", "score", "answers", "self-check", "forward", "coefficients", "metrics", "backward", "optimizer"),
    *("logs", "evaluation"),
)
"""The parts of a training step, and what is done between steps."""


class StageClock:
    """Seconds spent in each of STAGES since the run began; a stage inside another one counts as the outer one's."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._busy = False

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        if self._busy:
            yield
            return
        self._busy, began = True, time.perf_counter()
        try:
            yield
        finally:
            self._busy = False
            self.seconds[stage] += time.perf_counter() - began


@dataclass(frozen=True)
class RunView:
    """What callbacks see of a run.

    Attributes:
        config: The run's configuration.
        task: Source of its examples.
        model: The policy. A callback may overwrite its gradients before a step, and must not change its weights.
        folder: The run folder.
        clock: Seconds by stage.
        rng: A generator for the callbacks' own draws; its state is kept in checkpoints.
    """

    config: "Config"
    task: "Task"
    model: "PreTrainedModel"
    folder: "Path"
    clock: StageClock
    rng: np.random.Generator


class Callback:
    """Base class of callbacks: every method may be overridden, and does nothing by itself."""

    def on_start(self, run: RunView) -> None:
        """The run starts, or goes on from a checkpoint; the base has been evaluated."""

    def before_step(self, run: RunView, step: int, log_p: float) -> dict[str, float]:
        """A step begins; gradients may be overwritten.

        Args:
            run: The run.
            step: From 1.
            log_p: Log of the mean P of the last batch, before the first step that of the base (nats).

        Returns:
            Numbers for the step's line in metrics.jsonl.
        """
        return {}

    def on_step(self, run: RunView, step: int, metrics: dict[str, float]) -> None:
        """A step's metrics are known and its update is still to come; `p_at_1` is that of the last evaluation."""

    def on_evaluate(self, run: RunView, step: int, scores: dict[str, float]) -> None:
        """The held-out prompts have been evaluated after a step, 0 for the base."""

    def on_end(self, run: RunView, result: dict[str, Any]) -> None:
        """The run has ended and its result is written."""

    def on_message(self, line: str) -> None:
        """There is a line for the user."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep for this callback to go on, as JSON values."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned at the checkpoint that the run goes on from."""


@dataclass(frozen=True)
class StepFunction(Callback):
    """A function of (step, metrics) as a callback.

    Attributes:
        function: Called at each step, before its update.
    """

    function: Callable[[int, dict[str, float]], None]

    def on_step(self, run: RunView, step: int, metrics: dict[str, float]) -> None:
        """Call the function."""
        self.function(step, metrics)


def own_callbacks(config: "Config") -> list[Callback]:
    """The callbacks that a configuration names.

    Raises:
        UserError: One cannot be imported or made, or may not run.
    """
    callbacks = []
    for name in config.callbacks:
        if not config.code_allowed:
            raise plugins.refuse_code("callbacks", name)
        value = plugins.load(name, "callbacks")
        if isinstance(value, type):
            try:
                value = value()
            except Exception as error:
                raise UserError(f"callbacks={name!r}: {plugins.describe(error)}") from None
        if not isinstance(value, Callback):
            raise UserError(f"callbacks={name!r}: a subclass of qtrain.Callback is needed, not {value!r:.80}")
        callbacks.append(value)
    return callbacks


class Callbacks:
    """Calls several callbacks in their order.

    Args:
        callbacks: Which.
        run: What they see; None until the run has started.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = list(callbacks)
        self.run: RunView | None = None

    def start(self, run: RunView, states: Sequence[dict[str, Any]]) -> None:
        """Begin, with the states that a checkpoint kept."""
        self.run = run
        for callback, state in zip(self._callbacks, states, strict=False):
            callback.load_state(state)
        for callback in self._callbacks:
            callback.on_start(run)

    def before_step(self, step: int, log_p: float) -> dict[str, float]:
        """Collect what is measured before a step."""
        assert self.run is not None
        measured: dict[str, float] = {}
        for callback in self._callbacks:
            measured |= callback.before_step(self.run, step, log_p)
        return measured

    def tell(self, event: str, *arguments: Any) -> None:
        """Call a method of each with the run; before the start there is nothing to tell."""
        if self.run is not None:
            for callback in self._callbacks:
                getattr(callback, event)(self.run, *arguments)

    def message(self, line: str) -> None:
        """Hand a line for the user on."""
        for callback in self._callbacks:
            callback.on_message(line)

    def states(self) -> list[dict[str, Any]]:
        """For a checkpoint."""
        return [callback.state() for callback in self._callbacks]
