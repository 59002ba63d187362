"""A KV cache that holds each prompt once for all its rows, and the attention that reads it.

A row attends to its prompt's keys, which M rows share, and to its own. The queries of all rows of a prompt meet its
keys in one matrix product, each row's own keys in another, and one softmax goes over both. The model runs without a
cache of its own: transformers takes an attention function by name, and this one keeps the keys.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from qtrain.errors import UserError

NAME = "qtrain_shared_prompt"

UNKNOWN = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What some models' layers ask for besides a causal softmax."""


class _Fed(NamedTuple):
    """What one forward pass is about: `rows` of the stored ones, which belong to `prompts`.

    Attributes:
        start: How many tokens the rows have behind their prompts: one number, or one a row, (N,).
        end: Columns of own keys that are read.
        hidden_NTC: Which of them a token does not see; None where it sees all.
        groups: Rows of each prompt, (B, m), short prompts filled up, and where in there each row is, (N,); None where
            the rows are B times m in order.
        most: See `SharedPromptCache`.
    """

    rows: slice
    prompts: slice
    start: int | Tensor
    end: int
    hidden_NTC: Tensor | None
    groups: tuple[Tensor, Tensor] | None
    most: int

    def by_prompt(self, of_NHQD: Tensor, prompts: int) -> Tensor:
        """Rows to prompts: (B, H, m * Q, D)."""
        of_BmHQD = of_NHQD.unflatten(0, (prompts, -1)) if self.groups is None else of_NHQD[self.groups[0]]
        return of_BmHQD.transpose(1, 2).flatten(2, 3)

    def by_row(self, of_BHXD: Tensor, queries: int) -> Tensor:
        """And back: (N, H, Q, D)."""
        of_XHQD = of_BHXD.unflatten(2, (-1, queries)).transpose(1, 2).flatten(0, 1)
        return of_XHQD if self.groups is None else of_XHQD[self.groups[1]]


class _Layer:
    """Keys and values of one layer, both in the type that its values are computed in.

    Attributes:
        prompt: Of the prompts, (B, H, S, D), but float32 for bfloat16, as there is one of them for M rows.
        own: Of the rows, (N, H, C, D); zero where no row has written yet.
    """

    def __init__(self, key_BHSD: Tensor, value_BHSD: Tensor, rows: int) -> None:
        kind = value_BHSD.dtype
        wide = torch.promote_types(kind, torch.float32)
        self.prompt = [one.to(kind).to(wide) for one in (key_BHSD, value_BHSD)]
        self.own = [one.new_zeros(rows, one.shape[1], 0, one.shape[3], dtype=kind) for one in self.prompt]

    def reserve(self, columns: int, most: int) -> None:
        """Make room, twice as much as there was, but not for more than `most` columns unless these are needed.

        Growth by doubling copies each column about once in all.
        """
        held = self.own[0].shape[2]
        if columns > held:
            more = max(columns, min(2 * held, most)) - held
            self.own = [nn.functional.pad(one, (0, 0, 0, more)) for one in self.own]

    def write(self, fed: _Fed, key_NHTD: Tensor, value_NHTD: Tensor) -> None:
        """Put new keys and values behind those that the rows have."""
        self.reserve(fed.end, fed.most)
        for held, new in zip(self.own, (key_NHTD, value_NHTD), strict=True):
            if isinstance(fed.start, int):
                held[fed.rows, :, fed.start : fed.end] = new
            else:
                column_NT = fed.start[:, None] + torch.arange(new.shape[2], device=new.device)
                held[fed.rows].scatter_(2, column_NT[:, None, :, None].expand(new.shape), new.to(held.dtype))


