"""The loop: task -> rollouts -> log-weights -> estimator coefficients -> loss -> update, logged at every step."""

import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtrain.callbacks import Callback, Callbacks, RunView, StageClock, own_callbacks
from qtrain.config import Config
from qtrain.evaluation import evaluate
from qtrain.files import sync, writing
from qtrain.forward.attention import kernel
from qtrain.forward.support import check_model
from qtrain.nonfinite import NonFiniteError, format_diagnosis
from qtrain.policy.base import Base, initial_policy
from qtrain.policy.device import autocast, use_float32_head
from qtrain.policy.model import token_ids, write_model_files
from qtrain.policy.weights import save_model_weights
from qtrain.rollout import make_engine
from qtrain.rollout.engine import Diverged
from qtrain.rollout.memory import ModelSize, cache_limit
from qtrain.runs.checkpoint import latest_checkpoint, write_checkpoint
from qtrain.runs.folder import ESCAPED, EVALS, METRICS, MODEL_FILES, SAMPLES, SKIPPED, RunFolder, read_origin
from qtrain.runs.interrupts import Interrupted, Interrupts, held_interrupts
from qtrain.runs.provenance import check_unchanged, fingerprints
from qtrain.runs.sinks import Sinks
from qtrain.runs.state import RandomStates, RunState
from qtrain.step import TrainerComponents, compute_gradient
from qtrain.tasks import Task
from qtrain.update import clip_gradient, enable_recomputing, make_optimizer


class SamplingWarning(UserWarning):
    """A run samples from another distribution than the one that its loss is about."""


def train(
    config: Config,
    task: Task,
    base: Base,
    folder: Path,
    *,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    allow_changes: bool = False,
) -> dict[str, Any]:
    """Train one model and write its run folder.

    A first Ctrl-C or SIGTERM waits for the end of the step and writes a checkpoint, a second one stops at once.

    Args:
        config: Everything that decides the run, from `qtrain.prepare`.
        task: Built from `config`.
        base: The model to start from.
        folder: The run folder, made anew.
        callbacks: Told about each step and evaluation, besides those that `config.callbacks` names.
        resume: Go on from the folder's last checkpoint, if there is one, also if the run was finished and
            `train.steps` has been raised. On a CPU with the transformers engine, logs (timings apart) and weights come
            out as if nothing had happened.
        allow_changes: Go on though records, tokenizer or base weights are not those that the run was made from.

    Returns:
        The run's result, one row of a comparison: estimator, q (at the start), seed, p0, steps, escape_step, the last
        evaluation's scores (None where it diverged), best_step (of the best evaluation, by maj@k), skipped_steps (for
        want of a finite gradient), diverged_step and diagnosis (None where it did not), fingerprints, seconds.

    Raises:
        UserError: The folder cannot be used or written, or what it holds does not fit.
        Interrupted: There was an interrupt; its text says what is left of the run.
    """
    if not (config.rollout.rationale_budget and config.rollout.answer_budget):
        raise ValueError("config.rollout has no token budgets: qtrain.prepare.prepare chooses them")
    every = Callbacks([*callbacks, *own_callbacks(config)])
    run = RunFolder(folder, config, resume=resume)
    try:
        if run.result is not None:
            return run.result
        try:
            training = _Training(config, task, base, run, every, allow_changes=allow_changes)
        except KeyboardInterrupt:
            raise Interrupted(f"stopped before a step was made: {folder} has nothing to go on from") from None
        return training.go()
    finally:
        run.close()


