"""The cache that rows share, whatever the model, the batch and the order of events: against whole forward passes."""

from collections.abc import Iterator

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from qtrain.config import RolloutConfig
from qtrain.errors import UserError
from qtrain.policy.model import TokenIds
from qtrain.rollout import transformers as engine_module
from qtrain.rollout.mismatch import Mismatch, mismatch, score
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.shared_prompt import SharedPromptCache, shared_prompt_attention
from qtrain.rollout.transformers import TransformersEngine

IDS = TokenIds(closer=(2,), end=3, pad=0)
SHAPE = {
    "vocab_size": 12,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "eos_token_id": 3,
    "initializer_range": 0.2,
}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def qwen(**changes: object) -> Qwen3ForCausalLM:
    return Qwen3ForCausalLM(Qwen3Config(**(SHAPE | {"head_dim": 8} | changes))).eval()  # pyright: ignore


def prompts_of(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(sum(lengths))
    return [torch.randint(4, 12, (length,), generator=generator).tolist() for length in lengths]


def rolled(model: PreTrainedModel, *lengths: int, samples: int = 8, budget: int = 12, seed: int = 0) -> Rollouts:
    settings = RolloutConfig(samples=samples, rationale_budget=budget, answer_budget=4)
    gold = [[4 + place] * (1 + place % 3) + [3] for place in range(len(lengths))]
    generator = torch.Generator().manual_seed(seed)
    return roll_out(
        TransformersEngine(model, IDS), prompts_of(*lengths), gold, settings, generator, sample_answers=True
    )


def compared(model: PreTrainedModel, rollouts: Rollouts) -> Mismatch:
    """The engine beside whole rows."""
    return mismatch(rollouts, score(model, IDS, rollouts, rollouts.truncated_BM.numel()))


def largest(model: PreTrainedModel, rollouts: Rollouts) -> float:
    found = compared(model, rollouts)
    assert found.log_w is not None
    return max(found.largest, found.log_w)


@pytest.mark.parametrize("lengths", [(7,), (4, 4), (9, 1, 5)])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_log_probs_are_those_of_whole_rows(lengths: tuple[int, ...], heads: int) -> None:
    model = qwen(num_key_value_heads=heads)
    rollouts = rolled(model, *lengths)
    assert len({len(row) for row in rollouts.rationales}) > 1
    assert largest(model, rollouts) < 2e-5


def test_other_models_with_rotary_positions() -> None:
    model = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    assert largest(model, rolled(model, 6, 3)) < 2e-5


@pytest.mark.parametrize("at_once", [1, 12 * 6 * 2, 12 * 6 * 7])
def test_answers_scored_in_pieces_score_the_same(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = qwen()
    whole = rolled(model, 6, 3, 4)
    monkeypatch.setattr(engine_module, "LOGITS_AT_ONCE", at_once)
    pieces = rolled(model, 6, 3, 4)
    assert pieces.rationales == whole.rationales
    assert pieces.answers == whole.answers
    torch.testing.assert_close(pieces.log_w_BM, whole.log_w_BM, rtol=0, atol=1e-5)


def test_a_row_does_not_depend_on_rows_that_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    model = qwen()
    found = []
    for share in (0.01, 0.5, 2.0):  # at every end, at half, never
        monkeypatch.setattr(engine_module, "LEAVE", share)
        found.append(rolled(model, 6, 3, samples=12, budget=20))
    assert len({len(row) for row in found[0].rationales}) > 5
    for other in found[1:]:
        assert other.rationales == found[0].rationales
        assert other.answers == found[0].answers
        torch.testing.assert_close(other.log_w_BM, found[0].log_w_BM, rtol=0, atol=1e-5)


def test_it_stays_close_under_autocast() -> None:
    model = qwen()
    with torch.autocast("cpu", torch.bfloat16):
        rollouts = rolled(model, 6, 3)
        found = compared(model, rollouts)
    assert 1e-6 < found.mean < 0.05


def test_the_models_own_attention_is_back_afterwards() -> None:
    model = qwen()
    before = model.config._attn_implementation
    rolled(model, 4)
    assert model.config._attn_implementation == before
    with pytest.raises(UserError):
        SharedPromptCache(model, [[4] * 9], 1, 0)  # outside of the context
    with pytest.raises(ZeroDivisionError), shared_prompt_attention(model):
        raise ZeroDivisionError
    assert model.config._attn_implementation == before


def test_attention_that_it_does_not_know_is_refused() -> None:
    sliding = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=4)).eval()
    with (
        pytest.raises(UserError, match=r"^MistralAttention: its attention has sliding_window, .*engine=vllm$"),
        shared_prompt_attention(sliding),
    ):
        SharedPromptCache(sliding, prompts_of(6), 2, 0)
    assert sliding.config._attn_implementation != "qtrain_shared_prompt"


def test_learned_positions_are_positions_too() -> None:
    shape = GPT2Config(vocab_size=12, n_embd=16, n_layer=2, n_head=2, n_positions=64, initializer_range=0.6)
    model = GPT2LMHeadModel(shape).eval()
    assert largest(model, rolled(model, 6, 3)) < 2e-5
