"""Attention over packed rows: each token attends causally within its row, and to all of its row's shared prompt."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from qtrain.forward.flex import flex
from qtrain.forward.packing import AttentionLayout
from qtrain.forward.tiled import TiledAttention

NAME = "qtrain_packed"
"""The name under which this attention is registered in transformers."""

UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")
"""Settings of some models' attention beyond a causal softmax, which neither packed rows nor shared prompts support."""

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer, each (P, key-value heads, head dimension)."""


class PromptKV:
    """Keys and values of a prompt that is run by itself, by layer, for the micro-batches of its rows.

    Attributes:
        computed: As the prompt's own forward pass computed them, with its graph.
        leaves: Detached copies that the rows attend to; their gradients add up over the micro-batches.
    """

    def __init__(self) -> None:
        self.computed: dict[int, KeysValues] = {}
        self.leaves: dict[int, KeysValues] = {}

    def detach(self) -> None:
        """Make the detached copies, so that the rows' backward passes stop at them and collect gradients there."""
        self.leaves = {
            layer: (keys.detach().requires_grad_(), values.detach().requires_grad_())
            for layer, (keys, values) in self.computed.items()
        }

    def backward(self) -> None:
        """Propagate the gradients that the rows collected through the prompt's forward pass, once."""
        pairs = [
            (computed, leaf.grad)
            for layer, leaves in self.leaves.items()
            for computed, leaf in zip(self.computed[layer], leaves, strict=True)
            if leaf.grad is not None and computed.requires_grad
        ]
        if pairs:
            torch.autograd.backward([computed for computed, _ in pairs], [gradient for _, gradient in pairs])


def kernel(device: torch.device) -> str:
    """Name of the attention kernel used on this device, for a run's log."""
    return "flex" if device.type == "cuda" else "tiled"


@contextmanager
def packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model's layers attend according to an `AttentionLayout`.

    A backward pass that recomputes activations runs the layers again and must be inside this context too.
    """
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
    attention_mask: Tensor | None,  # noqa: ARG001 - part of the interface; always None, since `layout` replaces it
    *,
    layout: AttentionLayout,
    prompt_kv: PromptKV | None = None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: (1, heads, T, head dimension) to (1, T, heads, head dimension)."""
    unsupported = [name for name in UNSUPPORTED if settings.get(name) is not None]
    if unsupported:
        raise ValueError(f"its attention has {unsupported[0]}")
    device = query.device.type
    if torch.is_autocast_enabled(device):
        query, key, value = (x.to(torch.get_autocast_dtype(device)) for x in (query, key, value))
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    layer = int(module.layer_idx)  # pyright: ignore[reportArgumentType]
    earlier = None
    if prompt_kv is not None:
        if layout.prompt_tokens:
            prompt_kv.computed[layer] = (k, v)
        else:
            earlier = prompt_kv.leaves.get(layer)
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    attend = flex if kernel(query.device) == "flex" else TiledAttention.apply
    return attend(q, k, v, *(earlier or (None, None)), layout, scale)[None], None


AttentionInterface.register(NAME, _attend)
