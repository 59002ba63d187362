"""Rollouts against the definition: each row alone, without cache, mask, padding or batch."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pytest
import torch
from transformers import Qwen3ForCausalLM

from qtrain.config import Config, RolloutConfig
from qtrain.errors import UserError
from qtrain.forward.log_probs import row_log_probs
from qtrain.policy.model import TokenIds, encode_examples, token_ids
from qtrain.rollout.engine import Diverged, RolloutBatch
from qtrain.rollout.memory import ModelSize
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.shared_prompt import SharedPromptCache
from qtrain.rollout.transformers import TransformersEngine, _CachedBatch
from qtrain.tasks.base import Task


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def ids(task: Task) -> TokenIds:
    return token_ids(task.tokenizer)


@pytest.fixture
def engine(model: Qwen3ForCausalLM, ids: TokenIds) -> TransformersEngine:
    return TransformersEngine(model, ids)


@pytest.fixture
def rollouts(engine: TransformersEngine, task: Task, config: Config) -> Rollouts:
    examples = task.batch(6, np.random.default_rng(0))
    return roll_out(
        engine, *encode_examples(task.tokenizer, examples), config.rollout, generator(), sample_answers=True
    )


@torch.no_grad()
def alone(model: Qwen3ForCausalLM, context: list[int], target: list[int]) -> float:
    """Log p(target | context), token by token, one plain forward pass each."""
    total = 0.0
    for token in target:
        total += float(model(torch.tensor([context])).logits[0, -1].double().log_softmax(-1)[token])
        context = [*context, token]
    return total


def closed(rollouts: Rollouts, row: int, ids: TokenIds) -> list[int]:
    """Prompt, rationale and END_THINK of one row."""
    samples = rollouts.log_w_BM.shape[1]
    forced = bool(rollouts.truncated_BM.flatten()[row])
    return rollouts.prompts[row // samples] + rollouts.rationales[row] + [ids.closer[0]] * forced


def test_rows_are_ragged_in_every_way(rollouts: Rollouts) -> None:
    """Otherwise the tests below would show less than they say."""
    assert len({len(prompt) for prompt in rollouts.prompts}) > 1
    assert len({len(rationale) for rationale in rollouts.rationales}) > 2
    assert 0 < rollouts.truncated_BM.sum() < rollouts.truncated_BM.numel()
    assert rollouts.answers is not None
    assert len({len(answer) for answer in rollouts.answers}) > 1


def test_log_w_is_the_likelihood_of_each_row_alone(model: Qwen3ForCausalLM, rollouts: Rollouts, ids: TokenIds) -> None:
    samples = rollouts.log_w_BM.shape[1]
    expected = [
        alone(model, closed(rollouts, row, ids), rollouts.gold[row // samples])
        for row in range(rollouts.log_w_BM.numel())
    ]
    assert rollouts.log_w_BM.dtype == torch.float64
    np.testing.assert_allclose(rollouts.log_w_BM.flatten().numpy(), expected, rtol=0, atol=2e-5)


def test_prompts_that_go_a_few_at_a_time_give_the_same_rollouts(
    engine: TransformersEngine, task: Task, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = encode_examples(task.tokenizer, task.batch(6, np.random.default_rng(0)))
    settings = config.rollout
    whole = roll_out(engine, *encoded, settings, generator(), sample_answers=True, score_norms=True)
    start, sizes = engine.start, []

    def noted(prompts: Sequence[list[int]], config: RolloutConfig) -> RolloutBatch:
        sizes.append(len(prompts))
        return start(prompts, config)

    monkeypatch.setattr(engine, "start", noted)
    settings = settings.model_copy(update={"prompts_at_once": 4})
    parts = roll_out(engine, *encoded, settings, generator(), sample_answers=True, score_norms=True)
    assert sizes == [4, 2]
    for field in fields(Rollouts):
        expected, found = getattr(whole, field.name), getattr(parts, field.name)
        if isinstance(expected, torch.Tensor):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)
        elif field.name == "rationale_log_p":
            for row, of_whole in zip(found, expected, strict=True):
                np.testing.assert_allclose(row, of_whole, rtol=0, atol=2e-5)
        else:
            assert found == expected


def test_score_norms_are_those_of_autograd_on_each_rows_logits(
    model: Qwen3ForCausalLM, engine: TransformersEngine, task: Task, config: Config
) -> None:
    examples = task.batch(6, np.random.default_rng(0))
    prompts, gold = encode_examples(task.tokenizer, examples)
    plain = roll_out(engine, prompts, gold, config.rollout, generator(), sample_answers=False)
    noted = roll_out(engine, prompts, gold, config.rollout, generator(), sample_answers=False, score_norms=True)
    assert plain.score_norm_sq_BM is None
    assert noted.rationales == plain.rationales
    assert noted.score_norm_sq_BM is not None
    samples = config.rollout.samples
    for row, rationale in enumerate(noted.rationales):
        prompt = prompts[row // samples]
        logits = model(torch.tensor([prompt + rationale])).logits[0, len(prompt) - 1 : -1].detach().requires_grad_()
        logits.log_softmax(-1)[torch.arange(len(rationale)), rationale].sum().backward()
        assert logits.grad is not None
        assert float(noted.score_norm_sq_BM.flatten()[row]) == pytest.approx(float(logits.grad.square().sum()), 1e-4)


def test_the_rationales_log_probs_are_those_of_each_row_alone(
    model: Qwen3ForCausalLM, rollouts: Rollouts, ids: TokenIds
) -> None:
    assert rollouts.rationale_log_p is not None
    for row, (rationale, log_p) in enumerate(zip(rollouts.rationales, rollouts.rationale_log_p, strict=True)):
        prompt = rollouts.prompts[row // rollouts.log_w_BM.shape[1]]
        expected = [alone(model, prompt + rationale[:place], [token]) for place, token in enumerate(rationale)]
        np.testing.assert_allclose(log_p, expected, rtol=0, atol=2e-5)


def test_row_log_probs_are_those_of_each_row_alone(model: Qwen3ForCausalLM, rollouts: Rollouts, ids: TokenIds) -> None:
    samples = rollouts.log_w_BM.shape[1]
    rows = range(rollouts.log_w_BM.numel())
    assert rollouts.answers is not None
    found = row_log_probs(
        model,
        ids,
        [rollouts.prompts[row // samples] for row in rows],
        rollouts.rationales,
        rollouts.truncated_BM.flatten().tolist(),
        rollouts.answers,
    )
    # The forced END_THINK is in the context of the answer and has no term of its own.
    rationale = [alone(model, rollouts.prompts[row // samples], rollouts.rationales[row]) for row in rows]
    answer = [alone(model, closed(rollouts, row, ids), rollouts.answers[row]) for row in rows]
    np.testing.assert_allclose(found.rationale_N.detach().numpy(), rationale, rtol=0, atol=2e-5)
    np.testing.assert_allclose(found.answer_N.detach().numpy(), answer, rtol=0, atol=2e-5)


def test_rationales_end_at_end_think_or_at_the_budget(rollouts: Rollouts, config: Config, ids: TokenIds) -> None:
    for rationale, forced in zip(rollouts.rationales, rollouts.truncated_BM.flatten().tolist(), strict=True):
        assert ids.closer[0] not in rationale[:-1]
        assert forced == (rationale[-1] != ids.closer[0])
        assert len(rationale) == config.rollout.rationale_budget if forced else len(rationale) >= 1


def test_reward_is_exact_match_of_the_tokens(rollouts: Rollouts) -> None:
    assert rollouts.answers is not None
    assert rollouts.reward_BM is not None
    samples = rollouts.log_w_BM.shape[1]
    expected = [float(answer == rollouts.gold[row // samples]) for row, answer in enumerate(rollouts.answers)]
    assert rollouts.reward_BM.flatten().tolist() == expected


def test_samples_have_the_models_frequencies(
    model: Qwen3ForCausalLM, engine: TransformersEngine, task: Task, ids: TokenIds
) -> None:
    """First rationale tokens against the model's distribution, and mean reward against mean w (Prop A.1)."""
    examples = task.batch(1, np.random.default_rng(1))
    prompts, _ = encode_examples(task.tokenizer, examples)
    with torch.no_grad():
        p_V = model(torch.tensor(prompts)).logits[0, -1].double().softmax(-1).numpy()
        # The answer that the model likes best after an empty rationale, so that rewards are not all 0.
        context = torch.tensor([[*prompts[0], ids.closer[0]]])
        likely = int(model(context).logits[0, -1].argmax())
    draws = 20_000
    settings = RolloutConfig(prompts=1, samples=draws, rationale_budget=1, answer_budget=1)
    rollouts = roll_out(engine, prompts, [[likely]], settings, generator(5), sample_answers=True)
    counts = np.bincount([rationale[0] for rationale in rollouts.rationales], minlength=len(p_V))
    z = (counts - draws * p_V) / np.sqrt(draws * p_V * (1 - p_V))
    assert np.abs(z).max() < 4.5
    assert rollouts.reward_BM is not None
    p = rollouts.log_w_BM.exp().mean()
    assert abs(rollouts.reward_BM.mean() - p) < 4.5 * (p * (1 - p) / draws) ** 0.5


