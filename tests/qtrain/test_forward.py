"""The packed forward pass: gradients of the definition whatever the lengths, the model and the packing."""

from typing import Any

import numpy as np
import pytest
import torch
from by_definition import gradient, gradient_by_definition, log_probs_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from qtheory.estimators import Coefficients
from qtrain.forward import attention, head
from qtrain.forward.attention import packed_attention
from qtrain.forward.flex import flex
from qtrain.forward.log_probs import token_log_probs
from qtrain.forward.packing import WIDTH
from qtrain.forward.rows import ANSWER, RATIONALE, PackedRow, divide, plan_micro_batches
from qtrain.forward.support import check_model
from qtrain.policy.model import TokenIds
from qtrain.rollout.rollouts import Rollouts, batch_rows
from qtrain.update import backward, enable_recomputing, forward

IDS = TokenIds(closer=(0,), end=1, pad=2)
VOCABULARY = 23
KINDS = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}


def tiny(kind: str = "qwen3", *, memory: int = 2, tied: bool = False, **more: Any) -> PreTrainedModel:
    """Random weights, large enough that tokens matter."""
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": memory, "head_dim": 4, "max_position_embeddings": 512}
    config, model = KINDS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return model(config(**sizes, **heads, tie_word_embeddings=tied, initializer_range=0.2, **more)).eval()


def batch(rng: np.random.Generator, prompts: list[int], rationales: list[list[int]], answers: list[int]) -> Rollouts:
    """Random tokens of these lengths, every second END_THINK forced."""

    def text(length: int) -> list[int]:
        return rng.integers(0, VOCABULARY, length).tolist()

    shape = (len(prompts), len(rationales[0]))
    return Rollouts(
        [text(length) for length in prompts],
        [text(length) for length in answers],
        [text(length) for pool in rationales for length in pool],
        torch.arange(shape[0] * shape[1]).reshape(shape) % 2 == 0,
        torch.zeros(shape, dtype=torch.float64),
        None,
        None,
    )


def some_coefficients(rng: np.random.Generator, shape: tuple[int, ...], zero: float = 0.2) -> Coefficients:
    """Some rows with none."""
    kept = rng.random(shape) >= zero
    return Coefficients(*(torch.from_numpy(rng.normal(size=shape) * kept) for _ in range(2)))


def gold(rollouts: Rollouts) -> list[list[int]]:
    return [answer for answer in rollouts.gold for _ in range(rollouts.truncated_BM.shape[1])]


lengths = st.one_of(st.integers(0, 9), st.just(WIDTH + 5))


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[int], list[list[int]], list[int]]:
    prompts = draw(st.lists(st.one_of(st.integers(1, 9), st.just(WIDTH + 5)), min_size=1, max_size=3))
    samples = draw(st.integers(1, 4))
    rationales = [draw(st.lists(lengths, min_size=samples, max_size=samples)) for _ in prompts]
    return prompts, rationales, [draw(st.integers(1, 4)) for _ in prompts]


