"""Measure the effect of baselines on the variance of GARL's gradient on a language model (QC-4)."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients, garl, garl_weighted
from qtrain.callbacks import Callback, RunView
from qtrain.config import Config
from qtrain.policy.model import encode_examples, token_ids
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.tasks import Task
from qtrain.update import backward

PROMPTS = 8
"""Prompts, each with two independent pools."""


class BaselineGain(Callback):
    """Measures the variance with baselines at regular steps from the first on; a measurement costs about 20 steps.

    Args:
        every: Number of steps between measurements.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    def before_step(self, run: RunView, step: int, log_p: float) -> dict[str, float]:
        """Measure if a measurement is due."""
        return baseline_gain(run.model, run.task, run.config, run.rng) if (step - 1) % self.every == 0 else {}


def baseline_gain(model: PreTrainedModel, task: Task, config: Config, rng: np.random.Generator) -> dict[str, float]:
    """Measure at the model's weights and the estimator's q; gradients are overwritten.

    The variance of a pool's gradient around its prompt's own mean comes from the two pools of a prompt, as
    E||g - g'||^2 / 2. The variance of g + beta b, with the plug-in g and the baseline's part b, is least at beta*.

    Args:
        model: The policy.
        task: Source of training prompts.
        config: Provides the estimator's q, rollout budgets and samples.
        rng: Source of randomness.

    Returns:
        variance_none, variance_loo, variance_weighted: the variance without a baseline, with the leave-one-out and with
        the norm-weighted baseline, summed over parameters and averaged over prompts. best_multiplier: beta* of the
        leave-one-out baseline, 0 if that baseline is 0 in every pool.

    Raises:
        ValueError: The estimator has no q.
    """
    q = config.estimator.q
    if q is None:
        raise ValueError(f"{config.estimator} has no q: a baseline's gain is measured on the continuum")
    generator = torch.Generator(model.device).manual_seed(int(rng.integers(2**62)))
    variances, product, square = np.zeros(3), 0.0, 0.0
    examples = [example for example in task.batch(2 * PROMPTS, rng) if not example.group][:PROMPTS]
    for example in examples:
        (g, loo, weighted), other = _parts(model, task, config, [example, example], q, generator)
        d, d_loo, d_weighted = (first - second for first, second in zip((g, loo, weighted), other, strict=True))
        variances += [float(x.square().sum()) / 2 / PROMPTS for x in (d, d + d_loo, d + d_weighted)]
        product += float(d @ d_loo)
        square += float(d_loo @ d_loo)
    return {
        **dict(zip(("variance_none", "variance_loo", "variance_weighted"), variances.tolist(), strict=True)),
        "best_multiplier": -product / square if square > 0 else 0.0,
    }


def _parts(
    model: PreTrainedModel, task: Task, config: Config, examples: list, q: float, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each example's pool: the plug-in gradient, the leave-one-out baseline's part and the weighted one's, (d,)."""
    ids = token_ids(task.tokenizer)
    for example in examples:
        rollouts = roll_out(
            TransformersEngine(model, ids),
            *encode_examples(task.tokenizer, [example]),
            config.rollout.on_policy(config.rollout.samples),
            generator,
            sample_answers=False,
            score_norms=True,
        )
        log_w_BM, norm_BM = rollouts.log_w_BM, rollouts.score_norm_sq_BM
        plain = garl(log_w_BM, q, baseline="none")
        baselines = (garl(log_w_BM, q), garl_weighted(log_w_BM, q, score_norm_sq=norm_BM))
        alone = [
            Coefficients(coefficients.rationale - plain.rationale, torch.zeros_like(plain.answer))
            for coefficients in baselines
        ]
        plug_in, loo, weighted = (_gradient(model, task, rollouts, coefficients) for coefficients in (plain, *alone))
        yield plug_in, loo, weighted


def _gradient(model: PreTrainedModel, task: Task, rollouts: Rollouts, coefficients_BM: Coefficients) -> Tensor:
    """One pool's gradient, all parameters in one float64 vector (d,)."""
    backward(model, token_ids(task.tokenizer), rollouts, coefficients_BM, on_sampled_answers=False)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).double()