class _Training:
    """One run from its start or its last checkpoint to its end."""

    def __init__(
        self,
        config: Config,
        task: Task,
        base: Base,
        run: RunFolder,
        callbacks: Callbacks,
        *,
        allow_changes: bool,
    ) -> None:
        self.began = time.perf_counter()
        self.config, self.run, self.callbacks = config, run, callbacks
        checkpoint = latest_checkpoint(run.folder, keep=config.train.keep)
        data = task.dataset_report()
        self.fingerprints = fingerprints(data, task.tokenizer, base.fingerprint())
        if checkpoint is not None and not allow_changes:
            check_unchanged(run.folder, checkpoint.fingerprints, self.fingerprints, read_origin(run.folder)[0], data)
        model = initial_policy(config, task, base)
        optimizer = make_optimizer(config.optimizer, model)
        sources = RandomStates.seeded(config.train.seed, model.device)
        reference = None
        if config.train.kl is not None:
            reference = initial_policy(config.with_values({"lora": None}), task, base)
        # Before the engine, which may copy the weights.
        state = checkpoint.restore(model, optimizer, sources) if checkpoint else None
        if config.train.gradient_checkpointing:
            enable_recomputing(model)
        if config.train.dtype == "bfloat16":
            for one in filter(None, (model, reference)):
                use_float32_head(one)
        check_model(model)
        # A resumed run takes the same: another division of a batch rounds differently.
        cache_bytes = run.noted("cache_bytes") if checkpoint and config.rollout.cache_gib is None else None
        if not isinstance(cache_bytes, int):
            adam = config.optimizer.name == "adamw"
            cache_bytes = cache_limit(model.device, ModelSize.of(model), config.rollout.cache_gib, adam=adam)
        engine = make_engine(config.rollout, model, token_ids(task.tokenizer), cache_bytes=cache_bytes)
        self.clock = StageClock()
        self.parts = TrainerComponents(config, task, model, engine, optimizer, sources, reference, self.clock)
        lengths = checkpoint.logs if checkpoint else None
        run.open_logs(lengths, attention=kernel(model.device), cache_bytes=cache_bytes)
        if run.attempt is not None:
            callbacks.message(f"begins again: an earlier attempt left no checkpoint; its logs are now in {run.attempt}")
        run.write_origin(data, self.fingerprints)
        write_model_files(run.folder / MODEL_FILES, model, task.tokenizer)
        self.sinks = Sinks(config, run.folder, state.step if state else 0)
        self.written = checkpoint.state.step if checkpoint else None
        """The step of the last checkpoint."""
        self.whole = True
        """Whether weights, generators and logs are those of the end of a step."""
        self.interrupts = Interrupts(callbacks.message)
        self.state = state or self._at_the_base()
        view = RunView(config, task, model, run.folder, self.clock, sources.callbacks)
        callbacks.start(view, self.state.callbacks)
        if state is None:
            callbacks.tell("on_evaluate", 0, self.state.first)

    def go(self) -> dict[str, Any]:
        """Train to the end, and write weights and result."""
        state = self.state
        diagnosis = None
        try:
            with (
                self.run.keeping_warnings(lambda: state.step),
                held_interrupts(self.callbacks.message) as self.interrupts,
            ):
                diagnosis = self._train()
        except KeyboardInterrupt:
            raise Interrupted(self._interrupted()) from None
        finally:
            self.sinks.close()
        path = self.run.folder / "model.safetensors"
        with writing(path):
            save_model_weights(path, self.parts.model)
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
            "fingerprints": self.fingerprints,
            "seconds": self._seconds(),
        }
        self.run.finish(result)
        self.callbacks.tell("on_end", result)
        return result

    def _train(self) -> str | None:
        """The steps that are left and the evaluation at their end. Returns a diagnosis where training diverged."""
        config, state = self.config, self.state
        setting = config.rollout.off_policy_setting()
        if setting:
            # One text for all runs: Python shows it once a process.
            warnings.warn(
                f"{setting}: {config.estimator} samples from another distribution than the one in its loss; p@k and "
                "maj@k are those of what is sampled, P and log P are the model's own, measured at evaluations",
                SamplingWarning,
                stacklevel=2,
            )
        try:
            if 0 < state.step < config.train.steps and state.evaluated not in (None, state.step):
                self._after(state.step)  # the interrupt came before it
            for step in range(state.step + 1, config.train.steps + 1):
                self.interrupts.check()
                if self._step(step):
                    break
                if step < config.train.steps:
                    self._after(step)
            if config.train.final_checkpoint and self.written != state.step:
                self._checkpoint()
            self._evaluate()
        except Diverged as error:
            # A result like any other: a scan over learning rates meets it. Its scores are unknown, not zero.
            return str(error)
        return None

    def _step(self, step: int) -> bool:
        """One step. Returns whether training stops here."""
        config, state, parts = self.config, self.state, self.parts
        start = time.perf_counter()
        self.whole = False
        state.step = step
        choice = config.estimator
        if config.q.kind != "constant":
            q, steps, samples = float(choice.q or 0), config.train.steps, config.rollout.samples
            choice = choice.with_q(config.q.value(q, step, steps, log_p=state.log_p, samples=samples))
        lr = config.optimizer.schedule.value(config.optimizer.lr, step, config.train.steps)
        try:
            measured = self.callbacks.before_step(step, state.log_p)
            metrics = {**measured, **compute_gradient(parts, choice, step), "lr": lr}
        except NonFiniteError as error:
            self._skip(error)
            self.whole = True
            return False
        if choice.q is not None:
            metrics["q"] = choice.q
        self.callbacks.tell("on_step", step, metrics | {"p_at_1": state.last["p_at_1"]})
        state.failing, state.log_p = 0, metrics.get("log_p", state.log_p)
        for group in parts.optimizer.param_groups:
            group["lr"] = lr
        with self.clock("optimizer"):
            clip_gradient(parts.model, metrics["gradient_norm"], config.optimizer.clip)
            parts.optimizer.step()
        with self.clock("rollout"):
            parts.engine.sync_weights(parts.model)
        seconds = time.perf_counter() - start
        timings = {"tokens_per_second": metrics["tokens"] / seconds, "seconds": seconds}
        with self.clock("logs"):
            self.run.log(METRICS, step=step, **metrics, **timings)
            self.sinks.log(step, metrics | timings, "train")
        if "p" in metrics:
            self._note_escape(metrics["p"])
        self.whole = True
        return config.train.stop_at_p is not None and metrics["p"] > config.train.stop_at_p

    def _after(self, step: int) -> None:
        """The evaluation and the checkpoint that are due after a step that is not the last."""
        best = step % self.config.eval.every == 0 and self._evaluate()
        every = self.config.train.checkpoint_every
        if every is not None and (best or step % every == 0) and self.written != step:
            self._checkpoint()

    def _interrupted(self) -> str:
        """Keep what can be kept, and say it."""
        step, folder = self.state.step, self.run.folder
        if self.whole and step:
            if self.written != step:
                self._checkpoint()
            return f"a checkpoint of step {step} is in {folder}; the same command with --resume goes on from it"
        left = latest_checkpoint(folder, keep=self.config.train.keep)
        if left is not None:
            return f"stopped in step {step}; the last checkpoint in {folder} is that of step {left.state.step}"
        return f"stopped in step {step} without a checkpoint: {folder} has the logs alone, and a new start begins again"

    def _note_escape(self, p: float) -> None:
        if self.state.escape_step is None and p > ESCAPED:
            self.state.escape_step = self.state.step

    def _skip(self, error: NonFiniteError) -> None:
        """Count a step that must not move the weights.

        Raises:
            Diverged: It is one too many in a row.
        """
        state = self.state
        state.skipped, state.failing = state.skipped + 1, state.failing + 1
        self.run.log(SKIPPED, step=state.step, **error.found)
        if state.failing >= self.config.train.skip_limit:
            raise Diverged(format_diagnosis(error.found, state.failing))

    def _at_the_base(self) -> RunState:
        """The state before the first step, with the base's scores; its checkpoint, where checkpoints are written."""
        scores = self._scores(0)
        log_p = math.log(scores["p"]) if scores["p"] > 0 else scores["mean_log_p"]
        state = RunState(first=scores, last=scores, log_p=log_p, evaluated=0)
        state.best_step, state.best_score = 0, self._rank(scores)
        if self.config.train.checkpoint_every is not None:
            self.state = state
            self._checkpoint()
        return state

    def _evaluate(self) -> bool:
        """Evaluate after a step. Returns whether it is the best so far."""
        state = self.state
        state.last = self._scores(state.step)
        state.evaluated = state.step
        if self.config.rollout.off_policy_setting():
            self._note_escape(state.last["p"])
        score = self._rank(state.last)
        if score <= state.best_score:
            return False
        state.best_step, state.best_score = state.step, score
        return True

    def _rank(self, scores: dict[str, float]) -> tuple[float, float]:
        return scores[f"maj_at_{self.config.eval.samples}"], scores["mean_log_p"]

    def _scores(self, step: int) -> dict[str, float]:
        """Evaluate, always with the same sampling seed, and log scores and texts. An interrupt loses nothing here."""
        dtype, device = self.config.train.dtype, self.parts.model.device
        with self.interrupts.at_once(), self.clock("evaluation"), autocast(dtype, device):
            evaluation = evaluate(self.parts.engine, self.parts.task, self.config, seed=0)
        self.run.log(EVALS, step=step, **evaluation.scores)
        self.sinks.log(step, evaluation.scores, "eval")
        for text in evaluation.texts:
            self.run.log(SAMPLES, step=step, **text)
        self.callbacks.tell("on_evaluate", step, evaluation.scores)
        return evaluation.scores

    def _checkpoint(self) -> None:
        parts, state = self.parts, self.state
        saved = state.model_copy(update={"seconds": self._seconds(), "callbacks": self.callbacks.states()})
        write_checkpoint(
            self.run.folder,
            parts.model,
            parts.optimizer,
            parts.sources,
            saved,
            self.run.lengths(),
            keep=self.config.train.keep,
            fingerprints=self.fingerprints,
        )
        self.written = state.step

    def _seconds(self) -> float:
        """Spent on the run, all processes together."""
        return self.state.seconds + time.perf_counter() - self.began
