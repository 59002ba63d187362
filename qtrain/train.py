"""The loop: task -> rollouts -> log-weights -> estimator coefficients -> loss -> update, logged at every step."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients
from qtheory.tsallis import loss_from_log
from qtrain.baseline_gain import baseline_gain
from qtrain.config import Config
from qtrain.evaluate import Evaluation, evaluate
from qtrain.model import encode_examples, token_ids
from qtrain.pretrain import Base, write_weights
from qtrain.rollouts import Diverged, Rollouts, roll_out
from qtrain.run_folder import ESCAPED, EVALS, METRICS, SAMPLES, RunFolder
from qtrain.score_norm import score_norm_sq
from qtrain.tasks import Example, Task
from qtrain.update import backward, clip_gradient, gradient_norm, make_optimizer

Watch = Callable[[int, dict[str, float], PreTrainedModel], None]
"""Called after each step's metrics are known and before its update, with (step, metrics, model)."""


def train(config: Config, task: Task, base: Base, folder: Path, *, watch: Watch | None = None) -> dict[str, Any]:
    """Train one model and write its run folder.

    Args:
        config: Everything that decides the run.
        task: Built from `config`.
        base: The model to start from.
        folder: The run folder, made anew.
        watch: Told about each step.

    Returns:
        The run's result, one row of a comparison: estimator, q, seed, p0, steps, escape_step, the last evaluation's
        scores (None where it diverged), diverged_step, seconds.

    Raises:
        UserError: The folder cannot be used.
    """
    run = RunFolder(folder, config)
    try:
        return _train(config, task, base, run, watch)
    finally:
        run.close()


def _train(config: Config, task: Task, base: Base, run: RunFolder, watch: Watch | None) -> dict[str, Any]:
    start = time.perf_counter()
    model = base.load(config, task)
    optimizer = make_optimizer(config.optimizer, model)
    batch_rng, coefficient_rng, measure_rng = np.random.default_rng(config.train.seed).spawn(3)
    generator = torch.Generator(model.device).manual_seed(config.train.seed)
    first = last = _evaluate(model, task, config, run, step=0)
    escape_step = diverged_step = None
    step = 0
    log_p, measured_at = math.log(first.scores["p"]), math.inf
    try:
        for step in range(1, config.train.steps + 1):
            step_start = time.perf_counter()
            metrics: dict[str, float] = {}
            if config.train.score_norm_nats is not None and abs(log_p - measured_at) >= config.train.score_norm_nats:
                metrics["score_norm_sq"] = score_norm_sq(model, task, config, measure_rng)
                measured_at = log_p
            gain_every = config.train.baseline_gain_every
            if gain_every is not None and (step - 1) % gain_every == 0:
                metrics |= baseline_gain(model, task, config, measure_rng)
            metrics |= _gradient(config, task, model, batch_rng, coefficient_rng, generator)
            if watch:
                watch(step, metrics, model)
            log_p = metrics["log_p"]
            clip_gradient(model, metrics["gradient_norm"], config.optimizer.clip)
            optimizer.step()
            run.log(METRICS, step=step, **metrics, seconds=time.perf_counter() - step_start)
            if escape_step is None and metrics["p"] > ESCAPED:
                escape_step = step
            if config.train.stop_at_p is not None and metrics["p"] > config.train.stop_at_p:
                break
            if step % config.eval.every == 0 and step < config.train.steps:
                last = _evaluate(model, task, config, run, step=step)
        last = _evaluate(model, task, config, run, step=step)
    except Diverged:
        # A result like any other: a scan over learning rates meets it. Its scores are unknown, not zero.
        diverged_step = step
    write_weights(run.folder / "model.safetensors", model)
    result = {
        "estimator": str(config.estimator),
        "q": config.estimator.q,
        "seed": config.train.seed,
        "p0": first.scores["p"],
        "steps": step,
        "escape_step": escape_step,
        **(last.scores if diverged_step is None else dict.fromkeys(last.scores)),
        "diverged_step": diverged_step,
        "seconds": time.perf_counter() - start,
    }
    run.finish(result)
    return result


