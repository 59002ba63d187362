"""Where a run computes: the CPU or a CUDA device."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from qtrain.errors import UserError


def find_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device of `train.device`; auto is the GPU where there is one.

    Raises:
        UserError: cuda is asked for and torch finds none.
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
