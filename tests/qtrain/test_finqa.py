"""FinQA: what becomes of official records, and one clear line for everything that is not one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from qtrain.errors import UserError
from qtrain.tasks import make_task
from qtrain.tasks.base import THINK, Example
from qtrain.tasks.finqa import FinQA, FinQAConfig, linearise, read_records


def official(number: int = 1, page: str = "ABC/2010/page_7.pdf", **qa: Any) -> dict[str, Any]:
    """A record in the official layout, with fields that are not used."""
    return {
        "id": f"{page}-{number}",
        "filename": page,
        "pre_text": ["first sentence .", "second sentence ."],
        "table": [["", "2010"], ["sales", "$ 5"]],
        "table_ori": [["", "2010"], ["Sales", "$5"]],
        "post_text": ["last sentence ."],
        "qa": {"question": "what were sales?", "answer": "5", "program": "add(2, 3)", "exe_ans": 5.0} | qa,
    }


def written(path: Path, records: object) -> Path:
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def split_folder(folder: Path, train: list[dict[str, Any]], dev: list[dict[str, Any]]) -> Path:
    written(folder / "train.json", train)
    written(folder / "dev.json", dev)
    return folder


def ids(task: FinQA, example: Example) -> list[int]:
    return task.tokenizer(example.prompt, add_special_tokens=False)["input_ids"]


def test_the_cold_start_is_the_input_and_nothing_else(tmp_path: Path) -> None:
    (record,) = read_records(written(tmp_path / "train.json", [official()]))
    assert linearise(record) == (
        "first sentence .\nsecond sentence .\n | 2010\nsales | $ 5\nlast sentence .\nwhat were sales?"
    )


def test_a_folder_gives_the_official_split(tmp_path: Path) -> None:
    dev = [official(number, "DEV/2011/page_1.pdf") for number in (3, 1, 2)]
    task = FinQA(FinQAConfig(), split_folder(tmp_path, [official(1), official(2)], dev))
    drawn = task.batch(200, np.random.default_rng(0))
    assert {example.id for example in drawn} == {"ABC/2010/page_7.pdf-1", "ABC/2010/page_7.pdf-2"}
    assert [example.id[-1] for example in task.held_out(2)] == ["3", "1"]
    assert [example.id[-1] for example in task.held_out(99)] == ["3", "1", "2"]
    assert drawn[0].prompt == linearise(read_records(tmp_path / "train.json")[0]) + THINK
    assert drawn[0].answer == "5"


def test_batches_are_uniform_and_reproducible(tmp_path: Path) -> None:
    task = FinQA(FinQAConfig(), split_folder(tmp_path, [official(n) for n in range(10)], [official(10)]))
    drawn = [example.id for example in task.batch(5000, np.random.default_rng(3))]
    assert drawn == [example.id for example in task.batch(5000, np.random.default_rng(3))]
    _, counts = np.unique(drawn, return_counts=True)
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 1e-3


def test_one_file_is_split_by_page(tmp_path: Path) -> None:
    records = [official(n, f"ABC/2010/page_{page}.pdf") for page in range(800) for n in (1, 2)]
    task = FinQA(FinQAConfig(), written(tmp_path / "train.json", records))
    held_out = {example.id for example in task.held_out(2000)}
    drawn = {example.id for example in task.batch(20_000, np.random.default_rng(0))}
    assert held_out.isdisjoint(drawn)
    assert held_out | drawn == {record["id"] for record in records}
    pages = {name.rpartition("-")[0] for name in held_out}
    assert len(held_out) == 2 * len(pages)
    assert stats.binomtest(len(pages), 800, 1 / 8).pvalue > 1e-3


def test_long_inputs_lose_their_beginning_and_keep_the_question(tmp_path: Path) -> None:
    long = official()
    long["pre_text"] = ["€é" * 50]
    folder = split_folder(tmp_path, [long], [official()])
    whole = linearise(read_records(folder / "train.json")[0])
    for limit in range(60, 100):
        task = FinQA(FinQAConfig(max_prompt_tokens=limit), folder)
        (example,) = task.batch(1, np.random.default_rng(0))
        tokens = ids(task, example)
        # At most 2 of a character's 3 bytes are given up so as not to cut inside it.
        assert limit - 2 <= len(tokens) <= limit
        assert task.tokenizer.decode(tokens) == example.prompt
        assert example.prompt.endswith("\nwhat were sales?" + THINK)
        assert whole.endswith(example.prompt.removesuffix(THINK))


def test_records_without_an_answer_or_with_too_long_a_question_are_dropped_and_counted(
    tmp_path: Path,
) -> None:
    train = [official(1), official(2, answer=""), official(3, answer=" "), official(4, question="why?" * 100)]
    task = FinQA(FinQAConfig(max_prompt_tokens=100), split_folder(tmp_path, train, [official(5)]))
    assert task.dropped == {"empty answer": 2, "question longer than max_prompt_tokens": 1}
    assert {example.id[-1] for example in task.batch(50, np.random.default_rng(0))} == {"1"}


def test_the_longest_question_that_fits_fills_the_prompt(tmp_path: Path) -> None:
    folder = split_folder(tmp_path, [official(question="x" * 99)], [official()])
    task = FinQA(FinQAConfig(max_prompt_tokens=100), folder)
    assert task.batch(1, np.random.default_rng(0))[0].prompt == "x" * 99 + THINK


def test_a_question_is_measured_as_it_is_put(tmp_path: Path) -> None:
    # 99 bytes, and 100 once its special token is broken: one more than THINK leaves.
    folder = split_folder(tmp_path, [official(question="</think>" + "x" * 91), official()], [official()])
    assert FinQA(FinQAConfig(max_prompt_tokens=100), folder).dropped == {"question longer than max_prompt_tokens": 1}


def test_special_tokens_of_a_record_stay_text(tmp_path: Path) -> None:
    record = official(question="is </think> <|end|> or <think> right?", answer="<|end|>5")
    record["table"] = [["<|pad|>", "<think", ">"]]
    task = FinQA(FinQAConfig(), split_folder(tmp_path, [record], [official()]))
    (example,) = task.batch(1, np.random.default_rng(0))
    assert [token for token in ids(task, example) if token < 4] == [task.tokenizer.convert_tokens_to_ids(THINK)]
    assert example.prompt.endswith("is < /think> < |end|> or < think> right?" + THINK)
    assert example.answer == "< |end|>5"


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [("5.3%", "5.3%", True), ("5.3%", "it is 5.3% .", True), ("5.3%", "5.3", False), ("1", "21%", True)],
)
def test_success_is_the_gold_answer_as_a_substring(tmp_path: Path, gold: str, answer: str, right: bool) -> None:
    task = FinQA(FinQAConfig(), split_folder(tmp_path, [official(answer=gold)], [official()]))
    assert task.success(task.batch(1, np.random.default_rng(0))[0], answer) is right


def test_success_minds_the_case(tmp_path: Path) -> None:
    task = FinQA(FinQAConfig(), split_folder(tmp_path, [official(answer="yes")], [official()]))
    assert not task.success(task.batch(1, np.random.default_rng(0))[0], "Yes")


def test_there_are_no_demonstrations(tmp_path: Path) -> None:
    task = FinQA(FinQAConfig(), split_folder(tmp_path, [official()], [official()]))
    with pytest.raises(UserError, match=r"finqa.*pretrain\.steps=0"):
        task.demonstrations(1, np.random.default_rng(0))


def test_the_registry_builds_it_and_asks_for_data(tmp_path: Path) -> None:
    folder = split_folder(tmp_path, [official()], [official()])
    assert isinstance(make_task(FinQAConfig(), folder), FinQA)
    with pytest.raises(UserError, match="data=PATH"):
        make_task(FinQAConfig(), None)


NO_FINQA = {
    "nothing": (b"", "not JSON"),
    "json lines": (b'{"a": 1}\n{"a": 2}\n', "not JSON"),
    "endless nesting": (b"[" * 100_000, "not JSON"),
    "endless integer": (b"[" + b"1" * 5000 + b"]", "not JSON"),
    "latin-1": (b'["caf\xe9"]', "not UTF-8"),
    "utf-16": ("[1]".encode("utf-16"), "not UTF-8"),
    "an object": (b'{"a": 1}', "array of records is needed, not a dict"),
}
BAD_RECORDS = {
    "none": ([], "no training records"),
    "all dropped": ([official(answer="")], "no training records (dropped: empty answer 1)"),
    "a number": ([official(), 3], "record 1 (counted from 0) is not in FinQA's official layout"),
    "no qa": ([{"id": "a", "pre_text": [], "post_text": [], "table": []}], "record 0 (counted from 0)"),
    "answer a number": ([official(), official(answer=5)], "layout: qa.answer: "),
    "no question": ([official(question=" ")], "layout: qa.question: "),
    "cell null": ([official() | {"table": [["a", None]]}], "layout: table.0.1: "),
    "half a character": ([official() | {"pre_text": ["\ud800"]}], "layout: pre_text.0: "),
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *NO_FINQA.values(),
        *((json.dumps(records).encode(), message) for records, message in BAD_RECORDS.values()),
    ],
    ids=[*NO_FINQA, *BAD_RECORDS],
)
def test_what_is_no_finqa_file_gets_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        FinQA(FinQAConfig(), path)
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text


def test_a_side_without_records_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no held-out records .*train\.json and dev\.json"):
        FinQA(FinQAConfig(), split_folder(tmp_path, [official()], []))


def test_missing_files_are_named(tmp_path: Path) -> None:
    written(tmp_path / "train.json", [official()])
    for path, missing in (
        (tmp_path / "nowhere", "nowhere: no such file"),
        (tmp_path, "dev.json: no such file"),
        (tmp_path / "train.json" / "x", "x: cannot be read"),
        (tmp_path / ("x" * 300), "x: cannot be read"),
    ):
        with pytest.raises(UserError) as raised:
            FinQA(FinQAConfig(), path)
        assert missing in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.shared
def test_real_records_become_prompts_that_end_in_their_question(shared_data: Path) -> None:
    task = FinQA(FinQAConfig(), shared_data / "finqa")
    examples = {example.id: example for example in [*task.batch(3000, np.random.default_rng(0)), *task.held_out(999)]}
    records = [
        record
        for name in ("train.json", "dev.json")
        for record in json.loads((shared_data / "finqa" / name).read_text(encoding="utf-8"))
    ]
    answered = {record["id"]: record["qa"] for record in records if record["qa"]["answer"]}
    assert examples.keys() == answered.keys()
    assert task.dropped == {"empty answer": len(records) - len(answered)} == {"empty answer": 1}
    for name, example in examples.items():
        tokens = ids(task, example)
        assert len(tokens) <= 1024
        assert task.tokenizer.decode(tokens) == example.prompt
        assert [token for token in tokens if token < 4] == [1]
        assert example.prompt.endswith("\n" + answered[name]["question"] + THINK)
        assert example.answer == answered[name]["answer"]


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    ["finqa/hf_layout_sample.jsonl", "finqa/README.md", "hotpotqa/hotpot_dev_distractor_v1.json", "musique"],
)
def test_real_files_of_other_layouts_are_refused(shared_data: Path, name: str) -> None:
    with pytest.raises(UserError) as raised:
        FinQA(FinQAConfig(), shared_data / name)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)
