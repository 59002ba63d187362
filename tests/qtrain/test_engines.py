"""Engines: sampling settings and their refusals, the self-check, and what is said where vLLM is missing."""

import importlib.util
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen3ForCausalLM

from qtrain.cli import main
from qtrain.config import Config, RolloutConfig
from qtrain.errors import UserError
from qtrain.policy.model import TokenIds, encode_examples, token_ids
from qtrain.rollout import check_engine, make_engine
from qtrain.rollout.mismatch import EngineMismatch, mismatch, score, self_check
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.sampling import sampling_probabilities
from qtrain.rollout.transformers import TransformersEngine
from qtrain.tasks.base import Task


@pytest.fixture
def ids(task: Task) -> TokenIds:
    return token_ids(task.tokenizer)


@pytest.fixture
def rollouts(model: Qwen3ForCausalLM, task: Task, config: Config, ids: TokenIds) -> Rollouts:
    encoded = encode_examples(task.tokenizer, task.batch(4, np.random.default_rng(0)))
    generator = torch.Generator().manual_seed(0)
    return roll_out(TransformersEngine(model, ids), *encoded, config.rollout, generator, sample_answers=False)


def truncated(logits: np.ndarray, temperature: float, top_p: float, top_k: int | None) -> np.ndarray:
    """One distribution by the definition: sort, keep the k most likely, then the fewest that reach top_p."""
    p = np.exp(logits / temperature - np.logaddexp.reduce(logits / temperature))
    order = np.argsort(-p)
    kept = list(order[: top_k or len(p)])
    total = sum(p[token] for token in kept)
    nucleus, mass = [], 0.0
    for token in kept:
        if mass >= top_p:
            break
        nucleus.append(token)
        mass += p[token] / total
    found = np.zeros_like(p)
    found[nucleus] = p[nucleus] / p[nucleus].sum()
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    temperature=st.floats(0.2, 3),
    top_p=st.floats(0.05, 1),
    top_k=st.none() | st.integers(1, 12),
)
def test_sampling_probabilities_are_those_of_the_definition(
    seed: int, temperature: float, top_p: float, top_k: int | None
) -> None:
    logits_NV = np.random.default_rng(seed).normal(size=(3, 10)) * 3
    settings = RolloutConfig(top_p=top_p, top_k=top_k)
    found_NV = sampling_probabilities(torch.tensor(logits_NV) / temperature, settings).numpy()
    expected_NV = np.array([truncated(row, temperature, top_p, top_k) for row in logits_NV])
    np.testing.assert_allclose(found_NV, expected_NV, rtol=1e-9, atol=1e-12)


def test_without_settings_it_is_the_softmax_bit_for_bit() -> None:
    logits_NV = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sampling_probabilities(logits_NV, RolloutConfig()), logits_NV.softmax(-1))