def _gradient(
    config: Config,
    task: Task,
    model: PreTrainedModel,
    batch_rng: np.random.Generator,
    coefficient_rng: np.random.Generator,
    generator: torch.Generator,
) -> dict[str, float]:
    """Task to gradient: one batch, its estimate left in `.grad`. Returns the step's metrics."""
    choice, ids = config.estimator, token_ids(task.tokenizer)
    examples = task.batch(config.rollout.prompts, batch_rng)
    rollouts = roll_out(
        model,
        ids,
        *encode_examples(task.tokenizer, examples),
        config.rollout,
        generator,
        sample_answers=choice.needs_reward,
        score_norms=choice.needs_score_norm,
    )
    coefficients_BM = choice.coefficients(
        _relative(rollouts.log_w_BM) if config.train.relative_weights else rollouts.log_w_BM,
        rollouts.reward_BM,
        coefficient_rng,
        score_norm_sq_BM=rollouts.score_norm_sq_BM,
    )
    done = backward(model, ids, rollouts, coefficients_BM, on_sampled_answers=choice.needs_reward)
    norm = gradient_norm(model)
    if not math.isfinite(norm):
        raise Diverged(f"the gradient's norm is {norm}")
    return {
        "loss": _loss(choice.q, rollouts),
        "surrogate": done.surrogate,
        **_step_metrics(examples, rollouts, coefficients_BM),
        "gradient_norm": norm,
        "rows": done.rows,
    }


def _relative(log_w_BM: Tensor) -> Tensor:
    """Log-weights in units of the batch's largest weight, as they are where every weight is 0."""
    top = log_w_BM.max()
    return log_w_BM - top if top.isfinite() else log_w_BM


def _loss(q: float | None, rollouts: Rollouts) -> float:
    """What the estimator descends, as the batch shows it: mean -log_q wbar, or 1 - mean reward outside the family."""
    if q is not None:
        log_wbar_B = rollouts.log_w_BM.logsumexp(1) - math.log(rollouts.log_w_BM.shape[1])
        return float(loss_from_log(log_wbar_B.clamp(max=0.0), q).mean())
    assert rollouts.reward_BM is not None
    return 1.0 - float(rollouts.reward_BM.mean())


def _evaluate(model: PreTrainedModel, task: Task, config: Config, run: RunFolder, *, step: int) -> Evaluation:
    """Evaluate, always with the same sampling seed, and log scores and texts."""
    evaluation = evaluate(model, task, config, seed=0)
    run.log(EVALS, step=step, **evaluation.scores)
    for text in evaluation.texts:
        run.log(SAMPLES, step=step, **text)
    return evaluation


def _step_metrics(examples: list[Example], rollouts: Rollouts, coefficients_BM: Coefficients) -> dict[str, float]:
    """What is logged of a batch; P and log P are those of its hard prompts.

    Returns:
        p: mean w. log_p: its log (nats). mean_log_p: mean over prompts of log wbar (nats). p_easy: mean w of the easy
        half, where there is one. log_w_min, log_w_max: range of log w (nats). ess: mean effective sample size of the
        weights, in samples. reward: mean reward, where sampled. max_rationale_coefficient, max_answer_coefficient:
        largest magnitudes. rationale_tokens: mean length. forced: share of forced END_THINKs.
    """
    log_w_BM = rollouts.log_w_BM
    hard_B = torch.tensor([not example.easy for example in examples])
    posterior_BM = log_w_BM.softmax(1)
    metrics = {
        "p": float(log_w_BM[hard_B].exp().mean()) if hard_B.any() else math.nan,
        "log_p": float(log_w_BM[hard_B].flatten().logsumexp(0)) - math.log(log_w_BM[hard_B].numel()),
        "mean_log_p": float((log_w_BM[hard_B].logsumexp(1) - math.log(log_w_BM.shape[1])).mean()),
        "ess": float((1 / posterior_BM.square().sum(1)).mean()),
        "log_w_min": float(log_w_BM.min()),
        "log_w_max": float(log_w_BM.max()),
        "max_rationale_coefficient": float(coefficients_BM.rationale.abs().max()),
        "max_answer_coefficient": float(coefficients_BM.answer.abs().max()),
        "rationale_tokens": sum(map(len, rollouts.rationales)) / len(rollouts.rationales),
        "forced": float(rollouts.forced_BM.float().mean()),
    }
    if not hard_B.all():
        metrics["p_easy"] = float(log_w_BM[~hard_B].exp().mean())
    if rollouts.reward_BM is not None:
        metrics["reward"] = float(rollouts.reward_BM.mean())
    return metrics
