"""Delimiters of any texts: where a rationale ends, what is forced after it, and that log w and the gradient agree."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from by_definition import gradient, gradient_by_definition, log_probs_alone, missing_closer
from hypothesis import given
from hypothesis import strategies as st
from qa_cases import write_split
from test_normal_form import tokenizer_folder
from tokenizers.normalizers import Strip
from transformers import Qwen3ForCausalLM

from qtheory.estimators import Coefficients
from qtrain import load_config
from qtrain.config import Config, RolloutConfig
from qtrain.errors import UserError
from qtrain.forward.rows import forced_closer
from qtrain.metrics import step_metrics
from qtrain.policy.model import TokenIds, encode_examples, token_ids
from qtrain.prepare import get_base, prepare, pretraining_key
from qtrain.rollout.mismatch import self_check
from qtrain.rollout.rollouts import Rollouts, batch_rows, roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.rollout.vllm import until_closed
from qtrain.runs.folder import METRICS, read_jsonl
from qtrain.tasks import make_task
from qtrain.tasks.base import Task
from qtrain.tasks.delimiters import Delimiters, closer_tokens, turn_ends
from qtrain.tasks.prompts import render
from qtrain.tasks.tokenizer import byte_tokenizer, load_tokenizer, reserved_tokens
from qtrain.trainer import train
from qtrain.update import backward, forward

TOKENS = st.lists(st.integers(0, 2), max_size=9)
CLOSERS = st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple)


def cut_by_definition(
    tokens: Sequence[int], closer: Sequence[int], ends: Sequence[int] = ()
) -> tuple[list[int], bool, bool]:
    """The rationale that these sampled tokens begin with, whether its closer is forced, and whether END ended it."""
    row: list[int] = []
    for token in tokens:
        row.append(token)
        if row[-len(closer) :] == list(closer):
            return row, False, False
        if token in ends:
            return row, True, True
    return row, True, False


@given(CLOSERS, TOKENS)
def test_a_forced_closer_is_what_is_missing_of_it(closer: tuple[int, ...], tokens: list[int]) -> None:
    rationale, is_forced, _ = cut_by_definition(tokens, closer)
    assert until_closed(tokens, closer) == rationale
    if is_forced:
        assert forced_closer(TokenIds(closer, 0, 0), rationale) == missing_closer(closer, rationale)


def sample(model: Qwen3ForCausalLM, task: Task, ids: TokenIds, budget: int = 12, **settings: Any) -> Rollouts:
    config = RolloutConfig(samples=16, rationale_budget=budget, answer_budget=3, **settings)
    examples = task.batch(4, np.random.default_rng(0))
    generator = torch.Generator().manual_seed(0)
    engine = TransformersEngine(model, ids)
    return roll_out(engine, *encode_examples(task.tokenizer, examples), config, generator, sample_answers=True)


def most_common_pair(rows: list[list[int]], end: int) -> tuple[int, int]:
    pairs = [pair for row in rows for pair in pairwise(row[1:]) if end not in pair]
    return max(sorted(set(pairs)), key=pairs.count)


@pytest.fixture
def ids(model: Qwen3ForCausalLM, task: Task) -> TokenIds:
    """A closer of the two tokens that this model writes most often after each other; END ends rationales too."""
    end, pad = token_ids(task.tokenizer)[1:3]
    never = TokenIds((pad,) * 9, end, pad)
    return TokenIds(most_common_pair(sample(model, task, never).rationales, end), end, pad, (end,))


def test_rationales_end_by_definition(model: Qwen3ForCausalLM, task: Task, ids: TokenIds) -> None:
    """A row's tokens depend on its own random numbers alone, so that a longer row begins with every shorter one."""
    whole = sample(model, task, ids._replace(closer=(ids.pad,) * 9, ends=()))
    assert all(len(row) == 12 for row in whole.rationales)
    for closer, ends in ((ids.closer, ()), (ids.closer, ids.ends), (ids.closer[:1], ids.ends), ((ids.end,), ids.ends)):
        rollouts = sample(model, task, ids._replace(closer=closer, ends=ends))
        expected = [cut_by_definition(row, closer, ends) for row in whole.rationales]
        assert rollouts.rationales == [row for row, _, _ in expected]
        assert rollouts.truncated_BM.flatten().tolist() == [is_forced for _, is_forced, _ in expected]
        assert 0 < rollouts.truncated_BM.sum() < rollouts.truncated_BM.numel()
        if not ends:
            assert rollouts.ended_BM is None
        else:
            assert rollouts.ended_BM is not None
            assert rollouts.ended_BM.flatten().tolist() == [is_ended for _, _, is_ended in expected]
            assert rollouts.ended_BM.any() == (closer != (ids.end,))


