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

from qtrain.forward.packing import Pattern, Stretches

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
        pattern: Pattern,
        scale: float,
    ) -> Tensor:
        """Attend; `k_PJD` and `v_PJD` are the prompts' where they are not among the tokens."""
        out_THD = torch.empty_like(q_THD, memory_format=torch.contiguous_format)
        sum_TH = q_THD.new_empty(q_THD.shape[:2], dtype=torch.promote_types(q_THD.dtype, torch.float32))
        outs, sums = [], []
        for q, k, v in _own(q_THD, k_TJD, v_TJD, pattern.own):
            out, sum_ = _forward(q, k, v, 0.0, True, scale=scale)
            outs.append(out.transpose(1, 2).flatten(0, 1))
            sums.append(sum_.transpose(1, 2).flatten(0, 1))
        out_THD[pattern.own.token_K] = torch.cat(outs)[pattern.own.cell_K]
        sum_TH[pattern.own.token_K] = torch.cat(sums)[pattern.own.cell_K]
        if pattern.keys is not None:
            keys, values = (k_TJD, v_TJD) if k_PJD is None or v_PJD is None else (k_PJD, v_PJD)
            outs, sums = [], []
            for index, (q, k, v) in enumerate(_across(q_THD, keys, values, pattern.queries, pattern.keys)):
                mask = pattern.masks[index]
                out, sum_ = _forward(q, k, v, 0.0, False, attn_mask=_like(mask, q), scale=scale)
                outs.append(_unfolded(out, k.shape[1], q_THD.shape[1]))
                sums.append(_unfolded(sum_[..., None], k.shape[1], q_THD.shape[1])[..., 0])
            cell, token = pattern.queries.cell_K, pattern.queries.token_K
            own, other = sum_TH[token], torch.cat(sums)[cell]
            merged = torch.logaddexp(own, other)
            first, second = ((one - merged).exp()[..., None] for one in (own, other))
            out_THD[token] = (out_THD[token] * first + torch.cat(outs)[cell] * second).to(out_THD.dtype)
            sum_TH[token] = merged
        ctx.save_for_backward(q_THD, k_TJD, v_TJD, k_PJD, v_PJD, out_THD, sum_TH)
        ctx.pattern, ctx.scale = pattern, scale
        return out_THD

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Each part's kernel, told the merged output and sum of exponentials."""
        q_THD, k_TJD, v_TJD, k_PJD, v_PJD, out_THD, sum_TH = ctx.saved_tensors
        pattern, scale, heads = ctx.pattern, ctx.scale, q_THD.shape[1]
        own, parts = pattern.own, ([], [], [])
        for (q, k, v), merged in zip(
            _own(q_THD, k_TJD, v_TJD, own), _merged(gradients[0], out_THD, sum_TH, own), strict=True
        ):
            gradient, out, sum_ = (one.transpose(1, 2) for one in merged)
            found = _backward(gradient, q, k, v, out, sum_, 0.0, True, scale=scale)
            for part, one, memory in zip(parts, found, (heads, k_TJD.shape[1], k_TJD.shape[1]), strict=True):
                # Query heads that share a key head each have their share of its gradient.
                part.append(one.transpose(1, 2).flatten(0, 1).unflatten(1, (memory, -1)).sum(2))
        d_q, d_k, d_v = (_gathered(part, own, like) for part, like in zip(parts, (q_THD, k_TJD, v_TJD), strict=True))
        if pattern.keys is None:
            return d_q, d_k, d_v, None, None, None, None
        keys, values = (k_TJD, v_TJD) if k_PJD is None else (k_PJD, v_PJD)
        queries, memory, parts = pattern.queries, keys.shape[1], ([], [], [])
        rectangles = _across(q_THD, keys, values, queries, pattern.keys)
        shares = _merged(gradients[0], out_THD, sum_TH[..., None], queries)
        for (q, k, v), merged, mask in zip(rectangles, shares, pattern.masks, strict=True):
            gradient, out, sum_ = (_folded(one, memory) for one in merged)
            found = _backward(gradient, q, k, v, out, sum_[..., 0], 0.0, False, attn_mask=_like(mask, q), scale=scale)
            parts[0].append(_unfolded(found[0], memory, heads))
            parts[1].append(found[1].transpose(1, 2).flatten(0, 1))
            parts[2].append(found[2].transpose(1, 2).flatten(0, 1))
        d_q.index_add_(0, queries.token_K, torch.cat(parts[0])[queries.cell_K])
        if k_PJD is None:
            for total, part in zip((d_k, d_v), parts[1:], strict=True):
                total.index_add_(0, pattern.keys.token_K, torch.cat(part)[pattern.keys.cell_K])
            return d_q, d_k, d_v, None, None, None, None
        return d_q, d_k, d_v, *(_gathered(part, pattern.keys, keys) for part in parts[1:]), None, None


