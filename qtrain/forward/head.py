"""Log-probabilities at the output matrix, chunk by chunk of tokens: nothing grows with vocabulary times length.

Where the coefficients are known, the gradient is computed along with them: one buffer holds a chunk's exponentials, for
three products of matrices in all and never a fourth. On a CPU a chunk is filled tile by tile over the vocabulary, small
enough to stay in the cache from the product to its exponentials; each tile has a largest logit of its own.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qtrain.errors import UserError

CHUNK_BYTES, CHUNK_TOKENS = 2**26, 256
"""Of a chunk's exponentials, unless its fewest tokens have more: with less, products of matrices become slow."""

TILE = 1536
"""Of the vocabulary, on a CPU. Elsewhere all of it is one tile: fewer kernels."""


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
    chunks = _Chunks(head, states_KD, kept=False)
    return torch.cat([chunks.exponentials(which, target_K[which]).log_p_C for which in chunks.all] or [chunks.nothing])


@torch.no_grad()
def weighted_log_probs(
    head: nn.Linear, states_KD: Tensor, target_K: Tensor, coefficient_K: Tensor
) -> tuple[Tensor, Tensor]:
    """Log p of each target, and the gradient of sum_k coefficient_k log p_k.

    The gradient for a token's logits is coefficient (1_target - p). For the target it is coefficient times the mass of
    all others, and goes to the target's row of the matrix by itself; for the others it is the exponentials in the
    buffer times a factor of the token and the tile, which is put on states and products: these are D wide, and nothing
    but the exponentials is as wide as the vocabulary.

    Args:
        head: The output matrix; the gradient for it is added to `.grad`, where it wants one.
        states_KD: In front of it.
        target_K: Token ids.
        coefficient_K: Constants.

    Returns:
        log p in nats, (K,), and the gradient for the states, (K, D), of their type.
    """
    chunks = _Chunks(head, states_KD, kept=True)
    weight, found, gradients = chunks.weight_VD, [], []
    grad_VD = _gradient(head.weight) if head.weight.requires_grad else None
    grad_V = _gradient(head.bias) if head.bias is not None and head.bias.requires_grad else None
    for which in chunks.all:
        states_CD, target_C = states_KD[which].to(weight.dtype), target_K[which]
        chunk = chunks.exponentials(which, target_C)
        coefficient_C = coefficient_K[which].to(weight.dtype)
        others_C = (coefficient_C * chunk.others_C)[:, None]
        gradient_CD = weight.index_select(0, target_C).mul_(others_C)
        for tile, e_CU, share_C in zip(chunks.tiles, chunk.tiles, chunk.shares_NC, strict=True):
            factor_C1 = -(coefficient_C * share_C)[:, None]
            gradient_CD.addcmul_(e_CU @ weight[tile], factor_C1)
            if grad_VD is not None and grad_VD.dtype == weight.dtype:
                grad_VD[tile].addmm_(e_CU.T, states_CD * factor_C1)
            elif grad_VD is not None:
                grad_VD[tile].add_(e_CU.T @ (states_CD * factor_C1))
            if grad_V is not None:
                grad_V[tile].add_((e_CU.T @ factor_C1)[:, 0])
        if grad_VD is not None:
            grad_VD.index_add_(0, target_C, (states_CD * others_C).to(grad_VD.dtype))
        if grad_V is not None:
            grad_V.index_add_(0, target_C, others_C[:, 0].to(grad_V.dtype))
        gradients.append(gradient_CD.to(states_KD.dtype))
        found.append(chunk.log_p_C)
    return torch.cat(found or [chunks.nothing]), torch.cat(gradients or [torch.zeros_like(states_KD)])


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


class _Exponentials(NamedTuple):
    """Of a chunk of tokens, over N tiles of the vocabulary.

    Attributes:
        log_p_C: Of the targets, in nats.
        others_C: 1 - p of the targets.
        tiles: exp(logits - the tile's largest), (C, U) each, 0 for the targets.
        shares_NC: What these are to be multiplied with for probabilities; 1 at most.
    """

    log_p_C: Tensor
    others_C: Tensor
    tiles: list[Tensor]
    shares_NC: Tensor


class _Chunks:
    """States chunk by chunk in front of the output matrix; one buffer serves all of them.

    Attributes:
        weight_VD: The matrix, float32 or finer.
        all: The places of each chunk.
        tiles: Those of each tile of the vocabulary.
        nothing: What no states give.
    """

    def __init__(self, head: nn.Linear, states_KD: Tensor, *, kept: bool) -> None:
        self.states_KD, self.bias = states_KD, head.bias
        self.weight_VD = head.weight.to(torch.promote_types(head.weight.dtype, torch.float32))
        count, vocabulary = states_KD.shape[0], head.out_features
        parts = -(-count // chunk_tokens(vocabulary))
        size = -(-count // parts) if parts else 1
        self.all = _slices(count, size)
        self.tiles = _slices(vocabulary, TILE if self.weight_VD.device.type == "cpu" else vocabulary)
        self.nothing = self.weight_VD.new_zeros(0)
        self._kept = kept
        self._buffer = self.weight_VD.new_empty(size * (vocabulary if kept else self.tiles[0].stop))

    def exponentials(self, which: slice, target_C: Tensor) -> _Exponentials:
        """In the buffer, where the tiles are kept; else each is overwritten by the next.

        To the base 2: on CPUs torch's exp2 is the faster one, and by far where it underflows.
        """
        states_CD = self.states_KD[which].to(self.weight_VD.dtype) / math.log(2)
        aimed_C = (states_CD * self.weight_VD.index_select(0, target_C)).sum(1)
        if self.bias is not None:
            aimed_C.add_(self.bias[target_C] / math.log(2))
        tiles, largest, sums = [], [], []
        for tile in self.tiles:
            e_CU = self._room(tile, len(states_CD))
            torch.mm(states_CD, self.weight_VD[tile].T, out=e_CU)
            if self.bias is not None:
                e_CU.add_(self.bias[tile] / math.log(2))
            _leave_out(e_CU, target_C - tile.start)
            largest_C1 = e_CU.amax(1, keepdim=True).clamp_min_(torch.finfo(e_CU.dtype).min)
            sums.append(e_CU.sub_(largest_C1).exp2_().sum(1))
            largest.append(largest_C1[:, 0])
            tiles.append(e_CU)
        largest_NC = torch.stack(largest)
        top_C = torch.maximum(largest_NC.amax(0), aimed_C)
        shares_NC = (largest_NC - top_C).exp2_()
        others_C = (shares_NC * torch.stack(sums)).sum(0)
        aimed_C -= top_C
        total_C = others_C + aimed_C.exp2()
        return _Exponentials(aimed_C * math.log(2) - total_C.log(), others_C / total_C, tiles, shares_NC.div_(total_C))

    def _room(self, tile: slice, tokens: int) -> Tensor:
        first = tile.start * tokens if self._kept else 0
        columns = tile.stop - tile.start
        return self._buffer[first : first + tokens * columns].view(tokens, columns)


def _leave_out(logits_CU: Tensor, column_C: Tensor) -> None:
    """Put -inf in each row's column, where the tile has it."""
    columns = logits_CU.shape[1]
    place_C1 = column_C.clamp(0, columns - 1)[:, None]
    outside_C1 = ((column_C < 0) | (column_C >= columns))[:, None]
    logits_CU.scatter_(1, place_C1, logits_CU.gather(1, place_C1).where(outside_C1, -torch.inf))


def _slices(length: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]
