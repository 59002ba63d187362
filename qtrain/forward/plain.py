"""Run each row with its own prompt, padded, through a model's own attention: for models that cannot be packed.

Each row repeats its prompt, so that this is slower than packed rows and takes more memory, and right for every causal
model of transformers. Padding is on the right, where no token attends to it, so that neither a mask nor positions are
needed.
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.forward.micro_batches import select_rows
from qtrain.forward.rows import IGNORED, PackedRow
from qtrain.policy.device import Dtype, autocast


class PaddedBatch(NamedTuple):
    """A micro-batch of n padded rows, K of whose tokens predict a scored token.

    Attributes:
        tokens_nT: Prompt, rationale, closer and answer of each row, without the last token.
        scored_K: Indices, in the flattened rows, of the tokens that predict a token of a rationale or an answer.
        target_K: The predicted tokens.
        part_K: RATIONALE or ANSWER, of the predicted tokens.
        row_K: Index of the row of each.
    """

    tokens_nT: Tensor
    scored_K: Tensor
    target_K: Tensor
    part_K: Tensor
    row_K: Tensor


def accepts(model: PreTrainedModel, argument: str) -> bool:
    """Return whether a model's forward pass has an argument of this name."""
    return argument in inspect.signature(model.forward).parameters


def plan_padded(lengths: Sequence[int], max_tokens: int | None) -> list[list[int]]:
    """Divide rows among micro-batches whose padded size is at most `max_tokens`; a longer row gets one by itself.

    Args:
        lengths: Length of each row with its prompt.
        max_tokens: Most tokens in a micro-batch; None puts all rows into one.

    Returns:
        The indices of each micro-batch's rows, in ascending order.
    """
    if max_tokens is None:
        return [list(range(len(lengths)))] if lengths else []
    plan: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not plan or lengths[plan[-1][0]] * (len(plan[-1]) + 1) > max_tokens:
            plan.append([])
        plan[-1].append(row)
    return [sorted(rows) for rows in plan]


def run_padded(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    rows: Sequence[PackedRow],
    *,
    max_tokens: int | None,
    dtype: Dtype = "float32",
    logits: bool = False,
) -> Iterator[tuple[PaddedBatch, Tensor]]:
    """Run rows, micro-batch by micro-batch, with the model's own attention.

    A caller that needs gradients runs the backward pass of each micro-batch before it asks for the next one.

    Args:
        model: A causal model of transformers.
        prompts: Token ids of each prompt, at least one token each.
        rows: The rows that follow them. Rows without tokens are left out.
        max_tokens: Most tokens in a micro-batch, padding and repeated prompts included; None runs all rows at once.
        dtype: Type that the layers compute in.
        logits: Yield logits of the whole model instead of final hidden states of its decoder, for models that do more
            than multiply these by a matrix.

    Yields:
        Each micro-batch, and the states (K, D), or the logits (K, V), that predict its scored tokens.
    """
    indices = [index for index, row in enumerate(rows) if row.tokens]
    lengths = [len(prompts[rows[index].prompt]) + len(rows[index].tokens) - 1 for index in indices]
    for items in plan_padded(lengths, max_tokens):
        members = [indices[item] for item in items]
        batch = pad(prompts, rows, members, model.device)
        with autocast(dtype, model.device):
            if not logits:
                states_nTD = model.get_decoder()(input_ids=batch.tokens_nT, use_cache=False).last_hidden_state
                yield batch, select_rows(states_nTD.flatten(0, 1), batch.scored_K)
                continue
            # No token before the end of the shortest prompt is scored.
            first = min(len(prompts[rows[index].prompt]) for index in members) - 1
            width, keep = batch.tokens_nT.shape[1], dict[str, Any]()
            if accepts(model, "logits_to_keep"):
                keep["logits_to_keep"] = width - first
            logits_nTV = model(input_ids=batch.tokens_nT, use_cache=False, **keep).logits
            row_K, column_K = batch.scored_K // width, batch.scored_K % width
            column_K = column_K - (width - logits_nTV.shape[1])
            yield batch, select_rows(logits_nTV.flatten(0, 1), row_K * logits_nTV.shape[1] + column_K)


def pad(
    prompts: Sequence[list[int]], rows: Sequence[PackedRow], indices: Sequence[int], device: torch.device
) -> PaddedBatch:
    """Make a micro-batch of these rows. Padding is token 0, which every vocabulary has."""
    tokens = [(prompts[rows[index].prompt] + rows[index].tokens)[:-1] for index in indices]
    width = max(map(len, tokens))
    scored, target, part, origin = [], [], [], []
    for place, index in enumerate(indices):
        row, prompt = rows[index], len(prompts[rows[index].prompt])
        for offset, (token, token_part) in enumerate(zip(row.tokens, row.parts, strict=True)):
            if token_part != IGNORED:
                scored.append(place * width + prompt - 1 + offset)
                target.append(token)
                part.append(token_part)
                origin.append(index)
    tokens_nT = torch.tensor([row + [0] * (width - len(row)) for row in tokens], device=device)
    return PaddedBatch(
        tokens_nT, *(torch.tensor(x, dtype=torch.long, device=device) for x in (scored, target, part, origin))
    )