@pytest.mark.parametrize("score_closer", [False, True])
def test_log_w_and_gradient_are_those_of_the_definition(
    score_closer: bool, model: Qwen3ForCausalLM, task: Task, ids: TokenIds
) -> None:
    ids = ids._replace(score_closer=score_closer)
    rollouts = sample(model, task, ids)
    samples = rollouts.log_w_BM.shape[1]
    gold = [answer for answer in rollouts.gold for _ in range(samples)]
    forced = rollouts.truncated_BM.flatten().tolist()
    # Rows that end in a part of the closer are among them, and rows that END ended.
    assert any(
        is_forced and row[-1] == ids.closer[0] for row, is_forced in zip(rollouts.rationales, forced, strict=True)
    )
    expected = [
        float(
            log_probs_alone(
                model, ids, rollouts.prompts[row // samples], rollouts.rationales[row], gold[row], forced=forced[row]
            )[1].detach()
        )
        for row in range(len(gold))
    ]
    np.testing.assert_allclose(rollouts.log_w_BM.flatten(), expected, rtol=0, atol=5e-5)
    torch.testing.assert_close(forward(model, ids, rollouts).log_w_BM, rollouts.log_w_BM, rtol=0, atol=5e-5)
    generator = torch.Generator().manual_seed(1)
    coefficients = Coefficients(*torch.randn(2, *rollouts.log_w_BM.shape, generator=generator, dtype=torch.float64))
    backward(model, ids, rollouts, coefficients, on_sampled_answers=False)
    actual, definition = gradient(model), gradient_by_definition(model, ids, rollouts, coefficients, gold)
    assert float((actual - definition).norm() / definition.norm()) < 1e-5
    backward(model, ids, rollouts, coefficients, on_sampled_answers=True)
    assert rollouts.answers is not None
    sampled, unscored = gradient(model), ids._replace(score_closer=False)
    definition = gradient_by_definition(model, unscored, rollouts, coefficients, rollouts.answers)
    assert float((sampled - definition).norm() / definition.norm()) < 1e-5
    checks = self_check(model, ids, rollouts, RolloutConfig(), step=1)
    assert checks["mismatch_largest"] < 1e-4
    assert checks["mismatch_log_w"] < 1e-4


def test_the_answer_is_sampled_after_the_closer(model: Qwen3ForCausalLM, task: Task, ids: TokenIds) -> None:
    """At top_k=1 the answer is the most probable continuation of prompt, rationale and closer."""
    rollouts = sample(model, task, ids, top_k=1)
    assert rollouts.answers is not None
    rows = batch_rows(ids, rollouts, [[]] * len(rollouts.rationales))
    for row, answer in zip(rows, rollouts.answers, strict=True):
        context = torch.tensor([rollouts.prompts[row.prompt] + row.tokens])
        assert tuple(row.tokens[-2:]) == ids.closer
        with torch.no_grad():
            assert int(model(context).logits[0, -1].argmax()) == answer[0]


def test_the_share_of_ended_rationales_is_logged(model: Qwen3ForCausalLM, task: Task, ids: TokenIds) -> None:
    rollouts = sample(model, task, ids)
    zeros = torch.zeros_like(rollouts.log_w_BM)
    examples = task.batch(4, np.random.default_rng(0))
    metrics = step_metrics(examples, rollouts, Coefficients(zeros, zeros), None)
    assert metrics["ended"] == np.mean([row[-1] == ids.end for row in rollouts.rationales])
    assert 0 < metrics["ended"] < metrics["forced"] < 1
    assert "ended" not in step_metrics(examples, replace(rollouts, ended_BM=None), Coefficients(zeros, zeros), None)


def test_closers_are_encoded_by_the_tokenizer(task: Task) -> None:
    tokenizer = byte_tokenizer()
    assert closer_tokens(tokenizer, Delimiters()) == (2,)
    spelled = closer_tokens(tokenizer, Delimiters("", "\nAnswer:"))
    assert tokenizer.decode(list(spelled)) == "\nAnswer:"
    assert len(spelled) == 8
    assert token_ids(tokenizer, RolloutConfig(think=("", "\nAnswer:"))).closer == spelled
    stripping = byte_tokenizer()
    stripping.backend_tokenizer.normalizer = Strip()
    with pytest.raises(UserError, match=r"the tokenizer makes no token of the closer '\\n'; choose another text"):
        closer_tokens(stripping, Delimiters("", "\n"))
    for think, line in ((("", "ß"), "no tokens for 'ß'"), (("ß", "A"), "no tokens for 'ß'")):
        # The testbed's tokenizer has a token for each character that it needs, and none for others.
        tokenizer = copy.deepcopy(task.tokenizer)
        for unknown in (None, "<|pad|>"):
            tokenizer.unk_token = unknown
            with pytest.raises(UserError, match=line):
                closer_tokens(tokenizer, Delimiters(*think))


def test_a_tokenizer_without_the_tags_is_told_what_to_set() -> None:
    tokenizer = byte_tokenizer()
    bare = tokenizer_without_tags()
    with pytest.raises(UserError, match=r"lacks the token <think> and </think>; .*rollout.think=\[\"\", \"") as raised:
        closer_tokens(bare, Delimiters())
    assert "\n" not in str(raised.value)
    assert closer_tokens(bare, Delimiters("", "#")) == tuple(bare.encode("#", add_special_tokens=False))
    assert closer_tokens(tokenizer, Delimiters("<think>", "#"))


def tokenizer_without_tags() -> Any:
    """The byte tokenizer with two other names for its delimiters."""
    tokenizer = byte_tokenizer()
    text = tokenizer.backend_tokenizer.to_str().replace("<think>", "<|a|>").replace("</think>", "<|b|>")
    return type(tokenizer)(
        tokenizer_object=type(tokenizer.backend_tokenizer).from_str(text), eos_token="<|end|>", pad_token="<|pad|>"
    )


def test_closers_are_scored_unless_they_are_tokens_of_the_vocabulary() -> None:
    tokenizer = byte_tokenizer()
    for settings, expected in (
        ({}, False),
        ({"think": ("", "</think>")}, False),
        ({"think": ("", "#")}, True),
        ({"think": ("", "#"), "score_closer": False}, False),
        ({"score_closer": True}, True),
    ):
        assert token_ids(tokenizer, RolloutConfig.model_validate(settings)).score_closer == expected


CHAT = "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n{% endfor %}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, ["<|end|>"]),
        (CHAT, ["<|end|>", "<|im_end|>"]),
        (CHAT.replace("<|im_end|>", "<|end|>"), ["<|end|>"]),
        (CHAT.replace("<|im_end|>", " END "), ["<|end|>"]),
        ("{{ raise_exception('one turn') }}", ["<|end|>"]),
        ("constant", ["<|end|>"]),
    ],
)
def test_tokens_that_end_a_turn(template: str | None, expected: list[str], tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_folder(tmp_path / "tok", None, ("<|im_end|>",), template))
    assert list(turn_ends(tokenizer)) == tokenizer.convert_tokens_to_ids(expected)
    assert token_ids(tokenizer).ends == ()
    assert token_ids(tokenizer, RolloutConfig(end_ends_rationale=True)).ends == turn_ends(tokenizer)


