"""Your own pairs: what a line may hold, what it becomes, and how an answer to it is scored."""

from pathlib import Path

import pytest
from qa_cases import build, pair, write_lines, write_split

from qtrain.data import data_set
from qtrain.data.records import parse
from qtrain.data.rows import BadRecord, Row
from qtrain.tasks.base import Example


def test_a_line_needs_a_question_and_an_answer() -> None:
    found = parse(Row("line 1", {"question": " why? ", "answer": "42"}), data_set("pairs"))
    assert not isinstance(found, BadRecord)
    assert (found.question, found.answer, found.context, found.aliases) == ("why?", "42", "", ())
    other = parse(Row("line 2", {"question": "why?", "answer": "42", "context": "x"}), data_set("pairs"))
    assert not isinstance(other, BadRecord)
    assert found.id != other.id


@pytest.mark.parametrize("key", ["reponse", "prompt", "messages"])
def test_an_unknown_key_is_refused(key: str) -> None:
    found = parse(Row("line 1", pair() | {key: "x"}), data_set("pairs"))
    assert isinstance(found, BadRecord)
    assert found.reason == f"{key}: Extra inputs are not permitted"


def test_prompts_with_and_without_a_context(tmp_path: Path) -> None:
    rows = [pair(1), pair(2, context="One line.\nAnother.")]
    folder = write_split(tmp_path / "data", "pairs", rows, [pair(9)])
    for variant, bare in (("cold", "what is 1 + 1?<think>"), ("warm", "what is 1 + 1?\n\nReason step by step.")):
        task = build("pairs", folder, variant=variant)
        prompts = {example.id: example.prompt for example in task._train}
        assert prompts["mine-1"].startswith(bare)
        assert prompts["mine-2"].startswith("One line.\nAnother.\nwhat is 2 + 1?")


def test_one_file_is_split_by_its_ids(tmp_path: Path) -> None:
    task = build("pairs", write_lines(tmp_path / "mine.jsonl", [pair(number) for number in range(64)]))
    ids = task.record_ids()
    assert len(ids["train"]) + len(ids["held_out"]) == 64
    assert 2 <= len(ids["held_out"]) <= 16


def test_scores_take_the_best_alias(tmp_path: Path) -> None:
    task = build("pairs", write_lines(tmp_path / "mine.jsonl", [pair(number) for number in range(64)]))
    example = Example("x", "q", "New York City", aliases=("NYC",))
    assert task.official_scores(example, "nyc.") == {"em": 1.0, "f1": 1.0}
    # Two words of two, two of three: 2 * 2 / (2 + 3).
    assert task.official_scores(example, "New York") == {"em": 0.0, "f1": pytest.approx(0.8)}
