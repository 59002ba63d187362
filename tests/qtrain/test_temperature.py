"""The temperature is the policy's: sampling, log w, update, KL and self-check all divide the logits by it."""

from typing import Any

import numpy as np
import pytest
import torch
from by_definition import gradient, gradient_by_definition, log_probs_alone
from torch import nn
from transformers import Qwen3ForCausalLM

from qtheory.estimators import Coefficients
from qtrain.callbacks import StageClock
from qtrain.config import Config, RolloutConfig
from qtrain.errors import UserError
from qtrain.forward.head import log_probs, weighted_log_probs
from qtrain.policy.model import encode_examples, new_model, token_ids
from qtrain.rollout.mismatch import self_check
from qtrain.rollout.rollouts import roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.rollout.vllm import tempered_weights
from qtrain.runs.state import RandomStates
from qtrain.step import TrainerComponents, compute_gradient, in_one_pass, log_ratio
from qtrain.tasks.base import Task
from qtrain.testbed.p0 import measure_p0, move_p0
from qtrain.update import backward, forward, make_optimizer

T = 0.7


@pytest.mark.parametrize("one_pass", [False, True])
def test_the_update_is_that_of_the_tempered_model(
    one_pass: bool, model: Qwen3ForCausalLM, task: Task, config: Config
) -> None:
    ids, samples = token_ids(task.tokenizer), 8
    settings = RolloutConfig(samples=samples, rationale_budget=5, answer_budget=3, temperature=T)
    prompts, gold = encode_examples(task.tokenizer, task.batch(3, np.random.default_rng(0)))
    engine, generator = TransformersEngine(model, ids), torch.Generator().manual_seed(0)
    rollouts = roll_out(engine, prompts, gold, settings, generator, sample_answers=False)
    forced = rollouts.truncated_BM.flatten().tolist()
    base = new_model(config.model, task.tokenizer, seed=8)
    answers = [answer for answer in gold for _ in range(samples)]

    def by_definition(each_model: Any, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Log p(z|x) and log p(y*|x, z) of each row."""
        with torch.no_grad():
            pairs = [
                log_probs_alone(
                    each_model,
                    ids,
                    prompts[row // samples],
                    rollouts.rationales[row],
                    answers[row],
                    forced=forced[row],
                    temperature=temperature,
                )
                for row in range(len(answers))
            ]
        log_p_z, log_w = np.array([[float(part) for part in pair] for pair in pairs]).T
        return log_p_z, log_w

    log_p_z, log_w = by_definition(model, T)
    np.testing.assert_allclose(rollouts.log_w_BM.flatten(), log_w, rtol=0, atol=3e-5)
    assert rollouts.rationale_log_p is not None
    np.testing.assert_allclose([sum(row) for row in rollouts.rationale_log_p], log_p_z, rtol=0, atol=3e-5)
    ratio_BM = log_ratio(model, base, ids, rollouts, temperature=T)
    np.testing.assert_allclose(ratio_BM.flatten(), log_p_z - by_definition(base, T)[0], rtol=0, atol=5e-5)
    checks = self_check(model, ids, rollouts, settings, step=1)
    assert max(checks["mismatch_largest"], checks["mismatch_log_w"]) < 1e-4
    random = torch.Generator().manual_seed(1)
    coefficients = Coefficients(*torch.randn(2, *rollouts.log_w_BM.shape, generator=random, dtype=torch.float64))
    result = forward(model, ids, rollouts, temperature=T) if one_pass else None
    if result is not None:
        np.testing.assert_allclose(result.log_w_BM.flatten(), log_w, rtol=0, atol=3e-5)
    backward(model, ids, rollouts, coefficients, on_sampled_answers=False, forward_result=result, temperature=T)
    actual = gradient(model)
    expected = gradient_by_definition(model, ids, rollouts, coefficients, answers, temperature=T)
    assert float((actual - expected).norm() / expected.norm()) < 1e-5


def test_tokens_are_drawn_from_the_tempered_model(model: Qwen3ForCausalLM, task: Task) -> None:
    """The first token of 4,000 rationales: a chi-squared statistic of the counts beyond chance is refused."""
    ids, samples = token_ids(task.tokenizer), 4000
    prompts, gold = encode_examples(task.tokenizer, task.batch(1, np.random.default_rng(0)))
    settings = RolloutConfig(samples=samples, rationale_budget=1, answer_budget=3, temperature=T)
    engine, generator = TransformersEngine(model, ids), torch.Generator().manual_seed(0)
    rollouts = roll_out(engine, prompts, gold, settings, generator, sample_answers=False, score=False)
    counts = np.bincount([row[0] for row in rollouts.rationales], minlength=len(task.tokenizer))
    with torch.no_grad():
        logits = model(torch.tensor(prompts)).logits[0, -1].double()

    def statistic(p: torch.Tensor) -> float:
        expected = samples * p.numpy()
        return float(((counts - expected) ** 2 / expected)[expected > 5].sum())

    assert statistic((logits / T).softmax(-1)) < 45  # 17 degrees of freedom: P < 3e-4
    assert statistic(logits.softmax(-1)) > 100


@pytest.mark.parametrize("bias", [False, True])
def test_the_head_divides_logits_and_gradients(bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    head = nn.Linear(6, 2000, bias=bias, dtype=torch.float64)
    states_KD = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    target_K = torch.tensor([0, 1, 1999, 1536, 7])
    coefficient_K = torch.randn(5, generator=generator, dtype=torch.float64)
    log_p_K, gradient_KD = weighted_log_probs(head, states_KD, target_K, coefficient_K, T)
    actual = [gradient_KD, *(parameter.grad for parameter in head.parameters())]
    head.zero_grad()
    leaf_KD = states_KD.clone().requires_grad_()
    expected_K = (head(leaf_KD) / T).log_softmax(-1).gather(1, target_K[:, None])[:, 0]
    (coefficient_K * expected_K).sum().backward()
    for tensor, expected in zip(actual, [leaf_KD.grad, *(p.grad for p in head.parameters())], strict=True):
        torch.testing.assert_close(tensor, expected)
    torch.testing.assert_close(log_p_K, expected_K.detach())
    torch.testing.assert_close(log_probs(head, states_KD, target_K, T), expected_K.detach())


def test_estimators_on_weights_take_a_temperature(config: Config) -> None:
    changed = config.with_values({"rollout.temperature": T, "estimator": "garl:q=.75"})
    assert changed.rollout.off_policy_setting() is None
    assert changed.rollout.on_policy(3).temperature == T


def test_p0_is_that_of_the_tempered_model(config: Config, task: Task, model: Qwen3ForCausalLM) -> None:
    changed = config.with_values({"rollout.temperature": T, "pretrain.p0": 1e-4})
    assert move_p0(model, task, changed)["p0"] == pytest.approx(measure_p0(model, task, changed, seed=1))
    assert measure_p0(model, task, changed, seed=1) == pytest.approx(1e-4, rel=0.3)


def test_weights_for_vllm_divide_the_logits(config: Config, task: Task) -> None:
    tokens = torch.tensor([[4, 5, 6, 7]])
    for tied in (False, True):
        sizes = config.model.model_copy(update={"tied_embeddings": tied})
        model, other = (new_model(sizes, task.tokenizer, seed=seed) for seed in (3, 4))
        other.load_state_dict(dict(tempered_weights(model, T)), strict=not tied)
        with torch.no_grad():
            torch.testing.assert_close(other(tokens).logits, model(tokens).logits / T)
    norm = nn.LayerNorm(16)
    nn.init.ones_(norm.bias)
    model.model.norm = norm  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(UserError, match="no final norm"):
        dict(tempered_weights(model, T))


def test_a_step_takes_the_kl_of_the_tempered_models(model: Qwen3ForCausalLM, task: Task, config: Config) -> None:
    config = config.with_values({"rollout.temperature": T, "train.kl": 0.1})
    ids, base = token_ids(task.tokenizer), new_model(config.model, task.tokenizer, seed=8)
    engine, states = TransformersEngine(model, ids), RandomStates.seeded(0, model.device)
    optimizer = make_optimizer(config.optimizer, model)
    parts = TrainerComponents(config, task, model, engine, optimizer, states, base, StageClock())
    metrics = compute_gradient(parts, config.estimator, 1)
    states = RandomStates.seeded(0, model.device)
    prompts, gold = encode_examples(task.tokenizer, task.batch(config.rollout.prompts, states.batch))
    rollouts = roll_out(engine, prompts, gold, config.rollout, states.tokens, sample_answers=False)
    expected, untempered = (float(log_ratio(model, base, ids, rollouts, temperature=t).mean()) for t in (T, 1.0))
    assert metrics["kl"] == pytest.approx(expected, rel=1e-6)
    assert abs(expected - untempered) > 1e-3 * abs(expected)


@pytest.mark.parametrize(
    ("packed", "tokens"), [(True, 3 + 7 + 4 * (2 * (5 + 2) + 1 + 3)), (False, 2 * 4 * (7 + 5 + 2 + 3))]
)
def test_one_pass_is_taken_if_the_largest_batch_fits(packed: bool, tokens: int, config: Config) -> None:
    """Prompts of 3 and 7 tokens, answers of 1 and 3, 4 rationales of at most 5 tokens and a closer of 2."""
    config = config.with_values({"rollout.samples": 4, "rollout.rationale_budget": 5, "estimator": "garl:q=.5"})
    prompts, gold = [[4] * 3, [4] * 7], [[5], [5] * 3]
    for limit, fits in ((None, True), (tokens, True), (tokens - 1, False)):
        limited = config.with_values({"train.micro_batch_tokens": limit})
        assert in_one_pass(limited, config.estimator, prompts, gold, packed=packed, closer_tokens=2) == fits
    for word in ("grpo", "paft:q=.5"):
        other = config.with_values({"estimator": word}).estimator
        assert not in_one_pass(config, other, prompts, gold, packed=packed)
