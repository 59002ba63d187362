"""Your own pairs: what a line may hold, what it becomes, and how an answer to it is scored."""

import zlib
from pathlib import Path

import pytest
from qa_cases import build, pair, write_lines, write_split

from qtrain.errors import UserError
from qtrain.tasks.base import Example
from qtrain.tasks.data_sets import data_set
from qtrain.tasks.records import Record, parse
from qtrain.tasks.rows import BadRecord, JsonRow


def test_a_line_needs_a_question_and_an_answer() -> None:
    found = parse(JsonRow("line 1", {"question": " why? ", "answer": "42"}), data_set("pairs"))
    assert not isinstance(found, BadRecord)
    assert (found.question, found.answer, found.context, found.aliases) == ("why?", "42", "", ())
    other = parse(JsonRow("line 2", {"question": "why?", "answer": "42", "context": "x"}), data_set("pairs"))
    assert not isinstance(other, BadRecord)
    assert found.id != other.id


@pytest.mark.parametrize(("key", "near"), [("contxt", "context"), ("Contexts", "context"), ("aliasses", "aliases")])
def test_a_mistyped_optional_column_is_refused(key: str, near: str) -> None:
    record = parse(JsonRow("line 1", pair() | {key: "x"}), data_set("pairs"))
    assert isinstance(record, BadRecord)
    assert record.reason == f"{key!r}: unknown column; did you mean {near!r}? (or set task.{near})"


def test_other_columns_are_ignored() -> None:
    others = {"level": 5, "source": "x", "reponse": "y", "content": "z", "messages": None}
    assert parsed(pair() | others) == parsed(pair())


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
    assert task.dataset_metrics(example, "nyc.") == {"em": 1.0, "f1": 1.0}
    # Two words of two, two of three: 2 * 2 / (2 + 3).
    assert task.dataset_metrics(example, "New York") == {"em": 0.0, "f1": pytest.approx(0.8)}


def parsed(row: dict[str, object]) -> Record:
    record = parse(JsonRow("line 1", row), data_set("pairs"))
    assert isinstance(record, Record), record
    return record


def test_numbers_and_null_are_taken_as_people_write_them() -> None:
    record = parsed({"id": 7, "question": "why?", "answer": 42, "context": None, "aliases": [42.5, "x"]})
    assert (record.id, record.answer, record.context, record.aliases) == ("7", "42", "", ("42.5", "x"))
    assert parsed({"question": "why?", "answer": None, "aliases": None, "id": None}).answer == ""
    for bad in ({"question": None, "answer": "x"}, {"question": "why?", "answer": True}, {"question": "why?"}):
        assert isinstance(parse(JsonRow("line 1", bad), data_set("pairs")), BadRecord)


def test_ids_of_different_texts_differ() -> None:
    """Two questions of one 32-bit checksum, and all texts count."""
    rows = [
        {"question": "Dora has 40 apples and buys 25 more at 60 cents each. How many apples now?", "answer": "0"},
        {"question": "Eve has 96 apples and buys 280 more at 30 cents each. How many apples now?", "answer": "1"},
        {"question": "q", "answer": "a", "context": "c"},
        {"question": "q", "answer": "a", "context": "d"},
        {"question": "q", "answer": "b", "context": "c"},
        {"question": "q", "answer": "a", "context": "c", "aliases": ["b"]},
        {"question": "q", "answer": "c", "context": "a"},
    ]
    crc = [zlib.crc32(f"\n{row['question']}".encode()) for row in rows[:2]]
    assert crc[0] == crc[1]
    records = [parsed(row) for row in rows]
    assert len({record.id for record in records}) == len(rows)
    # One question stays on one side of a split.
    assert records[2].page == records[4].page == records[5].page != records[3].page


def test_one_id_twice_is_told_with_what_the_texts_are(tmp_path: Path) -> None:
    for other, words in ((pair(1), "repeats line 1"), (pair(1, answer="x"), "has the id of line 1 and other texts")):
        path = write_lines(tmp_path / "mine.jsonl", [pair(1), other, pair(2)])
        with pytest.raises(UserError, match=f"line 2 {words}; mend it, or leave"):
            build("pairs", path)


def test_one_question_in_both_splits_is_refused(tmp_path: Path) -> None:
    rows = [{"question": "why?", "answer": answer} for answer in "ab"]
    with pytest.raises(UserError, match="is in both splits"):
        build("pairs", write_split(tmp_path / "data", "pairs", rows[:1], rows[1:]))