@settings(max_examples=15)
@given(
    pools=pools(),
    kind=st.sampled_from(["qwen3", "llama"]),
    memory=st.sampled_from([1, 2, 4]),
    tied=st.booleans(),
    recompute=st.booleans(),
    limit=st.sampled_from([None, 1, 12, 60]),
    in_one_pass=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_gradients_are_those_of_each_sample_alone(
    pools: tuple[list[int], list[list[int]], list[int]],
    kind: str,
    memory: int,
    tied: bool,
    recompute: bool,
    limit: int | None,
    in_one_pass: bool,
    seed: int,
) -> None:
    """Ragged lengths, empty rationales, pools of one, several prompts; chunks of the head smaller than a row too."""
    rng = np.random.default_rng(seed)
    rollouts, model = batch(rng, *pools), tiny(kind, memory=memory, tied=tied)
    coefficients = some_coefficients(rng, rollouts.truncated_BM.shape)
    expected = gradient_by_definition(model, IDS, rollouts, coefficients, gold(rollouts))
    if recompute:
        enable_recomputing(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "CHUNK_BYTES", 4 * 5 * VOCABULARY)
        patch.setattr(head, "CHUNK_TOKENS", 1)
        patch.setattr(head, "TILE", 7)
        ahead = forward(model, IDS, rollouts, recompute=recompute) if in_one_pass else None
        backward(
            model, IDS, rollouts, coefficients, on_sampled_answers=False, micro_batch_tokens=limit,
            recompute=recompute, forward_result=ahead,
        )  # fmt: skip
    torch.testing.assert_close(gradient(model), expected, rtol=0, atol=1e-5 * max(float(expected.norm()), 1e-12))
    if ahead is not None:
        with torch.no_grad():
            alone = [
                float(
                    log_probs_alone(
                        model, IDS, rollouts.prompts[row // rollouts.truncated_BM.shape[1]], z, y, forced=f
                    )[1]
                )
                for row, (z, y, f) in enumerate(
                    zip(rollouts.rationales, gold(rollouts), rollouts.truncated_BM.flatten().tolist(), strict=True)
                )
            ]
        np.testing.assert_allclose(ahead.log_w_BM.flatten().numpy(), alone, rtol=0, atol=2e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_sees_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs on a GPU, uncompiled here, where it has no backward pass: two pools in one pass, and a divided one."""
    limit = 40
    rng = np.random.default_rng(0)
    rollouts, model = batch(rng, [9, 1, 30], [[4, 0, 7], [3, 3, 3], [12, 5, 20]], [2, 1, 3]), tiny()
    rows = batch_rows(IDS, rollouts, gold(rollouts))
    expected = token_log_probs(model, rollouts.prompts, rows, max_tokens=limit)
    calls = []
    monkeypatch.setattr(attention, "kernel", lambda _: "flex")
    monkeypatch.setattr(attention, "flex", lambda *arguments: (calls.append(1), flex(*arguments))[1])
    found = token_log_probs(model, rollouts.prompts, rows, max_tokens=limit)
    assert calls
    assert torch.equal(found.row_K, expected.row_K)
    torch.testing.assert_close(found.log_p_K, expected.log_p_K, rtol=0, atol=2e-5)


def test_the_prompt_is_run_once_for_all_its_rows() -> None:
    """Tokens that go through the first layer, of a pool divided over passes, forward and in the backward pass."""
    rng = np.random.default_rng(0)
    rollouts, model = batch(rng, [40], [[6] * 8], [2]), tiny()
    fed: list[int] = []
    check_model(model)
    model.model.layers[0].mlp.register_forward_hook(lambda _, inputs, __: fed.append(inputs[0].shape[1]))  # pyright: ignore
    ones = torch.ones(1, 8, dtype=torch.float64)
    rows = 4 * (6 + 1 + 2) + 4 * (6 + 2)  # every second END_THINK is forced
    for limit, passes in ((None, [39 + rows]), (rows, [39, rows // 2, rows // 2])):
        fed.clear()
        backward(model, IDS, rollouts, Coefficients(ones, ones), on_sampled_answers=False, micro_batch_tokens=limit)
        assert fed == passes


def test_a_pool_without_coefficients_is_not_run_at_all() -> None:
    rng = np.random.default_rng(0)
    rollouts, model = batch(rng, [40, 5], [[6] * 3, [4] * 3], [2, 2]), tiny()
    fed: list[int] = []
    check_model(model)
    model.model.layers[0].mlp.register_forward_hook(lambda _, inputs, __: fed.append(inputs[0].shape[1]))  # pyright: ignore
    some = torch.tensor([[0.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    done = backward(model, IDS, rollouts, Coefficients(some, some), on_sampled_answers=False)
    assert (fed, done.rows) == ([4 + 4 + 1 + 2], 1)
    assert set(done.log_probs.row_K.tolist()) == {4}


class Largest(TorchDispatchMode):
    """Notes how many entries the largest tensor has that any operation gives."""

    entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.entries = max(self.entries, found.numel())
        return found


def test_what_is_kept_does_not_grow_with_vocabulary_times_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest tensor made at the output matrix is a chunk's logits, and a tile of them where no gradient is."""
    matrix, generator = nn.Linear(8, 1000, bias=True), torch.Generator().manual_seed(0)
    states, target = torch.randn(500, 8, generator=generator), torch.randint(1000, (500,), generator=generator)
    coefficient = torch.randn(500, generator=generator)
    wanted_states = states.clone().requires_grad_()
    wanted = matrix(wanted_states).log_softmax(-1).gather(1, target[:, None])[:, 0]
    (coefficient * wanted).sum().backward()
    by_autograd = [matrix.weight.grad, matrix.bias.grad, wanted_states.grad]
    matrix.zero_grad()
    monkeypatch.setattr(head, "CHUNK_BYTES", 4 * 1000 * 16)
    monkeypatch.setattr(head, "CHUNK_TOKENS", 1)
    monkeypatch.setattr(head, "TILE", 300)
    with Largest() as largest:
        log_p, d_states = head.weighted_log_probs(matrix, states, target, coefficient)
    assert largest.entries == 16 * 1000
    torch.testing.assert_close(log_p, wanted.detach())
    for found, expected in zip([matrix.weight.grad, matrix.bias.grad, d_states], by_autograd, strict=True):
        torch.testing.assert_close(found, expected)
    matrix.requires_grad_(False)
    with Largest() as largest:
        alone = head.log_probs(matrix, states, target)
    assert largest.entries == 16 * 300
    torch.testing.assert_close(alone, wanted.detach())


def test_logits_far_apart_keep_their_log_probs_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets hundreds of nats below the largest logit, tokens all but certain, a tile of one: against float64."""
    monkeypatch.setattr(head, "TILE", 7)
    generator = torch.Generator().manual_seed(0)
    matrix = nn.Linear(8, 50, bias=False)
    with torch.no_grad():
        matrix.weight.copy_(100 * torch.randn(50, 8, generator=generator))
    states, target = torch.randn(40, 8, generator=generator), torch.randint(50, (40,), generator=generator)
    target[:10], target[10] = matrix(states[:10]).argmax(1), 49  # alone in its tile
    coefficient = torch.randn(40, generator=generator)
    exact_states, exact_weight = (one.detach().double().requires_grad_() for one in (states, matrix.weight))
    wanted = (exact_states @ exact_weight.T).log_softmax(-1).gather(1, target[:, None])[:, 0]
    assert wanted.min() < -300
    (coefficient.double() * wanted).sum().backward()
    log_p, d_states = head.weighted_log_probs(matrix, states, target, coefficient)
    torch.testing.assert_close(log_p.double(), wanted.detach(), rtol=1e-6, atol=1e-4)  # of logits of hundreds
    for found, expected in ((d_states, exact_states.grad), (matrix.weight.grad, exact_weight.grad)):
        assert found is not None
        assert expected is not None
        assert (found - expected).norm() < 1e-5 * expected.norm()


def test_tokens_that_are_all_but_certain_keep_the_digits_of_their_gradient() -> None:
    """1 - p down to float32's last digit of 1, where p - 1 has no digits left: each token against float64."""
    generator = torch.Generator().manual_seed(0)
    matrix = nn.Linear(8, 50, bias=False)
    target = torch.arange(8)
    with torch.no_grad():
        matrix.weight.copy_(torch.randn(50, 8, generator=generator))
        matrix.weight[target] = 5 * torch.eye(8)
    states = 5 * torch.eye(8)
    exact_states = states.double().requires_grad_()
    wanted = (exact_states @ matrix.weight.detach().double().T).log_softmax(-1).gather(1, target[:, None])
    assert -1e-7 < wanted.max() < 0
    wanted.sum().backward()
    _, found = head.weighted_log_probs(matrix, states, target, torch.ones(8))
    assert exact_states.grad is not None
    error = (found - exact_states.grad).norm(dim=1) / exact_states.grad.norm(dim=1)
    assert error.max() < 1e-5


@given(sizes=st.lists(st.integers(1, 40), max_size=12), limit=st.integers(1, 60))
def test_division_is_balanced_and_complete(sizes: list[int], limit: int) -> None:
    bins = divide(sizes, limit)
    assert sorted(item for one in bins for item in one) == list(range(len(sizes)))
    loads = [sum(sizes[item] for item in one) for one in bins]
    assert all(load <= limit or len(one) == 1 for load, one in zip(loads, bins, strict=True))
    if len(bins) > 1:
        assert max(loads) - min(loads) <= max(sizes)


def test_plans_keep_a_prompts_rows_together_where_they_fit() -> None:
    prompts = [[0] * 10, [0] * 3, [0] * 3]
    rows = [PackedRow(prompt, [1] * 5, [RATIONALE] * 4 + [ANSWER]) for prompt in (0, 0, 0, 1, 1, 2, 2)]
    assert [plan.micro_batches for plan in plan_micro_batches(prompts, rows, 26)] == [[[0, 1, 2]], [[3, 4, 5, 6]]]
    assert [plan.micro_batches for plan in plan_micro_batches(prompts, rows, 20)] == [[[3, 4]], [[5, 6]], [[0, 2], [1]]]
    assert [plan.micro_batches for plan in plan_micro_batches(prompts, rows[:3], 14)] == [[[0], [1], [2]]]
    assert [plan.micro_batches for plan in plan_micro_batches(prompts, rows, None)] == [[[0, 1, 2, 3, 4, 5, 6]]]
    assert plan_micro_batches(prompts, [PackedRow(0, [], [])], None) == []


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_models_that_are_supported_pass_and_are_left_as_they_were(kind: str) -> None:
    model = tiny(kind)
    before = model.config._attn_implementation
    assert check_model(model) == []
    assert model.config._attn_implementation == before == "sdpa"
    with pytest.raises(ZeroDivisionError), packed_attention(model):
        raise ZeroDivisionError
    assert model.config._attn_implementation == before
