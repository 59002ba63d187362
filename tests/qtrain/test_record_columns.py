"""Records of other columns: chats, answers inside worked solutions, and the files of GSM8K and MATH."""

# ruff: noqa: E501 - tables of cases
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qa_cases import build, write_array, write_lines, write_split

from qtrain.config import read_config
from qtrain.errors import UserError
from qtrain.plugins import CodeRefused
from qtrain.runs.folder import write_json
from qtrain.tasks import make_task, task_config
from qtrain.tasks.base import THINK
from qtrain.tasks.extract import after_hashes, boxed, check_extract, make_extractor
from qtrain.tasks.qa import QATask
from qtrain.tasks.qa_config import PairsConfig
from qtrain.tasks.records import Record, parse
from qtrain.tasks.rows import BadRecord, JsonRow
from qtrain.tasks.tokenizer import byte_tokenizer

CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def read(row: dict[str, Any], **settings: Any) -> Record | BadRecord:
    config = task_config({"name": "pairs", **settings})
    assert isinstance(config, PairsConfig)
    return parse(JsonRow("line 1", row), config.data_set())


def record(row: dict[str, Any], **settings: Any) -> Record:
    parsed = read(row, **settings)
    assert isinstance(parsed, Record), parsed
    return parsed


def reason(row: dict[str, Any], **settings: Any) -> str:
    parsed = read(row, **settings)
    assert isinstance(parsed, BadRecord), parsed
    return parsed.reason


def task_of(text: str, folder: Path) -> QATask:
    """The task of a configuration file in a folder."""
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    config = read_config(folder / "mine.toml")
    task = make_task(config.task, config.data)
    assert isinstance(task, QATask)
    return task


def test_gsm8k_by_three_lines(tmp_path: Path) -> None:
    def line(number: int) -> dict[str, str]:
        solution = f"Half of it is {number}/2 = <<{number}/2={number / 2}>>.\nThat makes 1,0{number}.\n#### 1,0{number}"
        return {"question": f"Natalia sold {number} clips. How many in all?", "answer": solution}

    write_lines(tmp_path / "train.jsonl", [line(number) for number in range(10, 14)])
    write_lines(tmp_path / "test.jsonl", [line(20)])
    task = task_of(
        f'name = "gsm8k"\ndata = "{tmp_path}"\ntask = {{name = "pairs", extract = "after_hashes"}}', tmp_path
    )
    (example,) = task.held_out(9)
    assert (example.prompt, example.answer) == (f"Natalia sold 20 clips. How many in all?{THINK}", "1,020")
    assert {example.answer for example in task._train} == {"1,010", "1,011", "1,012", "1,013"}
    assert list(task.load_stats) == [str(tmp_path / "train.jsonl"), str(tmp_path / "test.jsonl")]


def test_math_by_three_lines(tmp_path: Path) -> None:
    def write(split: str, subject: str, number: int, answer: str) -> None:
        folder = tmp_path / "MATH" / split / subject
        folder.mkdir(parents=True, exist_ok=True)
        solution = rf"First $\boxed{{0}}$ is wrong, so that $x = \boxed{{{answer}}}$."
        row = {
            "problem": f"In {subject}, find $x_{number}$.",
            "level": "Level 5",
            "type": subject,
            "solution": solution,
        }
        (folder / f"{number}.json").write_text(json.dumps(row, indent=4), encoding="utf-8")

    write("train", "algebra", 2, r"\frac{3}{4}")
    write("train", "algebra", 10, r"\{1, 2\}")
    write("train", "geometry", 1, r"\text{no}")
    write("test", "algebra", 1, r"\sqrt{2}")
    columns = 'prompt = "problem", answer = "solution", extract = "boxed"'
    task = task_of(f'name = "math"\ndata = "{tmp_path}/MATH"\ntask = {{name = "pairs", {columns}}}', tmp_path)
    assert [example.answer for example in task.held_out(9)] == [r"\sqrt{2}"]
    assert [example.answer for example in task._train] == [r"\frac{3}{4}", r"\{1, 2\}", r"\text{no}"]
    assert task._train[1].prompt == f"In algebra, find $x_10$.{THINK}"


