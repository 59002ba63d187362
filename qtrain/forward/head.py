"""Log-probabilities at the output matrix, by chunks of tokens: no tensor grows with vocabulary times length.

If the coefficients are known, the gradient is computed in the same pass: a buffer holds the chunk's exponentials, so
that three matrix products suffice and the logits are never computed again. On a CPU a chunk is computed in tiles of
the vocabulary, small enough to stay in the cache from the matrix product to the exponentials; each tile is shifted by
its own largest logit.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qtrain.errors import UserError

CHUNK_BYTES, CHUNK_TOKENS = 2**26, 256
"""Size of a chunk's exponentials in bytes, and the fewest tokens in a chunk, which take precedence.

With smaller chunks, matrix products become slow.
"""

TILE = 1536
"""Vocabulary entries in a tile on a CPU. Other devices use a single tile, for fewer kernel launches."""


def chunk_tokens(vocabulary: int) -> int:
    """Return the largest number of tokens whose logits are in memory at once."""
    return max(CHUNK_TOKENS, CHUNK_BYTES // (4 * vocabulary))


def output_matrix(model: PreTrainedModel) -> nn.Linear:
    """Return the model's output matrix.

    Raises:
        UserError: The output layer is more than a matrix.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise UserError(
            f"{type(model).__name__}: its output layer is a {type(head).__name__}, and a plain matrix is needed; "
            f"leave it out of what is adapted"
        )
    return head


@torch.no_grad()
def log_probs(head: nn.Linear | nn.Identity, states_KD: Tensor, target_K: Tensor, temperature: float = 1.0) -> Tensor:
    """Return log p of each target in nats, (K,), in float32 or finer whatever the type of the states.

    If the head is an identity, the states are logits. The temperature divides the logits.
    """
    if isinstance(head, nn.Identity):
        logits_KV = _wide(states_KD) / temperature
        return logits_KV.gather(1, target_K[:, None])[:, 0] - logits_KV.logsumexp(1)
    chunks = _Chunks(head, states_KD, temperature, keep_tiles=False)
    log_p = [chunks.exponentials(tokens, target_K[tokens]).log_p_C for tokens in chunks.slices]
    return torch.cat(log_p or [chunks.empty])


