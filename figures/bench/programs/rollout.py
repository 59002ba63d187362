"""Time the sampling of rationales: this project's engines, and `model.generate()` of transformers."""

from typing import Any

import torch
from scipy.optimize import brentq
from transformers import GenerationConfig, Qwen3ForCausalLM

from figures.bench.process import Clock, serve
from figures.bench.workload import IDS, Shape, make_model, make_work
from qtrain.config import RolloutConfig, VllmConfig
from qtrain.rollout import make_engine

_CONSTANT = 0.3  # about the norm of an embedding: half of a hidden state's square is then the same at every position


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Time rollouts; see `figures.bench.suites.rollout` for the settings."""
    device, shape = torch.device(settings["device"]), Shape.of(settings["shape"])
    model = make_model(shape, device)
    prompt = make_work(shape).rollouts.prompts[0]
    if settings["mean_length"] is not None:
        stop_after(model, prompt, settings["mean_length"])
    sample = _generate if settings["contender"] == "generate" else _engine
    roll_out = sample(model, prompt, shape, settings["contender"])
    roll_out(2)
    clock, lengths = Clock(device), []
    for _ in range(settings["updates"]):
        clock.start()
        counts = roll_out(shape.completion)
        clock.stop()
        lengths.append(counts)
    return {**clock.result(), "tokens": [sum(counts) for counts in lengths]}


@torch.no_grad()
def stop_after(model: Qwen3ForCausalLM, prompt: list[int], mean: float) -> None:
    """Make END_THINK as likely as 1/mean, on average over the prompt's last tokens.

    The first coordinate of every embedding is set to one constant, which shifts all logits alike; END_THINK's embedding
    has that coordinate alone, scaled to give the wanted probability.
    """
    table = model.model.embed_tokens.weight
    table[:, 0] = _CONSTANT
    table[IDS.closer[0]] = 0
    tokens = torch.tensor([prompt], device=model.device)
    states_PD = model.model(input_ids=tokens, use_cache=False).last_hidden_state[0, -256:]
    others_P = (states_PD @ table.T).logsumexp(-1)

    def too_likely(value: float) -> float:
        return float((value * states_PD[:, 0] - others_P).sigmoid().mean()) - 1 / mean

    output: Any = brentq(too_likely, 0, 1e3)
    table[IDS.closer[0], 0] = output


def _engine(model: Qwen3ForCausalLM, prompt: list[int], shape: Shape, contender: str) -> Any:
    engine, generator = None, torch.Generator(model.device).manual_seed(0)

    def roll_out(budget: int) -> list[int]:
        nonlocal engine
        config = RolloutConfig(
            prompts=1,
            samples=shape.samples,
            rationale_budget=budget,
            engine="vllm" if contender == "vllm" else "transformers",
            vllm=VllmConfig(),
        )
        engine = engine or make_engine(config, model, IDS)
        noise = engine.noise(generator, 1, shape.samples, budget)
        sampled = engine.start([prompt], config).rationales(noise, score_norms=False)
        return [len(row) for row in sampled.tokens]

    return roll_out


def _generate(model: Qwen3ForCausalLM, prompt: list[int], shape: Shape, _: str) -> Any:
    def roll_out(budget: int) -> list[int]:
        config = GenerationConfig(
            do_sample=True,
            top_k=0,  # off: the default of 50 would change the model's distribution
            num_return_sequences=shape.samples,
            max_new_tokens=budget,
            eos_token_id=IDS.closer[0],
            pad_token_id=IDS.pad,
        )
        tokens = torch.tensor([prompt], device=model.device)
        rows = generate(tokens, attention_mask=torch.ones_like(tokens), generation_config=config)
        return (rows[:, len(prompt) :] != IDS.pad).sum(1).tolist()

    generate = getattr(model, "generate")  # noqa: B009  its type requires attributes that only models from a hub have
    torch.manual_seed(0)  # generate() draws from the global generator alone
    return roll_out


if __name__ == "__main__":
    serve(measure)
