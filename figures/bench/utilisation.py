"""Utilisation: count the floating-point operations of a step, and look up or measure the peak of the device."""

import time

import torch

from figures.bench.workload import ModelSize, Shape
from qtrain.config import ModelConfig

BFLOAT16_PEAK = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "RTX 4090": 165e12,
    "L4": 121e12,
}
"""Dense bfloat16 FLOP/s with float32 accumulation, from the vendor's data sheets, by a part of the device's name.

The first entry whose key occurs in the name counts."""


def text_flops(model: ModelConfig, vocabulary: int, prompt: int, continuation: int, *, with_prompt: bool) -> float:
    """FLOPs of one forward pass over a text: two per multiply-add of a matrix product, nothing else is counted.

    A token costs 2 (2 D H h + 2 D K h + 3 D I) in each of L layers (D width, H heads and K key-value heads of size h, I
    the MLP's inner width); the token at position t costs another 4 H h t per layer for causal attention; a token with
    logits costs another 2 V D.

    Args:
        model: Sizes of the model.
        vocabulary: V.
        prompt: Tokens of the prompt; only the last one has logits.
        continuation: Tokens after the prompt; each is run and has logits.
        with_prompt: Whether the prompt's own pass counts too; otherwise its keys and values are cached.
    """
    width, inner = model.hidden_size, model.intermediate_size
    query, key = model.heads * model.head_dim, model.key_value_heads * model.head_dim
    token = 2 * model.layers * (2 * width * query + 2 * width * key + 3 * width * inner)
    attention, logits = 4 * model.layers * query, 2 * vocabulary * width
    flops = continuation * (token + logits)
    flops += attention * (continuation * prompt + continuation * (continuation + 1) / 2)
    if with_prompt:
        flops += prompt * token + attention * prompt * (prompt + 1) / 2 + logits
    return flops


def step_flops(
    model: ModelConfig,
    vocabulary: int,
    *,
    prompts: int,
    prompt: int,
    rationale: float,
    answer: int,
    rows: int,
    samples: int,
) -> float:
    """FLOPs that one GARL or PAFT step needs, however it is computed.

    The rollout runs each prompt once and N = prompts * samples rationales after it. The update runs each prompt once
    and `rows` continuations of rationale, END_THINK and answer, forward and backward, at three times a forward pass.
    Additional work of an implementation (a prompt run once per row, recomputed activations, padding) is not counted,
    and so lowers the utilisation: step_flops / (seconds * peak FLOP/s).

    Args:
        model: Sizes of the model.
        vocabulary: Size of the vocabulary.
        prompts: B.
        prompt: Tokens of a prompt.
        rationale: Mean tokens of a rationale.
        answer: Tokens of the gold answer, END included.
        rows: Rows with a non-zero coefficient; for PAFT, the distinct rationales that were drawn.
        samples: M.
    """
    length = round(rationale)

    def texts(number: int, continuation: int) -> float:
        run = text_flops(model, vocabulary, prompt, continuation, with_prompt=False)
        first = text_flops(model, vocabulary, prompt, 0, with_prompt=True)
        return number * run + prompts * first

    return texts(prompts * samples, length) + 3 * texts(rows, length + 1 + answer)


def update_flops(shape: Shape) -> float:
    """FLOPs of forward and backward of one group, by `text_flops`, with the prompt run once.

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


def known_peak(device_name: str) -> float | None:
    """The data sheet's bfloat16 FLOP/s of a device, None if the table has none."""
    return next((peak for part, peak in BFLOAT16_PEAK.items() if part in device_name), None)


def utilisation(shape: Shape, seconds: float, card: str) -> float | None:
    """The share of the GPU's peak FLOP/s; None for a GPU whose peak is not known."""
    peak = known_peak(card)
    return None if peak is None else update_flops(shape) / seconds / peak


def measured_peak(device: str, *, size: int, repeats: int = 20) -> float:
    """FLOP/s of a bfloat16 product of two square matrices, the best of three rounds.

    Args:
        device: "cpu" or "cuda".
        size: Rows and columns of each matrix.
        repeats: Products in a round.
    """
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16, generator=generator) for _ in range(2))
    best = 0.0
    for _ in range(4):  # the first round warms up
        _wait(device)
        start = time.perf_counter()
        for _ in range(repeats):
            torch.mm(left, right)
        _wait(device)
        best = max(best, repeats * 2 * size**3 / (time.perf_counter() - start))
    return best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
