"""HotPotQA: both layouts give the same examples, cold and warm, and every malformed record has its reason."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qa_cases import build, hotpotqa, hotpotqa_hub, write_array, write_lines, write_split

from qtrain.errors import UserError
from qtrain.tasks.base import THINK

CONTEXT = "Ann: Ann was born in Bath. She sings.\nBob: Bob cooks. He is from Bath.\n"


def test_cold_is_the_paragraphs_and_the_question(tmp_path: Path) -> None:
    task = build("hotpotqa", write_split(tmp_path, "hotpotqa", [hotpotqa(1)], [hotpotqa(2)]))
    (example,) = task.held_out(9)
    assert example.prompt == f"{CONTEXT}Were Ann and Bob born in one town?{THINK}"
    assert (example.id, example.answer) == ("5a002", "yes")


def test_warm_describes_the_task_and_the_answer_around_the_same_input(tmp_path: Path) -> None:
    task = build("hotpotqa", write_split(tmp_path, "hotpotqa", [hotpotqa(1)], [hotpotqa(2)]), variant="warm")
    (example,) = task.held_out(9)
    before, after = example.prompt.split(f"{CONTEXT}\nQuestion: Were Ann and Bob born in one town?\n")
    assert "Reason step by step" in before
    assert "answer alone" in after
    assert example.prompt.endswith(f"\n{THINK}")
    assert example.prompt.count(THINK) == 1
    assert example.answer == "yes"


@pytest.mark.parametrize("write", [write_array, write_lines])
def test_the_hubs_rows_give_the_same_examples(tmp_path: Path, write: Any) -> None:
    official = build("hotpotqa", write_split(tmp_path / "a", "hotpotqa", [hotpotqa(1)], [hotpotqa(2), hotpotqa(3)]))
    folder = write_split(tmp_path / "b", "hotpotqa", [hotpotqa(1)], [])
    write(folder / "hotpot_dev_distractor_v1.json", [hotpotqa_hub(2), hotpotqa_hub(3)])
    assert build("hotpotqa", folder).held_out(9) == official.held_out(9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"context": []}, "context: List should have at least 1 item"),
        ({"context": [["Ann"]]}, "context.0.1: Field required"),
        ({"context": [["Ann", "Ann was born."]]}, "context.0.1: "),
        ({"context": [["Ann", ["x"], ["y"]]]}, "context.0: "),
        ({"context": {"title": ["Ann"], "sentences": []}, "id": "x"}, "1 titles and 0 lists of sentences"),
        ({"context": {"title": ["Ann"]}, "id": "x"}, "context.sentences: Field required"),
        ({"question": ""}, "question: "),
        ({"answer": None}, "answer: "),
        ({"answer": True}, "answer: "),
        ({"type": 3}, "type: "),
        ({"_id": ""}, "_id: "),
        ({"_id": ["a"]}, "_id: "),
    ],
)
def test_malformed_records_have_their_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    folder = write_split(tmp_path, "hotpotqa", [hotpotqa(1), hotpotqa(2, **change)], [hotpotqa(3)])
    with pytest.raises(UserError) as raised:
        build("hotpotqa", folder)
    assert "hotpot_train_v1.1.json: record 1 (counted from 0) is not in the layout of HotPotQA: " in str(raised.value)
    assert reason in str(raised.value)
    task = build("hotpotqa", folder, on_bad_record="skip")
    assert task.record_ids() == {"train": ["5a001"], "held_out": ["5a003"]}
    assert task.load_stats[str(folder / "hotpot_train_v1.1.json")].malformed.total() == 1


def test_test_questions_have_no_public_answers(tmp_path: Path) -> None:
    folder = write_split(tmp_path, "hotpotqa", [hotpotqa(1)], [hotpotqa(2)])
    with pytest.raises(UserError, match=r"task\.held_out_split='test': HotPotQA publishes answers for train, dev"):
        build("hotpotqa", folder, held_out_split="test")


@pytest.mark.shared
def test_real_records_hold_every_sentence(shared_data: Path) -> None:
    task = build("hotpotqa", shared_data / "hotpotqa", max_prompt_tokens=99_999)
    path = shared_data / "hotpotqa" / "hotpot_dev_distractor_v1.json"
    records = {one["_id"]: one for one in json.loads(path.read_text(encoding="utf-8"))}
    examples = task.held_out(999)
    assert len(examples) == len(records) == 97
    for example in examples:
        record = records[example.id]
        assert example.prompt.endswith(f"\n{record['question'].strip()}{THINK}")
        assert example.answer == record["answer"]
        for title, sentences in record["context"]:
            assert title in example.prompt
            assert all(sentence.strip() in example.prompt for sentence in sentences)


@pytest.mark.shared
def test_real_rows_of_the_hub_are_the_first_official_ones(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    for name, source in (
        ("hotpot_train_v1.1.json", "hotpot_train_v1.1.json"),
        ("hotpot_dev_distractor_v1.json", "hf_layout_sample.jsonl"),
    ):
        (folder / name).write_bytes((shared_data / "hotpotqa" / source).read_bytes())
    hub, official = build("hotpotqa", folder), build("hotpotqa", shared_data / "hotpotqa")
    assert len(hub.held_out(9)) == 5
    assert hub.held_out(9) == official.held_out(5)
    drawn = official.batch(500, np.random.default_rng(0))
    assert all(len(one.prompt.removesuffix(THINK).encode()) < 1024 for one in drawn)
