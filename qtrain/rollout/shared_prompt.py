"""A KV cache that holds each prompt once for all its rows, and the attention function that uses it.

A row attends to its prompt's keys, which M rows share, and to its own keys. One matrix product takes the queries of all
rows of a prompt times the prompt's keys, another takes each row's queries times its own keys, and one softmax covers
both. The model runs without transformers' KV cache: transformers looks attention functions up by name, and this one
stores the keys and values itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from qtrain.errors import UserError
from qtrain.forward.attention import UNSUPPORTED

NAME = "qtrain_shared_prompt"


class _Extension(NamedTuple):
    """Description of one forward pass that extends some rows.

    Attributes:
        rows: The stored rows that are extended.
        prompts: The prompts of these rows.
        start: Number of tokens that the rows have cached after their prompts: one number, or one per row, (N,).
        end: Number of columns of the rows' own keys that are read.
        hidden_NTC: The columns that each token does not attend to; None if it attends to all.
        groups: The rows of each prompt, (B, m), padded for prompts with fewer rows, and the flat index of each row in
            there, (N,); None if the rows are m rows of each of B prompts, in order.
        max_columns: See `SharedPromptCache`.
    """

    rows: slice
    prompts: slice
    start: int | Tensor
    end: int
    hidden_NTC: Tensor | None
    groups: tuple[Tensor, Tensor] | None
    max_columns: int

    def by_prompt(self, x_NHQD: Tensor, prompts: int) -> Tensor:
        """Rearrange from rows to prompts: (B, H, m * Q, D)."""
        x_BmHQD = x_NHQD.unflatten(0, (prompts, -1)) if self.groups is None else x_NHQD[self.groups[0]]
        return x_BmHQD.transpose(1, 2).flatten(2, 3)

    def by_row(self, x_BHXD: Tensor, queries: int) -> Tensor:
        """Rearrange from prompts to rows, the inverse of `by_prompt`: (N, H, Q, D)."""
        x_XHQD = x_BHXD.unflatten(2, (-1, queries)).transpose(1, 2).flatten(0, 1)
        return x_XHQD if self.groups is None else x_XHQD[self.groups[1]]


class _Layer:
    """Keys and values of one layer, in the type that the layer computes its values in.

    Attributes:
        prompt: Keys and values of the prompts, (B, H, S, D). bfloat16 is widened to float32, since M rows share them.
        own: Keys and values of the rows, (N, H, C, D); zero in columns that have not been written.
    """

    def __init__(self, key_BHSD: Tensor, value_BHSD: Tensor, rows: int) -> None:
        dtype = value_BHSD.dtype
        wide_dtype = torch.promote_types(dtype, torch.float32)
        self.prompt = [x.to(dtype).to(wide_dtype) for x in (key_BHSD, value_BHSD)]
        self.own = [x.new_zeros(rows, x.shape[1], 0, x.shape[3], dtype=dtype) for x in self.prompt]

    def reserve(self, columns: int, max_columns: int) -> None:
        """Grow to at least `columns` columns: double, but not beyond `max_columns` unless `columns` needs it.

        Growth by doubling copies each column about once in total.
        """
        allocated = self.own[0].shape[2]
        if columns > allocated:
            growth = max(columns, min(2 * allocated, max_columns)) - allocated
            self.own = [nn.functional.pad(x, (0, 0, 0, growth)) for x in self.own]

    def write(self, extension: _Extension, key_NHTD: Tensor, value_NHTD: Tensor) -> None:
        """Write new keys and values after those that the rows have cached."""
        self.reserve(extension.end, extension.max_columns)
        for cached, new in zip(self.own, (key_NHTD, value_NHTD), strict=True):
            if isinstance(extension.start, int):
                cached[extension.rows, :, extension.start : extension.end] = new
            else:
                column_NT = extension.start[:, None] + torch.arange(new.shape[2], device=new.device)
                cached[extension.rows].scatter_(2, column_NT[:, None, :, None].expand(new.shape), new.to(cached.dtype))


class SharedPromptCache:
    """KV cache of B prompts and N = B * M rows that follow them, prompt-major until `reorder`.

    Args:
        model: The model, which runs the prompts (prefill) immediately.
        prompts: B prompts as token ids.
        samples: Number of rows per prompt, M.
        pad: Id of the padding token.
        temperature: Of the policy; divides all logits that the cache returns.

    Attributes:
        logits_BV: Logits of the first token after each prompt.
        rows_per_prompt: Largest number of rows of a prompt among the rows in use.
        max_columns: Expected largest number of columns of a row, which growth by doubling does not exceed.

    Raises:
        UserError: The model's attention is not plain causal attention.
    """

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], samples: int, pad: int, temperature: float = 1.0
    ) -> None:
        self.temperature = temperature
        self.model, self.rows_per_prompt, self.max_columns = model, samples, 2**62
        self.layers: dict[int, _Layer] = {}
        device = model.device
        self.length_B = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self.prompt_N = torch.arange(len(prompts), device=device).repeat_interleave(samples)
        width = int(self.length_B.max())
        # Padding is on the left, so that the last token of every prompt is in the last column.
        tokens_BS = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
        column_S = torch.arange(width, device=device)
        padding_BS = column_S < width - self.length_B[:, None]
        self.hidden_BS = padding_BS if bool(padding_BS.any()) else None
        mask_BSS = None
        if self.hidden_BS is not None:
            # Padding attends to itself, since a softmax over nothing is NaN.
            causal_SS, same_SS = column_S[:, None] >= column_S, column_S[:, None] == column_S
            mask_BSS = (causal_SS & ~padding_BS[:, None, :]) | same_SS
        self.extension: _Extension | None = None
        self.groups: tuple[Tensor, Tensor] | None = None
        positions_BS = (column_S - (width - self.length_B[:, None])).clamp(min=0)
        self.logits_BV = self._run(tokens_BS, positions_BS, None if mask_BSS is None else mask_BSS[:, None], 1)[:, -1]
        if len(self.layers) != model.config.num_hidden_layers:
            raise UserError(
                f"{type(model).__name__}: its layers do not take another attention function, or share keys, so that "
                "rollouts cannot share a prompt's; use rollout.engine=vllm"
            )

    def extend(self, tokens_NT: Tensor, start: int | Tensor, end: int, rows: slice) -> Tensor:
        """Run the model on further tokens of some rows; cached tokens from `start` on are overwritten.

        Args:
            tokens_NT: The tokens. They may be padded on the right, since the next call may start before the padding.
            start: Number of tokens to keep after the rows' prompts: one number, or one per row, (N,).
            end: The largest start plus T.
            rows: The first rows; or, before any `reorder`, either all rows of some prompts or some rows of one prompt.

        Returns:
            Logits at these tokens, (N, T, V), float32.
        """
        width, device = tokens_NT.shape[1], tokens_NT.device
        position_NT = torch.arange(width, device=device) + (start if isinstance(start, int) else start[:, None])
        hidden_NTC = None
        if width > 1 or not isinstance(start, int):
            hidden_NTC = torch.arange(end, device=device) > position_NT.expand(len(tokens_NT), -1)[..., None]
        prompts = slice(None)
        if self.groups is None:
            prompts = slice(rows.start // self.rows_per_prompt, -(-rows.stop // self.rows_per_prompt))
        self.extension = _Extension(rows, prompts, start, end, hidden_NTC, self.groups, self.max_columns)
        position_NT = position_NT + self.length_B[self.prompt_N[rows], None]
        return self._run(tokens_NT, position_NT, None, 0)

    def reserve(self, columns: int) -> None:
        """Allocate at least `columns` columns for the rows' own tokens."""
        for layer in self.layers.values():
            layer.reserve(columns, self.max_columns)

    def reorder(self, order_n: Tensor, rows: int, end: int) -> None:
        """Permute the first stored rows, and prepare to extend only the first `rows` of them.

        Args:
            order_n: A permutation of the first n stored rows. In its first `rows` entries, the rows of a prompt are
                adjacent and prompts are in order.
            rows: Number of rows to extend from now on.
            end: Number of columns of own keys that are still needed.
        """
        n = len(order_n)
        for layer in self.layers.values():
            for cached in layer.own:
                cached[:n, :, :end] = cached[:n, :, :end][order_n]
        self.prompt_N[:n] = self.prompt_N[:n][order_n]
        prompt_n = self.prompt_N[:rows]
        count_B = prompt_n.bincount(minlength=len(self.length_B))
        self.rows_per_prompt, self.groups = int(count_B.max()), None
        if self.rows_per_prompt * len(count_B) != rows:
            row_n = torch.arange(rows, device=prompt_n.device)
            index_n = row_n - (count_B.cumsum(0) - count_B)[prompt_n] + self.rows_per_prompt * prompt_n
            row_Bm = row_n.new_zeros(len(count_B) * self.rows_per_prompt).scatter(0, index_n, row_n)
            self.groups = row_Bm.unflatten(0, (len(count_B), self.rows_per_prompt)), index_n

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attention of the tokens that extend the rows, in float32 or finer.

        Args:
            index: Index of the layer.
            query: (N, heads, T, D).
            key: (N, H, T, D), with rotary positions applied.
            value: (N, H, T, D).
            scaling: Factor of the scores.

        Returns:
            (N, T, heads, D), in the values' type.
        """
        extension, layer = self.extension, self.layers[index]
        assert extension is not None
        layer.write(extension, key, value)
        prompt_key, prompt_value = (x[extension.prompts] for x in layer.prompt)
        own_key, own_value = (x[extension.rows, :, : extension.end].to(prompt_key.dtype) for x in layer.own)
        shape = (query.shape[1] // key.shape[1], query.shape[2])
        # Query heads that share a key head are adjacent and can be treated as further queries.
        query_NHQD = (query.to(prompt_key.dtype) * scaling).unflatten(1, (-1, shape[0])).flatten(2, 3)
        queries = query_NHQD.shape[2]
        prompt_BHXS = extension.by_prompt(query_NHQD, len(prompt_key)) @ prompt_key.mT
        if self.hidden_BS is not None:
            prompt_BHXS.masked_fill_(self.hidden_BS[extension.prompts, None, None], -torch.inf)
        own_NHQC = query_NHQD @ own_key.mT
        if extension.hidden_NTC is not None:
            own_NHQC.unflatten(2, shape).masked_fill_(extension.hidden_NTC[:, None, None], -torch.inf)
        width = prompt_BHXS.shape[-1]
        p_NHQC = torch.cat([extension.by_row(prompt_BHXS, queries), own_NHQC], -1).softmax(-1)
        out_prompt_BHXD = extension.by_prompt(p_NHQC[..., :width], len(prompt_key)) @ prompt_value
        out_NHQD = extension.by_row(out_prompt_BHXD, queries) + p_NHQC[..., width:] @ own_value
        return out_NHQD.unflatten(2, shape).flatten(1, 2).transpose(1, 2).to(value.dtype)

    def _run(self, tokens: Tensor, positions: Tensor, mask: Tensor | None, logits: int) -> Tensor:
        """Run the model; return the policy's float32 logits at the last `logits` tokens, or at all tokens for 0."""
        logits_NTV: Tensor = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=logits,
            shared_prompt=self,
        ).logits.float()
        return logits_NTV if self.temperature == 1 else logits_NTV / self.temperature


@contextmanager
def shared_prompt_attention(model: PreTrainedModel) -> Iterator[None]:
    """Switch the model's attention; inside this context only a `SharedPromptCache` can run the model."""
    before = model.config._attn_implementation or "eager"
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    shared_prompt: SharedPromptCache,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it in each layer."""
    unsupported = [name for name in UNSUPPORTED if settings.get(name) is not None]
    if unsupported:
        raise UserError(
            f"{type(module).__name__}: its attention has {unsupported[0]}, which rollouts that share a prompt's keys "
            "do not know; use rollout.engine=vllm"
        )
    index = int(module.layer_idx)  # pyright: ignore[reportArgumentType]
    scale = float(query.shape[-1] ** -0.5 if scaling is None else scaling)
    if index not in shared_prompt.layers:
        shared_prompt.layers[index] = _Layer(key, value, rows=len(shared_prompt.prompt_N))
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scale)
    # With autocast the scores would be bfloat16.
    with torch.autocast(query.device.type, enabled=False):
        return shared_prompt.attend(index, query, key, value, scale), None


AttentionInterface.register(NAME, _attention)
