"""Texts are compared in one normal form, and a tokenizer that changes texts takes no success away."""

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from qa_cases import build, write_split
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from qtrain.config import Config
from qtrain.evaluation import _texts
from qtrain.policy.model import encode, encode_examples, token_ids
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.scoring import contains, exact, exact_match, normalised, token_f1
from qtrain.scoring.groups import majority
from qtrain.scoring.text import canonical
from qtrain.tasks.base import END_THINK, THINK, Example, Task
from qtrain.tasks.tokenizer import load_tokenizer, reserved_tokens, token_count

NFD, NFC = "Beyonce\u0301", "Beyonc\u00e9"


@given(st.text(max_size=20), st.sampled_from(["NFC", "NFD"]), st.sampled_from(["", " ", "\n\n", "\t "]))
def test_unicode_forms_and_white_space_do_not_count(text: str, form: Any, space: str) -> None:
    other = space + unicodedata.normalize(form, text) + space
    assert canonical(other) == canonical(text)
    assert canonical(canonical(text)) == canonical(text)
    assert exact(other, text)
    assert contains(f"so {other}.", text) or not canonical(text)
    assert exact_match(other, text) == token_f1(other, text) == 1.0
    assert normalised(other) == normalised(text)


def test_two_forms_of_a_name() -> None:
    assert NFD != NFC
    assert contains(f"It was {NFC}.", NFD)
    assert exact(NFC, NFD)
    assert not exact(NFC, "Beyonce")


@pytest.mark.parametrize(
    ("answers", "right", "share"),
    [
        (["42", "42 ", "\n42", "7", "7"], "42", 1.0),
        ([NFC, NFD, "x"], NFC, 1.0),
        (["4 2", "42"], "42", 0.5),
        (["1.5", "15", "15"], "1.5", 0.0),
        (["-5", "5", "5"], "5", 1.0),
    ],
)
def test_votes_are_for_normal_forms(answers: list[str], right: str, share: float) -> None:
    assert majority(answers, [exact(answer, right) for answer in answers]) == share


