"""The update against the definition: its gradient is the estimator's sum of scores, by autograd per sample."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from by_definition import gradient, gradient_by_definition
from torch import nn
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from qtheory.estimators import Coefficients
from qtrain.config import Config, EstimatorChoice, OptimizerConfig
from qtrain.policy.device import autocast, use_float32_head
from qtrain.policy.model import TokenIds, encode_examples, new_model, token_ids
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.tasks.base import Task
from qtrain.update import backward, clip_gradient, enable_recomputing, gradient_norm, make_optimizer

ESTIMATORS = ["garl:q=0.75", "garl:q=1", "rb_rloo", "paft:q=0.5", "grpo", "rloo", "maxrl", "star"]
ESTIMATORS += ["bound:q=0.5", "jepo", "logprob", "logprob_mean", "rb_pkpo:k=2", "pkpo:k=2", "sign"]


@pytest.fixture
def ids(task: Task) -> TokenIds:
    return token_ids(task.tokenizer)


@pytest.fixture
def rollouts(model: Qwen3ForCausalLM, task: Task, config: Config, ids: TokenIds) -> Rollouts:
    """A batch with some rewards of 1: the gold answer of each prompt is replaced by one of its sampled answers."""
    examples = task.batch(4, np.random.default_rng(0))
    prompts, gold = encode_examples(task.tokenizer, examples)
    generator = torch.Generator().manual_seed(0)
    found = roll_out(TransformersEngine(model, ids), prompts, gold, config.rollout, generator, sample_answers=True)
    assert found.answers is not None
    samples = config.rollout.samples
    new_gold = [found.answers[index * samples] for index in range(len(gold))]
    reward = torch.tensor([float(answer == new_gold[row // samples]) for row, answer in enumerate(found.answers)])
    return Rollouts(
        found.prompts,
        new_gold,
        found.rationales,
        found.truncated_BM,
        found.log_w_BM,
        found.answers,
        reward.double().reshape(len(gold), samples),
    )


@pytest.mark.parametrize("word", ESTIMATORS)
def test_gradient_is_the_estimate(word: str, model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts) -> None:
    choice = EstimatorChoice.parse(word)
    lengths = [*map(len, rollouts.gold)]
    coefficients = choice.coefficients(
        rollouts.log_w_BM, rollouts.reward_BM, np.random.default_rng(0), answer_length_B=lengths
    )
    done = backward(model, ids, rollouts, coefficients, on_sampled_answers=choice.needs_reward)
    found = gradient(model)
    assert rollouts.answers is not None
    gold = [answer for answer in rollouts.gold for _ in range(rollouts.log_w_BM.shape[1])]
    answers = rollouts.answers if choice.needs_reward else gold
    expected = gradient_by_definition(model, ids, rollouts, coefficients, answers)
    assert expected.norm() > 0
    assert float((found - expected).norm() / expected.norm()) < 1e-5
    assert done.rows == int(((coefficients.rationale != 0) | (coefficients.answer != 0)).sum())


def test_rows_without_coefficients_are_left_out_and_change_nothing(
    model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts
) -> None:
    shape = rollouts.log_w_BM.shape
    none = Coefficients(torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64))
    assert backward(model, ids, rollouts, none, on_sampled_answers=False)[:2] == (0.0, 0)
    assert gradient_norm(model) == 0


def test_rewards_need_sampled_answers(model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts) -> None:
    without = Rollouts(
        rollouts.prompts, rollouts.gold, rollouts.rationales, rollouts.truncated_BM, rollouts.log_w_BM, None, None
    )
    ones = torch.ones_like(rollouts.log_w_BM)
    with pytest.raises(ValueError, match="sample_answers=True"):
        backward(model, ids, without, Coefficients(ones, ones), on_sampled_answers=True)


def test_clipping_keeps_the_direction(model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts) -> None:
    ones = torch.ones_like(rollouts.log_w_BM)
    backward(model, ids, rollouts, Coefficients(ones, ones), on_sampled_answers=False)
    before, norm = gradient(model), gradient_norm(model)
    assert norm == pytest.approx(float(before.norm()), rel=1e-6)
    clip_gradient(model, norm, norm * 2)
    assert torch.equal(gradient(model), before)
    clip_gradient(model, norm, norm / 4)
    torch.testing.assert_close(gradient(model), before / 4)


def test_sgd_step_is_minus_lr_times_gradient(model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts) -> None:
    optimizer = make_optimizer(OptimizerConfig(name="sgd", lr=0.5), model)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    ones = torch.ones_like(rollouts.log_w_BM)
    backward(model, ids, rollouts, Coefficients(ones, ones), on_sampled_answers=False)
    optimizer.step()
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    torch.testing.assert_close(after, before - 0.5 * gradient(model))


def test_adam_moves_on_without_a_gradient(model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts) -> None:
    """A batch of equal rewards is a step with gradient zero, as in other trainers: momentum still moves the weights."""
    optimizer = make_optimizer(OptimizerConfig(name="adamw", lr=1e-2), model)
    ones = torch.ones_like(rollouts.log_w_BM)
    backward(model, ids, rollouts, Coefficients(ones, ones), on_sampled_answers=False)
    optimizer.step()
    before = model.lm_head.weight.detach().clone()
    backward(model, ids, rollouts, Coefficients(0 * ones, 0 * ones), on_sampled_answers=False)
    optimizer.step()
    assert not torch.equal(model.lm_head.weight, before)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_steps_are_those_of_the_definition(name: Literal["sgd", "adamw"]) -> None:
    """SGD without momentum; Adam's bias-corrected moments (Kingma & Ba 2015) without weight decay, in float64."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = make_optimizer(OptimizerConfig(name=name, lr=0.1, eps=1e-3), model)
    expected = model.weight.detach().double()
    first, second = torch.zeros_like(expected), torch.zeros_like(expected)
    for step in range(1, 4):
        model.weight.grad = torch.randn(3, 4, generator=generator)
        model.bias.grad = torch.zeros(3)
        gradient = model.weight.grad.double()
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        corrected = (second / (1 - 0.999**step)).sqrt()
        adam = first / (1 - 0.9**step) / (corrected + 1e-3)
        expected = expected - 0.1 * (gradient if name == "sgd" else adam)
        optimizer.step()
        torch.testing.assert_close(model.weight.detach().double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("word", ["garl:q=0.75", "paft:q=0.5", "rloo"])
@pytest.mark.parametrize("tokens", [1, 10, 30, 100, 10000])
def test_micro_batches_do_not_change_the_result(
    word: str, tokens: int, model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts
) -> None:
    """24 rows in 4 pools, some of them left out: each part is divided by the rows of the whole batch."""
    choice = EstimatorChoice.parse(word)
    coefficients = choice.coefficients(rollouts.log_w_BM, rollouts.reward_BM, np.random.default_rng(1))
    whole = backward(model, ids, rollouts, coefficients, on_sampled_answers=choice.needs_reward)
    wanted = gradient(model)
    done = backward(
        model, ids, rollouts, coefficients, on_sampled_answers=choice.needs_reward, micro_batch_tokens=tokens
    )
    assert done.rows == whole.rows
    assert done.surrogate == pytest.approx(whole.surrogate, rel=1e-6)
    assert float((gradient(model) - wanted).norm() / wanted.norm()) < 1e-6


def test_gradient_checkpointing_does_not_change_the_result(
    model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts
) -> None:
    ones = torch.ones_like(rollouts.log_w_BM)
    tokens = sum(map(len, rollouts.prompts)) + sum(map(len, rollouts.rationales)) + 24 * 4
    settings: dict[str, Any] = {"on_sampled_answers": False, "micro_batch_tokens": tokens // 2 + 20}
    backward(model, ids, rollouts, Coefficients(ones, ones), **settings)
    wanted, calls = gradient(model), 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    enable_recomputing(model)
    next(one for one in model.modules() if isinstance(one, Qwen3RMSNorm)).register_forward_hook(count)
    backward(model, ids, rollouts, Coefficients(ones, ones), **settings, recompute=True)
    # Each of the two passes runs it forward, and once more in the backward pass.
    assert calls == 4
    assert not model.training
    assert float((gradient(model) - wanted).norm() / wanted.norm()) < 1e-6


@pytest.mark.parametrize("tied", [False, True])
def test_bfloat16_is_rough_in_the_layers_alone(
    tied: bool, config: Config, task: Task, ids: TokenIds, rollouts: Rollouts
) -> None:
    """Logits are those of float32 on the rough states; weights and their gradients stay in float32 and complete."""
    model = new_model(config.model.model_copy(update={"tied_embeddings": tied}), task.tokenizer, seed=3)
    ones = torch.ones_like(rollouts.log_w_BM)
    backward(model, ids, rollouts, Coefficients(ones, ones), on_sampled_answers=False)
    wanted, names = gradient(model), set(model.state_dict())
    use_float32_head(model)
    assert set(model.state_dict()) == names
    tokens = torch.tensor([rollouts.prompts[0]])
    with torch.no_grad(), autocast("bfloat16", model.device):
        states = model.model(input_ids=tokens, use_cache=False).last_hidden_state
        logits = model(input_ids=tokens, use_cache=False).logits
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, states.float() @ model.lm_head.weight.T)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    backward(model, ids, rollouts, Coefficients(ones, ones), on_sampled_answers=False, dtype="bfloat16")
    assert all(p.grad is not None and p.grad.dtype == torch.float32 and p.grad.any() for p in model.parameters())
    error = float((gradient(model) - wanted).norm() / wanted.norm())
    assert 0.01 < error < 0.06