def test_log_probs_stay_the_models_own_under_other_sampling(
    model: Qwen3ForCausalLM, task: Task, config: Config, ids: TokenIds
) -> None:
    settings = config.rollout.model_copy(update={"top_k": 1})
    prompts, gold = encode_examples(task.tokenizer, task.batch(4, np.random.default_rng(0)))
    engine, generator = TransformersEngine(model, ids), torch.Generator().manual_seed(0)
    greedy = roll_out(engine, prompts, gold, settings, generator, sample_answers=False)
    samples = settings.samples
    assert all(greedy.rationales[row] == greedy.rationales[row // samples * samples] for row in range(4 * samples))
    assert mismatch(greedy, score(model, ids, greedy, rows=4 * samples)).largest < 1e-5
    assert max(one for row in greedy.rationale_log_p or [] for one in row) < -1e-3


@pytest.mark.parametrize("setting", ["top_p=0.95", "top_k=20"])
def test_estimators_on_weights_refuse_sampling_from_another_distribution(setting: str, config: Config) -> None:
    key, value = setting.split("=")
    changes = {"estimator": "garl:q=.75", f"rollout.{key}": float(value)}
    for word in ("garl:q=.75", "paft:q=.5", "rb_rloo", "iwae"):
        with pytest.raises(UserError, match=rf"rollout\.{setting}: {word.split(':')[0]}.*Prop 6\.2.*force_sampling"):
            config.with_values(changes | {"estimator": word})
    assert config.with_values(changes | {"rollout.force_sampling": True}).rollout.force_sampling
    assert config.with_values(changes | {"estimator": "grpo"}).rollout.off_policy_setting() == f"rollout.{setting}"


def test_measurements_sample_from_the_policy_whatever_the_run_does() -> None:
    run = RolloutConfig(rationale_budget=9, answer_budget=4, temperature=0.5, top_k=3, engine="vllm")
    assert run.on_policy(32) == RolloutConfig(samples=32, rationale_budget=9, answer_budget=4, temperature=0.5)


def test_the_self_check_covers_the_first_batch_and_then_one_prompt(
    model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts, config: Config
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = self_check(model, ids, rollouts, config.rollout, step=1)
    # Rounding: each is up to 1e-5 from float64, as this model's logits are large.
    assert 0 < found["mismatch_mean"] <= found["mismatch_largest"] < 2e-5
    assert 0 < found["mismatch_log_w"] < 1e-4
    assert rollouts.rationale_log_p is not None
    # A difference in the last row alone: seen in the first step, whose whole batch is compared, not in the others.
    log_p = [*rollouts.rationale_log_p[:-1], [rollouts.rationale_log_p[-1][0] - 0.5, *rollouts.rationale_log_p[-1][1:]]]
    wrong = replace(rollouts, rationale_log_p=log_p)
    with pytest.warns(EngineMismatch, match=r"more than 0\.0001 nats .* does not sample from the model"):
        seen = self_check(model, ids, wrong, config.rollout, step=1)
    assert seen["mismatch_largest"] == pytest.approx(0.5, abs=1e-5)
    assert seen["mismatch_mean"] == pytest.approx(0.5 / sum(map(len, log_p)), abs=1e-5)
    assert self_check(model, ids, wrong, config.rollout, step=2)["mismatch_largest"] < 1e-5


def test_the_self_check_allows_for_the_trainers_bfloat16(
    model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts, config: Config
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = self_check(model, ids, rollouts, config.rollout, step=1, dtype="bfloat16")
    assert 1e-4 < found["mismatch_mean"] < 0.05


def test_the_self_check_sees_weights_that_are_one_step_old(
    model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts, config: Config
) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.full_like(parameter, 0.01))
    with pytest.warns(EngineMismatch):
        self_check(model, ids, rollouts, config.rollout, step=1)


def test_a_difference_that_is_not_finite_is_infinite(
    model: Qwen3ForCausalLM, ids: TokenIds, rollouts: Rollouts
) -> None:
    log_w_BM = rollouts.log_w_BM.clone()
    log_w_BM[0, 0] = torch.nan
    assert mismatch(replace(rollouts, log_w_BM=log_w_BM), score(model, ids, rollouts, rows=6)).log_w == torch.inf


def test_without_vllm_one_line_says_how_to_install_it(
    config: Config, model: Qwen3ForCausalLM, ids: TokenIds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    rollout = config.rollout.model_copy(update={"engine": "vllm"})
    with pytest.raises(UserError, match=r"vLLM is not installed here; .*pip install 'qcontinuum\[vllm\]'") as error:
        check_engine(rollout)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="not installed"):
        make_engine(rollout, model, ids)
    check_engine(config.rollout)


def test_the_command_says_so_before_it_pretrains(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit) as exit_:
        main(["train", "qtrain/configs/adam_alike.toml", "rollout.engine=vllm"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("qtrain: rollout.engine=vllm: vLLM is not installed here")
    assert error.count("\n") == 1


def test_score_norms_with_vllm_are_refused_by_the_configuration(config: Config) -> None:
    with pytest.raises(UserError, match=r"rollout\.engine='vllm': garl_weighted.* vLLM does not give; use .*transf"):
        config.with_values({"estimator": "garl_weighted:q=.75", "rollout.engine": "vllm"})


def test_engines_by_name(model: Qwen3ForCausalLM, ids: TokenIds, config: Config) -> None:
    assert isinstance(make_engine(config.rollout, model, ids), TransformersEngine)
    with pytest.raises(UserError, match=r"rollout\.engine = 'vlm'"):
        config.with_values({"rollout.engine": "vlm"})
    with pytest.raises(UserError, match="did you mean 'dtype'"):
        config.with_values({"rollout.vllm.dtyp": "bfloat16"})
