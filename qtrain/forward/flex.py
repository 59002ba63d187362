"""Attention on a GPU: one call of torch's flex attention, with the pattern as its block mask."""

import functools
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from qtrain.forward.packing import AttentionLayout

_masks: WeakKeyDictionary[AttentionLayout, BlockMask] = WeakKeyDictionary()
"""One serves all layers of a pass."""


def flex(
    q_THD: Tensor,
    k_TJD: Tensor,
    v_TJD: Tensor,
    k_PJD: Tensor | None,
    v_PJD: Tensor | None,
    pattern: AttentionLayout,
    scale: float,
) -> Tensor:
    """As `qtrain.forward.tiled.Tiled`. Compiled on a GPU alone: elsewhere it is slow, and there for tests."""
    before = 0
    if k_PJD is not None and v_PJD is not None:
        before = len(k_PJD)
        k_TJD, v_TJD = torch.cat([k_PJD, k_TJD]), torch.cat([v_PJD, v_TJD])
    on_gpu = q_THD.device.type == "cuda"
    if pattern not in _masks:
        _masks[pattern] = block_mask(pattern, before, compiled=on_gpu)
    q, k, v = (one.transpose(0, 1)[None] for one in (q_THD, k_TJD, v_TJD))
    attend = _compiled(flex_attention) if on_gpu else flex_attention
    out = attend(q, k, v, block_mask=_masks[pattern], scale=scale, enable_gqa=q.shape[1] != k.shape[1])
    return out[0].transpose(0, 1)


@functools.cache
def _compiled(function: Callable) -> Callable:
    return torch.compile(function, dynamic=True)


def block_mask(pattern: AttentionLayout, before: int, *, compiled: bool) -> BlockMask:
    """The pattern over T queries and `before` + T keys, of which the first are prompts that were run before."""
    stretch_T, place_T, prompt_T2 = pattern.stretch_T, pattern.place_T, pattern.prompt_T2

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        del batch, head
        own = (key - before).clamp(min=0)
        inside = (key >= before) & (stretch_T[own] == stretch_T[query]) & (place_T[own] <= place_T[query])
        return inside | ((key >= prompt_T2[query, 0]) & (key < prompt_T2[query, 1]))

    tokens = len(stretch_T)
    make = _compiled(create_block_mask) if compiled else create_block_mask
    return make(sees, None, None, tokens, before + tokens, device=str(stretch_T.device))
