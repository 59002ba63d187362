"""One step's gradient: batch -> rollouts -> log-weights -> coefficients -> loss, with what is logged of it."""

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
from qtrain.metrics import family_loss, relative, step_metrics
from qtrain.nonfinite import NonFiniteError, blame_prompt, find_bad_prompt
from qtrain.policy.device import Dtype, autocast
from qtrain.policy.model import TokenIds, encode_examples, token_ids
from qtrain.rollout.engine import Diverged, Engine
from qtrain.rollout.mismatch import self_check
from qtrain.rollout.rollouts import Rollouts, batch_rows, roll_out
from qtrain.runs.state import RandomStates
from qtrain.tasks import Task
from qtrain.update import backward, forward, gradient_norm


@dataclass(frozen=True)
class TrainerComponents:
    """What a run works with at every step. `reference` is the base where train.kl asks for it."""

    config: Config
    task: Task
    model: PreTrainedModel
    engine: Engine
    optimizer: torch.optim.Optimizer
    sources: RandomStates
    reference: PreTrainedModel | None
    clock: StageClock


def in_one_pass(
    config: Config, choice: EstimatorChoice, prompts: Sequence[list[int]], gold: Sequence[list[int]]
) -> bool:
    """Whether the update's own forward pass is to find log w, so that the engine need not score.

    It is where y* is what the update puts behind the rationales, where that runs every one of them (resampling leaves
    most of them out), and where the longest possible batch fits into one pass.
    """
    rollout, limit = config.rollout, config.train.micro_batch_tokens
    if choice.needs_reward or choice.spec.stochastic:
        return False
    rows = (rollout.samples * (rollout.rationale_budget + 1 + len(answer)) for answer in gold)
    return limit is None or sum(map(len, prompts)) + sum(rows) <= limit


def compute_gradient(parts: TrainerComponents, choice: EstimatorChoice, step: int) -> dict[str, float]:
    """Task to gradient: one batch, its compute_gradient left in `.grad`.

    Args:
        parts: What the run works with.
        choice: The estimator, at this step's q.
        step: Which.

    Returns:
        The step's metrics.

    Raises:
        NonFiniteError: Logits, loss or gradient are not finite.
    """
    config, model, sources, clock = parts.config, parts.model, parts.sources, parts.clock
    ids, settings = token_ids(parts.task.tokenizer), config.train
    examples = parts.task.batch(config.rollout.prompts, sources.batch)
    prompts, gold = encode_examples(parts.task.tokenizer, examples)
    one_pass = in_one_pass(config, choice, prompts, gold)
    try:
        with autocast(settings.dtype, model.device):
            sampled = roll_out(
                parts.engine,
                prompts,
                gold,
                config.rollout,
                sources.tokens,
                sample_answers=choice.needs_reward,
                score_norms=choice.needs_score_norm,
                # The first batch's, for the self-check.
                score=not one_pass or step == 1,
                clock=clock,
            )
    except Diverged as error:
        raise NonFiniteError(str(error), **blame_prompt(model, prompts, examples)) from None
    rollouts, ahead = sampled, None
    if one_pass:
        with clock("forward"):
            ahead = forward(model, ids, sampled, dtype=settings.dtype, recompute=settings.gradient_checkpointing)
        rollouts = replace(sampled, log_w_BM=ahead.log_w_BM)
    bad_B = rollouts.log_w_BM.isnan().any(1)
    if bad_B.any():
        raise NonFiniteError("log w is not a number", prompt=examples[int(bad_B.nonzero()[0, 0])].prompt)
    with clock("coefficients"):
        coefficients_BM = choice.coefficients(
            relative(rollouts.log_w_BM) if settings.relative_weights else rollouts.log_w_BM,
            rollouts.reward_BM,
            sources.coefficients,
            score_norm_sq_BM=rollouts.score_norm_sq_BM,
        )
    with clock("metrics"):
        on_policy = config.rollout.off_policy_setting() is None
        metrics = step_metrics(examples, rollouts, coefficients_BM, choice.q, on_policy=on_policy)
    limit = settings.micro_batch_tokens
    if parts.reference is not None and settings.kl is not None:
        log_ratio_BM = log_ratio(model, parts.reference, ids, rollouts, micro_batch_tokens=limit, dtype=settings.dtype)
        coefficients_BM = with_kl(coefficients_BM, log_ratio_BM, settings.kl)
        metrics["kl"] = float(log_ratio_BM.mean())
    with clock("backward"):
        done = backward(
            model,
            ids,
            rollouts,
            coefficients_BM,
            on_sampled_answers=choice.needs_reward,
            micro_batch_tokens=limit,
            dtype=settings.dtype,
            recompute=settings.gradient_checkpointing,
            forward_result=ahead,
        )
    norm = gradient_norm(model)
    for name, value in {"loss": done.surrogate, "gradient's norm": norm}.items():
        if not math.isfinite(value):
            found = find_bad_prompt(model, ids, rollouts, coefficients_BM, examples)
            raise NonFiniteError(f"the {name} is {value}", **found)
    seen = None
    if one_pass or step > 1:
        seen = done.log_probs.of_rationales() if choice.needs_reward else done.log_probs
    with clock("self-check"):
        mismatch = self_check(
            model, ids, sampled, config.rollout, step, trainer=seen, max_tokens=limit, dtype=settings.dtype
        )
    return {
        "loss": family_loss(choice.q, rollouts),
        "surrogate": done.surrogate,
        **metrics,
        "gradient_norm": norm,
        "rows": done.rows,
        **mismatch,
    }


def with_kl(coefficients_BM: Coefficients, log_ratio_BM: Tensor, weight: float) -> Coefficients:
    """Add the descent on weight * KL to the rationales' coefficients.

    grad KL = E_z[d(z) grad log p(z|x)] with d = log p - log p_base, since E[grad log p] = 0. From each d the mean of
    the pool's others is taken off, which leaves the expectation as it is (with M = 1 nothing is).

    Args:
        coefficients_BM: Of the estimator.
        log_ratio_BM: d of each sampled rationale, in nats.
        weight: Of the KL against the estimator's objective.
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
) -> Tensor:
    """The ratio log p(z|x) - log p_base(z|x) of each rationale in nats, without a forced END_THINK.

    Args:
        model: The policy.
        base: What it started from.
        ids: Special tokens.
        rollouts: The batch.
        micro_batch_tokens: Most tokens in one forward pass.
        dtype: What the layers compute in.

    Returns:
        (B, M) float64, on the CPU.
    """
    rows = batch_rows(ids, rollouts, [[]] * len(rollouts.rationales))
    one_N, other_N = (
        token_log_probs(each, rollouts.prompts, rows, max_tokens=micro_batch_tokens, dtype=dtype)
        .by_row(len(rows))
        .rationale_N
        for each in (model, base)
    )
    return (one_N - other_N).reshape(rollouts.truncated_BM.shape)
