"""Attention over packed rows: each sees itself causally and its whole prompt, which is there once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from qtrain.forward.flex import flex
from qtrain.forward.packing import AttentionLayout
from qtrain.forward.tiled import Tiled

NAME = "qtrain_packed"
"""Under which transformers knows it."""

KeysValues = tuple[Tensor, Tensor]
"""Of one layer, two of (P, key-value heads, head dimension)."""


class PromptKV:
    """Keys and values of a prompt, layer by layer, between its own pass and those of its rows."""

    def __init__(self) -> None:
        self.run: dict[int, KeysValues] = {}
        self.leaves: dict[int, KeysValues] = {}

    def detach(self) -> None:
        """Let gradients be gathered here: from now on rows see copies that the prompt's graph does not reach."""
        self.leaves = {
            layer: (keys.detach().requires_grad_(), values.detach().requires_grad_())
            for layer, (keys, values) in self.run.items()
        }

    def backward(self) -> None:
        """Send what the rows left here through the prompt, once."""
        pairs = [
            (run, leaf.grad)
            for layer, leaves in self.leaves.items()
            for run, leaf in zip(self.run[layer], leaves, strict=True)
            if leaf.grad is not None and run.requires_grad
        ]
        if pairs:
            torch.autograd.backward([run for run, _ in pairs], [gradient for _, gradient in pairs])


def kernel(device: torch.device) -> str:
    """The name of what computes attention on this device, for a run's log."""
    return "flex" if device.type == "cuda" else "tiled"


@contextmanager
def packed(model: PreTrainedModel) -> Iterator[None]:
    """Let the layers attend by `AttentionLayout`. A backward pass that computes activations again belongs in here."""
    config = model.get_decoder().config
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - the interface's; there is none, since the pattern stands for it
    *,
    pattern: AttentionLayout,
    memory: PromptKV | None = None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The interface of transformers: (1, heads, T, head dimension) each, and (1, T, heads, head dimension) back."""
    device = query.device.type
    if torch.is_autocast_enabled(device):
        query, key, value = (one.to(torch.get_autocast_dtype(device)) for one in (query, key, value))
    q, k, v = (one[0].transpose(0, 1) for one in (query, key, value))
    layer = int(module.layer_idx)  # pyright: ignore[reportArgumentType]
    before = None
    if memory is not None:
        if pattern.prompt_tokens:
            memory.run[layer] = (k, v)
        else:
            before = memory.leaves.get(layer)
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    attend = flex if kernel(query.device) == "flex" else Tiled.apply
    return attend(q, k, v, *(before or (None, None)), pattern, scale)[None], None


AttentionInterface.register(NAME, _attend)
