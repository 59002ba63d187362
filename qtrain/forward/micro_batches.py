"""Run packed rows through the decoder, and yield each micro-batch with the hidden states that predict its tokens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from qtrain.forward.attention import PromptKV
from qtrain.forward.packing import PackedBatch, pack, pack_prompt
from qtrain.forward.rows import PackedRow, plan_micro_batches
from qtrain.policy.device import Dtype, autocast


def run_packed(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    rows: Sequence[PackedRow],
    *,
    max_tokens: int | None,
    dtype: Dtype = "float32",
) -> Iterator[tuple[PackedBatch, Tensor]]:
    """Run rows, inside `qtrain.forward.attention.packed_attention`.

    A caller that needs gradients runs the backward pass of each micro-batch before it asks for the next one.

    Args:
        model: A causal model of transformers.
        prompts: Token ids of each prompt.
        rows: The rows that follow them.
        max_tokens: Most tokens in a micro-batch, see `plan_micro_batches`; None runs all rows at once.
        dtype: Type that the layers compute in.

    Yields:
        Each micro-batch, and the final hidden states that predict its scored tokens, (K, D).
    """
    for plan in plan_micro_batches(prompts, rows, max_tokens):
        prompt_kv = None
        prompt = prompts[rows[plan.micro_batches[0][0]].prompt]
        has_own_prompt_pass = len(plan.micro_batches) > 1
        if has_own_prompt_pass and len(prompt) > 1:
            prompt_kv = PromptKV()
            _decode(model, pack_prompt(prompt, model.device), dtype, prompt_kv)
            prompt_kv.detach()
        for indices in plan.micro_batches:
            batch = pack(prompts, rows, indices, model.device, with_prompts=not has_own_prompt_pass)
            yield batch, _decode(model, batch, dtype, prompt_kv)
        if prompt_kv is not None:
            prompt_kv.backward()


def _decode(model: PreTrainedModel, batch: PackedBatch, dtype: Dtype, prompt_kv: PromptKV | None) -> Tensor:
    with autocast(dtype, model.device):
        states_1TD = model.get_decoder()(
            input_ids=batch.tokens_1T,
            position_ids=batch.position_1T,
            use_cache=False,
            layout=batch.layout,
            prompt_kv=prompt_kv,
        ).last_hidden_state
    return select_rows(states_1TD[0], batch.scored_K)


def select_rows(states_TD: Tensor, index_K: Tensor) -> Tensor:
    """Select distinct rows of a matrix, (T, D) to (K, D)."""
    return _SelectRows.apply(states_TD, index_K)


class _SelectRows(torch.autograd.Function):
    """Select distinct rows of a matrix: the backward pass copies gradients, which `index_select` would add up."""

    @staticmethod
    def forward(ctx: Any, states_TD: Tensor, index_K: Tensor) -> Tensor:
        """(T, D) to (K, D)."""
        ctx.save_for_backward(index_K)
        ctx.length = len(states_TD)
        return states_TD.index_select(0, index_K)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """(K, D) to (T, D)."""
        (index_K,) = ctx.saved_tensors
        gradient_KD = gradients[0]
        return gradient_KD.new_zeros(ctx.length, gradient_KD.shape[1]).index_copy_(0, index_K, gradient_KD), None


@contextmanager
def recomputing(model: PreTrainedModel, enabled: bool) -> Iterator[None]:
    """Recompute activations in the backward pass, for a model prepared by `qtrain.update.enable_recomputing`.

    Transformers does this in training mode only. Only the checkpointing layers are put into that mode, so that no
    dropout is turned on.
    """
    layers = [module for module in model.modules() if enabled and isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
