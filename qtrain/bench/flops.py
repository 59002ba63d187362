"""Floating-point operations that an update needs, and the share of a card's peak that it reaches."""

from qtrain.bench.workload import Shape
from qtrain.gpu_check.flops import known_peak


def update_flops(shape: Shape) -> float:
    """Forward and backward of one group, two operations a multiplication: the prompt once, causal attention halved.

    The backward pass counts twice the forward pass; recomputing, norms and the optimizer count nothing.
    """
    size = shape.model
    attention = size.heads * size.head_dim
    layer = size.width * (2 * attention + 2 * size.key_value_heads * size.head_dim + 3 * size.intermediate)
    scored = shape.samples * shape.completion
    tokens = shape.prompt + scored
    pairs = shape.prompt * (shape.prompt + 1) / 2
    pairs += shape.samples * (shape.completion * shape.prompt + shape.completion * (shape.completion + 1) / 2)
    forward = size.layers * (2 * layer * tokens + 4 * attention * pairs) + 2 * size.width * size.vocabulary * scored
    return 3.0 * forward


def utilisation(shape: Shape, seconds: float, card: str) -> float | None:
    """The share of the card's peak; None for a card whose peak is not known here."""
    peak = known_peak(card)
    return None if peak is None else update_flops(shape) / seconds / peak