def _tiles(x: Tensor, stretches: Stretches) -> Iterator[Tensor]:
    """Of (T, heads, D) each rectangle, (rows, columns, heads, D)."""
    done = 0
    for rows, columns in stretches.shapes:
        yield x[stretches.take_C[done : done + rows * columns]].unflatten(0, (rows, columns))
        done += rows * columns


def _own(q: Tensor, k: Tensor, v: Tensor, own: Stretches) -> Iterator[tuple[Tensor, ...]]:
    """Each rectangle's q, k, v by head, key-value heads repeated: (rows, H, columns, D)."""
    repeat = q.shape[1] // k.shape[1]
    for tiles in zip(*(_tiles(x, own) for x in (q, k, v)), strict=True):
        a, b, c = (tile.transpose(1, 2) for tile in tiles)
        yield (a, b, c) if repeat == 1 else (a, b.repeat_interleave(repeat, 1), c.repeat_interleave(repeat, 1))


def _across(
    q: Tensor, k: Tensor, v: Tensor, queries: Stretches, keys: Stretches
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Each rectangle's q, (rows, J, columns x H/J, D), and its prompts' k and v, (rows, J, columns, D).

    No mask tells queries apart, so that the heads of one key head can stand one behind the other.
    """
    for a, b, c in zip(_tiles(q, queries), _tiles(k, keys), _tiles(v, keys), strict=True):
        yield _folded(a, k.shape[1]), b.transpose(1, 2), c.transpose(1, 2)


def _folded(x: Tensor, memory: int) -> Tensor:
    """(rows, columns, H, D) to (rows, J, columns x H/J, D)."""
    return x.unflatten(2, (memory, -1)).transpose(1, 2).flatten(2, 3)


def _unfolded(x: Tensor, memory: int, heads: int) -> Tensor:
    """(rows, J, columns x H/J, D) to (rows x columns, H, D)."""
    return x.unflatten(2, (-1, heads // memory)).transpose(1, 2).flatten(2, 3).flatten(0, 1)


def _merged(
    gradient: Tensor, out: Tensor, sum_: Tensor, stretches: Stretches
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Each rectangle of the three, with values beyond the ends of which nothing comes back."""
    return zip(
        *(_padded(one, stretches, beyond) for one, beyond in ((gradient, 0), (out, 0), (sum_, torch.inf))), strict=True
    )


def _padded(x: Tensor, stretches: Stretches, beyond: float) -> Iterator[Tensor]:
    """As `_tiles`, with this value beyond the ends."""
    cells = x.new_full((len(stretches.take_C), *x.shape[1:]), beyond)
    cells[stretches.cell_K] = x[stretches.token_K]
    done = 0
    for rows, columns in stretches.shapes:
        yield cells[done : done + rows * columns].unflatten(0, (rows, columns))
        done += rows * columns


def _gathered(tiles: list[Tensor], stretches: Stretches, like: Tensor) -> Tensor:
    """Rectangles' cells back in their tokens."""
    found = torch.empty_like(like, memory_format=torch.contiguous_format)
    found[stretches.token_K] = torch.cat(tiles)[stretches.cell_K]
    return found


def _like(mask: Tensor | None, q: Tensor) -> Tensor | None:
    return None if mask is None else mask.to(q.dtype)
