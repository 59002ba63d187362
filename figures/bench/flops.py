"""Count the floating-point operations that an update needs, and the share of the GPU's peak that it reaches."""

from figures.bench.utilisation import known_peak, text_flops
from figures.bench.workload import ModelSize, Shape
from qtrain.config import ModelConfig


def update_flops(shape: Shape) -> float:
    """FLOPs of forward and backward of one group, by `figures.bench.utilisation.text_flops`, with the prompt run once.

    The backward pass counts twice the forward pass; recomputation, norms and the optimizer are not counted.
    """
    model, vocabulary = _config(shape.model), shape.model.vocabulary
    prompt = text_flops(model, vocabulary, shape.prompt, 0, with_prompt=True)
    completion = text_flops(model, vocabulary, shape.prompt, shape.completion, with_prompt=False)
    return 3 * (prompt + shape.samples * completion)


def plain_flops(shape: Shape) -> float:
    """FLOPs of the same update if every sample runs the whole prompt, with logits of the completion alone."""
    model, vocabulary = _config(shape.model), shape.model.vocabulary
    return 3 * shape.samples * text_flops(model, vocabulary, shape.prompt, shape.completion, with_prompt=True)


def _config(size: ModelSize) -> ModelConfig:
    return ModelConfig(
        hidden_size=size.width,
        intermediate_size=size.intermediate,
        layers=size.layers,
        heads=size.heads,
        key_value_heads=size.key_value_heads,
        head_dim=size.head_dim,
    )


def utilisation(shape: Shape, seconds: float, card: str) -> float | None:
    """The share of the GPU's peak FLOP/s; None for a GPU whose peak is not known."""
    peak = known_peak(card)
    return None if peak is None else update_flops(shape) / seconds / peak
