"""Measure where a configuration starts, without training: P, scores, lengths, seconds, and the advice they give."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.advice import EASY_P, Measured, advise, starting_point
from qtrain.callbacks import StageClock
from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.evaluation import Constant, Evaluation, SampledPrompts, best_constant, evaluate
from qtrain.forward.support import check_model
from qtrain.nonfinite import NonFiniteError, format_diagnosis
from qtrain.policy.base import Base, initial_policy
from qtrain.policy.device import autocast, use_float32_head
from qtrain.policy.model import token_ids
from qtrain.prepare import Prepared
from qtrain.rewards.score import Rewards, open_rewards
from qtrain.rollout import make_engine
from qtrain.rollout.engine import Engine
from qtrain.rollout.memory import ModelSize, cache_limit
from qtrain.runs.state import RandomStates
from qtrain.scoring.text import canonical
from qtrain.step import TrainerComponents, compute_gradient
from qtrain.tasks import Example, Task
from qtrain.tasks.inspection import percentiles
from qtrain.update import enable_recomputing, make_optimizer

QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
"""Quantiles of log w that are reported, by name."""

ROLLOUT_STAGES = ("rollout", "score", "answers")
"""Stages of a training step that belong to its rollout; the others are the update."""

MeasureProgress = Callable[[str, int, int], None]
"""Called with the stage and the number of prompts that are done, of how many."""


def with_counts(config: Config, prompts: int | None, samples: int | None) -> Config:
    """Set the number of evaluated prompts and of samples of each, where they are given."""
    values = {"eval.prompts": prompts, "eval.samples": samples}
    return config.with_values({key: value for key, value in values.items() if value is not None})


def measure(
    prepared: Prepared, base: Base, *, training: bool = False, progress: MeasureProgress | None = None
) -> dict[str, Any]:
    """Measure the policy at the start of training; see `qtrain.measure` for the result.

    Args:
        prepared: The configuration and its task.
        base: The model to start from.
        training: Measure on training prompts instead of held-out ones.
        progress: Called after each batch of prompts.

    Raises:
        UserError: The model cannot be loaded, a sequence does not fit, or logits or gradient are not finite.
    """
    config, task, notes = prepared
    # P is the mean of w over rationales from the model's own distribution, whatever training samples from.
    own = config.model_copy(update={"rollout": config.rollout.on_policy(config.rollout.samples)})
    if setting := config.rollout.off_policy_setting():
        notes = [*notes, f"measured on the model's own distribution, without {setting}"]
    if config.reward is not None:
        notes = [
            *notes,
            f"scores and the gradient are by reward={str(config.reward)!r}; P, and what is said about rewards, are "
            f"about 1 for exactly y*",
        ]
    if training:
        examples = task.batch(config.eval.prompts, np.random.default_rng(config.train.seed))
    else:
        examples = task.held_out(config.eval.prompts)
    batches: list[SampledPrompts] = []

    def keep(batch: SampledPrompts) -> None:
        batches.append(batch)
        if progress is not None:
            progress("rollout", sum(len(batch.examples) for batch in batches), len(examples))

    if progress is not None:
        progress("rollout", 0, len(examples))
    with open_rewards(config) as rewards:
        components = _components(config, task, base, rewards)
        with autocast(config.train.dtype, components.model.device):
            evaluation = evaluate(
                components.engine, task, own, seed=0, examples=examples, on_batch=keep, rewards=rewards
            )
        if progress is not None:
            progress("one step", len(examples), len(examples))
        constant = best_constant(task, examples, rewards)
        step = _time_step(components)
    result = {
        "prompts": len(examples),
        "samples": config.eval.samples,
        "side": "training" if training else "held-out",
        "batch": {"prompts": config.rollout.prompts, "samples": config.rollout.samples},
        "estimator": str(config.estimator),
        **_likelihoods(batches, config.rollout.prompts * config.rollout.samples, config.rollout.samples),
        **_answers(evaluation, batches, constant, examples),
        **_lengths(batches, config.rollout.answer_budget),
        "budgets": {"rationale": config.rollout.rationale_budget, "answer": config.rollout.answer_budget},
        "records": _records(task),
        "step": step,
        "notes": notes,
    }
    return {**result, "start": _start(result), "advice": advise(_measured(result, config))}


def _components(config: Config, task: Task, base: Base, rewards: Rewards | None) -> TrainerComponents:
    """Load policy, reference and engine as training does."""
    model = initial_policy(config, task, base)
    reference = None
    if config.train.kl is not None:
        reference = initial_policy(config.with_values({"lora": None}), task, base)
    if config.train.gradient_checkpointing:
        enable_recomputing(model)
    if config.train.dtype == "bfloat16":
        for each_model in filter(None, (model, reference)):
            use_float32_head(each_model)
    check_model(model)
    adam = config.optimizer.name == "adamw"
    cache_bytes = cache_limit(model.device, ModelSize.of(model), config.rollout.cache_gib, adam=adam)
    engine: Engine = make_engine(
        config.rollout, model, token_ids(task.tokenizer, config.rollout), cache_bytes=cache_bytes
    )
    random_states = RandomStates.seeded(config.train.seed, model.device)
    optimizer = make_optimizer(config.optimizer, model)
    return TrainerComponents(config, task, model, engine, optimizer, random_states, reference, StageClock(), rewards)


def _time_step(components: TrainerComponents) -> dict[str, Any]:
    """Compute the gradient of one training step, without an optimizer step, so that the weights stay as they are.

    Returns:
        Seconds of the rollout (with scores and answers) and of the update, sampled tokens, gradient norm, root mean
        square of the gradient's entries, and the device.

    Raises:
        UserError: The gradient is not finite.
    """
    model, clock = components.model, components.clock
    # A GPU compiles its kernels in the first step, so that the second is timed. Step 1 would add a self-check.
    seconds, metrics = 0.0, dict[str, float]()
    for _ in range(2 if model.device.type == "cuda" else 1):
        clock.seconds.clear()
        started = time.perf_counter()
        try:
            metrics = compute_gradient(components, components.config.estimator, step=2)
        except NonFiniteError as error:
            raise UserError(format_diagnosis(error.details, 1)) from None
        seconds = time.perf_counter() - started
    rollout = sum(clock.seconds[stage] for stage in ROLLOUT_STAGES)
    norm, entries = metrics["gradient_norm"], _trained_entries(model)
    for parameter in model.parameters():
        parameter.grad = None
    return {
        "rollout_seconds": rollout,
        "update_seconds": seconds - rollout,
        "tokens": int(metrics["tokens"]),
        "gradient_norm": norm,
        "gradient_rms": norm / math.sqrt(entries),
        "device": str(model.device),
    }


def _trained_entries(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _likelihoods(batches: Sequence[SampledPrompts], batch: int, samples: int) -> dict[str, Any]:
    """Summarise log w, and P of each prompt.

    Args:
        batches: The measured prompts.
        batch: B M, the samples of a training step.
        samples: M.
    """
    log_w_BM = torch.cat([sampled.rollouts.log_w_BM for sampled in batches])
    log_p_B = log_w_BM.logsumexp(1) - math.log(log_w_BM.shape[1])
    p_B = log_p_B.exp()
    quantiles = np.quantile(log_w_BM.numpy(), list(QUANTILES.values()))
    spread = float(log_w_BM.std(1).mean()) if log_w_BM.shape[1] > 1 else 0.0
    return {
        "p": {
            "mean": float(p_B.mean()),
            "median": float(p_B.quantile(0.5)),
            "easy": _share(p_B > EASY_P),
            "unseen": _share(p_B < 1 / batch),
            "mean_log": float(log_p_B.mean()),
            "groups_with_both_rewards": float(_both_rewards(p_B, samples).mean()),
        },
        "log_w": dict(zip(QUANTILES, quantiles.tolist(), strict=True)),
        "log_w_spread": spread,
        "ess": float((1 / log_w_BM.softmax(1).square().sum(1)).mean()),
    }


def _both_rewards(p_B: Tensor, samples: int) -> Tensor:
    """Probability that M samples of a prompt hold a reward of 1 and one of 0, as GRPO needs: 1 - (1-P)^M - P^M."""
    return (-torch.expm1(samples * torch.log1p(-p_B)) - p_B**samples).clamp(min=0.0)


def _share(is_true_B: Tensor) -> float:
    return float(is_true_B.double().mean())


def _answers(
    evaluation: Evaluation, batches: Sequence[SampledPrompts], constant: Constant, examples: Sequence[Example]
) -> dict[str, Any]:
    """Gather the evaluation's scores, and what constant and frequent answers there are."""
    texts = [text for sampled in batches for group in sampled.texts for text in group]
    frequent = Counter(canonical(text["answer"]) for text in texts).most_common(1)[0]
    return {
        "scores": evaluation.scores,
        "p_at_1": sum(text["success"] for text in texts) / len(texts),
        "exact_match": sum(canonical(text["answer"]) == canonical(text["gold"]) for text in texts) / len(texts),
        "constant": {"answer": constant.answer, "p_at_1": constant.score},
        "frequent": {"answer": frequent[0], "share": frequent[1] / len(texts)},
        "distinct": {
            "sampled": len({canonical(text["answer"]) for text in texts}),
            "gold": len({canonical(example.answer) for example in examples}),
        },
        "forced": sum(text["forced"] for text in texts) / len(texts),
    }


