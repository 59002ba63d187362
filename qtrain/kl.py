"""KL(p(z|x) || base): its gradient as coefficients on the rationales, so that loss and update stay as they are."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients
from qtrain.log_weights import row_log_probs
from qtrain.model import TokenIds
from qtrain.precision import Dtype, autocast
from qtrain.rollouts import Rollouts


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


@torch.no_grad()
def log_ratio(
    model: PreTrainedModel,
    base: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    *,
    micro_batch: int | None = None,
    dtype: Dtype = "float32",
) -> Tensor:
    """The ratio log p(z|x) - log p_base(z|x) of each rationale in nats, without a forced END_THINK.

    Args:
        model: The policy.
        base: What it started from.
        ids: Special tokens.
        rollouts: The batch.
        micro_batch: Most rows in one forward pass.
        dtype: What the layers compute in.

    Returns:
        (B, M) float64, on the CPU.
    """
    prompts, samples = rollouts.log_w_BM.shape
    rows = prompts * samples
    forced_N = rollouts.forced_BM.flatten().tolist()
    found = []
    for first in range(0, rows, micro_batch or rows):
        part = range(first, min(rows, first + (micro_batch or rows)))
        one, other = (_log_p(each, ids, rollouts, part, forced_N, samples, dtype) for each in (model, base))
        found.append((one.double() - other.double()).cpu())
    return torch.cat(found).reshape(prompts, samples)


def _log_p(
    model: PreTrainedModel, ids: TokenIds, rollouts: Rollouts, part: range, forced_N: list, samples: int, dtype: Dtype
) -> Tensor:
    with autocast(dtype, model.device):
        return row_log_probs(
            model,
            ids,
            [rollouts.prompts[row // samples] for row in part],
            [rollouts.rationales[row] for row in part],
            [forced_N[row] for row in part],
            [[] for _ in part],
        ).rationale_N
