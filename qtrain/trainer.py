"""The training loop: steps, evaluations, checkpoints and logs, from the base model to the run's result."""

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
from qtrain.forward.support import check_model, forward_pass
from qtrain.nonfinite import NonFiniteError, format_diagnosis
from qtrain.policy.base import Base, initial_policy
from qtrain.policy.device import autocast, use_float32_head
from qtrain.policy.model import token_ids, write_model_files
from qtrain.policy.weights import save_model_weights
from qtrain.rewards.score import Rewards, open_rewards
from qtrain.rollout import make_engine
from qtrain.rollout.caches import shares_prompts
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
    """A run does not sample from the distribution that its loss assumes."""


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
    """Train a model and write its run folder.

    Each step samples rollouts for a batch of the task, scores them, turns their log-weights into the estimator's
    coefficients, and updates the weights. A first Ctrl-C or SIGTERM stops the run after the current step and writes a
    checkpoint; a second one stops it immediately.

    Args:
        config: The complete configuration, as `qtrain.prepare` returns it.
        task: Built from `config`.
        base: The model to start from.
        folder: The run folder; created, or continued with `resume`.
        callbacks: Called at each step and evaluation, in addition to those that `config.callbacks` names.
        resume: Continue from the folder's last checkpoint, if there is one. This also extends a finished run whose
            `train.steps` has been raised. On a CPU with the transformers engine, logs (except timings) and weights are
            the same as those of an uninterrupted run.
        allow_changes: Resume even if records, tokenizer or base weights differ from those that the run started with.

    Returns:
        The run's result, which is a row of a comparison: estimator, q (at the start), seed, p0, steps, escape_step, the
        scores of the last evaluation (None if training diverged), best_step (of the best evaluation, by maj@k),
        skipped_steps (steps without a finite gradient), diverged_step and diagnosis (None if training did not diverge),
        fingerprints, seconds.

    Raises:
        UserError: The folder cannot be used or written, or its contents do not match the configuration.
        Interrupted: The run was interrupted; the message says what was saved.
    """
    if not (config.rollout.rationale_budget and config.rollout.answer_budget):
        raise ValueError("config.rollout has no token budgets: qtrain.prepare.prepare chooses them")
    all_callbacks = Callbacks([*callbacks, *own_callbacks(config)])
    run = RunFolder(folder, config, resume=resume)
    try:
        if run.result is not None:
            return run.result
        with open_rewards(config) as rewards:
            try:
                training = _Training(config, task, base, run, all_callbacks, rewards, allow_changes=allow_changes)
            except KeyboardInterrupt:
                raise Interrupted(f"stopped before the first step: {folder} has no checkpoint to resume from") from None
            return training.run_to_end()
    finally:
        run.close()


