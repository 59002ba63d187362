"""Callbacks: objects that a run notifies at its start, at each step and evaluation, and at its end.

A callback overrides some methods of `Callback`. Pass callbacks to `train(..., callbacks=[...])`, or name them in the
key `callbacks` of a configuration as "module:object" (see `qtrain.plugins`).
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
"""Stages of a run that are timed: the parts of a training step, then logs and evaluations."""


class StageClock:
    """Seconds spent in each of STAGES since the run started. Time in a nested stage counts for the outer stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._busy = False

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent inside this context to a stage."""
        if self._busy:
            yield
            return
        self._busy, start = True, time.perf_counter()
        try:
            yield
        finally:
            self._busy = False
            self.seconds[stage] += time.perf_counter() - start


@dataclass(frozen=True)
class RunView:
    """The parts of a run that callbacks may use.

    Attributes:
        config: The run's configuration.
        task: Source of its examples.
        model: The policy. A callback may overwrite its gradients before a step, but must not change its weights.
        folder: The run folder.
        clock: Seconds by stage.
        rng: A generator for the callbacks' own draws; its state is saved in checkpoints.
    """

    config: "Config"
    task: "Task"
    model: "PreTrainedModel"
    folder: "Path"
    clock: StageClock
    rng: np.random.Generator


class Callback:
    """Base class of callbacks. Every method may be overridden; by default it does nothing."""

    def on_start(self, run: RunView) -> None:
        """Called when the run starts or resumes from a checkpoint, after the base has been evaluated."""

    def before_step(self, run: RunView, step: int, log_p: float) -> dict[str, float]:
        """Called before each step; gradients may be overwritten.

        Args:
            run: The run.
            step: The step, from 1.
            log_p: Log of the mean P of the last batch, or of the base before the first step (nats).

        Returns:
            Metrics to add to the step's line in metrics.jsonl.
        """
        return {}

    def on_step(self, run: RunView, step: int, metrics: dict[str, float]) -> None:
        """Called with a step's metrics, before its update; `p_at_1` is that of the last evaluation."""

    def on_evaluate(self, run: RunView, step: int, scores: dict[str, float]) -> None:
        """Called after an evaluation on held-out prompts; `step` is 0 for the base."""

    def on_end(self, run: RunView, result: dict[str, Any]) -> None:
        """Called when the run has ended and its result has been written."""

    def on_message(self, line: str) -> None:
        """Called with a line for the user."""

    def state(self) -> dict[str, Any]:
        """Return the state that this callback needs to resume, as JSON values, for a checkpoint."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the value that `state` returned when the checkpoint was written."""


@dataclass(frozen=True)
class StepFunction(Callback):
    """A callback that calls a function of (step, metrics).

    Attributes:
        function: Called at each step, before its update.
    """

    function: Callable[[int, dict[str, float]], None]

    def on_step(self, run: RunView, step: int, metrics: dict[str, float]) -> None:
        """Call the function."""
        self.function(step, metrics)


def own_callbacks(config: "Config") -> list[Callback]:
    """Import and make the callbacks that a configuration names.

    Raises:
        UserError: A callback cannot be imported or made, or the configuration may not run code.
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
        callbacks: The callbacks.

    Attributes:
        run: The run that they are called with; None until it has started.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = list(callbacks)
        self.run: RunView | None = None

    def start(self, run: RunView, states: Sequence[dict[str, Any]]) -> None:
        """Restore the states of a checkpoint, if any, and call `on_start`."""
        self.run = run
        for callback, state in zip(self._callbacks, states, strict=False):
            callback.load_state(state)
        for callback in self._callbacks:
            callback.on_start(run)

    def before_step(self, step: int, log_p: float) -> dict[str, float]:
        """Call `before_step` and collect the returned metrics."""
        assert self.run is not None
        metrics: dict[str, float] = {}
        for callback in self._callbacks:
            metrics |= callback.before_step(self.run, step, log_p)
        return metrics

    def tell(self, event: str, *arguments: Any) -> None:
        """Call a method of each callback with the run; does nothing before the run has started."""
        if self.run is not None:
            for callback in self._callbacks:
                getattr(callback, event)(self.run, *arguments)

    def message(self, line: str) -> None:
        """Pass a line for the user to each callback."""
        for callback in self._callbacks:
            callback.on_message(line)

    def states(self) -> list[dict[str, Any]]:
        """Return the callbacks' states, for a checkpoint."""
        return [callback.state() for callback in self._callbacks]
