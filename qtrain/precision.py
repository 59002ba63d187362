"""bfloat16 where it is cheap to be rough: autocast for the transformer's layers, float32 from the logits on."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

Dtype = Literal["float32", "bfloat16"]


def autocast(dtype: Dtype, device: torch.device) -> AbstractContextManager:
    """The context that forward passes run in; enter it anew for each.

    Autocast keeps its casts until the outermost context is left, those made without gradient too: a backward pass that
    shared a context with the rollouts would find weights that lead nowhere.
    """
    return nullcontext() if dtype == "float32" else torch.autocast(device.type, torch.bfloat16)


class Float32Head(nn.Linear):
    """An output matrix that computes in float32 whatever autocast says: log p is a small difference of large logits."""

    def forward(self, input: Tensor) -> Tensor:
        """Logits of hidden states, (..., D) to (..., V)."""
        with torch.autocast(input.device.type, enabled=False):
            return functional.linear(input.float(), self.weight.float(), self.bias)


def use_float32_head(model: PreTrainedModel) -> None:
    """Give the model such a head on its present output matrix, the very same parameter, tied or not."""
    old = model.get_output_embeddings()
    assert isinstance(old, nn.Linear)
    head = Float32Head(old.in_features, old.out_features, bias=old.bias is not None, device="meta")
    head.weight, head.bias = old.weight, old.bias
    model.set_output_embeddings(head)