class SharedPromptCache:
    """B prompts and N = B * M rows behind them, prompt-major until `reorder`.

    Args:
        model: Runs the prompts at once; `logits_BV` is of the token behind each.
        prompts: B prompts as token ids.
        samples: M.
        pad: The id of the padding token.

    Attributes:
        most: Columns that rows are expected to have at most, so that growth by doubling does not overshoot.

    Raises:
        UserError: The model's attention is another than plain causal attention.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], samples: int, pad: int) -> None:
        self.model, self.each, self.most = model, samples, 2**62
        self.layers: dict[int, _Layer] = {}
        device = model.device
        self.length_B = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self.prompt_N = torch.arange(len(prompts), device=device).repeat_interleave(samples)
        width = int(self.length_B.max())
        # On the left, so that every row's last prompt token stands in the last column.
        tokens_BS = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
        column_S = torch.arange(width, device=device)
        padding_BS = column_S < width - self.length_B[:, None]
        self.hidden_BS = padding_BS if bool(padding_BS.any()) else None
        mask_BSS = None
        if self.hidden_BS is not None:
            # Padding sees itself: a softmax over nothing is no number.
            causal_SS, same_SS = column_S[:, None] >= column_S, column_S[:, None] == column_S
            mask_BSS = (causal_SS & ~padding_BS[:, None, :]) | same_SS
        self.fed: _Fed | None = None
        self.groups: tuple[Tensor, Tensor] | None = None
        positions_BS = (column_S - (width - self.length_B[:, None])).clamp(min=0)
        self.logits_BV = self._run(tokens_BS, positions_BS, None if mask_BSS is None else mask_BSS[:, None], 1)[:, -1]
        if len(self.layers) != model.config.num_hidden_layers:
            raise UserError(
                f"{type(model).__name__}: its layers do not take another attention function, or share keys, so that "
                "rollouts cannot share a prompt's; use rollout.engine=vllm"
            )

    def feed(self, tokens_NT: Tensor, start: int | Tensor, end: int, rows: slice) -> Tensor:
        """Run the model on further tokens of some rows; what lies behind a row's start is forgotten.

        Args:
            tokens_NT: The tokens; padding on the right is harmless, as the next `feed` may begin before it.
            start: How many tokens the rows have behind their prompts: one number, or one a row, (N,).
            end: The largest start, and T.
            rows: The first rows; or, before any `reorder`, all rows of some prompts or some of one.

        Returns:
            Logits at the tokens fed, (N, T, V), float32.
        """
        width, device = tokens_NT.shape[1], tokens_NT.device
        position_NT = torch.arange(width, device=device) + (start if isinstance(start, int) else start[:, None])
        hidden_NTC = None
        if width > 1 or not isinstance(start, int):
            hidden_NTC = torch.arange(end, device=device) > position_NT.expand(len(tokens_NT), -1)[..., None]
        prompts = slice(None)
        if self.groups is None:
            prompts = slice(rows.start // self.each, -(-rows.stop // self.each))
        self.fed = _Fed(rows, prompts, start, end, hidden_NTC, self.groups, self.most)
        position_NT = position_NT + self.length_B[self.prompt_N[rows], None]
        return self._run(tokens_NT, position_NT, None, 0)

    def reserve(self, columns: int) -> None:
        """Make room for so many tokens a row."""
        for layer in self.layers.values():
            layer.reserve(columns, self.most)

    def reorder(self, order_n: Tensor, rows: int, end: int) -> None:
        """Let the first stored rows be those that `order_n` names, and make ready for feeds of so many of them.

        Args:
            order_n: A permutation of the first n stored rows; of the first `rows` of it, those of a prompt stand
                together, prompts in order.
            rows: How many will be fed.
            end: Columns of own keys that are still of use.
        """
        n = len(order_n)
        for layer in self.layers.values():
            for held in layer.own:
                held[:n, :, :end] = held[:n, :, :end][order_n]
        self.prompt_N[:n] = self.prompt_N[:n][order_n]
        prompt_n = self.prompt_N[:rows]
        count_B = prompt_n.bincount(minlength=len(self.length_B))
        self.each, self.groups = int(count_B.max()), None
        if self.each * len(count_B) != rows:
            row_n = torch.arange(rows, device=prompt_n.device)
            place_n = row_n - (count_B.cumsum(0) - count_B)[prompt_n] + self.each * prompt_n
            row_Bm = row_n.new_zeros(len(count_B) * self.each).scatter(0, place_n, row_n)
            self.groups = row_Bm.unflatten(0, (len(count_B), self.each)), place_n

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attention of the tokens being fed, in float32 at least.

        Args:
            index: Which layer.
            query: (N, heads, T, D).
            key: (N, H, T, D), with positions.
            value: Likewise.
            scaling: Of the scores.

        Returns:
            (N, T, heads, D), in the values' type.
        """
        fed, layer = self.fed, self.layers[index]
        assert fed is not None
        layer.write(fed, key, value)
        prompt_key, prompt_value = (one[fed.prompts] for one in layer.prompt)
        own_key, own_value = (one[fed.rows, :, : fed.end].to(prompt_key.dtype) for one in layer.own)
        shape = (query.shape[1] // key.shape[1], query.shape[2])
        # Heads that share a key stand side by side, and are as good as further queries.
        query_NHQD = (query.to(prompt_key.dtype) * scaling).unflatten(1, (-1, shape[0])).flatten(2, 3)
        queries = query_NHQD.shape[2]
        prompt_BHXS = fed.by_prompt(query_NHQD, len(prompt_key)) @ prompt_key.mT
        if self.hidden_BS is not None:
            prompt_BHXS.masked_fill_(self.hidden_BS[fed.prompts, None, None], -torch.inf)
        own_NHQC = query_NHQD @ own_key.mT
        if fed.hidden_NTC is not None:
            own_NHQC.unflatten(2, shape).masked_fill_(fed.hidden_NTC[:, None, None], -torch.inf)
        width = prompt_BHXS.shape[-1]
        p_NHQC = torch.cat([fed.by_row(prompt_BHXS, queries), own_NHQC], -1).softmax(-1)
        of_prompt_BHXD = fed.by_prompt(p_NHQC[..., :width], len(prompt_key)) @ prompt_value
        out_NHQD = fed.by_row(of_prompt_BHXD, queries) + p_NHQC[..., width:] @ own_value
        return out_NHQD.unflatten(2, shape).flatten(1, 2).transpose(1, 2).to(value.dtype)

    def _run(self, tokens: Tensor, positions: Tensor, mask: Tensor | None, logits: int) -> Tensor:
        """The model's forward pass; float32 logits at the last so many tokens, at all for 0."""
        return self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=logits,
            shared_prompt=self,
        ).logits.float()


@contextmanager
def shared_prompt_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within, the model can be run by a `SharedPromptCache` and by nothing else."""
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
    """What transformers calls in each layer."""
    unknown = [name for name in UNKNOWN if settings.get(name) is not None]
    if unknown:
        raise UserError(
            f"{type(module).__name__}: its attention has {unknown[0]}, which rollouts that share a prompt's keys do "
            "not know; use rollout.engine=vllm"
        )
    index = int(module.layer_idx)  # pyright: ignore[reportArgumentType]
    scale = float(query.shape[-1] ** -0.5 if scaling is None else scaling)
    if index not in shared_prompt.layers:
        shared_prompt.layers[index] = _Layer(key, value, rows=len(shared_prompt.prompt_N))
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scale)
    # Autocast would make the scores bfloat16.
    with torch.autocast(query.device.type, enabled=False):
        return shared_prompt.attend(index, query, key, value, scale), None


AttentionInterface.register(NAME, _attention)
