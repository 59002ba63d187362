"""Where a run computes: the CPU or a CUDA device."""

from typing import Literal

import torch

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
