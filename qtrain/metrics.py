"""Metrics of a training step: the batch's P, its weights, coefficients and rationales."""

import math
import re

import torch
from torch import Tensor

from qtheory.estimators import Coefficients, garl
from qtheory.tsallis import loss_from_log
from qtrain.rollout.rollouts import Rollouts
from qtrain.tasks import Example

AMPLIFICATION_QS = (0.25, 0.5, 0.75, 1.0)
"""Values of q whose amplification is logged, whatever the run's own q."""

P_METRICS = re.compile(r"p|log_p|mean_log_p|p_\w+")
"""Names of the metrics that estimate P if rationales are sampled from the model's own distribution."""


def step_metrics(
    examples: list[Example],
    rollouts: Rollouts,
    coefficients_BM: Coefficients,
    q: float | None,
    *,
    on_policy: bool = True,
) -> dict[str, float]:
    """Compute the metrics of a batch. P and log P are over the examples without a group (`Example.group`).

    Args:
        examples: B examples.
        rollouts: M samples of each.
        coefficients_BM: The coefficients of each sample.
        q: q of the step, None outside the continuum.
        on_policy: Whether rationales were sampled from the model's own distribution. If not, their mean weight does
            not estimate P, and the names p, log_p, mean_log_p and p_<group> are prefixed with `sampled_`.

    Returns:
        p: mean w. log_p: its log (nats). mean_log_p: mean over prompts of log wbar (nats). p_<group>: mean w of the
        examples of a group. log_w_min, log_w_max: range of log w (nats). ess: mean effective sample size of the
        weights, in samples. reward: mean reward, if answers were sampled. max_rationale_coefficient,
        max_answer_coefficient: largest magnitudes. rationale_tokens: mean length. forced: share of rationales that the
        model did not close, so that the closer was forced. ended: share of rationales that END ended, if END ends them
        (`rollout.end_ends_rationale`). tokens: number of sampled tokens. log_amplification_<q>: log of the mean over
        prompts of wbar^-q. max_c: the paper's Fig 3, the largest c_m/M^q of the batch, c_m being GARL's coefficient at
        the step's q; at most 1.
    """
    log_w_BM = rollouts.log_w_BM
    samples = log_w_BM.shape[1]
    groups = [example.group for example in examples]
    ungrouped_B = torch.tensor([not group for group in groups])
    posterior_BM = log_w_BM.softmax(1)
    log_wbar_B = log_w_BM.logsumexp(1) - math.log(samples)
    metrics = {
        "p": float(log_w_BM[ungrouped_B].exp().mean()) if ungrouped_B.any() else math.nan,
        "log_p": float(log_w_BM[ungrouped_B].flatten().logsumexp(0)) - math.log(log_w_BM[ungrouped_B].numel()),
        "mean_log_p": float((log_w_BM[ungrouped_B].logsumexp(1) - math.log(samples)).mean()),
        "ess": float((1 / posterior_BM.square().sum(1)).mean()),
        "log_w_min": float(log_w_BM.min()),
        "log_w_max": float(log_w_BM.max()),
        "max_rationale_coefficient": float(coefficients_BM.rationale.abs().max()),
        "max_answer_coefficient": float(coefficients_BM.answer.abs().max()),
        "rationale_tokens": sum(map(len, rollouts.rationales)) / len(rollouts.rationales),
        "forced": float(rollouts.truncated_BM.float().mean()),
        "tokens": sum(map(len, rollouts.rationales)) + sum(map(len, rollouts.answers or [])),
        **{
            f"log_amplification_{value:g}": float((-value * log_wbar_B).logsumexp(0)) - math.log(len(log_wbar_B))
            for value in AMPLIFICATION_QS
        },
    }
    if rollouts.ended_BM is not None:
        metrics["ended"] = float(rollouts.ended_BM.float().mean())
    if q is not None:
        metrics["max_c"] = float(garl(log_w_BM, q, normalize=True).rationale.max())
    for group in sorted(set(groups) - {""}):
        members_B = torch.tensor([other == group for other in groups])
        metrics[f"p_{group}"] = float(log_w_BM[members_B].exp().mean())
    if rollouts.reward_BM is not None:
        metrics["reward"] = float(rollouts.reward_BM.mean())
    return (
        metrics
        if on_policy
        else {f"sampled_{key}" if P_METRICS.fullmatch(key) else key: metrics[key] for key in metrics}
    )


def family_loss(q: float | None, rollouts: Rollouts) -> float:
    """Return the batch's estimate of the estimator's loss: mean -log_q wbar.

    Outside the family it is 1 - mean reward, or 1 - mean w if no answers were sampled.
    """
    if q is not None or rollouts.reward_BM is None:
        log_wbar_B = rollouts.log_w_BM.logsumexp(1) - math.log(rollouts.log_w_BM.shape[1])
        return float(loss_from_log(log_wbar_B.clamp(max=0.0), q or 0.0).mean())
    return 1.0 - float(rollouts.reward_BM.mean())


def relative_log_weights(log_w_BM: Tensor) -> Tensor:
    """Return log-weights relative to the batch's largest weight; unchanged if every weight is 0."""
    top = log_w_BM.max()
    return log_w_BM - top if top.isfinite() else log_w_BM
