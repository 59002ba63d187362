"""Turn a model's logits into the sampling distribution that the settings define, and draw tokens from it."""

import math

import torch
from torch import Tensor

from qtrain.config import RolloutConfig

WHOLE = 2048
"""Vocabularies up to this size use one cumulative sum; larger ones first pick a block, then a token in it."""


def sampling_probabilities(logits_NV: Tensor, config: RolloutConfig) -> Tensor:
    """Return the distribution that tokens are drawn from, (N, V), for the policy's logits (with its temperature).

    Top-k and top-p are applied in this order, as in vLLM. Top-k keeps tokens that tie with the k-th; top-p
    keeps the token at which the cumulative probability reaches it.
    """
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
    """Return the token at which each row's cumulative sum passes its uniform number.

    With one number per row, a row's token depends only on its own distribution and number. Also, no random numbers are
    drawn for the whole vocabulary: those of `torch.multinomial` cost more than a small model's forward pass.

    Args:
        p_NV: Probabilities, up to a factor for each row.
        uniform_N: float64 in [0, 1).

    Returns:
        Token ids, (N,), all with a probability above 0.
    """
    size = p_NV.shape[1]
    if size <= WHOLE:
        return _inverse_cdf(p_NV, uniform_N)[0]
    width = math.isqrt(size)
    even = size // width * width
    sum_NK = torch.cat([p_NV[:, :even].unflatten(1, (-1, width)).sum(2), p_NV[:, even:].sum(1, keepdim=True)], 1)
    block_N, remainder_N = _inverse_cdf(sum_NK, uniform_N)
    column_NW = block_N[:, None] * width + torch.arange(width, device=p_NV.device)
    inside_NW = p_NV.gather(1, column_NW.clamp(max=size - 1)).masked_fill(column_NW >= size, 0)
    return block_N * width + _inverse_cdf(inside_NW, remainder_N)[0]


def _inverse_cdf(p_NV: Tensor, uniform_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the entry at which the cumulative sum passes each number, and the fraction of the entry below it."""
    sum_NV = p_NV.double().cumsum(1)
    total_N1 = sum_NV[:, -1:]
    # A target that is rounded up to the total would not be passed by any entry.
    target_N1 = torch.minimum(uniform_N[:, None] * total_N1, total_N1.nextafter(torch.zeros_like(total_N1)))
    entry_N1 = torch.searchsorted(sum_NV, target_N1, right=True)
    entry_p_N1 = p_NV.gather(1, entry_N1).double()
    before_N1 = sum_NV.gather(1, entry_N1) - entry_p_N1
    return entry_N1[:, 0], ((target_N1 - before_N1) / entry_p_N1).clamp(0, 1)[:, 0]