@pytest.mark.parametrize("sample_answers", [False, True])
def test_without_scoring_all_else_is_the_same(
    engine: TransformersEngine, task: Task, config: Config, rollouts: Rollouts, sample_answers: bool
) -> None:
    encoded = encode_examples(task.tokenizer, task.batch(6, np.random.default_rng(0)))
    found = roll_out(engine, *encoded, config.rollout, generator(), sample_answers=sample_answers, score=False)
    assert found.log_w_BM.isnan().all()
    assert found.log_w_BM.shape == rollouts.log_w_BM.shape
    assert found.log_w_BM.dtype == rollouts.log_w_BM.dtype
    assert found.rationales == rollouts.rationales
    assert found.rationale_log_p == rollouts.rationale_log_p
    assert found.answers == (rollouts.answers if sample_answers else None)


def test_one_sample_of_one_prompt(
    model: Qwen3ForCausalLM, engine: TransformersEngine, task: Task, ids: TokenIds
) -> None:
    prompts, gold = encode_examples(task.tokenizer, task.batch(1, np.random.default_rng(2)))
    settings = RolloutConfig(prompts=1, samples=1, rationale_budget=4)
    rollouts = roll_out(engine, prompts, gold, settings, generator(), sample_answers=False)
    assert rollouts.log_w_BM.shape == (1, 1)
    assert rollouts.answers is None
    assert float(rollouts.log_w_BM[0, 0]) == pytest.approx(alone(model, closed(rollouts, 0, ids), gold[0]), abs=2e-5)


