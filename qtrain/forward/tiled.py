"""Attention on a CPU: torch's flash kernel on a few rectangles, merged by their sums of exponentials.

A token's attention is over two sets of keys: its own row up to itself, and its prompt. The second is one rectangle
for all tokens behind a prompt, without a mask and without a copy of the prompt's keys per row, which is where the work
is. Each part comes with the logarithm of its sum of exponentials, by which the two are merged; with the merged one the
kernel's backward pass gives each part's share of the gradient. The kernel is the one that
`scaled_dot_product_attention` calls, which keeps these logarithms to itself.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from qtrain.forward.packing import AttentionLayout, Segments

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class Tiled(torch.autograd.Function):
    """Shapes: T tokens, P prompt tokens, H heads, J key-value heads, D a head's dimension."""

    @staticmethod
    def forward(
        ctx: Any,
        q_THD: Tensor,
        k_TJD: Tensor,
        v_TJD: Tensor,
        k_PJD: Tensor | None,
        v_PJD: Tensor | None,
        pattern: AttentionLayout,
        scale: float,
    ) -> Tensor:
        """Attend; `k_PJD` and `v_PJD` are the prompts' where they are not among the tokens."""
        heads, memory = q_THD.shape[1], k_TJD.shape[1]
        own, queries = pattern.own, pattern.queries
        outs, sums = [], []
        for q, k, v in _own(q_THD, k_TJD, v_TJD, own):
            out, sum_ = _forward(q, k, v, 0.0, True, scale=scale)
            outs.append(out.transpose(1, 2).reshape(-1, *q_THD.shape[1:]))
            sums.append(sum_.transpose(1, 2).reshape(-1, heads))
        out_THD, sum_TH = _back(outs, own), _back(sums, own)
        if pattern.keys is not None:
            keys, values = (k_TJD, v_TJD) if k_PJD is None or v_PJD is None else (k_PJD, v_PJD)
            outs, sums = [], []
            for (q, k, v), mask in zip(_across(q_THD, keys, values, pattern), pattern.masks, strict=True):
                out, sum_ = _forward(q, k, v, 0.0, False, attn_mask=_like(mask, q), scale=scale)
                outs.append(_unfolded(out, heads // memory))
                sums.append(_unfolded(sum_[..., None], heads // memory)[..., 0])
            token_K, other_KH = queries.token_K, _back(sums, queries)
            own_KH = sum_TH.index_select(0, token_K)
            sum_KH = torch.logaddexp(own_KH, other_KH)
            first, second = ((one - sum_KH).exp_()[..., None] for one in (own_KH, other_KH))
            out_KHD = (out_THD.index_select(0, token_K) * first).add_(_back(outs, queries) * second)
            out_THD.index_copy_(0, token_K, out_KHD.to(out_THD.dtype))
            sum_TH.index_copy_(0, token_K, sum_KH)
        ctx.save_for_backward(q_THD, k_TJD, v_TJD, k_PJD, v_PJD, out_THD, sum_TH)
        ctx.pattern, ctx.scale = pattern, scale
        return out_THD

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Each part's kernel, told the merged output and sum of exponentials."""
        q_THD, k_TJD, v_TJD, k_PJD, v_PJD, out_THD, sum_TH = ctx.saved_tensors
        pattern, scale, fold = ctx.pattern, ctx.scale, q_THD.shape[1] // k_TJD.shape[1]
        own, queries, parts = pattern.own, pattern.queries, ([], [], [])
        shares = _shares(gradients[0], out_THD, sum_TH, own)
        for (q, k, v), share in zip(_own(q_THD, k_TJD, v_TJD, own), shares, strict=True):
            gradient, out, sum_ = (one.transpose(1, 2) for one in share)
            d_q, d_k, d_v = _backward(gradient, q, k, v, out, sum_, 0.0, True, scale=scale)
            parts[0].append(_by_token(d_q))
            for part, one in zip(parts[1:], (d_k, d_v), strict=True):
                # Query heads that share a key head each have their share of its gradient.
                part.append(_by_token(one if fold == 1 else one.unflatten(1, (-1, fold)).sum(2)))
        d_q, d_k, d_v = (_back(part, own) for part in parts)
        if pattern.keys is None:
            return d_q, d_k, d_v, None, None, None, None
        keys, values, parts = *((k_TJD, v_TJD) if k_PJD is None else (k_PJD, v_PJD)), ([], [], [])
        rectangles = _across(q_THD, keys, values, pattern)
        shares = _shares(gradients[0], out_THD, sum_TH[..., None], queries)
        for (q, k, v), share, mask in zip(rectangles, shares, pattern.masks, strict=True):
            gradient, out, sum_ = (_folded(one, fold) for one in share)
            found = _backward(gradient, q, k, v, out, sum_[..., 0], 0.0, False, attn_mask=_like(mask, q), scale=scale)
            parts[0].append(_unfolded(found[0], fold))
            for part, one in zip(parts[1:], found[1:], strict=True):
                part.append(_by_token(one))
        d_q.index_add_(0, queries.token_K, _back(parts[0], queries))
        d_keys, d_values = (_back(part, pattern.keys) for part in parts[1:])
        if k_PJD is None:
            d_k.index_add_(0, pattern.keys.token_K, d_keys)
            d_v.index_add_(0, pattern.keys.token_K, d_values)
            return d_q, d_k, d_v, None, None, None, None
        return d_q, d_k, d_v, d_keys, d_values, None, None


def _tiles(x: Tensor, stretches: Segments, beyond: float | None = None) -> Iterator[Tensor]:
    """Of (T, heads, D) each rectangle, (rows, columns, heads, D), with a value beyond the ends where one is given."""
    if beyond is None or len(stretches.cell_K) == len(stretches.take_C):
        cells = x.index_select(0, stretches.take_C)
    else:
        cells = x.new_full((len(stretches.take_C), *x.shape[1:]), beyond)
        cells.index_copy_(0, stretches.cell_K, x.index_select(0, stretches.token_K))
    done = 0
    for rows, columns in stretches.shapes:
        yield cells[done : done + rows * columns].view(rows, columns, *x.shape[1:])
        done += rows * columns


def _back(tiles: list[Tensor], stretches: Segments) -> Tensor:
    """The rectangles' cells as tokens again, in their order in the sequence."""
    return (tiles[0] if len(tiles) == 1 else torch.cat(tiles)).index_select(0, stretches.cell_K)


def _own(q: Tensor, k: Tensor, v: Tensor, own: Segments) -> Iterator[tuple[Tensor, ...]]:
    """Each rectangle's q, k, v by head, key-value heads repeated: (rows, H, columns, D)."""
    repeat = q.shape[1] // k.shape[1]
    for tiles in zip(*(_tiles(x, own) for x in (q, k, v)), strict=True):
        a, b, c = (tile.transpose(1, 2) for tile in tiles)
        yield (a, b, c) if repeat == 1 else (a, b.repeat_interleave(repeat, 1), c.repeat_interleave(repeat, 1))


def _across(q: Tensor, k: Tensor, v: Tensor, pattern: AttentionLayout) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Each rectangle's q, (rows, J, columns x H/J, D), and its prompts' k and v, (rows, J, columns, D).

    No mask tells queries apart, so that the heads of one key head can stand one behind the other.
    """
    assert pattern.keys is not None
    tiles = (_tiles(q, pattern.queries), _tiles(k, pattern.keys), _tiles(v, pattern.keys))
    for a, b, c in zip(*tiles, strict=True):
        yield _folded(a, q.shape[1] // k.shape[1]), b.transpose(1, 2), c.transpose(1, 2)


def _shares(gradient: Tensor, out: Tensor, sum_: Tensor, stretches: Segments) -> Iterator[tuple[Tensor, ...]]:
    """Each rectangle of the three, with values beyond the ends of which nothing comes back."""
    return zip(
        _tiles(gradient, stretches, 0), _tiles(out, stretches, 0), _tiles(sum_, stretches, torch.inf), strict=True
    )


def _folded(x: Tensor, fold: int) -> Tensor:
    """(rows, columns, H, D) to (rows, J, columns x H/J, D)."""
    if fold == 1:
        return x.transpose(1, 2)
    rows, columns, heads, size = x.shape
    return x.view(rows, columns, heads // fold, fold, size).transpose(1, 2).reshape(rows, -1, columns * fold, size)


def _unfolded(x: Tensor, fold: int) -> Tensor:
    """(rows, J, columns x H/J, D) to (rows x columns, H, D)."""
    memory, size = x.shape[1], x.shape[3]
    x = x.unflatten(2, (-1, fold)) if fold > 1 else x[:, :, :, None]
    return x.transpose(1, 2).reshape(-1, memory * fold, size)


def _by_token(x: Tensor) -> Tensor:
    """(rows, heads, columns, D) to (rows x columns, heads, D)."""
    return x.transpose(1, 2).reshape(-1, x.shape[1], x.shape[3])


def _like(mask: Tensor | None, q: Tensor) -> Tensor | None:
    return None if mask is None else mask.to(q.dtype)
