"""The update: coefficients to a gradient, the gradient to new weights."""

from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients
from qtrain.config import OptimizerConfig
from qtrain.log_weights import row_log_probs
from qtrain.loss import surrogate_loss
from qtrain.model import TokenIds
from qtrain.precision import Dtype, autocast
from qtrain.rollouts import Rollouts


class Backward(NamedTuple):
    """What a backward pass was about: the surrogate loss (nats) and the rows that were run."""

    surrogate: float
    rows: int


def make_optimizer(config: OptimizerConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Plain SGD (no momentum) or AdamW (no weight decay): nothing but the gradient moves a weight."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.name == "sgd":
        return torch.optim.SGD(trained, lr=config.lr)
    return torch.optim.AdamW(trained, lr=config.lr, eps=config.eps, weight_decay=0.0)


def backward(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    coefficients_BM: Coefficients,
    *,
    on_sampled_answers: bool,
    micro_batch: int | None = None,
    dtype: Dtype = "float32",
    recompute: bool = False,
) -> Backward:
    """Put the estimate of the gradient of J into `.grad` of every parameter.

    Rows whose two coefficients are zero take no part: with PAFT that trains each distinct rationale once, and a GRPO
    group with equal rewards gives an exact zero. With no row left the gradient is zero everywhere, which still counts
    as a step (Adam's momentum moves on, as in other trainers).

    Args:
        model: The policy.
        ids: Special tokens.
        rollouts: The batch.
        coefficients_BM: One pair a sample.
        on_sampled_answers: Whether the answer coefficients belong to the sampled answers or to y*.
        micro_batch: Most rows in one forward and backward pass; None runs all at once. The result is the same: every
            part is divided by the rows of the whole batch.
        dtype: What the layers compute in, see `qtrain.precision`.
        recompute: Compute activations again in the backward pass; see `enable_recomputing`.

    Returns:
        The surrogate loss and how many rows were run.
    """
    _, samples = rollouts.log_w_BM.shape
    rationale_N, answer_N = coefficients_BM.rationale.flatten(), coefficients_BM.answer.flatten()
    kept = ((rationale_N != 0) | (answer_N != 0)).nonzero()[:, 0].tolist()
    for parameter in filter(lambda one: one.requires_grad, model.parameters()):
        parameter.grad = torch.zeros_like(parameter)
    if not kept:
        return Backward(0.0, 0)
    if on_sampled_answers:
        if rollouts.answers is None:
            raise ValueError("rollouts.answers is None: roll out with sample_answers=True")
        answers = [rollouts.answers[row] for row in kept]
    else:
        answers = [rollouts.gold[row // samples] for row in kept]
    forced_N = rollouts.forced_BM.flatten().tolist()
    size, surrogate = micro_batch or len(kept), 0.0
    for first in range(0, len(kept), size):
        part = kept[first : first + size]
        # Gradient checkpointing works in training mode alone; the model has no dropout that this would turn on.
        model.train(recompute)
        with autocast(dtype, model.device):
            log_probs = row_log_probs(
                model,
                ids,
                [rollouts.prompts[row // samples] for row in part],
                [rollouts.rationales[row] for row in part],
                [forced_N[row] for row in part],
                answers[first : first + size],
            )
        model.eval()
        kind, device = log_probs.rationale_N.dtype, log_probs.rationale_N.device
        loss = surrogate_loss(
            log_probs,
            rationale_N[part].to(device, kind),
            answer_N[part].to(device, kind),
            rows=rationale_N.numel(),
        )
        loss.backward()
        surrogate += float(loss.detach())
    return Backward(surrogate, len(kept))


def enable_recomputing(model: PreTrainedModel) -> None:
    """Let `backward` compute each layer's activations again instead of keeping them."""
    # Transformers renames it within version 5; the old name warns where there is the new one.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def gradient_norm(model: nn.Module) -> float:
    """Euclidean norm of all gradients."""
    return float(nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))


def clip_gradient(model: nn.Module, norm: float, limit: float | None) -> None:
    """Scale all gradients by limit / norm where norm exceeds the limit."""
    if limit is not None and norm > limit:
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(limit / norm)
