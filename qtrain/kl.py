"""KL(p(z|x) || base): its gradient as coefficients on the rationales, so that loss and update stay as they are."""

from torch import Tensor
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients
from qtrain.log_weights import batch_rows, token_log_probs
from qtrain.model import TokenIds
from qtrain.precision import Dtype
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
        token_log_probs(each, rollouts.prompts, rows, limit=micro_batch_tokens, dtype=dtype)
        .by_row(len(rows))
        .rationale_N
        for each in (model, base)
    )
    return (one_N - other_N).reshape(rollouts.forced_BM.shape)
