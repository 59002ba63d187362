"""How tokens are drawn: the distribution that the settings make of a model's logits, and draws from it."""

import math

import torch
from torch import Tensor

from qtrain.config import RolloutConfig

WHOLE = 2048
"""Up to so many tokens a distribution is summed up whole; longer ones by blocks, of which one is then looked into."""


def sampling_probabilities(logits_NV: Tensor, config: RolloutConfig) -> Tensor:
    """The distribution that tokens are drawn from, (N, V): temperature, then top-k, then top-p, as vLLM has them.

    Top-k keeps ties with the k-th token; top-p keeps the token at which the sum reaches it.
    """
    if config.temperature != 1:
        logits_NV = logits_NV / config.temperature
    if config.top_k is not None and config.top_k < logits_NV.shape[1]:
        kth_N1 = logits_NV.topk(config.top_k, dim=1).values[:, -1:]
        logits_NV = logits_NV.masked_fill(logits_NV < kth_N1, -torch.inf)
    p_NV = logits_NV.softmax(-1)
    if config.top_p < 1:
        sorted_NV, order_NV = p_NV.sort(dim=1, descending=True)
        before_NV = sorted_NV.cumsum(1) - sorted_NV
        p_NV = torch.zeros_like(p_NV).scatter(1, order_NV, sorted_NV.masked_fill(before_NV >= config.top_p, 0))
        p_NV = p_NV / p_NV.sum(1, keepdim=True)
    return p_NV


def draw(p_NV: Tensor, uniform_N: Tensor) -> Tensor:
    """The token at which each row's cumulative sum passes its uniform number.

    One number a row, so that a row's token depends on nothing but its own distribution and number, and no pass over
    the vocabulary makes random numbers: those of `torch.multinomial` cost more than a small model's forward pass.

    Args:
        p_NV: Probabilities, up to a factor a row.
        uniform_N: float64, from [0, 1).

    Returns:
        Token ids, (N,), each of a probability above 0.
    """
    size = p_NV.shape[1]
    if size <= WHOLE:
        return _pass(p_NV, uniform_N)[0]
    width = math.isqrt(size)
    even = size // width * width
    sum_NK = torch.cat([p_NV[:, :even].unflatten(1, (-1, width)).sum(2), p_NV[:, even:].sum(1, keepdim=True)], 1)
    block_N, rest_N = _pass(sum_NK, uniform_N)
    column_NW = block_N[:, None] * width + torch.arange(width, device=p_NV.device)
    inside_NW = p_NV.gather(1, column_NW.clamp(max=size - 1)).masked_fill(column_NW >= size, 0)
    return block_N * width + _pass(inside_NW, rest_N)[0]


def _pass(p_NV: Tensor, uniform_N: Tensor) -> tuple[Tensor, Tensor]:
    """Where the sum passes, and how far into that entry it does, as a number from [0, 1)."""
    sum_NV = p_NV.double().cumsum(1)
    total_N1 = sum_NV[:, -1:]
    # Rounding up to the total would pass nowhere.
    aim_N1 = torch.minimum(uniform_N[:, None] * total_N1, total_N1.nextafter(torch.zeros_like(total_N1)))
    entry_N1 = torch.searchsorted(sum_NV, aim_N1, right=True)
    held_N1 = p_NV.gather(1, entry_N1).double()
    before_N1 = sum_NV.gather(1, entry_N1) - held_N1
    return entry_N1[:, 0], ((aim_N1 - before_N1) / held_N1).clamp(0, 1)[:, 0]