def test_prompts_end_in_the_opener() -> None:
    tokenizer = byte_tokenizer()
    think = Delimiters("", "\nAnswer:")
    assert render("cold", tokenizer, "", "context\n", "question?", think=think) == "context\nquestion?"
    assert render("warm", tokenizer, "{question}", "", "q?", think=Delimiters("Think: ", "#")) == "q?\nThink: "
    tokenizer.chat_template = "<u>{{ messages[0].content }}</u>\n<a>\n\n"  # jinja drops the last line break
    assert render("warm", tokenizer, "{question}", "", "q?", think=think) == "<u>q?</u>\n<a>\n"
    assert render("warm", tokenizer, "{question}", "", "q?") == "<u>q?</u>\n<a>\n<think>"
    assert render("warm", tokenizer, "{question}", "", "q?", think=Delimiters("<a>", "#")) == "<u>q?</u>\n<a>"


def test_plain_text_delimiters_are_left_in_records() -> None:
    """Only tokens that the tokenizer recognises in any context are split in a record's text."""
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<work>"])
    assert "####" not in reserved_tokens(tokenizer, Delimiters("", "####"))
    assert set(reserved_tokens(tokenizer, Delimiters("<work>", "####"))) - set(reserved_tokens(tokenizer)) == {"<work>"}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("</think>", "two texts are needed"),
        (["<think>"], "two texts are needed"),
        (["<think>", 3], "two texts are needed"),
        (["<think>", ""], "closer may not be empty"),
    ],
)
def test_bad_delimiters_are_one_line(value: Any, line: str, config: Config) -> None:
    with pytest.raises(UserError, match=line) as raised:
        config.with_values({"rollout.think": value})
    assert "rollout.think" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_end_ends_rationales_of_pretrained_models_only(config: Config) -> None:
    assert not config.rollout.end_ends_rationale
    table: dict[str, Any] = {"name": "x", "task": {"name": "pairs"}, "model": {"pretrained": "some/model"}, "data": "x"}
    assert load_config(table).rollout.end_ends_rationale
    assert not load_config(table | {"rollout": {"end_ends_rationale": False}}).rollout.end_ends_rationale
    written = load_config(table).as_table()
    assert load_config(written).rollout.end_ends_rationale
    # A run folder of a version that did not know the setting.
    del written["rollout"]["end_ends_rationale"], written["rollout"]["think"]
    assert load_config(written) == load_config(table).with_values({"rollout.end_ends_rationale": False})


