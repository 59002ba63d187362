"""How far an engine's log-probabilities are from the trainer's: both should run the same weights."""

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
"""Mean nats a token, by the rougher of the two types that engine and trainer compute in: well past its rounding, far
below what stale weights show."""


class EngineMismatch(UserWarning):
    """The engine does not sample from the model that is trained."""


class Mismatch(NamedTuple):
    """Differences in nats: mean and largest of log p of a rationale's token, largest of log w where both have it."""

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
    """Compare the rows that the update's own forward pass had; warn where the difference is more than rounding.

    Args:
        model: The policy as it was when the batch was sampled.
        ids: Special tokens.
        rollouts: The batch as the engine gave it: its log w are the engine's, or no numbers.
        config: Its engine, and what that computes in.
        step: The first is 1. What is compared depends on nothing else that a resumed run would not have.
        trainer: Log-probabilities of that pass; answers among them are y*. Where it had no rows the whole first batch
            is scored here, and one prompt's rows at later steps.
        max_tokens: Most tokens in a forward pass.
        dtype: What the trainer's layers compute in.

    Returns:
        For the step's log: mismatch_mean, mismatch_largest and, where trainer and engine both scored y*,
        mismatch_log_w; see `Mismatch`.
    """
    prompts, samples = rollouts.truncated_BM.shape
    if trainer is None or not len(trainer.log_p_K):
        trainer = score(
            model, ids, rollouts, prompts * samples if step == 1 else samples, max_tokens=max_tokens, dtype=dtype
        )
    found = mismatch(rollouts, trainer)
    rough = dtype == "bfloat16" or (config.engine == "vllm" and config.vllm.dtype == "bfloat16")
    threshold = THRESHOLD["bfloat16" if rough else "float32"]
    if found.mean > threshold:
        # One text for all steps: Python shows it once a process.
        warnings.warn(
            f"the engine's log p of a token is on average more than {threshold:g} nats from the trainer's: it does not "
            f"sample from the model that is trained (see mismatch_mean in the run's metrics)",
            EngineMismatch,
            stacklevel=2,
        )
    return {f"mismatch_{name}": value for name, value in found._asdict().items() if value is not None}


def score(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    rows: int,
    *,
    max_tokens: int | None = None,
    dtype: Dtype = "float32",
) -> TokenLogProbs:
    """Score the first rows of a batch, y* behind the rationales, with the trainer's forward pass."""
    samples = rollouts.truncated_BM.shape[1]
    answers = [rollouts.gold[row // samples] for row in range(rows)]
    laid_out = batch_rows(ids, rollouts, answers, range(rows))
    return token_log_probs(model, rollouts.prompts, laid_out, max_tokens=max_tokens, dtype=dtype)


def mismatch(rollouts: Rollouts, trainer: TokenLogProbs) -> Mismatch:
    """Compare an engine's log-probabilities with a trainer's.

    Args:
        rollouts: The batch; where all its log w are no numbers the engine did not score.
        trainer: Of some of its rows, with y* behind the rationales or nothing.

    Returns:
        The differences; infinite where one of the two is not finite.
    """
    if rollouts.rationale_log_p is None:
        raise ValueError("rollouts.rationale_log_p is None: there is nothing to compare")
    of_rationale = trainer.part_K == RATIONALE
    rows = trainer.row_K.unique()
    # Rows come as they were packed; the tokens of each are in order.
    order = trainer.row_K[of_rationale].argsort(stable=True)
    engine = [one for row in rows.tolist() for one in rollouts.rationale_log_p[row]]
    token_K = (trainer.log_p_K[of_rationale][order] - torch.tensor(engine, dtype=torch.float64)).abs()
    log_w = None
    if not of_rationale.all() and not rollouts.log_w_BM.isnan().all():
        log_w_N = trainer.by_row(rollouts.log_w_BM.numel()).answer_N
        log_w = _finite((log_w_N[rows] - rollouts.log_w_BM.flatten()[rows]).abs().max())
    return Mismatch(_finite(token_K.mean()), _finite(token_K.max()), log_w)


def _finite(value: Tensor) -> float:
    return float(value.nan_to_num(torch.inf, torch.inf))
