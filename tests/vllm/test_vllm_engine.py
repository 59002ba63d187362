"""The real vLLM against transformers: one row at a time, without cache or batch, before and after pushes of weights."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel
from vllm_pair import Pair

from qtrain.config import RolloutConfig
from qtrain.errors import UserError
from qtrain.policy.model import TokenIds, encode_examples, new_model
from qtrain.rollout.engine import Diverged
from qtrain.rollout.mismatch import EngineMismatch, Mismatch, mismatch, score, self_check
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.sampling import sampling_probabilities
from qtrain.rollout.transformers import TransformersEngine
from qtrain.rollout.vllm import VllmEngine


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(pair: Pair, seed: int = 0) -> Rollouts:
    encoded = encode_examples(pair.task.tokenizer, pair.task.batch(6, np.random.default_rng(seed)))
    return roll_out(pair.engine, *encoded, pair.config.rollout, generator(seed), sample_answers=True)


def compared(model: PreTrainedModel, rollouts: Rollouts, rows: int, ids: TokenIds) -> Mismatch:
    """The first rows beside the model's own forward pass."""
    return mismatch(rollouts, score(model, ids, rollouts, rows))


@torch.no_grad()
def alone(pair: Pair, context: list[int], target: list[int]) -> list[float]:
    """Log p of each target token, in the type that the engine computes in: one plain forward pass a token."""
    found = []
    for token in target:
        log_p_V = pair.model(torch.tensor([context])).logits[0, -1].double().log_softmax(-1)
        found.append(float(log_p_V[token]))
        context = [*context, token]
    return found


