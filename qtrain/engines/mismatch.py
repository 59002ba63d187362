"""How far an engine's log-probabilities are from the trainer's: both should run the same weights."""

import warnings
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.log_weights import ANSWER, RATIONALE, token_log_probs, whole_rows
from qtrain.model import TokenIds
from qtrain.rollouts import Rollouts

THRESHOLD = {"float32": 1e-4, "bfloat16": 0.05}
"""Mean nats a token, by the rougher of the two types that engine and trainer compute in: well past its rounding, far
below what stale weights show."""


class EngineMismatch(UserWarning):
    """The engine does not sample from the model that is trained."""


class Mismatch(NamedTuple):
    """Differences in nats: mean and largest of log p of a rationale's token, largest of log w."""

    mean: float
    largest: float
    log_w: float


def self_check(
    model: PreTrainedModel, ids: TokenIds, rollouts: Rollouts, config: RolloutConfig, step: int
) -> dict[str, float]:
    """Compare the whole first batch, then one prompt's rows a step; warn where the difference is more than rounding.

    Args:
        model: The policy as it was when the batch was sampled.
        ids: Special tokens.
        rollouts: The batch.
        config: Its engine, and what that computes in. The trainer's autocast is that of the caller.
        step: The first is 1. What is compared depends on nothing else, so that a resumed run logs the same.

    Returns:
        For the step's log: mismatch_mean, mismatch_largest and mismatch_log_w, see `Mismatch`.
    """
    samples = rollouts.log_w_BM.shape[1]
    found = mismatch(model, ids, rollouts, rows=rollouts.log_w_BM.numel() if step == 1 else samples)
    rough = torch.is_autocast_enabled(model.device.type) or (
        config.engine == "vllm" and config.vllm.dtype == "bfloat16"
    )
    limit = THRESHOLD["bfloat16" if rough else "float32"]
    if found.mean > limit:
        # One text for all steps: Python shows it once a process.
        warnings.warn(
            f"the engine's log p of a token is on average more than {limit:g} nats from the trainer's: it does not "
            f"sample from the model that is trained (see mismatch_mean in the run's metrics)",
            EngineMismatch,
            stacklevel=2,
        )
    return {f"mismatch_{name}": value for name, value in found._asdict().items()}


@torch.no_grad()
def mismatch(model: PreTrainedModel, ids: TokenIds, rollouts: Rollouts, rows: int) -> Mismatch:
    """Score the first rows of a batch again with the trainer's forward pass.

    Args:
        model: The policy as it was when the batch was sampled.
        ids: Special tokens.
        rollouts: The batch; y* is what is scored behind the rationales.
        rows: How many of its B * M rows.

    Returns:
        The differences; infinite where one of the two is not finite.
    """
    if rollouts.rationale_log_p is None:
        raise ValueError("rollouts.rationale_log_p is None: there is nothing to compare")
    samples = rollouts.log_w_BM.shape[1]
    laid_out = whole_rows(
        ids,
        [rollouts.prompts[row // samples] for row in range(rows)],
        rollouts.rationales[:rows],
        rollouts.forced_BM.flatten()[:rows].tolist(),
        [rollouts.gold[row // samples] for row in range(rows)],
        model.device,
    )
    start = min(map(len, rollouts.prompts))
    log_p_NT = token_log_probs(model, laid_out, start).double().cpu()
    part_NT = laid_out.part_NT[:, start:].cpu()
    # Boolean indexing goes row by row, as the engine's rows lie one behind the other.
    engine_K = torch.tensor([one for row in rollouts.rationale_log_p[:rows] for one in row], dtype=torch.float64)
    token_K = (log_p_NT[part_NT == RATIONALE] - engine_K).abs()
    log_w = ((log_p_NT * (part_NT == ANSWER)).sum(1) - rollouts.log_w_BM.flatten()[:rows]).abs().max()
    return Mismatch(*(float(one.nan_to_num(torch.inf, torch.inf)) for one in (token_K.mean(), token_K.max(), log_w)))