def test_ids_of_plain_pairs_are_hashes_of_their_texts() -> None:
    """Runs identify records by these, so that they must never change."""
    pair = record({"question": "why?", "answer": "42", "context": "c", "aliases": ["x"]})
    texts = '["c", "why?", "42", "x"]', '["c", "why?"]'
    assert (pair.id, pair.page) == tuple(hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts)


def test_columns_by_name() -> None:
    row = {"Problem": "why?", "gold": 7, "text": "c", "others": ["seven"], "answer": "not this", "question": "nor this"}
    renamed = record(row, prompt="Problem", answer="gold", context="text", aliases="others")
    assert renamed == record({"question": "why?", "answer": "7", "context": "c", "aliases": ["seven"]})


@pytest.mark.parametrize(
    ("row", "settings", "line"),
    [
        ({"problem": "why?", "answer": "x"}, {"prompt": "problm"}, "problm: Field required; did you mean 'problem'? (task.prompt names the column)"),
        ({"a": "why?", "b": "x"}, {}, "question: Field required; valid are: a, b (task.prompt names the column)"),
        ({"question": "why?", "solution": "x"}, {"answer": "solutions"}, "solutions: Field required; did you mean 'solution'? (task.answer names the column)"),
        ({"problem": ["x"], "answer": "x"}, {"prompt": "problem"}, "problem.0: Input should be"),
        ({"question": "why?", "gold": {"x": 1}}, {"answer": "gold"}, "gold: Input should be a valid string"),
        ({"question": "why?", "answer": "no box"}, {"extract": "boxed"}, "answer: task.extract='boxed' finds no answer in it"),
        ({"question": "why?", "answer": ["x"]}, {"extract": "after_hashes"}, "answer: task.extract='after_hashes' finds no answer in it"),
        ({"question": "q", "answer": "a", "paragraphs": [], "answer_aliases": []}, {}, "paragraphs: a column of MuSiQue, which is not read here"),
        ({}, {}, "question: Field required; the row is empty (task.prompt names the column)"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(row: dict[str, Any], settings: dict[str, str], line: str) -> None:
    assert reason(row, **settings).startswith(line)


def test_records_without_an_answer_are_counted(tmp_path: Path) -> None:
    good = [{"question": f"q{number}", "answer": f"x #### {number}"} for number in range(6)]
    folder = write_split(tmp_path / "data", "pairs", [*good[:5], {"question": "q", "answer": "none"}], good[5:])
    with pytest.raises(
        UserError, match=r"train\.jsonl: line 6 is not in .*: answer: task\.extract='after_hashes' finds"
    ):
        build("pairs", folder, extract="after_hashes")
    task = build("pairs", folder, extract="after_hashes", on_bad_record="skip")
    stats = task.load_stats[str(folder / "train.jsonl")]
    assert (stats.kept, stats.malformed) == (5, {"answer: task.extract='after_hashes' finds no answer in it": 1})
    with pytest.raises(UserError, match=r"none of its 6 rows .* question_: Field required; did you mean 'question'\?"):
        build("pairs", folder, prompt="question_", on_bad_record="skip")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"extract": "boxd"}, "did you mean 'boxed'?, or regex:PATTERN, or module:function of your own"),
        ({"extract": "regex:("}, "not a regular expression: missing )"),
        ({"extract": "regex:(a)(b)"}, "it has 2 groups; one marks the answer, so write the others as (?:...)"),
        ({"prompt": "answer"}, "answer, answer, context, aliases must be four different columns"),
        ({"promt": "x"}, "unknown key 'task.promt'; did you mean 'prompt'?"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path: Path, settings: dict[str, str], line: str) -> None:
    table = {"name": "x", "task": {"name": "pairs", **settings}}
    with pytest.raises(UserError) as raised:
        read_config(write_array(tmp_path / "config.json", table))
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("boxed", r"\boxed{1} and \boxed{2}", "2"),
        ("boxed", r"$\boxed 5$ dollars", "5"),
        ("boxed", r"\fbox{ yes }", "yes"),
        ("boxed", r"\boxed{\left\{ 1 \right.}", r"\left\{ 1 \right."),
        ("boxed", r"\boxed{a\\{b}}", r"a\\{b}"),
        ("boxed", r"\boxed{1} then \boxed{2", None),
        ("boxed", r"\boxedx{1}", None),
        ("after_hashes", "a #### 1\n#### 2 ", "2"),
        ("after_hashes", "### 2", None),
        ("regex:answer is (.+?)[.]", "The answer is 4. The answer is 5.", "4"),
        ("regex:[0-9]+", "x 12 y 3", "12"),
        ("regex:(a)|b", "b", None),
        ("regex:answer", 5, None),
        ("regex:[0-9.]+", 5.5, "5.5"),
    ],
)
def test_extractors(name: str, text: object, answer: str | None) -> None:
    assert make_extractor(check_extract(name), code_allowed=False)(text) == answer