def test_the_testbed_takes_other_delimiters(config: Config) -> None:
    changed = config.with_values({"rollout.think": ["", "T="]})
    task = make_task(changed.task, None, think=changed.rollout.delimiters)
    (example,) = task.batch(1, np.random.default_rng(0))
    assert example.prompt == example.id
    assert example.prompt.endswith("=")
    (text,) = task.demonstrations(1, np.random.default_rng(0))
    (usual,) = make_task(config.task, None).demonstrations(1, np.random.default_rng(0))
    assert text.prompt == usual.prompt.removesuffix("<think>")
    assert text.completion == usual.completion.replace("</think>", "T=")
    assert pretraining_key(changed) == pretraining_key(config) | {"think": ["", "T="]}
    assert pretraining_key(config.with_values({"rollout.think": ["<think>", "</think>"]})) == pretraining_key(config)
    budget = changed.rollout.rationale_budget + changed.rollout.answer_budget
    with pytest.raises(UserError, match=f"need {len(example.prompt) + budget + 2}"):
        prepare(changed.with_values({"task.variant": "cold", "model.max_positions": len(example.prompt) + budget + 1}))


def test_a_run_without_the_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, evaluation and logs of a model whose rationales end in a text of several tokens, or by END."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = [{"question": f"what is {n}?", "answer": str(n)} for n in range(6)]
    data = write_split(tmp_path / "data", "pairs", rows[:3], rows[3:])
    tokenizer_without_tags().save_pretrained(tmp_path / "tokenizer")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "layers": 1, "heads": 2, "key_value_heads": 2, "head_dim": 8}
    table = {
        "name": "tiny",
        "data": str(data),
        "task": {"name": "pairs", "tokenizer": str(tmp_path / "tokenizer")},
        "model": sizes | {"max_positions": 64},
        "pretrain": {"steps": 0},
        "rollout": {"prompts": 2, "samples": 4, "rationale_budget": 4, "answer_budget": 4, "end_ends_rationale": True},
        "train": {"steps": 2},
        "eval": {"every": 2, "prompts": 2, "samples": 2},
    }
    with pytest.raises(UserError, match=r"rollout\.think"):
        prepare(load_config(table))
    config, task, _ = prepare(load_config(table).with_values({"rollout.think": ["", "\nAnswer:"]}))
    train(config, task, get_base(config, task), tmp_path / "run")
    steps = read_jsonl(tmp_path / "run" / METRICS)
    assert all(step["forced"] == 1 and "ended" in step for step in steps)
    assert all(step["mismatch_largest"] < 1e-4 for step in steps)