def test_weights_that_are_not_finite_are_reported(
    model: Qwen3ForCausalLM, engine: TransformersEngine, task: Task, config: Config
) -> None:
    with torch.no_grad():
        model.lm_head.weight[0, 0] = torch.inf
    prompts, gold = encode_examples(task.tokenizer, task.batch(2, np.random.default_rng(0)))
    with pytest.raises(Diverged, match="not finite"):
        roll_out(engine, prompts, gold, config.rollout, generator(), sample_answers=False)


def test_rows_longer_than_the_positions_are_refused(engine: TransformersEngine, task: Task) -> None:
    prompts, gold = encode_examples(task.tokenizer, task.batch(2, np.random.default_rng(0)))
    settings = RolloutConfig(rationale_budget=40)
    with pytest.raises(UserError, match=r"model.max_positions=32: .* need \d+; raise it"):
        roll_out(engine, prompts, gold, settings, generator(), sample_answers=False)


@pytest.mark.parametrize("groups", [0.01, 0.3, 1.5, 2.5, 99.0])
def test_what_is_sampled_does_not_depend_on_the_memory_that_there_is(
    groups: float, model: Qwen3ForCausalLM, ids: TokenIds, task: Task, config: Config, rollouts: Rollouts
) -> None:
    """Room for one row, for a third of a group, for one group, for two, for all six: one batch."""
    prompts, gold = encode_examples(task.tokenizer, task.batch(6, np.random.default_rng(0)))
    size, settings = ModelSize.of(model), config.rollout
    row = size.row_bytes(settings.rationale_budget + 1 + settings.answer_budget, 4)
    group = size.prompt_bytes(max(map(len, prompts))) + settings.samples * row
    engine = TransformersEngine(model, ids, int(groups * group))
    room = engine.at_once(prompts, settings.answer_budget, settings)
    assert room == {0.01: (1, 1), 0.3: (1, 1), 1.5: (1, 6), 2.5: (2, 6), 99.0: (6, 6)}[groups]
    divided = roll_out(engine, prompts, gold, settings, generator(), sample_answers=True, score_norms=True)
    whole = TransformersEngine(model, ids)
    wanted = roll_out(whole, prompts, gold, settings, generator(), sample_answers=True, score_norms=True)
    assert divided.rationales == wanted.rationales == rollouts.rationales
    assert divided.answers == wanted.answers
    assert torch.equal(divided.truncated_BM, wanted.truncated_BM)
    assert divided.reward_BM is not None
    assert wanted.reward_BM is not None
    assert torch.equal(divided.reward_BM, wanted.reward_BM)
    torch.testing.assert_close(divided.log_w_BM, wanted.log_w_BM, rtol=0, atol=2e-5)
    torch.testing.assert_close(divided.score_norm_sq_BM, wanted.score_norm_sq_BM, rtol=0, atol=1e-5)
    assert divided.prompts == wanted.prompts
    assert [len(row) for row in divided.rationale_log_p or []] == [len(row) for row in wanted.rationales]


def test_the_cache_grows_to_what_is_needed_and_no_further(model: Qwen3ForCausalLM, ids: TokenIds, task: Task) -> None:
    """By doubling, which would else reserve up to twice the longest row."""
    prompts, gold = encode_examples(task.tokenizer, task.batch(2, np.random.default_rng(0)))
    settings = RolloutConfig(samples=3, rationale_budget=9, answer_budget=3)
    group = TransformersEngine(model, ids).start(prompts, settings)
    assert isinstance(group, _CachedBatch)
    assert isinstance(group.cache, SharedPromptCache)
    group.rationales(torch.zeros(6, 9, dtype=torch.float64) + 0.5, score_norms=False)
    group.score([answer for answer in gold for _ in range(3)])
    widths = {layer.own[0].shape[2] for layer in group.cache.layers.values()}
    assert len(widths) == 1
    assert widths.pop() <= 9 + 1 + 3
