"""MuSiQue: paragraphs and question, aliases in the official scores alone, and what is left out."""

import json
from pathlib import Path
from typing import Any

import pytest
from qa_cases import build, musique, write_lines, write_split

from qtrain.errors import UserError
from qtrain.tasks.base import THINK

CONTEXT = "Ann: Ann was born in Bath.\nBath: Bath lies on the Avon.\n"


def test_cold_is_the_paragraphs_and_the_question(tmp_path: Path) -> None:
    task = build("musique", write_split(tmp_path, "musique", [musique(1)], [musique(2)]))
    (example,) = task.held_out(9)
    assert example.prompt == f"{CONTEXT}Which river flows through the town where Ann was born?{THINK}"
    assert (example.answer, example.aliases) == ("the Avon", ("River Avon", "Avon"))


def test_aliases_count_officially_and_not_by_the_papers_rule(tmp_path: Path) -> None:
    task = build("musique", write_split(tmp_path, "musique", [musique(1)], [musique(2)]))
    (example,) = task.held_out(1)
    assert task.success(example, "it is the Avon")
    assert not task.success(example, "River Avon")
    assert task.dataset_metrics(example, "river Avon.") == {"em": 1.0, "f1": 1.0}
    assert task.dataset_metrics(example, "the river Thames") == {"em": 0.0, "f1": 0.5}


def test_broken_lines_are_named_and_can_be_left_out(tmp_path: Path) -> None:
    folder = write_split(tmp_path, "musique", [musique(1)], [musique(9)])
    path = folder / "musique_ans_v1.0_train.jsonl"
    good = path.read_bytes()
    path.write_bytes(good[:-20] + b"\n\n" + good.replace(b"Bath", b"B\xe4th") + good.replace(b"2hop__1_", b"2hop__3_"))
    with pytest.raises(UserError, match=r"train\.jsonl: line 1 is not in the layout of MuSiQue: not JSON: "):
        build("musique", folder)
    task = build("musique", folder, on_bad_record="skip")
    assert task.record_ids() == {"train": ["2hop__3_17"], "held_out": ["2hop__9_17"]}
    table = task.dataset_report()["sources"][str(path)]
    assert (table["records"], table["kept"]) == (3, 1)
    assert [text.split(":")[0] for text in table["malformed_records"]] == ["line 1", "line 3"]
    assert "line 3: not UTF-8: byte 0xe4; save the file as UTF-8" in table["malformed_records"]
    assert "3 records, 1 kept, 2 malformed (not JSON" in "\n".join(task.dataset_lines())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"paragraphs": []}, "paragraphs: "),
        ({"paragraphs": [{"title": "Ann"}]}, "paragraphs.0.paragraph_text: Field required"),
        ({"paragraphs": ["Ann"]}, "paragraphs.0: "),
        ({"answer_aliases": "Avon"}, "answer_aliases: "),
        ({"answer_aliases": [1]}, "answer_aliases.0: "),
        ({"answerable": "yes"}, "answerable: "),
        ({"answer": 5}, "answer: "),
    ],
)
def test_malformed_records_have_their_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = write_lines(tmp_path / "x.jsonl", [musique(1), musique(2, **change)])
    with pytest.raises(UserError) as raised:
        build("musique", path)
    assert f"x.jsonl: line 2 is not in the layout of MuSiQue: {reason}" in str(raised.value)


def test_questions_without_an_answer_in_the_text_are_dropped(tmp_path: Path) -> None:
    train = [musique(1), musique(2, answerable=False), musique(3, answer=" ")]
    task = build("musique", write_split(tmp_path, "musique", train, [musique(4)]))
    assert next(iter(task.load_stats.values())).dropped == {"not answerable": 1, "empty answer": 1}


@pytest.mark.shared
def test_real_records_hold_every_paragraph(shared_data: Path) -> None:
    task = build("musique", shared_data / "musique", max_prompt_tokens=99_999)
    lines = (shared_data / "musique" / "musique_ans_v1.0_dev.jsonl").read_text(encoding="utf-8").splitlines()
    records = {one["id"]: one for one in map(json.loads, lines)}
    examples = task.held_out(999)
    assert len(examples) == len(records) == 92
    for example in examples:
        record = records[example.id]
        assert all(
            f"{one['title'].strip()}: {one['paragraph_text'].strip()}\n" in example.prompt
            for one in record["paragraphs"]
        )
        assert example.prompt.endswith(f"\n{record['question'].strip()}{THINK}")
        assert (example.answer, list(example.aliases)) == (record["answer"], record["answer_aliases"])


@pytest.mark.parametrize("answerable_first", [True, False])
def test_the_answerable_half_of_musique_full_is_read(answerable_first: bool, tmp_path: Path) -> None:
    """There each question comes twice under one id, once with a paragraph that it needs taken away."""
    rows = []
    for number in range(32):
        pair = [musique(number), musique(number, answerable=False)]
        rows += pair if answerable_first else pair[::-1]
    task = build("musique", write_lines(tmp_path / "musique_full_v1.0_dev.jsonl", rows))
    ids = task.record_ids()
    assert sorted(ids["train"] + ids["held_out"]) == sorted({row["id"] for row in rows})
    assert "64 records, 32 kept, 32 dropped (not answerable: 32)" in task.dataset_lines()[0]
