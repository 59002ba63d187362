"""Attention on a CPU: torch's flash kernel on a few rectangles of queries and keys, merged by log-sum-exp.

A token attends to two sets of keys: its own row up to itself, and its prompt. The second set is one rectangle for the
tokens of all rows of a prompt, without a mask and without a copy of the prompt's keys for each row; most of the work is
there. The kernel returns the log-sum-exp (lse) of each part's scores, by which the two parts are merged. Given the
merged output and lse, the kernel's backward pass returns each part's contribution to the gradient. The kernel is the
one that `scaled_dot_product_attention` calls; it is called directly because that function does not return the lse.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from qtrain.forward.packing import AttentionLayout, Segments

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class TiledAttention(torch.autograd.Function):
    """Attention by rectangles.

    Shapes: T tokens, P prompt tokens, H heads, J key-value heads, D head dimension.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q_THD: Tensor,
        k_TJD: Tensor,
        v_TJD: Tensor,
        k_PJD: Tensor | None,
        v_PJD: Tensor | None,
        layout: AttentionLayout,
        scale: float,
    ) -> Tensor:
        """Attend, (T, H, D).

        `k_PJD` and `v_PJD` are keys and values of a prompt that was run before; None if prompts are in the sequence.
        """
        heads, fold = q_THD.shape[1], q_THD.shape[1] // k_TJD.shape[1]
        own, queries = layout.own, layout.queries
        outs, lses = [], []
        for q, k, v in _own_rectangles(q_THD, k_TJD, v_TJD, own):
            out, lse = _forward(q, k, v, 0.0, True, scale=scale)
            outs.append(out.transpose(1, 2).reshape(-1, *q_THD.shape[1:]))
            lses.append(lse.transpose(1, 2).reshape(-1, heads))
        out_THD, lse_TH = _to_sequence(outs, own), _to_sequence(lses, own)
        if layout.keys is not None:
            keys, values = (k_TJD, v_TJD) if k_PJD is None or v_PJD is None else (k_PJD, v_PJD)
            outs, lses = [], []
            for (q, k, v), mask in zip(_prompt_rectangles(q_THD, keys, values, layout), layout.masks, strict=True):
                out, lse = _forward(q, k, v, 0.0, False, attn_mask=_cast(mask, q), scale=scale)
                outs.append(_unfold_heads(out, fold))
                lses.append(_unfold_heads(lse[..., None], fold)[..., 0])
            token_K, prompt_lse_KH = queries.token_K, _to_sequence(lses, queries)
            own_lse_KH = lse_TH.index_select(0, token_K)
            lse_KH = torch.logaddexp(own_lse_KH, prompt_lse_KH)
            own_share, prompt_share = ((part - lse_KH).exp_()[..., None] for part in (own_lse_KH, prompt_lse_KH))
            out_KHD = (out_THD.index_select(0, token_K) * own_share).add_(_to_sequence(outs, queries) * prompt_share)
            out_THD.index_copy_(0, token_K, out_KHD.to(out_THD.dtype))
            lse_TH.index_copy_(0, token_K, lse_KH)
        ctx.save_for_backward(q_THD, k_TJD, v_TJD, k_PJD, v_PJD, out_THD, lse_TH)
        ctx.layout, ctx.scale = layout, scale
        return out_THD

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Run each part's backward kernel with the merged output and lse."""
        q_THD, k_TJD, v_TJD, k_PJD, v_PJD, out_THD, lse_TH = ctx.saved_tensors
        layout, scale, fold = ctx.layout, ctx.scale, q_THD.shape[1] // k_TJD.shape[1]
        own, queries, parts = layout.own, layout.queries, ([], [], [])
        merged = _merged_rectangles(gradients[0], out_THD, lse_TH, own)
        for (q, k, v), tiles in zip(_own_rectangles(q_THD, k_TJD, v_TJD, own), merged, strict=True):
            gradient, out, lse = (tile.transpose(1, 2) for tile in tiles)
            d_q, d_k, d_v = _backward(gradient, q, k, v, out, lse, 0.0, True, scale=scale)
            parts[0].append(_by_token(d_q))
            for part, d_kv in zip(parts[1:], (d_k, d_v), strict=True):
                # The gradient of a key-value head is the sum over the query heads that share it.
                part.append(_by_token(d_kv if fold == 1 else d_kv.unflatten(1, (-1, fold)).sum(2)))
        d_q, d_k, d_v = (_to_sequence(part, own) for part in parts)
        if layout.keys is None:
            return d_q, d_k, d_v, None, None, None, None
        keys, values, parts = *((k_TJD, v_TJD) if k_PJD is None else (k_PJD, v_PJD)), ([], [], [])
        rectangles = _prompt_rectangles(q_THD, keys, values, layout)
        merged = _merged_rectangles(gradients[0], out_THD, lse_TH[..., None], queries)
        for (q, k, v), tiles, mask in zip(rectangles, merged, layout.masks, strict=True):
            gradient, out, lse = (_fold_heads(tile, fold) for tile in tiles)
            d_qkv = _backward(gradient, q, k, v, out, lse[..., 0], 0.0, False, attn_mask=_cast(mask, q), scale=scale)
            parts[0].append(_unfold_heads(d_qkv[0], fold))
            for part, d_kv in zip(parts[1:], d_qkv[1:], strict=True):
                part.append(_by_token(d_kv))
        d_q.index_add_(0, queries.token_K, _to_sequence(parts[0], queries))
        d_keys, d_values = (_to_sequence(part, layout.keys) for part in parts[1:])
        if k_PJD is None:
            d_k.index_add_(0, layout.keys.token_K, d_keys)
            d_v.index_add_(0, layout.keys.token_K, d_values)
            return d_q, d_k, d_v, None, None, None, None
        return d_q, d_k, d_v, d_keys, d_values, None, None


