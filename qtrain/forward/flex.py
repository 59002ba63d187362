"""Attention on a GPU: one call of torch's flex attention, with the layout as its block mask."""

import functools
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from qtrain.forward.packing import AttentionLayout

_masks: WeakKeyDictionary[AttentionLayout, BlockMask] = WeakKeyDictionary()
"""Block masks by layout: all layers of a micro-batch share one."""


def flex(
    q_THD: Tensor,
    k_TJD: Tensor,
    v_TJD: Tensor,
    k_PJD: Tensor | None,
    v_PJD: Tensor | None,
    layout: AttentionLayout,
    scale: float,
) -> Tensor:
    """Attend; arguments and result as in `qtrain.forward.tiled.TiledAttention`.

    Flex attention is compiled on a GPU only. On a CPU it runs uncompiled and slowly, for tests.
    """
    num_earlier = 0
    if k_PJD is not None and v_PJD is not None:
        num_earlier = len(k_PJD)
        k_TJD, v_TJD = torch.cat([k_PJD, k_TJD]), torch.cat([v_PJD, v_TJD])
    on_gpu = q_THD.device.type == "cuda"
    if layout not in _masks:
        _masks[layout] = make_block_mask(layout, num_earlier, compiled=on_gpu)
    q, k, v = (x.transpose(0, 1)[None] for x in (q_THD, k_TJD, v_TJD))
    attend = _compiled(flex_attention) if on_gpu else flex_attention
    out = attend(q, k, v, block_mask=_masks[layout], scale=scale, enable_gqa=q.shape[1] != k.shape[1])
    return out[0].transpose(0, 1)


@functools.cache
def _compiled(function: Callable) -> Callable:
    return torch.compile(function, dynamic=True)


def make_block_mask(layout: AttentionLayout, num_earlier: int, *, compiled: bool) -> BlockMask:
    """Make the block mask for T queries and `num_earlier` + T keys.

    The first `num_earlier` keys are those of a prompt that was run before this micro-batch.
    """
    segment_T, offset_T, prompt_T2 = layout.segment_T, layout.offset_T, layout.prompt_T2

    def is_visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        del batch, head
        token = (key - num_earlier).clamp(min=0)
        in_segment = (
            (key >= num_earlier) & (segment_T[token] == segment_T[query]) & (offset_T[token] <= offset_T[query])
        )
        return in_segment | ((key >= prompt_T2[query, 0]) & (key < prompt_T2[query, 1]))

    tokens = len(segment_T)
    create = _compiled(create_block_mask) if compiled else create_block_mask
    return create(is_visible, None, None, tokens, num_earlier + tokens, device=str(segment_T.device))
