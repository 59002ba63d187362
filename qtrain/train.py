"""The loop: task -> rollouts -> log-weights -> estimator coefficients -> loss -> update, logged at every step."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from qtrain.checkpoint import latest_checkpoint, write_checkpoint
from qtrain.config import Config
from qtrain.disk import sync, writing
from qtrain.engines import make_engine
from qtrain.engines.base import Diverged
from qtrain.evaluate import evaluate
from qtrain.forward.attention import kernel
from qtrain.forward.support import check_model
from qtrain.guards import NotFinite, in_words
from qtrain.model import token_ids
from qtrain.policy import start_policy
from qtrain.precision import autocast, use_float32_head
from qtrain.pretrain import Base
from qtrain.run_folder import ESCAPED, EVALS, METRICS, SAMPLES, SKIPPED, RunFolder
from qtrain.sinks import Sinks
from qtrain.state import RunState, Sources
from qtrain.step import Parts, estimate, measure
from qtrain.tasks import Task
from qtrain.update import clip_gradient, enable_recomputing, make_optimizer
from qtrain.weights import write_weights

Watch = Callable[[int, dict[str, float], PreTrainedModel], None]
"""Called after each step's metrics are known and before its update, with (step, metrics, model); p_at_1 among the
metrics is that of the last evaluation."""


def train(
    config: Config, task: Task, base: Base, folder: Path, *, watch: Watch | None = None, resume: bool = False
) -> dict[str, Any]:
    """Train one model and write its run folder.

    Args:
        config: Everything that decides the run.
        task: Built from `config`.
        base: The model to start from.
        folder: The run folder, made anew.
        watch: Told about each step.
        resume: Go on from the folder's last checkpoint, if there is one. On a CPU with the transformers engine, logs
            (timings apart) and weights come out as if nothing had happened.

    Returns:
        The run's result, one row of a comparison: estimator, q (at the start), seed, p0, steps, escape_step, the last
        evaluation's scores (None where it diverged), best_step (of the best evaluation, by maj@k), skipped_steps (for
        want of a finite gradient), diverged_step and diagnosis (None where it did not), seconds.

    Raises:
        UserError: The folder cannot be used or written, or what it holds does not fit.
    """
    run = RunFolder(folder, config, resume=resume)
    try:
        return _Training(config, task, base, run).go(watch) if run.result is None else run.result
    finally:
        run.close()


class _Training:
    """One run from its start or its last checkpoint to its end."""

    def __init__(self, config: Config, task: Task, base: Base, run: RunFolder) -> None:
        self.began = time.perf_counter()
        self.config, self.run = config, run
        checkpoint = latest_checkpoint(run.folder, keep=config.train.keep)
        model = start_policy(config, task, base)
        optimizer = make_optimizer(config.optimizer, model)
        sources = Sources.seeded(config.train.seed, model.device)
        reference = None
        if config.train.kl is not None:
            reference = start_policy(config.with_values({"lora": None}), task, base)
        # Before the engine, which may copy the weights.
        state = checkpoint.restore(model, optimizer, sources) if checkpoint else None
        if config.train.gradient_checkpointing:
            enable_recomputing(model)
        if config.train.dtype == "bfloat16":
            for one in filter(None, (model, reference)):
                use_float32_head(one)
        check_model(model)
        engine = make_engine(config.rollout, model, token_ids(task.tokenizer))
        self.parts = Parts(config, task, model, engine, optimizer, sources, reference)
        run.open_logs(checkpoint.logs if checkpoint else None, attention=kernel(model.device))
        run.write_data(task.data_log())
        self.sinks = Sinks(config, run.folder, state.step if state else 0)
        self.state = state or self._at_the_base()

    def go(self, watch: Watch | None) -> dict[str, Any]:
        """Train to the end, and write weights and result."""
        state, model = self.state, self.parts.model
        diagnosis = None
        try:
            with self.run.keeping_warnings(lambda: state.step):
                for step in range(state.step + 1, self.config.train.steps + 1):
                    if self._step(step, watch):
                        break
                self._evaluate()
        except Diverged as error:
            # A result like any other: a scan over learning rates meets it. Its scores are unknown, not zero.
            diagnosis = str(error)
        finally:
            self.sinks.close()
        path = self.run.folder / "model.safetensors"
        with writing(path):
            write_weights(path, model)
            sync(path)
        # Where steps failed in a row up to the end, the first of them is where it diverged.
        last = state.step - max(0, state.failing - 1) if diagnosis else state.step
        result = {
            "estimator": str(self.config.estimator),
            "q": self.config.estimator.q,
            "seed": self.config.train.seed,
            "p0": state.first["p"],
            "steps": last,
            "escape_step": state.escape_step,
            **(dict.fromkeys(state.last) if diagnosis else state.last),
            "best_step": state.best_step,
            "skipped_steps": state.skipped,
            "diverged_step": last if diagnosis else None,
            "diagnosis": diagnosis,
            "seconds": self._seconds(),
        }
        self.run.finish(result)
        return result

    def _step(self, step: int, watch: Watch | None) -> bool:
        """One step, and what is due after it. Returns whether training stops here."""
        config, state, parts = self.config, self.state, self.parts
        start = time.perf_counter()
        state.step = step
        choice = config.estimator
        if config.q.kind != "constant":
            q, steps, samples = float(choice.q or 0), config.train.steps, config.rollout.samples
            choice = choice.with_q(config.q.value(q, step, steps, log_p=state.log_p, samples=samples))
        lr = config.optimizer.schedule.value(config.optimizer.lr, step, config.train.steps)
        try:
            metrics = {**measure(parts, state, step), **estimate(parts, choice, step), "lr": lr}
        except NotFinite as error:
            self._skip(error)
            metrics = None
        if metrics is not None:
            if choice.q is not None:
                metrics["q"] = choice.q
            if watch:
                watch(step, metrics | {"p_at_1": state.last["p_at_1"]}, parts.model)
            state.failing, state.log_p = 0, metrics["log_p"]
            for group in parts.optimizer.param_groups:
                group["lr"] = lr
            clip_gradient(parts.model, metrics["gradient_norm"], config.optimizer.clip)
            parts.optimizer.step()
            parts.engine.take_weights(parts.model)
            seconds = time.perf_counter() - start
            timings = {"tokens_per_second": metrics["tokens"] / seconds, "seconds": seconds}
            self.run.log(METRICS, step=step, **metrics, **timings)
            self.sinks.log(step, metrics | timings, "train")
            if state.escape_step is None and metrics["p"] > ESCAPED:
                state.escape_step = step
            if config.train.stop_at_p is not None and metrics["p"] > config.train.stop_at_p:
                return True
        if step < config.train.steps:
            due = step % config.eval.every == 0 and self._evaluate()
            every = config.train.checkpoint_every
            if every is not None and (due or step % every == 0):
                self._checkpoint()
        return False

    def _skip(self, error: NotFinite) -> None:
        """Count a step that must not move the weights.

        Raises:
            Diverged: It is one too many in a row.
        """
        state = self.state
        state.skipped, state.failing = state.skipped + 1, state.failing + 1
        self.run.log(SKIPPED, step=state.step, **error.found)
        if state.failing >= self.config.train.skip_limit:
            raise Diverged(in_words(error.found, state.failing))

    def _at_the_base(self) -> RunState:
        """The state before the first step, with the base's scores."""
        scores = self._scores(0)
        log_p = math.log(scores["p"]) if scores["p"] > 0 else scores["mean_log_p"]
        return RunState(first=scores, last=scores, log_p=log_p)

    def _evaluate(self) -> bool:
        """Evaluate after a step. Returns whether it is the best so far."""
        state = self.state
        state.last = self._scores(state.step)
        score = (state.last[f"maj_at_{self.config.eval.samples}"], state.last["mean_log_p"])
        if score <= state.best_score:
            return False
        state.best_step, state.best_score = state.step, score
        return True

    def _scores(self, step: int) -> dict[str, float]:
        """Evaluate, always with the same sampling seed, and log scores and texts."""
        with autocast(self.config.train.dtype, self.parts.model.device):
            evaluation = evaluate(self.parts.engine, self.parts.task, self.config, seed=0)
        self.run.log(EVALS, step=step, **evaluation.scores)
        self.sinks.log(step, evaluation.scores, "eval")
        for text in evaluation.texts:
            self.run.log(SAMPLES, step=step, **text)
        return evaluation.scores

    def _checkpoint(self) -> None:
        parts, state = self.parts, self.state
        saved = state.model_copy(update={"seconds": self._seconds()})
        logs = self.run.lengths()
        write_checkpoint(
            self.run.folder, parts.model, parts.optimizer, parts.sources, saved, logs, keep=self.config.train.keep
        )

    def _seconds(self) -> float:
        """Spent on the run, all processes together."""
        return self.state.seconds + time.perf_counter() - self.began
