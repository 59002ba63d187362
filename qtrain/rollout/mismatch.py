"""Compare an engine's log-probabilities with the trainer's, which should be equal for the same weights."""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.forward.log_probs import TokenLogProbs, token_log_probs
from qtrain.forward.rows import RATIONALE
from qtrain.policy.device import Dtype
from qtrain.policy.model import TokenIds
from qtrain.rollout.rollouts import Rollouts, batch_rows

THRESHOLD = {"float32": 1e-4, "bfloat16": 0.05}
"""Largest accepted mean difference in nats per token, by the less precise of the engine's and the trainer's types.

It is well above that type's rounding, and far below the difference that stale weights cause.
"""


class EngineMismatch(UserWarning):
    """The engine does not sample from the model that is being trained."""


class Mismatch(NamedTuple):
    """Differences between engine and trainer in nats.

    Attributes:
        mean: Mean difference in log p of a rationale's token.
        largest: Largest difference in log p of a rationale's token.
        log_w: Largest difference in log w; None unless both scored y*.
    """

    mean: float
    largest: float
    log_w: float | None


def self_check(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    config: RolloutConfig,
    step: int,
    *,
    trainer: TokenLogProbs | None = None,
    max_tokens: int | None = None,
    dtype: Dtype = "float32",
) -> dict[str, float]:
    """Compare the rows that the update's forward pass ran; warn if the difference is more than rounding.

    Args:
        model: The policy, with the weights that the batch was sampled with.
        ids: Special tokens.
        rollouts: The batch as the engine returned it: its log w are the engine's, or NaN.
        config: Gives the engine, its type and the policy's temperature.
        step: The step, from 1. The rows to compare depend on nothing else that a resumed run would not have.
        trainer: Log-probabilities of the update's forward pass, with y* as the answers, if any. If it ran no rows, this
            function scores the whole batch at the first step, and the rows of the first prompt at later steps.
        max_tokens: Most tokens in a forward pass.
        dtype: Type that the trainer's layers compute in.

    Returns:
        Metrics of the step: mismatch_mean, mismatch_largest and, if trainer and engine both scored y*, mismatch_log_w;
        see `Mismatch`.
    """
    prompts, samples = rollouts.truncated_BM.shape
    if trainer is None or not len(trainer.log_p_K):
        trainer = score(
            model,
            ids,
            rollouts,
            prompts * samples if step == 1 else samples,
            max_tokens=max_tokens,
            dtype=dtype,
            temperature=config.temperature,
        )
    differences = mismatch(rollouts, trainer)
    is_bfloat16 = dtype == "bfloat16" or (config.engine == "vllm" and config.vllm.dtype == "bfloat16")
    threshold = THRESHOLD["bfloat16" if is_bfloat16 else "float32"]
    if differences.mean > threshold:
        # The text is the same at all steps, so that Python shows it once per process.
        warnings.warn(
            f"the engine's log p of a token is on average more than {threshold:g} nats from the trainer's: it does not "
            f"sample from the model that is trained (see mismatch_mean in the run's metrics)",
            EngineMismatch,
            stacklevel=2,
        )
    return {f"mismatch_{name}": value for name, value in differences._asdict().items() if value is not None}


def score(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    rows: int,
    *,
    max_tokens: int | None = None,
    dtype: Dtype = "float32",
    temperature: float = 1.0,
) -> TokenLogProbs:
    """Score the first `rows` rows of a batch, with y* after the rationales, by the trainer's forward pass."""
    samples = rollouts.truncated_BM.shape[1]
    answers = [rollouts.gold[row // samples] for row in range(rows)]
    packed_rows = batch_rows(ids, rollouts, answers, range(rows))
    return token_log_probs(
        model, rollouts.prompts, packed_rows, max_tokens=max_tokens, dtype=dtype, temperature=temperature
    )


def mismatch(rollouts: Rollouts, trainer: TokenLogProbs) -> Mismatch:
    """Compare an engine's log-probabilities with a trainer's.

    Args:
        rollouts: The batch. If all its log w are NaN, the engine did not score y*.
        trainer: Log-probabilities of some of its rows, with y* or nothing after the rationales.

    Returns:
        The differences; infinite if a log-probability is not finite.
    """
    if rollouts.rationale_log_p is None:
        raise ValueError("rollouts.rationale_log_p is None: there is nothing to compare")
    is_rationale = trainer.part_K == RATIONALE
    rows = trainer.row_K.unique()
    # The trainer's rows are in the order in which they were packed; the tokens of each row are in order.
    order = trainer.row_K[is_rationale].argsort(stable=True)
    engine = [log_p for row in rows.tolist() for log_p in rollouts.rationale_log_p[row]]
    token_K = (trainer.log_p_K[is_rationale][order] - torch.tensor(engine, dtype=torch.float64)).abs()
    log_w = None
    if not is_rationale.all() and not rollouts.log_w_BM.isnan().all():
        log_w_N = trainer.by_row(rollouts.log_w_BM.numel()).answer_N
        log_w = _finite((log_w_N[rows] - rollouts.log_w_BM.flatten()[rows]).abs().max())
    return Mismatch(_finite(token_K.mean()), _finite(token_K.max()), log_w)


def _finite(value: Tensor) -> float:
    return float(value.nan_to_num(torch.inf, torch.inf))
