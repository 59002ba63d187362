"""Log-probabilities at the output matrix, chunk by chunk: nothing grows with vocabulary times length.

Where the coefficients are known, the gradient is computed along with them: one buffer holds a chunk's logits, for three
products of matrices in all and never a fourth.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qtrain.errors import UserError

CHUNK_BYTES, CHUNK_TOKENS = 2**26, 128
"""Of a chunk's logits, unless its fewest tokens have more: with less, products of matrices become slow."""


def chunk_tokens(vocabulary: int) -> int:
    """Most tokens whose logits are in memory at once."""
    return max(CHUNK_TOKENS, CHUNK_BYTES // (4 * vocabulary))


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
    chunks = _Chunks(head, states_KD)
    return torch.cat([chunks.exponentials(which, target_K[which])[2] for which in chunks.all] or [chunks.nothing])


@torch.no_grad()
def weighted_log_probs(
    head: nn.Linear, states_KD: Tensor, target_K: Tensor, coefficient_K: Tensor
) -> tuple[Tensor, Tensor]:
    """Log p of each target, and the gradient of sum_k coefficient_k log p_k.

    With E = exp(logits - largest) and p = E / sum, the gradient for a token's logits is
    -coefficient / sum (E - sum 1_target). That factor is put on states and products, which are D wide: nothing but E is
    as wide as the vocabulary.

    Args:
        head: The output matrix; the gradient for it is added to `.grad`, where it wants one.
        states_KD: In front of it.
        target_K: Token ids.
        coefficient_K: Constants.

    Returns:
        log p in nats, (K,), and the gradient for the states, (K, D), of their type.
    """
    chunks = _Chunks(head, states_KD)
    weight, bias, found, gradients = chunks.weight_VD, head.bias, [], []
    for which in chunks.all:
        target_C = target_K[which]
        e_CV, sum_C1, log_p_C = chunks.exponentials(which, target_C)
        e_CV.scatter_add_(1, target_C[:, None], -sum_C1)
        scale_C1 = -coefficient_K[which].to(weight.dtype)[:, None] / sum_C1
        gradients.append((e_CV @ weight).mul_(scale_C1).to(states_KD.dtype))
        if head.weight.requires_grad:
            grad_VD, scaled_CD = _gradient(head.weight), states_KD[which] * scale_C1
            if grad_VD.dtype == weight.dtype:
                grad_VD.addmm_(e_CV.T, scaled_CD)
            else:
                grad_VD.add_(e_CV.T @ scaled_CD)
        if bias is not None and bias.requires_grad:
            _gradient(bias).add_((e_CV.T @ scale_C1)[:, 0])
        found.append(log_p_C)
    return torch.cat(found or [chunks.nothing]), torch.cat(gradients or [torch.zeros_like(states_KD)])


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


class _Chunks:
    """States chunk by chunk in front of the output matrix; one buffer holds the logits of all.

    Attributes:
        weight_VD: The matrix, float32 or finer.
        all: The places of each chunk.
        nothing: What no states give.
    """

    def __init__(self, head: nn.Linear, states_KD: Tensor) -> None:
        self.states_KD, self.bias = states_KD, head.bias
        self.weight_VD = head.weight.to(torch.promote_types(head.weight.dtype, torch.float32))
        size, count = chunk_tokens(head.out_features), len(states_KD)
        self.all = [slice(first, min(first + size, count)) for first in range(0, count, size)]
        self.nothing = self.weight_VD.new_zeros(0)
        self._buffer = self.weight_VD.new_empty(min(size, count), head.out_features)

    def exponentials(self, which: slice, target_C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """exp(logits - largest), (C, V), in the buffer; their sums, (C, 1); log p of the targets, (C,)."""
        e_CV = self._buffer[: which.stop - which.start]
        torch.mm(self.states_KD[which].to(e_CV.dtype), self.weight_VD.T, out=e_CV)
        if self.bias is not None:
            e_CV.add_(self.bias)
        largest_C1 = e_CV.amax(1, keepdim=True)
        aimed_C1 = e_CV.gather(1, target_C[:, None]) - largest_C1
        sum_C1 = e_CV.sub_(largest_C1).exp_().sum(1, keepdim=True)
        return e_CV, sum_C1, (aimed_C1 - sum_C1.log())[:, 0]