@torch.no_grad()
def weighted_log_probs(
    head: nn.Linear | nn.Identity,
    states_KD: Tensor,
    target_K: Tensor,
    coefficient_K: Tensor,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return log p of each target, and compute the gradient of sum_k coefficient_k log p_k.

    The gradient with respect to a token's logits is coefficient (1_target - p). Its entry at the target is coefficient
    times the mass of all other entries, and is added to the target's row of the matrix separately. The other entries
    are the exponentials in the buffer times a factor that depends on token and tile only. This factor is applied to
    states and products, which are D wide, so that only the exponentials are as wide as the vocabulary.

    Args:
        head: The output matrix; its gradient is added to `.grad` if it requires one. An identity if the states are
            logits.
        states_KD: Final hidden states, the input of the matrix.
        target_K: Token ids.
        coefficient_K: Constants.
        temperature: Divides the logits, and therefore the gradient with respect to them.

    Returns:
        log p in nats, (K,), and the gradient with respect to the states, (K, D), of the states' type.
    """
    if isinstance(head, nn.Identity):
        log_p_K, gradient_KV = _weighted_log_probs_of_logits(_wide(states_KD) / temperature, target_K, coefficient_K)
        return log_p_K, (gradient_KV / temperature).to(states_KD.dtype)
    chunks = _Chunks(head, states_KD, temperature, keep_tiles=True)
    weight, log_p, gradients = chunks.weight_VD, [], []
    grad_VD = _gradient(head.weight) if head.weight.requires_grad else None
    grad_V = _gradient(head.bias) if head.bias is not None and head.bias.requires_grad else None
    for tokens in chunks.slices:
        states_CD, target_C = states_KD[tokens].to(weight.dtype), target_K[tokens]
        chunk = chunks.exponentials(tokens, target_C)
        coefficient_C = coefficient_K[tokens].to(weight.dtype) / temperature
        others_C = (coefficient_C * chunk.others_C)[:, None]
        gradient_CD = weight.index_select(0, target_C).mul_(others_C)
        for tile, e_CU, scale_C in zip(chunks.tiles, chunk.tiles, chunk.scale_NC, strict=True):
            factor_C1 = -(coefficient_C * scale_C)[:, None]
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
        log_p.append(chunk.log_p_C)
    return torch.cat(log_p or [chunks.empty]), torch.cat(gradients or [torch.zeros_like(states_KD)])


def _weighted_log_probs_of_logits(logits_KV: Tensor, target_K: Tensor, coefficient_K: Tensor) -> tuple[Tensor, Tensor]:
    """As `weighted_log_probs`, with the gradient with respect to the logits, (K, V)."""
    target_K1 = target_K[:, None]
    normaliser_K1 = logits_KV.logsumexp(1, keepdim=True)
    log_p_K = (logits_KV.gather(1, target_K1) - normaliser_K1)[:, 0]
    # 1 - p as a sum over the other entries keeps its digits if p is almost 1.
    others_KV = (logits_KV - normaliser_K1).exp_().scatter_(1, target_K1, 0)
    coefficient_K1 = coefficient_K.to(logits_KV.dtype)[:, None]
    mass_K1 = others_KV.sum(1, keepdim=True)
    return log_p_K, others_KV.mul_(-coefficient_K1).scatter_(1, target_K1, coefficient_K1 * mass_K1)


def _wide(logits_KV: Tensor) -> Tensor:
    return logits_KV.to(torch.promote_types(logits_KV.dtype, torch.float32))


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


class _Exponentials(NamedTuple):
    """Exponentials of the logits of C tokens, in N tiles of the vocabulary.

    Attributes:
        log_p_C: log p of the targets, in nats.
        others_C: 1 - p of the targets.
        tiles: exp(logits - the tile's largest), (C, U) each; 0 for the targets.
        scale_NC: Factors that turn these into probabilities; at most 1.
    """

    log_p_C: Tensor
    others_C: Tensor
    tiles: list[Tensor]
    scale_NC: Tensor


class _Chunks:
    """The states split into chunks of tokens, with a buffer that all chunks share.

    Attributes:
        weight_VD: The matrix, float32 or finer.
        slices: The tokens of each chunk.
        tiles: The vocabulary entries of each tile.
        empty: The result for no tokens.
    """

    def __init__(self, head: nn.Linear, states_KD: Tensor, temperature: float, *, keep_tiles: bool) -> None:
        self.states_KD, self.bias = states_KD, head.bias
        self.weight_VD = head.weight.to(torch.promote_types(head.weight.dtype, torch.float32))
        count, vocabulary = states_KD.shape[0], head.out_features
        parts = -(-count // chunk_tokens(vocabulary))
        size = -(-count // parts) if parts else 1
        self.slices = _slices(count, size)
        self.tiles = _slices(vocabulary, TILE if self.weight_VD.device.type == "cpu" else vocabulary)
        self.empty = self.weight_VD.new_zeros(0)
        self._keep_tiles = keep_tiles
        self._unit = temperature * math.log(2)
        self._buffer = self.weight_VD.new_empty(size * (vocabulary if keep_tiles else self.tiles[0].stop))

    def exponentials(self, tokens: slice, target_C: Tensor) -> _Exponentials:
        """Compute a chunk's exponentials; without `keep_tiles`, each tile in the buffer overwrites the one before.

        Logits are taken to base 2: on CPUs torch's exp2 is faster than exp, and much faster if it underflows.
        """
        states_CD = self.states_KD[tokens].to(self.weight_VD.dtype) / self._unit
        target_logit_C = (states_CD * self.weight_VD.index_select(0, target_C)).sum(1)
        if self.bias is not None:
            target_logit_C.add_(self.bias[target_C] / self._unit)
        tiles, largest, sums = [], [], []
        for tile in self.tiles:
            e_CU = self._tile_buffer(tile, len(states_CD))
            torch.mm(states_CD, self.weight_VD[tile].T, out=e_CU)
            if self.bias is not None:
                e_CU.add_(self.bias[tile] / self._unit)
            _mask_target(e_CU, target_C - tile.start)
            largest_C1 = e_CU.amax(1, keepdim=True).clamp_min_(torch.finfo(e_CU.dtype).min)
            sums.append(e_CU.sub_(largest_C1).exp2_().sum(1))
            largest.append(largest_C1[:, 0])
            tiles.append(e_CU)
        largest_NC = torch.stack(largest)
        top_C = torch.maximum(largest_NC.amax(0), target_logit_C)
        scale_NC = (largest_NC - top_C).exp2_()
        others_C = (scale_NC * torch.stack(sums)).sum(0)
        target_logit_C -= top_C
        total_C = others_C + target_logit_C.exp2()
        log_p_C = target_logit_C * math.log(2) - total_C.log()
        return _Exponentials(log_p_C, others_C / total_C, tiles, scale_NC.div_(total_C))

    def _tile_buffer(self, tile: slice, tokens: int) -> Tensor:
        first = tile.start * tokens if self._keep_tiles else 0
        columns = tile.stop - tile.start
        return self._buffer[first : first + tokens * columns].view(tokens, columns)


def _mask_target(logits_CU: Tensor, column_C: Tensor) -> None:
    """Set each token's target logit to -inf, if the target's column is in this tile."""
    columns = logits_CU.shape[1]
    index_C1 = column_C.clamp(0, columns - 1)[:, None]
    outside_C1 = ((column_C < 0) | (column_C >= columns))[:, None]
    logits_CU.scatter_(1, index_C1, logits_CU.gather(1, index_C1).where(outside_C1, -torch.inf))


def _slices(length: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]
