"""Pre-train the testbed's base models with cross-entropy on a task's demonstrations."""

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import PreTrainedModel, get_cosine_schedule_with_warmup

from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.forward.log_probs import row_log_probs
from qtrain.policy.device import find_device
from qtrain.policy.model import encode, new_model, token_ids
from qtrain.tasks import Task

Progress = Callable[[int, int, float], None]
"""Called with (step, steps, loss in nats per text)."""

WARMUP_STEPS = 100

# Part of every base's hash: increase it when a change here or in a task's demonstrations changes the weights.
FORMAT = 1


def pretrain(config: Config, task: Task, progress: Progress | None) -> tuple[PreTrainedModel, dict]:
    """Train a model from random weights.

    Args:
        config: Its `model`, `pretrain` and `train.device`.
        task: Source of the demonstrations.
        progress: Called after each step.

    Returns:
        The model, and its `pretrain_loss` (nats per text; None without a step) and `pretrain_seconds`.

    Raises:
        UserError: The loss is not finite.
    """
    settings = config.pretrain
    model: PreTrainedModel = new_model(config.model, task.tokenizer, settings.seed)
    model.to(find_device(config.train.device))  # pyright: ignore[reportArgumentType]
    ids = token_ids(task.tokenizer, config.rollout)
    rng = np.random.default_rng([settings.seed, FORMAT])
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP_STEPS, settings.steps)
    start = time.perf_counter()
    loss = math.nan
    for step in range(settings.steps):
        batch = task.demonstrations(settings.batch, rng)
        log_probs = row_log_probs(
            model,
            ids,
            encode(task.tokenizer, [text.prompt for text in batch]),
            encode(task.tokenizer, [text.completion for text in batch]),
            [False] * len(batch),
            [[]] * len(batch),
        )
        mean = -log_probs.rationale_N.mean()
        optimizer.zero_grad()
        mean.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        loss = float(mean.detach())
        if not math.isfinite(loss):
            # Raised before anything is cached, since every later run would reuse a broken base.
            raise UserError(f"pre-training diverged at step {step + 1}: lower pretrain.lr={settings.lr:g}")
        if progress:
            progress(step + 1, settings.steps, loss)
    return model, {
        "pretrain_loss": None if math.isnan(loss) else loss,
        "pretrain_seconds": time.perf_counter() - start,
    }