def _lengths(batches: Sequence[SampledPrompts], answer_budget: int) -> dict[str, Any]:
    """Summarise lengths in the model's tokens."""
    rollouts = [sampled.rollouts for sampled in batches]
    rows = {
        "prompts": [tokens for batch in rollouts for tokens in batch.prompts],
        "gold_answers": [tokens for batch in rollouts for tokens in batch.gold],
        "rationales": [tokens for batch in rollouts for tokens in batch.rationales],
        "sampled_answers": [tokens for batch in rollouts for tokens in batch.answers or []],
    }
    return {
        "tokens": {name: percentiles([*map(len, lists)]) for name, lists in rows.items()},
        "long_answers": sum(len(gold) > answer_budget for gold in rows["gold_answers"]) / len(rows["gold_answers"]),
    }


def _records(task: Task) -> dict[str, int]:
    """Sum the counts of the task's records over its sources; {} for a task that generates its examples."""
    tables = list(task.dataset_report().get("sources", {}).values())
    if not tables:
        return {}
    counts = {name: sum(table[name] for table in tables) for name in ("records", "kept", "cut", "unreachable")}
    return counts | {name: sum(sum(table[name].values()) for table in tables) for name in ("dropped", "malformed")}


def _start(result: dict[str, Any]) -> str:
    batch = result["batch"]["prompts"] * result["batch"]["samples"]
    return starting_point(result["p"]["mean"], result["p"]["easy"], batch).value


def _measured(result: dict[str, Any], config: Config) -> Measured:
    """Pick the numbers that advice depends on."""
    p, records = result["p"], result["records"]
    return Measured(
        prompts=config.rollout.prompts,
        samples=config.rollout.samples,
        estimator=str(config.estimator),
        needs_reward=config.estimator.needs_reward,
        own_reward=config.reward is not None,
        p=p["mean"],
        median_p=p["median"],
        easy=p["easy"],
        unseen=p["unseen"],
        log_w_spread=result["log_w_spread"],
        p_at_1=result["p_at_1"],
        exact_match=result["exact_match"],
        constant=result["constant"]["answer"],
        constant_score=result["constant"]["p_at_1"],
        forced=result["forced"],
        longest_rationale=result["tokens"]["rationales"]["max"],
        rationale_budget=config.rollout.rationale_budget,
        answer_budget=config.rollout.answer_budget,
        long_answers=result["long_answers"],
        cut=records.get("cut", 0),
        dropped=records.get("dropped", 0),
        records=records.get("records", 0),
        gradient_norm=result["step"]["gradient_norm"],
        gradient_rms=result["step"]["gradient_rms"],
        eps=config.optimizer.eps if config.optimizer.name == "adamw" else None,
    )
