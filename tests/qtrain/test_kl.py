"""KL to the base: its coefficients against the gradient of the KL itself, all rationales enumerated."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3ForCausalLM

from qtheory.estimators import Coefficients
from qtrain.config import Config
from qtrain.forward.log_probs import row_log_probs
from qtrain.policy.base import Base
from qtrain.policy.model import encode_examples, new_model, token_ids
from qtrain.rollout.rollouts import roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.runs.folder import read_jsonl
from qtrain.step import log_ratio, with_kl
from qtrain.tasks.base import Task
from qtrain.trainer import train
from qtrain.update import backward


def exact_kl(model: Qwen3ForCausalLM, base: Qwen3ForCausalLM, task: Task, prompt: list[int]) -> torch.Tensor:
    """KL(p(z|x) || base's) by the sum over all rationales of one token."""
    ids, tokens = token_ids(task.tokenizer), range(len(task.tokenizer))
    log_p, log_base = (
        row_log_probs(
            one,
            ids,
            [prompt for _ in tokens],
            [[token] for token in tokens],
            [token != ids.closer[0] for token in tokens],
            [[] for _ in tokens],
        ).rationale_N
        for one in (model, base)
    )
    return (log_p.exp() * (log_p - log_base.detach())).sum()


def test_the_gradient_is_that_of_the_kl(model: Qwen3ForCausalLM, config: Config, task: Task) -> None:
    config = config.with_values({"rollout.rationale_budget": 1})
    base, ids = new_model(config.model, task.tokenizer, seed=8), token_ids(task.tokenizer)
    prompts, gold = encode_examples(task.tokenizer, task.batch(1, np.random.default_rng(0)))
    model.zero_grad()
    kl = exact_kl(model, base, task, prompts[0])
    kl.backward()
    wanted = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    generator, estimates, means = torch.Generator().manual_seed(0), [], []
    for _ in range(120):
        rollouts = roll_out(
            TransformersEngine(model, ids), prompts, gold, config.rollout, generator, sample_answers=False
        )
        ratio = log_ratio(model, base, ids, rollouts, micro_batch_tokens=20)
        zero = torch.zeros_like(ratio)
        backward(model, ids, rollouts, with_kl(Coefficients(zero, zero), ratio, 1.0), on_sampled_answers=False)
        estimates.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
        means.append(float(ratio.mean()))
    found = torch.stack(estimates)
    # Along the wanted direction: one number a draw, and its own error.
    along = found @ wanted / wanted.norm()
    assert abs(float(along.mean() - wanted.norm())) < 4 * float(along.std()) / 120**0.5
    assert float(along.std()) / 120**0.5 < 0.15 * float(wanted.norm())
    assert np.mean(means) == pytest.approx(float(kl.detach()), abs=4 * np.std(means) / 120**0.5)


def test_one_rationale_alone_has_no_baseline() -> None:
    ones = torch.ones(2, 1, dtype=torch.float64)
    assert with_kl(Coefficients(ones, ones), 3 * ones, 0.5).rationale.tolist() == [[-0.5], [-0.5]]
    two = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    assert with_kl(Coefficients(0 * two, 0 * two), two, 0.5).rationale.tolist() == [[1.0, -1.0]]


@pytest.mark.slow
def test_a_run_stays_nearer_to_its_base(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    config = config.with_values({"train.steps": 16, "optimizer.lr": 0.02, "rollout.samples": 16})
    last = {}
    for weight in (1e-12, 0.5):
        train(config.with_values({"train.kl": weight}), task, base, tmp_path / str(weight))
        rows = read_jsonl(tmp_path / str(weight) / "metrics.jsonl")
        assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-6)
        last[weight] = rows[-1]["kl"]
    assert last[0.5] < 0.5 * last[1e-12]
