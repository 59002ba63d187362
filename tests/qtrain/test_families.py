"""Families of models, with random weights: rollouts and updates against each model's own forward pass."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from by_definition import gradient, gradient_by_definition, log_probs_alone
from transformers import (
    BertConfig,
    BertLMHeadModel,
    BloomConfig,
    BloomForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from qtheory.estimators import Coefficients
from qtrain.config import RolloutConfig
from qtrain.errors import UserError
from qtrain.forward import head
from qtrain.forward.plain import plan_padded
from qtrain.forward.support import check_model, forward_pass
from qtrain.policy.device import use_float32_head
from qtrain.policy.model import TokenIds
from qtrain.rollout import transformers as engine_module
from qtrain.rollout.caches import shares_prompts
from qtrain.rollout.memory import ModelSize
from qtrain.rollout.mismatch import mismatch, score
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.step import log_ratio
from qtrain.update import backward, enable_recomputing, forward

IDS = TokenIds((2,), end=3, pad=0)
SPELLED = TokenIds((7, 7), end=3, pad=0, ends=(3,), score_closer=True)
"""A closer of two tokens, scored if it is forced, which END forces too."""
WINDOW = 4
SHAPE: dict[str, Any] = {
    "vocab_size": 12,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 3,
}
HEADS = {**SHAPE, "head_dim": 8}
GEMMA = {**HEADS, "sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
WITHOUT_GROUPS = {key: value for key, value in SHAPE.items() if key != "num_key_value_heads"}
OPT = {**WITHOUT_GROUPS, "ffn_dim": 24, "word_embed_proj_dim": 16, "init_std": 0.3}
SMALL = {"vocab_size": 12, "initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
PACKED, PADDED, LOGITS = "packed", "padded", "padded, by logits"
FAMILIES: dict[str, tuple[Any, Any, str, bool]] = {
    # The model, its configuration, its forward pass, and whether its rollouts share their prompt's keys.
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**HEADS), PACKED, True),
    "qwen2, tied": (Qwen2ForCausalLM, Qwen2Config(**SHAPE, tie_word_embeddings=True), PACKED, True),
    "llama": (LlamaForCausalLM, LlamaConfig(**SHAPE), PACKED, True),
    "olmo2": (Olmo2ForCausalLM, Olmo2Config(**SHAPE), PACKED, True),
    "phi": (PhiForCausalLM, PhiConfig(**SHAPE), PACKED, True),
    "gpt2": (GPT2LMHeadModel, GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=64, **SMALL), PACKED, True),
    "mistral": (MistralForCausalLM, MistralConfig(**SHAPE, sliding_window=WINDOW), PADDED, False),
    "qwen2, with windows": (
        Qwen2ForCausalLM,
        Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
        PADDED,
        False,
    ),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config(**GEMMA, attn_logit_softcapping=2.0), LOGITS, False),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig(**GEMMA), PADDED, False),
    "granite": (GraniteForCausalLM, GraniteConfig(**SHAPE, logits_scaling=8.0), LOGITS, True),
    "cohere": (CohereForCausalLM, CohereConfig(**SHAPE), LOGITS, True),
    "bloom": (BloomForCausalLM, BloomConfig(hidden_size=16, n_layer=2, n_head=2, **SMALL), PADDED, False),
    "opt": (
        OPTForCausalLM,
        OPTConfig(**OPT),
        PACKED,
        True,
    ),
}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def make(family: str) -> PreTrainedModel:
    model_class, config, *_ = FAMILIES[family]
    return model_class(config).eval()


def rolled(
    model: PreTrainedModel, *, samples: int = 4, budget: int = 9, temperature: float = 1.0, ids: TokenIds = IDS
) -> Rollouts:
    """Prompts and answers of different lengths, longer and shorter than the windows."""
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(4, 12, (length,), generator=generator).tolist() for length in (7, 1, 4)]
    settings = RolloutConfig(samples=samples, rationale_budget=budget, answer_budget=4, temperature=temperature)
    gold = [[4, 3], [5, 6, 7, 3], [3]]
    return roll_out(TransformersEngine(model, ids), prompts, gold, settings, generator, sample_answers=True)


def alone(model: PreTrainedModel, rollouts: Rollouts, temperature: float = 1.0, ids: TokenIds = IDS) -> np.ndarray:
    """Of each row by itself log p(z|x) and log p(y*|x, z), (N, 2)."""
    samples = rollouts.truncated_BM.shape[1]
    with torch.no_grad():
        return np.array(
            [
                [
                    float(log_p)
                    for log_p in log_probs_alone(
                        model,
                        ids,
                        rollouts.prompts[row // samples],
                        rationale,
                        rollouts.gold[row // samples],
                        forced=bool(rollouts.truncated_BM.flatten()[row]),
                        temperature=temperature,
                    )
                ]
                for row, rationale in enumerate(rollouts.rationales)
            ]
        )


@pytest.mark.parametrize(
    ("family", "temperature", "ids"),
    [
        *((family, 1.0, IDS) for family in FAMILIES),
        *((family, 0.7, SPELLED) for family in ("mistral", "gemma2", "bloom")),
        ("granite", 0.7, SPELLED._replace(closer=(4, 4))),
    ],
)
def test_rollouts_and_updates_are_those_of_the_models_own_forward_pass(
    family: str, temperature: float, ids: TokenIds
) -> None:
    model = make(family)
    chosen = forward_pass(model)
    kind = PACKED if chosen.is_packed else LOGITS if isinstance(chosen.head, torch.nn.Identity) else PADDED
    assert (kind, shares_prompts(model)) == FAMILIES[family][2:]
    rollouts = rolled(model, temperature=temperature, ids=ids)
    assert len({len(row) for row in rollouts.rationales}) > 2
    expected = alone(model, rollouts, temperature, ids)
    assert 0 < rollouts.truncated_BM.sum() < 12
    assert ids is IDS or (rollouts.ended_BM is not None and rollouts.ended_BM.any())
    assert rollouts.rationale_log_p is not None
    np.testing.assert_allclose([sum(row) for row in rollouts.rationale_log_p], expected[:, 0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(rollouts.log_w_BM.flatten(), expected[:, 1], rtol=0, atol=1e-4)
    by_row = score(model, ids, rollouts, 12, max_tokens=20, temperature=temperature).by_row(12)
    np.testing.assert_allclose(torch.stack(by_row, 1), expected, rtol=0, atol=1e-4)
    coefficients = Coefficients(*torch.randn(2, 3, 4, dtype=torch.float64))
    answers = [answer for answer in rollouts.gold for _ in range(4)]
    right = gradient_by_definition(model, ids, rollouts, coefficients, answers, temperature=temperature)
    ahead = forward(model, ids, rollouts, temperature=temperature)
    np.testing.assert_allclose(ahead.log_w_BM.flatten(), expected[:, 1], rtol=0, atol=1e-4)
    for limit, forward_result in ((None, ahead), (20, None)):
        backward(
            model, ids, rollouts, coefficients, on_sampled_answers=False, micro_batch_tokens=limit,
            forward_result=forward_result, temperature=temperature,
        )  # fmt: skip
        assert (gradient(model) - right).norm() < 1e-5 * right.norm()


@pytest.mark.parametrize("family", ["mistral", "gemma2", "granite"])
def test_kl_of_padded_rows_is_that_of_the_tempered_models(family: str) -> None:
    model, base = make(family), make(family)
    rollouts = rolled(model, temperature=0.7, ids=SPELLED)
    actual = log_ratio(model, base, SPELLED, rollouts, micro_batch_tokens=20, temperature=0.7)
    expected = alone(model, rollouts, 0.7, SPELLED)[:, 0] - alone(base, rollouts, 0.7, SPELLED)[:, 0]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(actual.flatten(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "bloom"])
def test_sampled_answers_follow_their_rationales(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers' log p, from a model that samples them again with rows that never leave, and scores in pieces."""
    model = make(family)
    rollouts = rolled(model)
    monkeypatch.setattr(engine_module, "LEAVE", 2.0)
    monkeypatch.setattr(engine_module, "LOGITS_AT_ONCE", 12 * 6 * 2)
    again = rolled(model)
    assert (again.rationales, again.answers) == (rollouts.rationales, rollouts.answers)
    torch.testing.assert_close(again.log_w_BM, rollouts.log_w_BM, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["mistral", "gemma2"])