def test_an_empty_box_is_an_empty_answer() -> None:
    assert record({"question": "why?", "answer": r"\boxed{}"}, extract="boxed").answer == ""


BALANCED = st.recursive(
    st.text("ab ,^_1$", max_size=4), lambda inner: st.lists(inner, max_size=3).map("".join).map("{{{}}}".format)
)


@given(BALANCED, st.text("ab{}$\\ ", max_size=8))
def test_a_box_is_read_to_its_own_brace(contents: str, before: str) -> None:
    """The contents are balanced by construction, whatever is before the box."""
    assert boxed(rf"{before} \boxed{{{contents}}}.") == contents.strip()
    assert after_hashes(f"{before}####{contents}") == contents.strip()


CODE = """
from pathlib import Path
Path("canary").touch()

def gold(value):
    return value["best"] if value["best"] != "none" else None

NUMBER = 3
"""


def test_an_extractor_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_gold.py").write_text(CODE, encoding="utf-8")
    rows = [{"question": f"q{number}", "answer": {"best": f"a{number}"}} for number in range(4)]
    folder = write_split(tmp_path / "data", "pairs", rows[:3], rows[3:])
    table = {"name": "x", "data": str(folder), "task": {"name": "pairs", "extract": "own_gold:gold"}}
    config = read_config(write_json_file(tmp_path / "run.json", table))
    with pytest.raises(CodeRefused, match=r"task\.extract='own_gold:gold': code that a run folder names is not run"):
        make_task(config.task, config.data)
    assert not (tmp_path / "canary").exists()
    config = read_config(tmp_path / "run.json", allow_code=True)
    for copied in (config, config.with_values({"train.steps": 7})):
        assert [example.answer for example in make_task(copied.task, copied.data).held_out(9)] == ["a3"]
    assert (tmp_path / "canary").exists()
    with pytest.raises(CodeRefused):
        make_task(config.without_code().task, config.data)
    assert reason(rows[0] | {"answer": {"best": "none"}}, extract="own_gold:gold").endswith("finds no answer in it")
    fails = reason(rows[0] | {"answer": {}}, extract="own_gold:gold")
    assert fails.startswith("answer: task.extract='own_gold:gold' fails: KeyError: 'best' (")
    assert (
        reason(rows[0] | {"answer": {"best": 7.5j}}, extract="own_gold:gold")
        == "answer: Input should be a valid string"
    )
    with pytest.raises(
        UserError, match=r"task\.extract='own_gold:glod': own_gold has no 'glod'; did you mean 'gold'\?"
    ):
        record(rows[0], extract="own_gold:glod")
    with pytest.raises(UserError, match="a function is needed, not 3"):
        record(rows[0], extract="own_gold:NUMBER")


def write_json_file(path: Path, table: dict[str, Any]) -> Path:
    write_json(path, table)
    return path


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


SEVERAL = turns(("system", "Be brief."), ("user", "Add 1 + 1."), ("assistant", "2"), ("user", "And one more?"))


def test_a_chat_asks_by_its_last_turn() -> None:
    row = {"messages": [*SEVERAL, {"role": "assistant", "content": "I say #### 3", "name": "x"}], "source": "web"}
    chat = record(row, extract="after_hashes")
    assert (chat.question, chat.answer) == ("And one more?", "3")
    assert [turn._asdict() for turn in chat.chat] == SEVERAL
    # An answer column is used instead of the reply, and the chat may be in the column of the prompt.
    assert record({**row, "answer": "three"}).answer == "three"
    assert record({**row, "answer": None}).answer == "I say #### 3"
    assert record({"prompt": SEVERAL, "answer": "3"}, prompt="prompt") == chat
    assert record({"question": "why?", "answer": "x", "messages": SEVERAL}).chat == ()


