"""A model and vLLM with its weights, for the tests of the engine."""

from dataclasses import dataclass, field

import torch
from transformers import Qwen3ForCausalLM

from qtrain.config import Config
from qtrain.policy.adapters import add_adapters
from qtrain.policy.model import new_model, token_ids
from qtrain.rollout.vllm import VllmEngine
from qtrain.tasks import make_task
from qtrain.tasks.base import Task

MODELS = {
    "untied": {},
    "tied": {"model.tied_embeddings": True},
    "bfloat16": {"rollout.vllm.dtype": "bfloat16"},
    "lora": {"lora": {"rank": 4}},
}
"""vLLM allows one engine a process, so each of these needs a call of pytest of its own."""


@dataclass
class Pair:
    """A model and vLLM with its weights.

    Attributes:
        tolerance: How far apart their log-probabilities of a token may be, in nats.
        measured: Largest difference after each push of weights: of a rationale's token, and of log w.
    """

    config: Config
    task: Task
    model: Qwen3ForCausalLM
    engine: VllmEngine
    tolerance: float
    measured: list[tuple[float, float]] = field(default_factory=list)

    def move(self, seed: int) -> None:
        """Put other weights into the model; vLLM does not know of them yet."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.add_(0.03 * torch.randn(parameter.shape, generator=generator))


def make_pair(name: str) -> Pair:
    """Random weights, distributions far from uniform, prompts of two lengths; `name` is one of MODELS."""
    config = Config.model_validate(
        {
            "name": "tiny",
            "task": {"name": "digit_sum", "variant": "mixed", "digits": 3},
            # The smallest head that vLLM has on a CPU.
            "model": {"hidden_size": 64, "head_dim": 32, "heads": 2, "key_value_heads": 1},
            "rollout": {"engine": "vllm", "prompts": 6, "samples": 8, "rationale_budget": 7},
        }
    ).with_values(MODELS[name])
    task = make_task(config.task, None)
    model = new_model(config.model, task.tokenizer, seed=3)
    with torch.no_grad():
        # Tied, a token would otherwise be followed by itself. bfloat16's error grows with the logits.
        model.lm_head.weight.mul_({"untied": 5.0, "tied": 1.5, "bfloat16": 2.0, "lora": 5.0}[name])
    if config.lora is not None:
        add_adapters(model, config.lora, seed=4)
    engine = VllmEngine(model, token_ids(task.tokenizer), config.rollout)
    return Pair(config, task, model, engine, tolerance=0.2 if name == "bfloat16" else 1e-4)