def test_answers_are_the_models_likeliest_where_it_is_sure(family: str) -> None:
    """Each sampled answer, by whole forward passes, with the output sharpened until sampling is greedy."""
    model = make(family)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(1000)  # pyright: ignore
    if family == "gemma2":
        model.config.final_logit_softcapping = None
    rollouts = rolled(model, samples=2)
    assert rollouts.answers is not None
    for row, (rationale, answer) in enumerate(zip(rollouts.rationales, rollouts.answers, strict=True)):
        forced = [*IDS.closer] * bool(rollouts.truncated_BM.flatten()[row])
        context = rollouts.prompts[row // 2] + rationale + forced
        for token in answer:
            with torch.no_grad():
                likeliest = int(model(torch.tensor([context]), use_cache=False).logits[0, -1].argmax())
            assert token == likeliest
            context = [*context, token]


def test_recomputing_and_a_float32_head_leave_gradients_of_padded_rows_as_they_are() -> None:
    model = make("mistral")
    rollouts, coefficients = rolled(model), Coefficients(*torch.randn(2, 3, 4, dtype=torch.float64))
    answers = [answer for answer in rollouts.gold for _ in range(4)]
    right = gradient_by_definition(model, IDS, rollouts, coefficients, answers)
    enable_recomputing(model)
    use_float32_head(model)
    backward(model, IDS, rollouts, coefficients, on_sampled_answers=False, recompute=True)
    assert (gradient(model) - right).norm() < 1e-5 * right.norm()


@pytest.mark.parametrize("family", ["mistral", "granite"])
def test_bfloat16_stays_close_with_padded_rows(family: str) -> None:
    model = make(family)
    use_float32_head(model)
    with torch.autocast("cpu", torch.bfloat16):
        rollouts = rolled(model)
    difference = mismatch(rollouts, score(model, IDS, rollouts, 12, dtype="bfloat16"))
    assert 1e-6 < difference.mean < 0.05


def test_a_run_says_in_one_line_why_it_is_slower() -> None:
    assert check_model(make("llama")) == []
    slower = "each rollout is run with its own prompt, padded, which is slower"
    assert check_model(make("mistral")) == [f"MistralForCausalLM: sliding_window=4: {slower}"]
    assert check_model(make("gemma3")) == [f"Gemma3ForCausalLM: layers of kind sliding_attention: {slower}"]
    for family in ("granite", "bloom"):
        (line,) = check_model(make(family))
        assert line.endswith(slower)


def test_a_model_that_looks_ahead_is_refused() -> None:
    model = BertLMHeadModel(BertConfig(**WITHOUT_GROUPS, type_vocab_size=1)).eval()
    with pytest.raises(UserError, match=r"^BertLMHeadModel: log p of a token depends on later tokens; a causal"):
        check_model(model)


def test_models_are_not_kept_alive_by_their_forward_pass() -> None:
    model = make("mistral")
    chosen = forward_pass(model)
    shares_prompts(model)
    del model
    with pytest.raises(AssertionError):
        _ = chosen.model


def test_logits_far_apart_keep_their_log_probs_and_gradients() -> None:
    """Targets that are all but certain or all but impossible: against float64."""
    logits, target = torch.randn(40, 50) * 3, torch.arange(40)
    logits[:10, :10] += 20 * torch.eye(10)
    coefficient = torch.randn(40)
    exact = logits.double().requires_grad_()
    expected = exact.log_softmax(-1).gather(1, target[:, None])[:, 0]
    (coefficient.double() * expected).sum().backward()
    log_p, actual = head.weighted_log_probs(torch.nn.Identity(), logits, target, coefficient)
    torch.testing.assert_close(log_p.double(), expected.detach(), rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(head.log_probs(torch.nn.Identity(), logits, target), log_p)
    assert exact.grad is not None
    error = (actual - exact.grad).norm(dim=1) / exact.grad.norm(dim=1)
    assert error.max() < 1e-5


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_a_cache_without_sharing_holds_a_prompt_for_every_row(family: str) -> None:
    """By hand: the most samples of a prompt of 20 tokens that fit, with 9 + 1 + 4 tokens after it."""
    model = make(family)
    size = ModelSize.of(model)
    row = size.row_bytes(9 + 1 + 4 + 20 * (family == "mistral"), 4)
    settings = RolloutConfig(samples=8, rationale_budget=9, answer_budget=4)
    for spare, samples in ((0, 3), (-1, 2)):
        engine = TransformersEngine(model, IDS, size.prompt_bytes(20) + 3 * row + spare)
        assert engine.at_once([[4] * 20, [4]], 4, settings) == (1, samples)


def test_logits_in_bfloat16_are_divided_by_the_temperature_in_float32() -> None:
    logits, target = (torch.randn(40, 50) * 10).bfloat16(), torch.arange(40)
    expected = (logits.double() / 0.7).log_softmax(-1).gather(1, target[:, None])[:, 0]
    log_p, gradient_of_logits = head.weighted_log_probs(torch.nn.Identity(), logits, target, torch.ones(40), 0.7)
    torch.testing.assert_close(log_p.double(), expected, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(head.log_probs(torch.nn.Identity(), logits, target, 0.7), log_p)
    assert gradient_of_logits.dtype == logits.dtype


def test_padded_plans_keep_to_their_size() -> None:
    assert plan_padded([], None) == []
    assert plan_padded([5, 1, 4], None) == [[0, 1, 2]]
    assert plan_padded([5, 1, 4, 9, 2], 10) == [[3], [0, 2], [1, 4]]
