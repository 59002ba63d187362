"""FinQA: what becomes of official records, and one clear line for everything that is not one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qa_cases import build, finqa, finqa_hub, write_array, write_lines, write_split
from scipy import stats

from qtrain.cli import main
from qtrain.errors import UserError
from qtrain.runs.folder import read_jsonl
from qtrain.tasks import make_task
from qtrain.tasks.base import THINK, Example
from qtrain.tasks.qa import QATask
from qtrain.tasks.qa_config import FinQAConfig

COLD = "first sentence .\nsecond sentence .\n | 2010\nsales | $ 5\nlast sentence .\nwhat were sales?" + THINK


def split_folder(folder: Path, train: list[dict[str, Any]], dev: list[dict[str, Any]]) -> Path:
    return write_split(folder, "finqa", train, dev)


def ids(task: QATask, example: Example) -> list[int]:
    return task.tokenizer(example.prompt, add_special_tokens=False)["input_ids"]


def test_the_cold_start_is_the_input_and_nothing_else(tmp_path: Path) -> None:
    task = build("finqa", split_folder(tmp_path, [finqa()], [finqa(2)]))
    assert [(one.prompt, one.answer) for one in task.held_out(9)] == [(COLD, "5")]


def test_the_hubs_rows_give_the_same_examples(tmp_path: Path) -> None:
    official = build("finqa", split_folder(tmp_path / "official", [finqa(n) for n in range(4)], [finqa(9)]))
    rows = [finqa_hub(n) for n in range(4)]
    for write in (write_lines, write_array):
        folder = split_folder(tmp_path / write.__name__, [], [finqa(9)])
        write(folder / "train.json", rows)
        assert build("finqa", folder).batch(50, np.random.default_rng(0)) == official.batch(
            50, np.random.default_rng(0)
        )


def test_a_folder_gives_the_official_split(tmp_path: Path) -> None:
    dev = [finqa(number, "DEV/2011/page_1.pdf") for number in (3, 1, 2)]
    task = build("finqa", split_folder(tmp_path, [finqa(1), finqa(2)], dev))
    drawn = task.batch(200, np.random.default_rng(0))
    assert {example.id for example in drawn} == {"ABC/2010/page_7.pdf-1", "ABC/2010/page_7.pdf-2"}
    assert [example.id[-1] for example in task.held_out(2)] == ["3", "1"]
    assert [example.id[-1] for example in task.held_out(99)] == ["3", "1", "2"]
    assert drawn[0].prompt == COLD
    assert drawn[0].answer == "5"


def test_batches_are_uniform_and_reproducible(tmp_path: Path) -> None:
    task = build("finqa", split_folder(tmp_path, [finqa(n) for n in range(10)], [finqa(10)]))
    drawn = [example.id for example in task.batch(5000, np.random.default_rng(3))]
    assert drawn == [example.id for example in task.batch(5000, np.random.default_rng(3))]
    _, counts = np.unique(drawn, return_counts=True)
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 1e-3


def test_one_file_is_split_by_page(tmp_path: Path) -> None:
    records = [finqa(n, f"ABC/2010/page_{page}.pdf") for page in range(800) for n in (1, 2)]
    task = build("finqa", write_array(tmp_path / "train.json", records))
    held_out = {example.id for example in task.held_out(2000)}
    drawn = {example.id for example in task.batch(20_000, np.random.default_rng(0))}
    assert held_out.isdisjoint(drawn)
    assert held_out | drawn == {record["id"] for record in records}
    pages = {name.rpartition("-")[0] for name in held_out}
    assert len(held_out) == 2 * len(pages)
    assert stats.binomtest(len(pages), 800, 1 / 8).pvalue > 1e-3


def test_long_inputs_lose_their_beginning_and_keep_the_question(tmp_path: Path) -> None:
    long = finqa()
    long["pre_text"] = ["€é" * 50]
    folder = split_folder(tmp_path, [long], [finqa(99)])
    whole = build("finqa", folder, max_prompt_tokens=9999).batch(1, np.random.default_rng(0))[0].prompt
    for limit in range(60, 100):
        task = build("finqa", folder, max_prompt_tokens=limit)
        (example,) = task.batch(1, np.random.default_rng(0))
        tokens = ids(task, example)
        # At most 2 of a character's 3 bytes are given up so as not to cut inside it.
        assert limit - 2 <= len(tokens) <= limit
        assert task.tokenizer.decode(tokens) == example.prompt
        assert example.prompt.endswith("\nwhat were sales?" + THINK)
        assert whole.endswith(example.prompt)


def test_records_without_an_answer_or_with_too_long_a_question_are_dropped_and_counted(
    tmp_path: Path,
) -> None:
    train = [finqa(1), finqa(2, answer=""), finqa(3, answer=" "), finqa(4, question="why?" * 100)]
    task = build("finqa", split_folder(tmp_path, train, [finqa(5)]), max_prompt_tokens=100)
    (tally, _) = task.load_stats.values()
    assert tally.dropped == {"empty answer": 2, "question longer than max_prompt_tokens": 1}
    assert (tally.records, tally.kept, tally.cut) == (4, 1, 0)
    assert {example.id[-1] for example in task.batch(50, np.random.default_rng(0))} == {"1"}


def test_the_longest_question_that_fits_fills_the_prompt(tmp_path: Path) -> None:
    folder = split_folder(tmp_path, [finqa(question="x" * 99)], [finqa(99)])
    task = build("finqa", folder, max_prompt_tokens=100)
    assert task.batch(1, np.random.default_rng(0))[0].prompt == "x" * 99 + THINK


def test_a_question_is_measured_as_it_is_put(tmp_path: Path) -> None:
    # 99 bytes, and 100 once its special token is broken: one more than THINK leaves.
    folder = split_folder(tmp_path, [finqa(question="</think>" + "x" * 91), finqa(2)], [finqa(99)])
    task = build("finqa", folder, max_prompt_tokens=100)
    assert task.load_stats[str(folder / "train.json")].dropped == {"question longer than max_prompt_tokens": 1}


def test_special_tokens_of_a_record_stay_text(tmp_path: Path) -> None:
    record = finqa(question="is </think> <|end|> or <think> right?", answer="<|end|>5")
    record["table"] = [["<|pad|>", "<think", ">"]]
    task = build("finqa", split_folder(tmp_path, [record], [finqa(99)]))
    (example,) = task.batch(1, np.random.default_rng(0))
    assert [token for token in ids(task, example) if token < 4] == [task.tokenizer.convert_tokens_to_ids(THINK)]
    assert example.prompt.endswith("is < /think> < |end|> or < think> right?" + THINK)
    assert example.answer == "< |end|>5"


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [("5.3%", "5.3%", True), ("5.3%", "it is 5.3% .", True), ("5.3%", "5.3", False), ("1", "21%", True)],
)
def test_success_is_the_gold_answer_as_a_substring(tmp_path: Path, gold: str, answer: str, right: bool) -> None:
    task = build("finqa", split_folder(tmp_path, [finqa(answer=gold)], [finqa(99)]))
    assert task.success(task.batch(1, np.random.default_rng(0))[0], answer) is right


def test_success_minds_the_case(tmp_path: Path) -> None:
    task = build("finqa", split_folder(tmp_path, [finqa(answer="yes")], [finqa(99)]))
    assert not task.success(task.batch(1, np.random.default_rng(0))[0], "Yes")


def test_there_are_no_demonstrations(tmp_path: Path) -> None:
    task = build("finqa", split_folder(tmp_path, [finqa()], [finqa(99)]))
    with pytest.raises(UserError, match=r"QATask has no demonstrations.*pretrain\.steps=0"):
        task.demonstrations(1, np.random.default_rng(0))


def test_the_registry_builds_it_and_asks_for_data(tmp_path: Path) -> None:
    folder = split_folder(tmp_path, [finqa()], [finqa(99)])
    assert isinstance(make_task(FinQAConfig(), folder), QATask)
    with pytest.raises(UserError, match="data=PATH"):
        make_task(FinQAConfig(), None)


def test_a_run_logs_both_scores_and_its_report_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = split_folder(tmp_path / "finqa", [finqa(1), finqa(2)], [finqa(3)])
    config = Path(__file__).parents[2] / "qtrain" / "configs" / "finqa_cold_tiny.toml"
    small = ["train.steps=1", "eval.every=1", "rollout.samples=2", "rollout.rationale_budget=2"]
    commands = (
        ["train", str(config), f"data={folder}", *small, "model.hidden_size=16", "--out", str(tmp_path / "run")],
        ["evaluate", str(tmp_path / "run")],
        ["report", str(tmp_path / "run"), "--output", str(tmp_path / "report.html")],
    )
    printed = []
    for words in commands:
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
        printed.append(capsys.readouterr().out)
    scores = {"numeric", "numeric_official"}
    evals = read_jsonl(tmp_path / "run" / "evals.jsonl")
    assert [0 <= row[name] <= 1 for row in evals for name in scores] == [True] * 4
    assert all(row["official"].keys() == scores for row in read_jsonl(tmp_path / "run" / "samples.jsonl"))
    assert scores <= set(printed[1].split())


NO_FINQA = {
    "nothing": (b"", "is empty"),
    "white space": (b" \n\n", "is empty"),
    "json lines": (b'{"a": 1}\n{"a": 2}\n', "line 1 is not in the layout of FinQA: id: Field required"),
    "endless nesting": (b"[" * 100_000, "not JSON: nested too deep"),
    "endless integer": (b"[" + b"1" * 5000 + b"]", "not JSON"),
    "latin-1": (b'["caf\xe9"]', "record 0 (counted from 0) is not in the layout of FinQA: not UTF-8: byte 0xe9"),
    "utf-16": ("[1]".encode("utf-16"), "not UTF-8: byte 0xff"),
    "an object": (b'{"a": 1}', "line 1 is not in the layout of FinQA"),
}
BAD_RECORDS = {
    "none": ([], "holds no records"),
    "all dropped": ([finqa(answer="")], "1 records, 0 kept, 1 dropped (empty answer: 1)"),
    "a number": (
        [finqa(), 3],
        "record 1 (counted from 0) is not in the layout of FinQA: an object is needed, not a number",
    ),
    "no qa": ([{"id": "a", "pre_text": [], "post_text": [], "table": []}], "record 0 (counted from 0)"),
    "answer a number": ([finqa(), finqa(2, answer=5)], "FinQA: qa.answer: "),
    "answer NaN": ([finqa(answer=float("nan"))], "FinQA: qa.answer: "),
    "no question": ([finqa(question=" ")], "FinQA: qa.question: "),
    "cell null": ([finqa() | {"table": [["a", None]]}], "FinQA: table.0.1: "),
    "half a character": ([finqa() | {"pre_text": ["\ud800"]}], "FinQA: pre_text.0: "),
    "one id twice": ([finqa(), finqa()], "record 1 (counted from 0) repeats record 0 (counted from 0)"),
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
        build("finqa", path)
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text


def test_a_side_without_records_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dev\.json: holds no records"):
        build("finqa", split_folder(tmp_path, [finqa()], []))


def test_missing_files_are_named(tmp_path: Path) -> None:
    write_array(tmp_path / "train.json", [finqa(99)])
    for path, missing in (
        (tmp_path / "nowhere", "nowhere: no such file"),
        (tmp_path, "dev.json: no such file"),
        (tmp_path / "train.json" / "x", "x: cannot be read"),
        (tmp_path / ("x" * 300), "x: cannot be read"),
    ):
        with pytest.raises(UserError) as raised:
            build("finqa", path)
        assert missing in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.shared
def test_real_records_become_prompts_that_end_in_their_question(shared_data: Path) -> None:
    task = build("finqa", shared_data / "finqa")
    examples = {example.id: example for example in [*task.batch(3000, np.random.default_rng(0)), *task.held_out(999)]}
    records = [
        record
        for name in ("train.json", "dev.json")
        for record in json.loads((shared_data / "finqa" / name).read_text(encoding="utf-8"))
    ]
    answered = {record["id"]: record["qa"] for record in records if record["qa"]["answer"]}
    assert examples.keys() == answered.keys()
    dropped = [tally.dropped for tally in task.load_stats.values()]
    assert dropped == [{}, {"empty answer": len(records) - len(answered)}] == [{}, {"empty answer": 1}]
    for name, example in examples.items():
        tokens = ids(task, example)
        assert len(tokens) <= 1024
        assert task.tokenizer.decode(tokens) == example.prompt
        assert [token for token in tokens if token < 4] == [1]
        assert example.prompt.endswith("\n" + answered[name]["question"] + THINK)
        assert example.answer == answered[name]["answer"]


@pytest.mark.shared
def test_real_rows_of_the_hub_are_the_first_official_ones(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "train.json").write_bytes((shared_data / "finqa" / "hf_layout_sample.jsonl").read_bytes())
    (folder / "dev.json").write_bytes((shared_data / "finqa" / "dev.json").read_bytes())
    hub = {one.id: one for one in build("finqa", folder).batch(200, np.random.default_rng(0))}
    official = {one.id: one for one in build("finqa", shared_data / "finqa").batch(3000, np.random.default_rng(0))}
    assert len(hub) == 5
    assert all(official[name] == one for name, one in hub.items())


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("finqa/README.md", ""),
        ("hotpotqa/hotpot_dev_distractor_v1.json", "it looks like HotPotQA"),
        ("musique/musique_ans_v1.0_dev.jsonl", "it looks like MuSiQue"),
        ("musique", "train.json: no such file"),
    ],
)
def test_real_files_of_other_data_sets_are_refused(shared_data: Path, name: str, hint: str) -> None:
    with pytest.raises(UserError) as raised:
        build("finqa", shared_data / name)
    assert name in str(raised.value)
    assert hint in str(raised.value)
    assert "\n" not in str(raised.value)
