"""Gradients of contenders held against each other: one is written to a file, the others are compared with it."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from qtrain.policy.weights import write_tensors


def save_gradient(model: nn.Module, path: Path) -> None:
    """Write every parameter's gradient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, {name: one.grad.cpu() for name, one in model.named_parameters() if one.grad is not None})


@torch.no_grad()
def compare_gradient(model: nn.Module, path: Path) -> dict[str, float]:
    """Hold a model's gradient g against the one of a file, r.

    Returns:
        gradient_scale: The s that makes s g closest to r: a loss may have another normaliser.
        gradient_error: ||s g - r|| / ||r||. Nothing where the file is missing, as in a run that goes on from kept
            results.
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
            r, g = (one.double().flatten().cpu() for one in (file.get_tensor(name), parameter.grad))
            products += torch.stack([r @ r, r @ g, g @ g])
    if names:
        raise ValueError(f"{sorted(names)[0]} has a gradient in {path.name} alone")
    rr, rg, gg = products.tolist()
    scale = rg / gg
    # Through the sums, an error below the square root of float64's rounding is not told from none.
    return {"gradient_scale": scale, "gradient_error": max(0.0, 1 - rg * rg / (rr * gg)) ** 0.5}
