"""The two sides of utilisation: the floating-point operations that a step needs, and what the device has to give."""

import time

import torch

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
"""Dense bfloat16 FLOP/s with float32 accumulation by a part of the device's name, from the vendor's data sheets.

The first part that a name holds counts."""


def text_flops(model: ModelConfig, vocabulary: int, prompt: int, continuation: int, *, with_prompt: bool) -> float:
    """FLOPs of one forward pass over a text: two for each multiply-add of a matrix product, none for anything else.

    A token costs 2 (2 D H h + 2 D K h + 3 D I) in each of L layers (D width, H heads and K key-value heads of size h, I
    the MLP's inner width); the token at position t costs another 4 H h t a layer for attention, which is causal; one
    whose next token is predicted costs 2 V D for the logits.

    Args:
        model: The sizes.
        vocabulary: V.
        prompt: Tokens before the continuation; of these only the last one has logits.
        continuation: Tokens behind the prompt; each is run, and has logits.
        with_prompt: Whether the prompt's own pass counts too, or its keys and values are at hand.
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

    The rollout runs each prompt once and N = prompts * samples rationales behind it. The update runs each prompt once
    and `rows` texts of rationale, END_THINK and answer behind it, forward and backward, at three times a forward pass.
    What an implementation does beyond that (a prompt run once a row, activations computed twice, padding) is not
    counted, and so lowers the utilisation: step_flops / (seconds * peak FLOP/s).

    Args:
        model: The sizes.
        vocabulary: Tokens in all.
        prompts: B.
        prompt: Tokens of a prompt.
        rationale: Mean tokens of a rationale.
        answer: Tokens of the gold answer, END included.
        rows: Rows with a coefficient other than zero; of PAFT, the distinct rationales that were drawn.
        samples: M.
    """
    length = round(rationale)

    def texts(number: int, continuation: int) -> float:
        run = text_flops(model, vocabulary, prompt, continuation, with_prompt=False)
        first = text_flops(model, vocabulary, prompt, 0, with_prompt=True)
        return number * run + prompts * first

    return texts(prompts * samples, length) + 3 * texts(rows, length + 1 + answer)


def known_peak(device_name: str) -> float | None:
    """The data sheet's bfloat16 FLOP/s of a device, None where the table has none."""
    return next((peak for part, peak in BFLOAT16_PEAK.items() if part in device_name), None)


def measured_peak(device: str, *, size: int, repeats: int = 20) -> float:
    """FLOP/s of a bfloat16 product of two square matrices, the best of three rounds.

    Args:
        device: Where.
        size: Rows and columns of each matrix.
        repeats: Products in a round.
    """
    generator = torch.Generator(device).manual_seed(0)
    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16, generator=generator) for _ in range(2))
    best = 0.0
    for _ in range(4):  # the first round warms up
        _wait(device)
        start = time.perf_counter()
        for _ in range(repeats):
            torch.mm(one, other)
        _wait(device)
        best = max(best, repeats * 2 * size**3 / (time.perf_counter() - start))
    return best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
