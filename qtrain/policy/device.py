"""Choose the device and the precision of a run: CPU or CUDA, bfloat16 autocast, a float32 output head."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from qtrain.errors import UserError


def find_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device of `train.device`; "auto" means the GPU if there is one.

    Raises:
        UserError: "cuda" is set and torch finds no CUDA device.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(
            f"train.device='cuda': torch {torch.__version__} finds no CUDA device here; use train.device=cpu, or "
            f"install the build of torch for this machine's driver"
        )
    return torch.device("cuda")


Dtype = Literal["float32", "bfloat16"]


def autocast(dtype: Dtype, device: torch.device) -> AbstractContextManager:
    """The context for forward passes; enter a new one for each.

    Autocast caches its casts until the outermost context is left, including casts made without gradient: a backward
    pass that shared a context with the rollouts would not reach the weights.
    """
    return nullcontext() if dtype == "float32" else torch.autocast(device.type, torch.bfloat16)


class Float32Head(nn.Linear):
    """An output layer that computes in float32 even under autocast: log p is a small difference of large logits."""

    def forward(self, input: Tensor) -> Tensor:
        """Compute logits (..., V) from hidden states (..., D)."""
        with torch.autocast(input.device.type, enabled=False):
            return functional.linear(input.float(), self.weight.float(), self.bias)


def use_float32_head(model: PreTrainedModel) -> None:
    """Replace the output layer by a `Float32Head` with the same parameters, whether tied or not."""
    old = model.get_output_embeddings()
    assert isinstance(old, nn.Linear)
    head = Float32Head(old.in_features, old.out_features, bias=old.bias is not None, device="meta")
    head.weight, head.bias = old.weight, old.bias
    model.set_output_embeddings(head)
