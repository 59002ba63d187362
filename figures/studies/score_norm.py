"""Measure ||s||^2, the squared norm of the score s = grad mean log P, which the escape theory takes as constant."""

import math

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtheory.estimators import iwae
from qtrain.callbacks import Callback, RunView
from qtrain.config import Config
from qtrain.policy.model import encode_examples, token_ids
from qtrain.rollout.rollouts import roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.tasks import Task
from qtrain.update import backward

PROMPTS, SAMPLES, CHUNK = 64, 64, 16
"""Prompts of each estimate, rationales per prompt, prompts run at once."""


class ScoreNorm(Callback):
    """Measures ||s||^2 at the first step and whenever log P has moved far enough; each costs about 20 steps.

    Args:
        nats: Distance in log P between measurements.
    """

    def __init__(self, nats: float) -> None:
        self.nats, self.measured_at = nats, math.inf

    def before_step(self, run: RunView, step: int, log_p: float) -> dict[str, float]:
        """Measure if log P has moved far enough."""
        if abs(log_p - self.measured_at) < self.nats:
            return {}
        self.measured_at = log_p
        return {"score_norm_sq": score_norm_sq(run.model, run.task, run.config, run.rng)}

    def state(self) -> dict[str, float]:
        """The log P of the last measurement."""
        return {"measured_at": self.measured_at}

    def load_state(self, state: dict[str, float]) -> None:
        """Restore it."""
        self.measured_at = state["measured_at"]


def score_norm_sq(model: PreTrainedModel, task: Task, config: Config, rng: np.random.Generator) -> float:
    """Estimate ||s||^2 at the model's weights; gradients are overwritten.

    The estimate is the inner product of two independent estimates of s, so that noise does not add its own square. Each
    is the q = 1 estimate over PROMPTS fresh hard prompts with SAMPLES rationales each; its bias is the plug-in's,
    O(1/SAMPLES).

    Args:
        model: The policy.
        task: Source of training prompts.
        config: Provides the rollout budgets.
        rng: Source of randomness.
    """
    first, second = (_score(model, task, config, rng) for _ in range(2))
    return float(first @ second)


def _score(model: PreTrainedModel, task: Task, config: Config, rng: np.random.Generator) -> Tensor:
    """One estimate of s, all parameters in one vector."""
    ids = token_ids(task.tokenizer)
    generator = torch.Generator(model.device).manual_seed(int(rng.integers(2**62)))
    total = torch.zeros(sum(parameter.numel() for parameter in model.parameters()), device=model.device)
    for _ in range(PROMPTS // CHUNK):
        examples = [example for example in task.batch(2 * CHUNK, rng) if not example.group][:CHUNK]
        rollouts = roll_out(
            TransformersEngine(model, ids),
            *encode_examples(task.tokenizer, examples),
            config.rollout.on_policy(SAMPLES),
            generator,
            sample_answers=False,
        )
        backward(model, ids, rollouts, iwae(rollouts.log_w_BM), on_sampled_answers=False)
        total -= torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return total / (PROMPTS // CHUNK)