def largest_differences(pair: Pair, rollouts: Rollouts) -> tuple[float, float]:
    """Of log p of a rationale's token, and of log w, over all rows."""
    assert rollouts.rationale_log_p is not None
    samples = rollouts.log_w_BM.shape[1]
    tokens, answers = [], []
    for row, rationale in enumerate(rollouts.rationales):
        prompt, gold = rollouts.prompts[row // samples], rollouts.gold[row // samples]
        closed = prompt + rationale + [pair.engine.ids.closer[0]] * bool(rollouts.truncated_BM.flatten()[row])
        tokens += list(np.subtract(alone(pair, prompt, rationale), rollouts.rationale_log_p[row]))
        answers.append(sum(alone(pair, closed, gold)) - float(rollouts.log_w_BM.flatten()[row]))
    return float(np.abs(tokens).max()), float(np.abs(answers).max())


def test_log_probs_are_those_of_transformers_after_every_push(pair: Pair) -> None:
    for push in range(3):
        if push:
            before = compared(pair.model, batch(pair, push), 48, pair.engine.ids)
            pair.move(seed=push)
            with pytest.warns(EngineMismatch):
                self_check(pair.model, pair.engine.ids, batch(pair, push), pair.config.rollout, step=1)
            stale = compared(pair.model, batch(pair, push), 48, pair.engine.ids)
            # Old weights would not pass for new ones.
            assert stale.mean > 10 * before.mean
            pair.engine.sync_weights(pair.model)
        self_check(pair.model, pair.engine.ids, batch(pair, push), pair.config.rollout, step=1)
        # The prompts of before the push too, whose prefixes vLLM had cached.
        found = [largest_differences(pair, batch(pair, seed)) for seed in (push, push + 1)]
        pair.measured.append((max(token for token, _ in found), max(log_w for _, log_w in found)))
        assert pair.measured[-1][0] < pair.tolerance
        assert pair.measured[-1][1] < 3 * pair.tolerance


def test_rows_end_at_their_stop_token_or_their_budget(pair: Pair) -> None:
    rollouts = batch(pair)
    ids, settings = pair.engine.ids, pair.config.rollout
    assert 0 < rollouts.truncated_BM.sum() < rollouts.truncated_BM.numel()
    for rationale, forced in zip(rollouts.rationales, rollouts.truncated_BM.flatten().tolist(), strict=True):
        assert ids.closer[0] not in rationale[:-1]
        assert forced == (rationale[-1] != ids.closer[0])
        assert len(rationale) == settings.rationale_budget if forced else len(rationale) >= 1
    assert rollouts.answers is not None
    assert rollouts.reward_BM is not None
    for answer in rollouts.answers:
        assert ids.end not in answer[:-1]
        assert answer[-1] == ids.end or len(answer) == settings.answer_budget
    expected = [float(answer == rollouts.gold[row // settings.samples]) for row, answer in enumerate(rollouts.answers)]
    assert rollouts.reward_BM.flatten().tolist() == expected


def test_the_generator_decides_the_samples(pair: Pair) -> None:
    one, two, other = batch(pair), batch(pair), batch(pair, seed=1)
    assert one.rationales == two.rationales
    assert one.answers == two.answers
    assert torch.equal(one.log_w_BM, two.log_w_BM)
    assert one.rationales != other.rationales


@pytest.mark.parametrize("changes", [{}, {"temperature": 1.6, "top_k": 20, "top_p": 0.95}])
def test_samples_have_the_models_frequencies(
    pair: Pair, changes: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """First tokens of 4,000 rationales and of as many answers, against the distribution of transformers."""
    draws = 4000
    prompts, gold = encode_examples(pair.task.tokenizer, pair.task.batch(1, np.random.default_rng(1)))
    settings = RolloutConfig(samples=draws, rationale_budget=1, answer_budget=1, **changes)  # pyright: ignore
    with monkeypatch.context() as patch:
        # Weights with the policy's temperature, for this batch alone.
        patch.setattr(pair.engine, "temperature", settings.temperature)
        pair.engine.sync_weights(pair.model)
        rollouts = roll_out(pair.engine, prompts, gold, settings, generator(5), sample_answers=True)
    pair.engine.sync_weights(pair.model)
    end_think = pair.engine.ids.closer[0]
    contexts = {"rationale": prompts[0], "answer": [*prompts[0], rollouts.rationales[0][0], end_think]}
    same = [row for row, rationale in enumerate(rollouts.rationales) if rationale == rollouts.rationales[0]]
    assert rollouts.answers is not None
    drawn = {
        "rationale": [rationale[0] for rationale in rollouts.rationales],
        "answer": [rollouts.answers[row][0] for row in same],
    }
    if rollouts.rationales[0][0] == end_think:
        contexts["answer"] = [*prompts[0], end_think]
    for part, context in contexts.items():
        with torch.no_grad():
            logits_1V = pair.model(torch.tensor([context])).logits[:, -1].double()
        p_V = sampling_probabilities(logits_1V / settings.temperature, settings)[0].numpy()
        n = len(drawn[part])
        counts = np.bincount(drawn[part], minlength=len(p_V))
        assert counts[p_V == 0].sum() <= (0.02 * n if pair.tolerance > 0.1 else 0)
        common = n * p_V * (1 - p_V) > 5
        z = (counts - n * p_V)[common] / np.sqrt(n * p_V * (1 - p_V))[common]
        # bfloat16 moves the distribution itself.
        assert np.abs(z).max(initial=0) < (12 if pair.tolerance > 0.1 else 4.5), part


def test_greedy_rows_are_those_of_transformers(pair: Pair) -> None:
    if pair.tolerance > 0.1:
        pytest.skip(
            "two logits that tie to bfloat16 rounding make greedy rows differ between engines; fp32 models run this"
        )
    settings = pair.config.rollout.model_copy(update={"top_k": 1, "samples": 1})
    encoded = encode_examples(pair.task.tokenizer, pair.task.batch(12, np.random.default_rng(2)))
    peer = TransformersEngine(pair.model, pair.engine.ids)
    found, expected = (
        roll_out(engine, *encoded, settings, generator(), sample_answers=True) for engine in (pair.engine, peer)
    )
    assert found.rationales == expected.rationales
    assert found.answers == expected.answers
    np.testing.assert_allclose(found.log_w_BM, expected.log_w_BM, rtol=0, atol=1e-4)


def test_what_it_cannot_do_is_one_line(pair: Pair) -> None:
    encoded = encode_examples(pair.task.tokenizer, pair.task.batch(2, np.random.default_rng(0)))
    settings, ids = pair.config.rollout, pair.engine.ids
    with pytest.raises(UserError, match="vLLM gives no squared scores; use rollout"):
        roll_out(pair.engine, *encoded, settings, generator(), sample_answers=False, score_norms=True)
    longer = settings.model_copy(update={"rationale_budget": 60})
    with pytest.raises(UserError, match=r"model.max_positions=63: .* need \d+; raise it"):
        roll_out(pair.engine, *encoded, longer, generator(), sample_answers=False)
    other = new_model(pair.config.model.model_copy(update={"layers": 1}), pair.task.tokenizer, seed=0)
    with pytest.raises(UserError, match="already runs vLLM for another model"):
        VllmEngine(other, ids, settings)


def test_the_longest_row_that_is_let_through_can_be_scored(pair: Pair) -> None:
    prompts, gold = encode_examples(pair.task.tokenizer, pair.task.batch(1, np.random.default_rng(0)))
    budget = pair.engine.max_positions - 1 - len(prompts[0]) - max(len(gold[0]), pair.config.rollout.answer_budget)
    settings = pair.config.rollout.model_copy(update={"rationale_budget": budget})
    rollouts = roll_out(pair.engine, prompts, gold, settings, generator(), sample_answers=True)
    assert rollouts.log_w_BM.isfinite().all()
    log_w = compared(pair.model, rollouts, settings.samples, pair.engine.ids).log_w
    assert log_w is not None
    assert log_w < 3 * pair.tolerance


def test_answers_that_are_in_the_cache_themselves_are_scored(pair: Pair) -> None:
    """Longer than a block of the cache, and the same answer again behind the same rows."""
    prompts, _ = encode_examples(pair.task.tokenizer, pair.task.batch(1, np.random.default_rng(0)))
    settings = pair.config.rollout
    group = pair.engine.start(prompts, settings)
    noise = pair.engine.noise(generator(), len(prompts), settings.samples, settings.rationale_budget)
    sampled = group.rationales(noise, score_norms=False)
    ids = np.random.default_rng(1).integers(4, pair.model.config.vocab_size, 40).tolist()
    found = [group.score([ids] * len(sampled.tokens)) for _ in range(2)]
    closed = [
        prompts[0] + row + [pair.engine.ids.closer[0]] * force
        for row, force in zip(sampled.tokens, sampled.truncated_N.tolist(), strict=True)
    ]
    expected = [sum(alone(pair, row, ids)) for row in closed]
    for log_w_N in found:
        np.testing.assert_allclose(log_w_N, expected, rtol=0, atol=10 * pair.tolerance)


def test_the_trainers_autocast_does_not_reach_it(pair: Pair) -> None:
    plain = batch(pair)
    with torch.autocast("cpu", torch.bfloat16):
        within = batch(pair)
    assert within.rationales == plain.rationales
    assert torch.equal(within.log_w_BM, plain.log_w_BM)


def test_a_second_run_takes_the_engine_over(pair: Pair) -> None:
    """A comparison's runs follow each other in one process."""
    first = pair.engine
    other = new_model(pair.config.model, pair.task.tokenizer, seed=9)
    second = VllmEngine(other, first.ids, pair.config.rollout)
    assert second.llm is first.llm
    with pytest.raises(UserError, match="a later run took this process's only vLLM"):
        batch(pair)
    encoded = encode_examples(pair.task.tokenizer, pair.task.batch(2, np.random.default_rng(0)))
    rollouts = roll_out(second, *encoded, pair.config.rollout, generator(), sample_answers=False)
    assert compared(other, rollouts, 16, first.ids).largest < pair.tolerance
    pair.engine = VllmEngine(pair.model, first.ids, pair.config.rollout)


def test_a_failure_of_vllm_is_one_line(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory\nand a traceback")

    monkeypatch.setattr(pair.engine.llm, "generate", fail)
    with pytest.raises(UserError, match=r"^rollout\.engine=vllm: vLLM failed: out of memory$"):
        batch(pair)


def test_weights_that_are_not_finite_are_reported(pair: Pair) -> None:
    broken = new_model(pair.config.model, pair.task.tokenizer, seed=9)
    with torch.no_grad():
        broken.model.norm.weight[0] = torch.nan
    pair.engine.sync_weights(broken)
    with pytest.raises(Diverged, match="not finite"):
        batch(pair)
    pair.engine.sync_weights(pair.model)
    assert compared(pair.model, batch(pair), 48, pair.engine.ids).largest < pair.tolerance