def test_chats_that_end_alike_are_different_records() -> None:
    short = SEVERAL[2:]
    records = [record({"messages": messages, "answer": "3"}) for messages in (SEVERAL, [*SEVERAL[:1], SEVERAL[3]])]
    records.append(record({"question": "And one more?", "answer": "3"}))
    records.append(record({"messages": short, "answer": "3"}))
    assert len({chat.id for chat in records}) == len({chat.page for chat in records}) == 4


@pytest.mark.parametrize(
    ("messages", "line"),
    [
        ([], "messages: List should have at least 1 item"),
        (turns(("system", "x")), "messages: no turn of the user, who must ask"),
        (turns(("user", "x"), ("assistant", "y"), ("assistant", "z")), "messages: after the user's last turn at most one of the assistant"),
        (turns(("user", "x"), ("system", "y")), "messages: after the user's last turn at most one of the assistant"),
        (turns(("human", "x")), "messages.0.role: Input should be 'system', 'user' or 'assistant'"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages.0.content: Input should be a valid string"),
        (turns(("user", " "), ("assistant", "y")), "question: String should have at least 1 character"),
        (turns(("user", "x")), "answer: Field required; did you mean"),
        ("why?", "question: Field required"),
    ],
)  # fmt: skip
def test_what_is_no_chat_is_a_reason(messages: Any, line: str) -> None:
    if isinstance(messages, str):
        assert reason({"messages": None, "answer": "x"}).startswith(line)
    else:
        assert reason({"messages": messages}).startswith(line.replace("; did you mean", ""))


def chat_task(tmp_path: Path, template: str | None, messages: Any = SEVERAL, **settings: Any) -> QATask:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    folder = tmp_path / ("chat" if template else "plain")
    tokenizer.save_pretrained(folder)
    rows = [{"messages": turns(("user", "q")), "answer": "a"}, {"messages": messages, "answer": "3", "context": "c"}]
    return build("pairs", write_split(tmp_path / "data", "pairs", rows[:1], rows[1:]), tokenizer=folder, **settings)


def test_a_chat_is_rendered_by_the_models_own_template(tmp_path: Path) -> None:
    (example,) = chat_task(tmp_path, CHAT, variant="warm").held_out(1)
    expected = "<|system|>Be brief.\n<|user|>Add 1 + 1.\n<|assistant|>2\n<|user|>c\nAnd one more?\n<|assistant|>"
    assert example.prompt == expected + THINK
    hostile = [{"role": "system", "content": f"{THINK}"}, {"role": "user", "content": f"a {THINK} b"}]
    (example,) = chat_task(tmp_path, CHAT, hostile, variant="warm").held_out(1)
    assert example.prompt.count(THINK) == 1
    # Without a template, and cold, the texts alone.
    for variant, template in (("warm", None), ("cold", CHAT)):
        (example,) = chat_task(tmp_path, template, variant=variant).held_out(1)
        end = f"\n{THINK}" if variant == "warm" else THINK
        assert example.prompt == f"Be brief.\nAdd 1 + 1.\n2\nc\nAnd one more?{end}"


def test_a_template_that_drops_a_turn_is_one_line(tmp_path: Path) -> None:
    template = CHAT.replace("in messages", "in messages if message.role != 'system'")
    with pytest.raises(
        UserError, match=r"does not show the system's turn as it is: 'Be brief\.'; set task\.variant=cold"
    ):
        chat_task(tmp_path, template, variant="warm")
    raising = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT
    with pytest.raises(UserError, match="its chat template fails: no system"):
        chat_task(tmp_path, raising, variant="warm")


def test_rewards_get_the_chat_and_the_columns_that_the_task_does_not_name(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "17 + 25?"}]
    reply = {"role": "assistant", "content": "42"}
    rows: list[dict[str, Any]] = [
        {"messages": [*turns, reply], "level": {"of": [1, 2]}, "source": None},
        {"id": "x", "question": "why?", "answer": "so", "context": "c", "aliases": ["then"], "level": 3},
    ]
    task = build("pairs", write_split(tmp_path / "data", "pairs", [{"question": "q", "answer": "a"}], rows))
    chat, plain = task.held_out(2)
    assert (chat.messages, chat.columns) == (turns, {"level": {"of": [1, 2]}, "source": None})
    assert (plain.messages, plain.columns) == (None, {"level": 3})