class _Training:
    """A run, from its start or its last checkpoint to its end."""

    def __init__(
        self,
        config: Config,
        task: Task,
        base: Base,
        run: RunFolder,
        callbacks: Callbacks,
        rewards: Rewards | None,
        *,
        allow_changes: bool,
    ) -> None:
        self.started = time.perf_counter()
        self.config, self.run, self.callbacks = config, run, callbacks
        checkpoint = latest_checkpoint(run.folder, keep=config.train.keep)
        data = task.dataset_report()
        self.fingerprints = fingerprints(data, task.tokenizer, base.fingerprint())
        if checkpoint is not None and not allow_changes:
            check_unchanged(run.folder, checkpoint.fingerprints, self.fingerprints, read_origin(run.folder)[0], data)
        model = initial_policy(config, task, base)
        optimizer = make_optimizer(config.optimizer, model)
        random_states = RandomStates.seeded(config.train.seed, model.device)
        reference = None
        if config.train.kl is not None:
            reference = initial_policy(config.with_values({"lora": None}), task, base)
        # Restored before the engine is made, which may copy the weights.
        state = checkpoint.restore(model, optimizer, random_states) if checkpoint else None
        if config.train.gradient_checkpointing:
            enable_recomputing(model)
        if config.train.dtype == "bfloat16":
            for each_model in filter(None, (model, reference)):
                use_float32_head(each_model)
        for line in check_model(model):
            callbacks.message(line)
        if config.rollout.engine == "transformers" and not shares_prompts(model):
            callbacks.message(f"{type(model).__name__}: rollouts run with the model's own KV cache, which is slower")
        # A resumed run keeps its cache size: splitting a batch in another way would round differently.
        cache_bytes = run.noted("cache_bytes") if checkpoint and config.rollout.cache_gib is None else None
        if not isinstance(cache_bytes, int):
            adam = config.optimizer.name == "adamw"
            cache_bytes = cache_limit(model.device, ModelSize.of(model), config.rollout.cache_gib, adam=adam)
        engine = make_engine(config.rollout, model, token_ids(task.tokenizer, config.rollout), cache_bytes=cache_bytes)
        self.clock = StageClock()
        self.components = TrainerComponents(
            config, task, model, engine, optimizer, random_states, reference, self.clock, rewards
        )
        lengths = checkpoint.logs if checkpoint else None
        run.open_logs(
            lengths, attention=kernel(model.device) if forward_pass(model).is_packed else "own", cache_bytes=cache_bytes
        )
        if run.attempt is not None:
            callbacks.message(f"starts over: an earlier attempt left no checkpoint; its logs are now in {run.attempt}")
        run.write_origin(data, self.fingerprints)
        write_model_files(run.folder / MODEL_FILES, model, task.tokenizer)
        self.sinks = Sinks(config, run.folder, state.step if state else 0)
        self.checkpoint_step = checkpoint.state.step if checkpoint else None
        """Step of the last checkpoint."""
        self.between_steps = True
        """Whether weights, generators and logs are consistent, since no step is in progress."""
        self.interrupts = Interrupts(callbacks.message)
        self.state = state or self._initial_state()
        view = RunView(config, task, model, run.folder, self.clock, random_states.callbacks)
        callbacks.start(view, self.state.callbacks)
        if state is None:
            callbacks.tell("on_evaluate", 0, self.state.first)

    def run_to_end(self) -> dict[str, Any]:
        """Train to the end, and write weights and result."""
        state = self.state
        diagnosis = None
        try:
            with (
                self.run.keeping_warnings(lambda: state.step),
                held_interrupts(self.callbacks.message) as self.interrupts,
            ):
                diagnosis = self._run_steps()
        except KeyboardInterrupt:
            raise Interrupted(self._save_after_interrupt()) from None
        finally:
            self.sinks.close()
        path = self.run.folder / "model.safetensors"
        with writing(path):
            save_model_weights(path, self.components.model)
            sync(path)
        # If the last steps failed in a row, the run diverged at the first of them.
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

    def _run_steps(self) -> str | None:
        """Run the remaining steps and the final evaluation. Returns a diagnosis if training diverged."""
        config, state = self.config, self.state
        setting = config.rollout.off_policy_setting()
        if setting:
            # The text is the same in all runs, so that Python shows it once per process.
            warnings.warn(
                f"{setting}: {config.estimator} samples from another distribution than the one in its loss; p@k and "
                "maj@k are those of what is sampled, P and log P are the model's own, measured at evaluations",
                SamplingWarning,
                stacklevel=2,
            )
        try:
            if 0 < state.step < config.train.steps and state.evaluated not in (None, state.step):
                self._after_step(state.step)  # the run was interrupted before this
            for step in range(state.step + 1, config.train.steps + 1):
                self.interrupts.check()
                if self._step(step):
                    break
                if step < config.train.steps:
                    self._after_step(step)
            if config.train.final_checkpoint and self.checkpoint_step != state.step:
                self._checkpoint()
            self._evaluate()
        except Diverged as error:
            # Divergence is a result, which a scan over learning rates must record. Its scores are unknown, not zero.
            return str(error)
        return None

    def _step(self, step: int) -> bool:
        """Run one step. Returns whether training stops after it."""
        config, state, components = self.config, self.state, self.components
        start = time.perf_counter()
        self.between_steps = False
        state.step = step
        estimator = config.estimator
        if config.q.kind != "constant":
            q, steps, samples = float(estimator.q or 0), config.train.steps, config.rollout.samples
            estimator = estimator.with_q(config.q.value(q, step, steps, log_p=state.log_p, samples=samples))
        lr = config.optimizer.schedule.value(config.optimizer.lr, step, config.train.steps)
        try:
            callback_metrics = self.callbacks.before_step(step, state.log_p)
            metrics = {**callback_metrics, **compute_gradient(components, estimator, step), "lr": lr}
        except NonFiniteError as error:
            self._skip(error)
            self.between_steps = True
            return False
        if estimator.q is not None:
            metrics["q"] = estimator.q
        self.callbacks.tell("on_step", step, metrics | {"p_at_1": state.last["p_at_1"]})
        state.failing, state.log_p = 0, metrics.get("log_p", state.log_p)
        for group in components.optimizer.param_groups:
            group["lr"] = lr
        with self.clock("optimizer"):
            clip_gradient(components.model, metrics["gradient_norm"], config.optimizer.clip)
            components.optimizer.step()
        with self.clock("rollout"):
            components.engine.sync_weights(components.model)
        seconds = time.perf_counter() - start
        timings = {"tokens_per_second": metrics["tokens"] / seconds, "seconds": seconds}
        with self.clock("logs"):
            self.run.log(METRICS, step=step, **metrics, **timings)
            self.sinks.log(step, metrics | timings, "train")
        if "p" in metrics:
            self._note_escape(metrics["p"])
        self.between_steps = True
        return config.train.stop_at_p is not None and metrics["p"] > config.train.stop_at_p

    def _after_step(self, step: int) -> None:
        """Evaluate and write a checkpoint if they are due; not called after the last step."""
        best = step % self.config.eval.every == 0 and self._evaluate()
        interval = self.config.train.checkpoint_every
        if interval is not None and (best or step % interval == 0) and self.checkpoint_step != step:
            self._checkpoint()

    def _save_after_interrupt(self) -> str:
        """Write a checkpoint if the state is consistent; return a line about what was saved."""
        step, folder = self.state.step, self.run.folder
        if self.between_steps and step:
            if self.checkpoint_step != step:
                self._checkpoint()
            return f"a checkpoint of step {step} is in {folder}; the same command with --resume continues from it"
        checkpoint = latest_checkpoint(folder, keep=self.config.train.keep)
        if checkpoint is not None:
            return f"stopped in step {step}; the last checkpoint in {folder} is that of step {checkpoint.state.step}"
        return f"stopped in step {step} without a checkpoint: {folder} has only logs, and the next run starts over"

    def _note_escape(self, p: float) -> None:
        if self.state.escape_step is None and p > ESCAPED:
            self.state.escape_step = self.state.step

    def _skip(self, error: NonFiniteError) -> None:
        """Count a step that leaves the weights unchanged, since its gradient is not finite.

        Raises:
            Diverged: `train.skip_limit` steps in a row have been skipped.
        """
        state = self.state
        state.skipped, state.failing = state.skipped + 1, state.failing + 1
        self.run.log(SKIPPED, step=state.step, **error.details)
        if state.failing >= self.config.train.skip_limit:
            raise Diverged(format_diagnosis(error.details, state.failing))

    def _initial_state(self) -> RunState:
        """Evaluate the base and return the state before the first step; write its checkpoint if the run writes any."""
        scores = self._scores(0)
        log_p = math.log(scores["p"]) if scores["p"] > 0 else scores["mean_log_p"]
        state = RunState(first=scores, last=scores, log_p=log_p, evaluated=0)
        state.best_step, state.best_score = 0, self._rank(scores)
        if self.config.train.checkpoint_every is not None:
            self.state = state
            self._checkpoint()
        return state

    def _evaluate(self) -> bool:
        """Evaluate after a step. Returns whether its scores are the best so far."""
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
        """Evaluate, always with the same sampling seed, and log scores and texts.

        An interrupt stops it immediately, since no training state can be lost.
        """
        dtype, device = self.config.train.dtype, self.components.model.device
        with self.interrupts.at_once(), self.clock("evaluation"), autocast(dtype, device):
            components = self.components
            evaluation = evaluate(components.engine, components.task, self.config, seed=0, rewards=components.rewards)
        self.run.log(EVALS, step=step, **evaluation.scores)
        self.sinks.log(step, evaluation.scores, "eval")
        for text in evaluation.texts:
            self.run.log(SAMPLES, step=step, **text)
        self.callbacks.tell("on_evaluate", step, evaluation.scores)
        return evaluation.scores

    def _checkpoint(self) -> None:
        components, state = self.components, self.state
        saved = state.model_copy(update={"seconds": self._seconds(), "callbacks": self.callbacks.states()})
        write_checkpoint(
            self.run.folder,
            components.model,
            components.optimizer,
            components.random_states,
            saved,
            self.run.lengths(),
            keep=self.config.train.keep,
            fingerprints=self.fingerprints,
        )
        self.checkpoint_step = state.step

    def _seconds(self) -> float:
        """Return the seconds spent on the run, by all processes together."""
        return self.state.seconds + time.perf_counter() - self.started
