"""Compute the gradient of one training step: batch -> rollouts -> log-weights -> coefficients -> loss -> gradient."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtheory.estimators.coefficients import Coefficients
from qtrain.callbacks import StageClock
from qtrain.config import Config, EstimatorChoice
from qtrain.forward.log_probs import token_log_probs
from qtrain.forward.support import forward_pass
from qtrain.metrics import family_loss, relative_log_weights, step_metrics
from qtrain.nonfinite import NonFiniteError, find_bad_prompt, find_nonfinite_logits
from qtrain.policy.device import Dtype, autocast
from qtrain.policy.model import TokenIds, encode_examples, token_ids
from qtrain.rewards.score import Rewards, reward_samples
from qtrain.rollout.engine import Diverged, Engine
from qtrain.rollout.mismatch import self_check
from qtrain.rollout.rollouts import Rollouts, batch_rows, roll_out
from qtrain.runs.state import RandomStates
from qtrain.tasks import Task
from qtrain.update import backward, forward, gradient_norm


@dataclass(frozen=True)
class TrainerComponents:
    """Objects shared by all steps of a run.

    `reference` is the base if `train.kl` is set, otherwise None. `rewards` is None if the configuration names none.
    """

    config: Config
    task: Task
    model: PreTrainedModel
    engine: Engine
    optimizer: torch.optim.Optimizer
    random_states: RandomStates
    reference: PreTrainedModel | None
    clock: StageClock
    rewards: Rewards | None = None


def in_one_pass(
    config: Config,
    estimator: EstimatorChoice,
    prompts: Sequence[list[int]],
    gold: Sequence[list[int]],
    *,
    packed: bool,
    closer_tokens: int = 1,
) -> bool:
    """Return whether the update's own forward pass computes log w, so that the engine need not score y*.

    True if the update itself scores y* after every rationale (no rewards, and no resampling, which leaves most
    rationales out) and the largest possible batch fits into one micro-batch, of packed or of padded rows.
    """
    rollout, max_tokens = config.rollout, config.train.micro_batch_tokens
    if estimator.needs_reward or estimator.spec.stochastic:
        return False
    if max_tokens is None:
        return True
    lengths = [rollout.rationale_budget + closer_tokens + len(answer) for answer in gold]
    if packed:
        return sum(map(len, prompts)) + rollout.samples * sum(lengths) <= max_tokens
    longest = max(len(prompt) + length for prompt, length in zip(prompts, lengths, strict=True))
    return len(prompts) * rollout.samples * longest <= max_tokens


def compute_gradient(components: TrainerComponents, estimator: EstimatorChoice, step: int) -> dict[str, float]:
    """Sample a batch and leave the gradient estimate in `.grad`.

    Args:
        components: Objects of the run.
        estimator: The estimator, with this step's q.
        step: The step, from 1.

    Returns:
        The step's metrics.

    Raises:
        NonFiniteError: Logits, loss or gradient are not finite.
    """
    config, model, clock, rng = components.config, components.model, components.clock, components.random_states
    ids, settings = token_ids(components.task.tokenizer, config.rollout), config.train
    examples = components.task.batch(config.rollout.prompts, rng.batch)
    prompts, gold = encode_examples(components.task.tokenizer, examples)
    is_packed = forward_pass(model).is_packed
    one_pass = in_one_pass(config, estimator, prompts, gold, packed=is_packed, closer_tokens=len(ids.closer))
    try:
        with autocast(settings.dtype, model.device):
            sampled = roll_out(
                components.engine,
                prompts,
                gold,
                config.rollout,
                rng.tokens,
                sample_answers=estimator.needs_reward,
                score_norms=estimator.needs_score_norm,
                # The self-check compares the engine's log w of the first batch.
                score=not one_pass or step == 1,
                clock=clock,
            )
    except Diverged as error:
        raise NonFiniteError(str(error), **find_nonfinite_logits(model, prompts, examples)) from None
    reward_metrics: dict[str, float] = {}
    if components.rewards is not None and config.reward is not None and estimator.needs_reward:
        with clock("answers"):
            scored = components.rewards.score(reward_samples(components.task, examples, sampled), evaluation=False)
        sampled = replace(sampled, reward_BM=scored.total_BM(sampled.truncated_BM.shape))
        reward_metrics = scored.metrics()
    rollouts, forward_result = sampled, None
    if one_pass:
        with clock("forward"):
            recompute = settings.gradient_checkpointing
            forward_result = forward(
                model, ids, sampled, dtype=settings.dtype, recompute=recompute, temperature=config.rollout.temperature
            )
        rollouts = replace(sampled, log_w_BM=forward_result.log_w_BM)
    bad_B = rollouts.log_w_BM.isnan().any(1)
    if bad_B.any():
        raise NonFiniteError("log w is not a number", prompt=examples[int(bad_B.nonzero()[0, 0])].prompt)
    with clock("coefficients"):
        coefficients_BM = estimator.coefficients(
            relative_log_weights(rollouts.log_w_BM) if settings.relative_weights else rollouts.log_w_BM,
            rollouts.reward_BM,
            rng.coefficients,
            score_norm_sq_BM=rollouts.score_norm_sq_BM,
            answer_length_B=[*map(len, gold)],
        )
    with clock("metrics"):
        on_policy = config.rollout.off_policy_setting() is None
        metrics = step_metrics(examples, rollouts, coefficients_BM, estimator.q, on_policy=on_policy)
    max_tokens = settings.micro_batch_tokens
    if components.reference is not None and settings.kl is not None:
        log_ratio_BM = log_ratio(
            model,
            components.reference,
            ids,
            rollouts,
            micro_batch_tokens=max_tokens,
            dtype=settings.dtype,
            temperature=config.rollout.temperature,
        )
        coefficients_BM = with_kl(coefficients_BM, log_ratio_BM, settings.kl)
        metrics["kl"] = float(log_ratio_BM.mean())
    with clock("backward"):
        result = backward(
            model,
            ids,
            rollouts,
            coefficients_BM,
            on_sampled_answers=estimator.needs_reward,
            micro_batch_tokens=max_tokens,
            dtype=settings.dtype,
            recompute=settings.gradient_checkpointing,
            forward_result=forward_result,
            temperature=config.rollout.temperature,
        )
    norm = gradient_norm(model)
    for name, value in {"loss": result.surrogate, "gradient's norm": norm}.items():
        if not math.isfinite(value):
            details = find_bad_prompt(model, ids, rollouts, coefficients_BM, examples)
            raise NonFiniteError(f"the {name} is {value}", **details)
    log_probs = None
    if one_pass or step > 1:
        log_probs = result.log_probs.of_rationales() if estimator.needs_reward else result.log_probs
    with clock("self-check"):
        mismatch = self_check(
            model, ids, sampled, config.rollout, step, trainer=log_probs, max_tokens=max_tokens, dtype=settings.dtype
        )
    return {
        "loss": family_loss(estimator.q, rollouts),
        "surrogate": result.surrogate,
        **metrics,
        **reward_metrics,
        "gradient_norm": norm,
        "rows": result.rows,
        **mismatch,
    }


def with_kl(coefficients_BM: Coefficients, log_ratio_BM: Tensor, weight: float) -> Coefficients:
    """Add a descent step on weight * KL(p || p_base) to the rationales' coefficients.

    grad KL = E_z[d(z) grad log p(z|x)] with d = log p - log p_base, since E[grad log p] = 0. The mean d of the group's
    other samples is subtracted from each d as a baseline, which does not change the expectation; with M = 1 there is no
    baseline.

    Args:
        coefficients_BM: Coefficients of the estimator.
        log_ratio_BM: d of each sampled rationale, in nats.
        weight: Weight of the KL relative to the estimator's objective.
    """
    samples = log_ratio_BM.shape[1]
    others_BM = (log_ratio_BM.sum(1, keepdim=True) - log_ratio_BM) / max(1, samples - 1)
    return Coefficients(coefficients_BM.rationale - weight * (log_ratio_BM - others_BM), coefficients_BM.answer)


def log_ratio(
    model: PreTrainedModel,
    base: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    *,
    micro_batch_tokens: int | None = None,
    dtype: Dtype = "float32",
    temperature: float = 1.0,
) -> Tensor:
    """Return log p(z|x) - log p_base(z|x) of each rationale in nats, without a forced closer.

    Args:
        model: The policy.
        base: The model that training started from.
        ids: Special tokens.
        rollouts: The batch.
        micro_batch_tokens: Most tokens in one forward pass.
        dtype: Type that the layers compute in.
        temperature: Of both policies; divides their logits.

    Returns:
        (B, M) float64, on the CPU.
    """
    rows = batch_rows(ids, rollouts, [[]] * len(rollouts.rationales))
    policy_N, base_N = (
        token_log_probs(
            each_model, rollouts.prompts, rows, max_tokens=micro_batch_tokens, dtype=dtype, temperature=temperature
        )
        .by_row(len(rows))
        .rationale_N
        for each_model in (model, base)
    )
    return (policy_N - base_N).reshape(rollouts.truncated_BM.shape)