def _to_rectangles(x: Tensor, segments: Segments, padding: float | None = None) -> Iterator[Tensor]:
    """Rearrange (T, heads, D) into rectangles, (rows, columns, heads, D) each.

    Cells past a segment's end hold `padding`, or the segment's last token if it is None.
    """
    if padding is None or len(segments.cell_K) == len(segments.take_C):
        cells = x.index_select(0, segments.take_C)
    else:
        cells = x.new_full((len(segments.take_C), *x.shape[1:]), padding)
        cells.index_copy_(0, segments.cell_K, x.index_select(0, segments.token_K))
    first = 0
    for rows, columns in segments.shapes:
        yield cells[first : first + rows * columns].view(rows, columns, *x.shape[1:])
        first += rows * columns


def _to_sequence(tiles: list[Tensor], segments: Segments) -> Tensor:
    """Rearrange the rectangles' cells into tokens, in the order of the sequence."""
    return (tiles[0] if len(tiles) == 1 else torch.cat(tiles)).index_select(0, segments.cell_K)


def _own_rectangles(q: Tensor, k: Tensor, v: Tensor, own: Segments) -> Iterator[tuple[Tensor, ...]]:
    """Yield each rectangle's q, k, v by head, with key-value heads repeated: (rows, H, columns, D)."""
    repeat = q.shape[1] // k.shape[1]
    for tiles in zip(*(_to_rectangles(x, own) for x in (q, k, v)), strict=True):
        a, b, c = (tile.transpose(1, 2) for tile in tiles)
        yield (a, b, c) if repeat == 1 else (a, b.repeat_interleave(repeat, 1), c.repeat_interleave(repeat, 1))


def _prompt_rectangles(
    q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield each rectangle's q, (rows, J, columns x H/J, D), and its prompts' k and v, (rows, J, columns, D).

    All queries of a rectangle's row see the same keys, so that query heads that share a key head are folded into
    further queries.
    """
    assert layout.keys is not None
    rectangles = (
        _to_rectangles(q, layout.queries),
        _to_rectangles(k, layout.keys),
        _to_rectangles(v, layout.keys),
    )
    for a, b, c in zip(*rectangles, strict=True):
        yield _fold_heads(a, q.shape[1] // k.shape[1]), b.transpose(1, 2), c.transpose(1, 2)


def _merged_rectangles(gradient: Tensor, out: Tensor, lse: Tensor, segments: Segments) -> Iterator[tuple[Tensor, ...]]:
    """Yield each rectangle's gradient, merged output and lse, padded so that padding adds nothing to a gradient."""
    return zip(
        _to_rectangles(gradient, segments, 0),
        _to_rectangles(out, segments, 0),
        _to_rectangles(lse, segments, torch.inf),
        strict=True,
    )


def _fold_heads(x: Tensor, fold: int) -> Tensor:
    """(rows, columns, H, D) to (rows, J, columns x H/J, D)."""
    if fold == 1:
        return x.transpose(1, 2)
    rows, columns, heads, size = x.shape
    return x.view(rows, columns, heads // fold, fold, size).transpose(1, 2).reshape(rows, -1, columns * fold, size)


def _unfold_heads(x: Tensor, fold: int) -> Tensor:
    """(rows, J, columns x H/J, D) to (rows x columns, H, D)."""
    kv_heads, size = x.shape[1], x.shape[3]
    x = x.unflatten(2, (-1, fold)) if fold > 1 else x[:, :, :, None]
    return x.transpose(1, 2).reshape(-1, kv_heads * fold, size)


def _by_token(x: Tensor) -> Tensor:
    """(rows, heads, columns, D) to (rows x columns, heads, D)."""
    return x.transpose(1, 2).reshape(-1, x.shape[1], x.shape[3])


def _cast(mask: Tensor | None, q: Tensor) -> Tensor | None:
    return None if mask is None else mask.to(q.dtype)
