"""Log-probabilities at the output matrix, chunk by chunk: nothing grows with vocabulary times length.

The gradient is computed along with them, since the coefficients are known by then: a chunk's logits are there once, for
three products of matrices in all and never a fourth.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qtrain.errors import UserError

CHUNK_BYTES, CHUNK_TOKENS = 2**25, 128
"""Of a chunk's logits, which are there twice; and its fewest tokens, below which products of matrices become slow."""


def output_matrix(model: PreTrainedModel) -> nn.Linear:
    """The model's output matrix.

    Raises:
        UserError: What is in its place is more than a matrix.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise UserError(
            f"{type(model).__name__}: its output layer is a {type(head).__name__}, and a plain matrix is needed; "
            f"leave it out of what is adapted"
        )
    return head


@torch.no_grad()
def log_probs(head: nn.Linear, states_KD: Tensor, target_K: Tensor) -> Tensor:
    """Log p of each target in nats, (K,), in float32 or finer whatever the states are."""
    found = [_chunk(head, states, target)[1] for states, target in _chunks(head, states_KD, target_K)]
    return torch.cat(found) if found else states_KD.new_zeros(0)


@torch.no_grad()
def weighted_log_probs(
    head: nn.Linear, states_KD: Tensor, target_K: Tensor, coefficient_K: Tensor
) -> tuple[Tensor, Tensor]:
    """Log p of each target, and the gradient of sum_k coefficient_k log p_k.

    Args:
        head: The output matrix; the gradient for it is added to `.grad`, where it wants one.
        states_KD: In front of it.
        target_K: Token ids.
        coefficient_K: Constants.

    Returns:
        log p in nats, (K,), and the gradient for the states, (K, D), of their type.
    """
    found, gradients = [], []
    for states, target, coefficient in _chunks(head, states_KD, target_K, coefficient_K):
        log_p_CV, log_p_C = _chunk(head, states, target)
        states, coefficient_C1 = states.to(log_p_CV.dtype), coefficient.to(log_p_CV.dtype)[:, None]
        d_logits_CV = log_p_CV.exp_().mul_(-coefficient_C1)
        d_logits_CV.scatter_add_(1, target[:, None], coefficient_C1)
        gradients.append((d_logits_CV @ head.weight.to(d_logits_CV.dtype)).to(states_KD.dtype))
        if head.weight.requires_grad:
            head.weight.grad = _added(head.weight, d_logits_CV, states)
        if head.bias is not None and head.bias.requires_grad:
            total = d_logits_CV.sum(0).to(head.bias.dtype)
            head.bias.grad = total if head.bias.grad is None else head.bias.grad.add_(total)
        found.append(log_p_C)
    if not found:
        return states_KD.new_zeros(0), torch.zeros_like(states_KD)
    return torch.cat(found), torch.cat(gradients)


def _added(weight: Tensor, d_logits_CV: Tensor, states_CD: Tensor) -> Tensor:
    """The weight's gradient with a chunk's added."""
    if weight.grad is None:
        return (d_logits_CV.T @ states_CD).to(weight.dtype)
    if weight.dtype != states_CD.dtype:
        return weight.grad.add_(d_logits_CV.T @ states_CD)
    return weight.grad.addmm_(d_logits_CV.T, states_CD)


def _chunk(head: nn.Linear, states_CD: Tensor, target_C: Tensor) -> tuple[Tensor, Tensor]:
    """All log-probabilities of a chunk, and the targets'."""
    weight = head.weight.to(torch.promote_types(head.weight.dtype, torch.float32))
    bias = None if head.bias is None else head.bias.to(weight.dtype)
    log_p_CV = nn.functional.linear(states_CD.to(weight.dtype), weight, bias).log_softmax(-1)
    return log_p_CV, log_p_CV.gather(1, target_C[:, None])[:, 0]


def _chunks(head: nn.Linear, *tensors: Tensor) -> "list[tuple[Tensor, ...]]":
    size = max(CHUNK_TOKENS, CHUNK_BYTES // (4 * head.out_features))
    return list(zip(*(tensor.split(size) for tensor in tensors), strict=True)) if len(tensors[0]) else []