def tokenizer_folder(folder: Path, normalizer: Any, words: tuple[str, ...] = (), template: str | None = None) -> Path:
    """A byte-level tokenizer with a normalizer, added words and a chat template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({token: index for index, token in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    if normalizer is not None:
        core.normalizer = normalizer
    core.add_special_tokens(["<|end|>", "<|pad|>", "<|im_start|>"])
    core.add_tokens([AddedToken(word, normalized=False) for word in (THINK, END_THINK, *words)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("normalizer", "gold", "said"),
    [
        (normalizers.NFC(), NFD, f"the singer {NFC}"),
        (normalizers.NFKC(), "½ cup", "1⁄2 cup"),
        (normalizers.Lowercase(), "Paris", "the city of paris"),
    ],
)
def test_a_normalizer_takes_no_success_away(normalizer: Any, gold: str, said: str, tmp_path: Path) -> None:
    row = {"question": "what?", "answer": gold, "aliases": [f"{gold}, of course"]}
    data = write_split(tmp_path / "data", "pairs", [row], [row | {"question": "and now?"}])
    task = build("pairs", data, tokenizer=tokenizer_folder(tmp_path / "tok", normalizer))
    (example,) = task.held_out(1)
    assert task.success(example, said)
    assert not task.success(example, "something else")
    spoken = task.tokenizer.decode(encode(task.tokenizer, [gold])[0])
    assert task.dataset_metrics(example, str(spoken))["em"] == 1.0


class Forgetful:
    """A tokenizer that decodes everything to a question mark."""

    def batch_decode(self, rows: list[list[int]], **_: Any) -> list[str]:
        return ["?"] * len(rows)


def test_the_tokens_of_the_gold_answer_are_a_success_whatever_they_decode_to(
    model: Qwen3ForCausalLM, config: Config, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = task.batch(2, np.random.default_rng(0))
    prompts, gold = encode_examples(task.tokenizer, examples)
    engine = TransformersEngine(model, token_ids(task.tokenizer))
    sampled = roll_out(engine, prompts, gold, config.rollout, torch.Generator().manual_seed(0), sample_answers=True)
    assert sampled.answers is not None
    samples = config.rollout.samples
    answers = [gold[row // samples] if row % 2 else [1, 1] for row in range(len(sampled.answers))]
    rollouts = Rollouts(**{**sampled.__dict__, "answers": answers})
    monkeypatch.setattr(task, "tokenizer", Forgetful())
    texts = [text for group in _texts(task, examples, rollouts, {}, None) for text in group]
    assert [text["success"] for text in texts] == [row % 2 == 1 for row in range(len(texts))]


def test_only_control_tokens_are_kept_out_of_texts(tmp_path: Path) -> None:
    words = ("EBITDA", "<table>", "million", "<tool_call>", "<|fim|>", "[INST]")
    template = "{{ messages[0].content }} use <tool_call> or a million words [INST]"
    tokenizer = load_tokenizer(tokenizer_folder(tmp_path / "tok", None, words, template))
    assert set(reserved_tokens(tokenizer)) == {
        *("<|end|>", "<|pad|>", "<|im_start|>", THINK, END_THINK),  # special, or delimiters
        *("<tool_call>", "<|fim|>", "[INST]"),  # in the template, or marks by their looks
    }
    row = {"question": "Did EBITDA in <table> reach 42 million?", "answer": "42 million </think> <|fim|>"}
    data = write_split(tmp_path / "data", "pairs", [row], [row | {"question": "and now?"}])
    task = build("pairs", data, tokenizer=tmp_path / "tok")
    (example,) = task.batch(1, np.random.default_rng(0))
    assert example.prompt == row["question"] + THINK
    assert example.answer == "42 million < /think> < |fim|>"


def test_truncation_and_padding_of_a_tokenizer_file_are_off(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path / "tok", None)
    core = Tokenizer.from_file(str(folder / "tokenizer.json"))
    core.enable_truncation(max_length=5)
    core.enable_padding(length=9)
    core.save(str(folder / "tokenizer.json"))
    tokenizer = load_tokenizer(folder)
    assert token_count(tokenizer, "0123456789") == 10
    assert [len(row) for row in encode(tokenizer, ["0123456789", "0"])] == [10, 1]


TURN = "{% for message in messages %}<|im_start|>{{ message.content }}<|end|>{% endfor %}"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}", "does not show"),
        ("<|im_start|>answer<|end|>", "does not show"),
        ("{{ messages[0].content | upper }}", "does not show"),
        ("{{ messages[0].content | e }}", "does not show"),
        ("{{ messages[0].content[:20] }}", "does not show"),
        (TURN + "<think>\n\n</think>\n\n", "closes the thought"),
        (TURN + "<think></think>The answer is", "closes the thought"),
    ],
)
def test_a_template_that_hides_the_question_or_closes_the_thought_is_refused(
    template: str, why: str, tmp_path: Path
) -> None:
    row = {"question": "Is Tom & Jerry's mother <b>old</b>?", "answer": "yes"}
    data = write_split(tmp_path / "data", "pairs", [row], [row | {"question": "and now?"}])
    tokenizer = tokenizer_folder(tmp_path / "tok", None, template=template)
    with pytest.raises(Exception, match=why) as error:
        build("pairs", data, tokenizer=tokenizer, variant="warm")
    assert type(error.value).__name__ == "UserError"
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("template", [TURN, TURN + "<think>\n", "{{ messages[0].content | trim }}" + THINK])
def test_a_template_that_shows_it_is_used(template: str, tmp_path: Path) -> None:
    row = {"question": "Is Tom & Jerry's mother <b>old</b>?", "answer": "yes"}
    data = write_split(tmp_path / "data", "pairs", [row], [row | {"question": "and now?"}])
    tokenizer = tokenizer_folder(tmp_path / "tok", None, template=template)
    task = build("pairs", data, tokenizer=tokenizer, variant="warm")
    (example,) = task.held_out(1)
    assert isinstance(example, Example)
    assert "and now?" in example.prompt
    assert example.prompt.endswith(THINK)
    assert example.prompt.count(THINK) == 1
