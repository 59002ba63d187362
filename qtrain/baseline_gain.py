"""What a baseline does to the variance of GARL's gradient on a language model, and its best multiple (QC-4)."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients, garl, garl_weighted
from qtrain.config import Config
from qtrain.model import encode_examples, token_ids
from qtrain.rollouts import Rollouts, roll_out
from qtrain.tasks import Task
from qtrain.update import backward

PROMPTS = 16
"""Prompts, each with two independent pools."""


def baseline_gain(model: PreTrainedModel, task: Task, config: Config, rng: np.random.Generator) -> dict[str, float]:
    """Measure, at the model's weights and the estimator's q; gradients are overwritten.

    With a pool's plug-in gradient g and the baseline's part b, whose mean is 0 (Prop 6.2), the variance of g + beta b
    around each prompt's own mean is Var(g) + 2 beta E<g, b> + beta^2 E||b||^2. Var(g) comes from the two pools of a
    prompt, E||g - g'||^2 / 2.

    Args:
        model: The policy.
        task: Source of training prompts.
        config: Its estimator's q, rollout budgets and samples are read.
        rng: Source of randomness.

    Returns:
        best_multiplier: beta* = -E<g, b>/E||b||^2. variance_loo, variance_weighted, variance_best: the variance with
        the leave-one-out baseline, with the norm-weighted one and with beta* times the first, over that without any.

    Raises:
        ValueError: The estimator has no q.
    """
    q = config.estimator.q
    if q is None:
        raise ValueError(f"{config.estimator} has no q: a baseline's gain is measured on the continuum")
    generator = torch.Generator(model.device).manual_seed(int(rng.integers(2**62)))
    variance, loo, weighted = 0.0, np.zeros(2), np.zeros(2)
    examples = [example for example in task.batch(2 * PROMPTS, rng) if not example.easy][:PROMPTS]
    for example in examples:
        plain = []
        for parts in _parts(model, task, config, [example, example], q, generator):
            g, by_loo, by_weighted = parts
            plain.append(g)
            loo += [float(g @ by_loo), float(by_loo @ by_loo)]
            weighted += [float(g @ by_weighted), float(by_weighted @ by_weighted)]
        variance += float((plain[0] - plain[1]).square().sum())
    return {
        "best_multiplier": -loo[0] / loo[1],
        "variance_loo": 1 + (2 * loo[0] + loo[1]) / variance,
        "variance_weighted": 1 + (2 * weighted[0] + weighted[1]) / variance,
        "variance_best": 1 - loo[0] ** 2 / loo[1] / variance,
    }


def _parts(
    model: PreTrainedModel, task: Task, config: Config, examples: list, q: float, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each example's pool: the plug-in gradient, the leave-one-out baseline's part and the weighted one's, (d,)."""
    ids = token_ids(task.tokenizer)
    for example in examples:
        rollouts = roll_out(
            model,
            ids,
            *encode_examples(task.tokenizer, [example]),
            config.rollout,
            generator,
            sample_answers=False,
            score_norms=True,
        )
        log_w_BM, norm_BM = rollouts.log_w_BM, rollouts.score_norm_sq_BM
        plain = garl(log_w_BM, q, baseline="none")
        baselines = (garl(log_w_BM, q), garl_weighted(log_w_BM, q, score_norm_sq=norm_BM))
        alone = [Coefficients(one.rationale - plain.rationale, torch.zeros_like(plain.answer)) for one in baselines]
        yield tuple(_gradient(model, task, rollouts, one) for one in (plain, *alone))


def _gradient(model: PreTrainedModel, task: Task, rollouts: Rollouts, coefficients_BM: Coefficients) -> Tensor:
    """One pool's gradient, all parameters in one float64 vector (d,)."""
    backward(model, token_ids(task.tokenizer), rollouts, coefficients_BM, on_sampled_answers=False)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).double()
