"""Compare the gradients of contenders: the first writes its gradient to a file, the others are compared with it."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from qtrain.policy.weights import write_tensors


def save_gradient(model: nn.Module, path: Path) -> None:
    """Write every parameter's gradient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(
        path, {name: parameter.grad.cpu() for name, parameter in model.named_parameters() if parameter.grad is not None}
    )


@torch.no_grad()
def compare_gradient(model: nn.Module, path: Path) -> dict[str, float]:
    """Compare a model's gradient g with the gradient r in a file.

    Returns:
        gradient_scale: The s that makes s g closest to r, since two losses may differ in their normaliser.
        gradient_error: ||s g - r|| / ||r||.

        Both are absent if the file is missing, as in a measurement that resumes from stored results.
    """
    if not path.exists():
        return {}
    products = torch.zeros(3, dtype=torch.float64)  # r r, r g, g g
    with safe_open(path, "pt") as file:
        names = set(file.keys())
        for name, parameter in model.named_parameters():
            if parameter.grad is None:
                raise ValueError(f"{name} has no gradient")
            names.remove(name)
            r, g = (tensor.double().flatten().cpu() for tensor in (file.get_tensor(name), parameter.grad))
            products += torch.stack([r @ r, r @ g, g @ g])
    if names:
        raise ValueError(f"{sorted(names)[0]} has a gradient in {path.name} alone")
    rr, rg, gg = products.tolist()
    scale = rg / gg
    # Computed from sums: an error below the square root of float64's epsilon cannot be told from 0.
    return {"gradient_scale": scale, "gradient_error": max(0.0, 1 - rg * rg / (rr * gg)) ** 0.5}
