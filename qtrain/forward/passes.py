"""Rows through the decoder, pass by pass: the states in front of the output matrix, differentiable where wanted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from qtrain.forward.attention import PromptKV
from qtrain.forward.packing import PackedBatch, pack, pack_prompt
from qtrain.forward.rows import PackedRow, plan
from qtrain.policy.device import Dtype, autocast


def passes(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    rows: Sequence[PackedRow],
    *,
    limit: int | None,
    dtype: Dtype = "float32",
) -> Iterator[tuple[PackedBatch, Tensor]]:
    """Run rows, in `qtrain.forward.attention.packed`. What goes backward does so before the next pass is asked for.

    Args:
        model: A causal model of transformers.
        prompts: As token ids.
        rows: Behind them.
        limit: Most tokens in a pass, see `plan`; None runs all at once.
        dtype: What the layers compute in.

    Yields:
        Each pass and the states in front of the output matrix that predict its scored tokens, (K, D).
    """
    for job in plan(prompts, rows, limit):
        memory = None
        prompt = prompts[rows[job.passes[0][0]].prompt]
        if len(job.passes) > 1 and len(prompt) > 1:
            memory = PromptKV()
            _decode(model, pack_prompt(prompt, model.device), dtype, memory)
            memory.detach()
        for which in job.passes:
            packed = pack(prompts, rows, which, model.device, prompts_before=len(job.passes) > 1)
            yield packed, _decode(model, packed, dtype, memory)
        if memory is not None:
            memory.backward()


def _decode(model: PreTrainedModel, packed: PackedBatch, dtype: Dtype, memory: PromptKV | None) -> Tensor:
    with autocast(dtype, model.device):
        states_1TD = model.get_decoder()(
            input_ids=packed.tokens_1T,
            position_ids=packed.position_1T,
            use_cache=False,
            pattern=packed.pattern,
            memory=memory,
        ).last_hidden_state
    return _Scored.apply(states_1TD[0], packed.scored_K)


class _Scored(torch.autograd.Function):
    """The states at some places, each once: the gradients are copied back, where `index_select` would add them up."""

    @staticmethod
    def forward(ctx: Any, states_TD: Tensor, place_K: Tensor) -> Tensor:
        """(T, D) to (K, D)."""
        ctx.save_for_backward(place_K)
        ctx.length = len(states_TD)
        return states_TD.index_select(0, place_K)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """(K, D) to (T, D)."""
        (place_K,) = ctx.saved_tensors
        gradient_KD = gradients[0]
        return gradient_KD.new_zeros(ctx.length, gradient_KD.shape[1]).index_copy_(0, place_K, gradient_KD), None


@contextmanager
def recomputing(model: PreTrainedModel, wanted: bool) -> Iterator[None]:
    """Compute activations again in the backward pass, where `qtrain.update.enable_recomputing` made that possible.

    It works in training mode alone, which only the layers that do it are put into: no dropout is turned on.
    """
    layers = [module for module in model.modules() if wanted and isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
