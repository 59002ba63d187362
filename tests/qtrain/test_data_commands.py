"""`qtrain data check` and `qtrain data show` as a user runs them, and the shipped configurations on real records."""

import json
from pathlib import Path
from typing import Any

import pytest
from qa_cases import build, finqa, hotpotqa, musique, pair, tiny_model, write_array, write_lines, write_split

from qtrain.cli import main
from qtrain.config import ModelConfig, read_config
from qtrain.policy.model import encode_examples
from qtrain.prepare import prepare
from qtrain.tasks import make_task
from qtrain.tasks.base import THINK
from qtrain.tasks.inspection import answer_type, percentiles
from qtrain.tasks.qa import QATask
from qtrain.tasks.qa_config import QAConfig

CONFIGS = Path(__file__).parents[2] / "qtrain" / "configs"
SHIPPED = [f"{name}_{variant}_tiny" for name in ("finqa", "hotpotqa", "musique") for variant in ("cold", "warm")]


def run(*words: str) -> int:
    """Exit status of a command."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Six records: two good ones, two filtered out, two malformed."""
    records: list[Any] = [finqa(1), finqa(2, answer="5.3%"), finqa(3, answer=""), finqa(4, question="why?" * 100)]
    return write_array(tmp_path / "mixed.json", [*records, finqa(5, answer=5), None])


def test_check_counts(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "check", "finqa", "--path", str(mixed), "--max-prompt-tokens", "100", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    table = json.loads(line)
    assert (table["data_set"], table["path"]) == ("finqa", str(mixed))
    assert table["settings"]["max_prompt_tokens"] == 100
    assert (table["records"], table["kept"]) == (6, 2)
    assert table["dropped"] == {"empty answer": 1, "question longer than max_prompt_tokens": 1}
    assert table["malformed"] == {"qa.answer: Input should be a valid string": 1, "an object is needed, not null": 1}
    assert table["answer_types"] == {"number": 2, "percentage": 1, "empty": 1}
    whole = len("first sentence .\nsecond sentence .\n | 2010\nsales | $ 5\nlast sentence .\nwhat were sales?") + 1
    assert table["prompt_tokens"]["min"] == whole
    assert table["prompt_tokens"]["max"] == whole - len("what were sales?") + 400
    assert table["answer_tokens"] == {"min": 1, "median": 2, "p95": 2, "max": 5}


def test_check_prints_the_same(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "check", "finqa", "--path", str(mixed), "--max-prompt-tokens", "100") == 0
    out = capsys.readouterr().out
    for line in (
        f"FinQA: {mixed}",
        "records          6",
        "kept             2",
        "dropped          2",
        "  empty answer: 1",
        "malformed        2",
        "  record 4 (counted from 0): qa.answer: Input should be a valid string",
        "answer types     number 2, percentage 1, empty 1",
    ):
        assert line in out.splitlines()


def test_the_terminal_shows_the_first_malformed_records_and_json_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_lines(tmp_path / "x.jsonl", [musique(1), *([3] * 8)]))
    assert run("data", "check", "musique", "--path", path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("  line")] == [
        f"  line {n}: an object is needed, not a number" for n in range(2, 7)
    ]
    assert "  ... and 3 more; --json lists all" in lines
    assert run("data", "check", "musique", "--path", path, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["malformed_records"]) == 8


def test_check_in_a_warm_prompt_is_longer(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lengths = []
    for variant in ("cold", "warm"):
        assert run("data", "check", "finqa", "--path", str(mixed), "--variant", variant, "--json") == 0
        lengths.append(json.loads(capsys.readouterr().out)["prompt_tokens"]["min"])
    assert lengths[1] > lengths[0] + 100


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("check finqa --path {folder}/nowhere.json", "nowhere.json: no such file"),
        ("check finqa --path {folder}", "cannot be read: Is a directory"),
        ("check hotpotqa --path {mixed}", "is not HotPotQA: none of its 6 rows is a record of it"),
        ("check finqa --path {mixed} --on-bad-record fail", "record 4 (counted from 0) is not in the layout of FinQA"),
        ("check finqq --path {mixed}", "unknown data set 'finqq'; did you mean 'finqa'?"),
        ("check finqa", "data check finqa: add --path FILE, or give a configuration (mine.toml)"),
        ("check finqa task.variant=warm --path {mixed}", "only a configuration (mine.toml) takes key=value"),
        ("check nowhere.toml", "nowhere.toml: no such configuration"),
        ("check mine.toml --path {mixed}", "a configuration names it; write data={mixed} instead"),
        ("check mine.toml --max-prompt-tokens 9", "--max-prompt-tokens 9: a configuration names it; write task.max_"),
        ("check finqa --path {mixed} --max-prompt-tokens 1", "--max-prompt-tokens 1: at least 2 is needed"),
        ("check finqa --path {mixed} --variant hot", "hot"),
        ("check finqa --path {mixed} --tokenizer {folder}", "the folder has no tokenizer.json"),
        ("show finqa", "data/finqa: no such folder; give --path"),
        ("show finqa --path {folder}/nowhere", "nowhere: no such file"),
        ("show finqa --path {folder}", "dev.json: no such file"),
        ("show hotpotqa --path {folder} --split test", "--split test: HotPotQA publishes answers for train, dev"),
        ("show finqa --path {mixed} --n 0", "--n 0: at least 1 is needed"),
        ("show finqa --path {mixed} --max-prompt-tokens 0", "--max-prompt-tokens 0: at least 2 is needed"),
        ("chek finqa", 'Did you mean "check"?'),
    ],
)
def test_mistakes_are_one_line_and_status_2(
    words: str,
    line: str,
    mixed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("data", *words.format(mixed=mixed, folder=tmp_path).split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("qtrain: ")
    assert captured.err.count("\n") == 1
    assert line.format(mixed=mixed) in captured.err
    assert captured.out == ""


def test_a_configuration_is_checked_with_its_model_s_tokenizer_and_budgets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts and lengths are those of the task that training builds."""
    monkeypatch.chdir(tmp_path)
    train = [pair(n, context="long " * 50 * (n == 1)) for n in range(1, 6)]
    write_split(tmp_path / "data", "pairs", [*train, pair(9, answer="123456789")], [pair(n) for n in range(21, 25)])
    tiny_model(tmp_path / "model", chat_template="{{ 'user: ' + messages[0]['content'] + ' assistant: ' }}")
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\ndata = "data"\nmodel.pretrained = "model"\nrollout.answer_budget = 5\n'
        'task = {name = "pairs", variant = "warm", max_prompt_tokens = 300}\n'
    )
    assert run("data", "check", "mine.toml", "--json") == 0
    table = json.loads(capsys.readouterr().out)
    config, task, _ = prepare(read_config(tmp_path / "mine.toml"))
    assert (table["rationale_budget"], table["answer_budget"]) == (config.rollout.rationale_budget, 5)
    sources = task.dataset_report()["sources"]
    for path, stats in zip(sorted(table["sources"]), sorted(sources), strict=True):
        assert {key: table["sources"][path][key] for key in sources[stats]} == sources[stats]
    counts = table["sources"]["data/train.jsonl"]
    assert (counts["kept"], counts["cut"], counts["unreachable"]) == (5, 1, 1)
    prompts, _ = encode_examples(task.tokenizer, task.held_out(9))
    assert table["sources"]["data/dev.jsonl"]["prompt_tokens"]["max"] == max(map(len, prompts))
    assert run("data", "check", "mine.toml", "task.max_prompt_tokens=999", "task.variant=cold") == 0
    out = capsys.readouterr().out
    assert f"rollout.rationale_budget={config.rollout.rationale_budget}, rollout.answer_budget=5" in out
    assert "answers too long 1   (see rollout.answer_budget)" in out
    assert "longer than 999 tokens" in out
    think = 'rollout.think=["<reason>", " So the answer is:"]'
    assert run("data", "check", "mine.toml", think) == 0
    room = 1024 - config.rollout.rationale_budget - len(" So the answer is:") - 5
    assert f"the model's positions leave {room} tokens for a prompt" in capsys.readouterr().out
    assert run("data", "check", "mine.toml", think, "--json") == 0
    longer = json.loads(capsys.readouterr().out)["sources"]["data/dev.jsonl"]["prompt_tokens"]
    assert longer["max"] == max(map(len, prompts)) - 1 + len("<reason>")
    (tmp_path / "sums.toml").write_text('name = "sums"\ntask.name = "digit_sum"\n')
    assert run("data", "check", "sums.toml") == 2
    assert "task 'digit_sum' makes its own examples; there are no records to check" in capsys.readouterr().err


def test_show_puts_cold_beside_warm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    folder = write_split(tmp_path / "data" / "hotpotqa", "hotpotqa", [hotpotqa(1)], [hotpotqa(n) for n in range(2, 9)])
    assert run("data", "show", "hotpotqa", "--split", "dev", "--n", "2") == 0
    out = capsys.readouterr().out
    for variant in ("cold", "warm"):
        for example in build("hotpotqa", folder, variant=variant, max_prompt_tokens=9999).held_out(2):
            assert f"{example.prompt}\ny*: yes\n" in out
            assert f"{example.id}  {variant}" in out
    assert "5a004" not in out
    assert run("data", "show", "hotpotqa", "--split", "train", "--variant", "cold", "--n", "9") == 0
    out = capsys.readouterr().out
    assert ("5a001  cold" in out, "warm" in out) == (True, False)


def test_show_cuts_and_leaves_out_the_middle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paragraphs = [{"title": f"T{n}", "paragraph_text": "word " * 40} for n in range(20)]
    path = str(write_lines(tmp_path / "x.jsonl", [musique(1, paragraphs=paragraphs)]))
    assert run("data", "show", "musique", "--path", path, "--variant", "cold") == 0
    assert "characters] ..." in capsys.readouterr().out
    assert run("data", "show", "musique", "--path", path, "--variant", "cold", "--full") == 0
    out = capsys.readouterr().out
    assert all(f"T{n}: word" in out for n in range(20))
    assert run("data", "show", "musique", "--path", path, "--variant", "cold", "--max-prompt-tokens", "80") == 0
    out = capsys.readouterr().out
    assert f"born?{THINK}" in out
    assert "T19" not in out


def test_records_do_not_write_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = hotpotqa(1, _id="\x1b[31m[red]id", answer="\x1b]0;title\x07", type="\x9b2J")
    path = str(write_array(tmp_path / "x.json", [record]))
    assert run("data", "show", "hotpotqa", "--path", path) == 0
    assert run("data", "check", "hotpotqa", "--path", path) == 0
    assert run("data", "check", "hotpotqa", "--path", path, "--json") == 0
    out = capsys.readouterr().out
    assert "[red]id" in out
    assert not set("\x1b\x07\x9b") & set(out)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("", "empty"),
        ("Yes.", "yes/no"),
        ("34.7%", "percentage"),
        ("-3 percent", "percentage"),
        ("50 bps", "percentage"),
        ("(5.3%)", "percentage"),
        ("$ 103.7 million", "number"),
        ("$1.2M", "number"),
        ("minus 5 USD", "number"),
        ("2.5x", "number"),
        ("5 shares", "text"),
        ("5 gazillion", "text"),
        ("1,462", "number"),
        ("1865", "number"),
        ("276,170 inhabitants", "text"),
        ("from 1986 to 2013", "text"),
        ("the Avon", "text"),
        ("5 or 6", "text"),
    ],
)
def test_types_of_answers(answer: str, kind: str) -> None:
    assert answer_type(answer) == kind


def test_percentiles_are_lengths_that_occur() -> None:
    assert percentiles(list(range(1, 101))) == {"min": 1, "median": 50, "p95": 95, "max": 100}
    assert percentiles([7]) == {"min": 7, "median": 7, "p95": 7, "max": 7}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_name_the_hub_and_have_room_for_what_they_keep(name: str) -> None:
    config = read_config(CONFIGS / f"{name}.toml")
    task = config.task
    assert isinstance(task, QAConfig)
    assert (config.name, config.data, config.train.steps) == (name, None, 20)
    assert task.hub
    assert task.max_answer_tokens
    # Prompt, rationale, END_THINK, answer.
    longest = task.max_prompt_tokens + config.rollout.rationale_budget + 1 + task.max_answer_tokens
    assert isinstance(config.model, ModelConfig)
    assert longest <= config.model.max_positions


@pytest.mark.shared
@pytest.mark.parametrize("name", ["finqa", "hotpotqa", "musique"])
def test_shipped_configurations_keep_the_real_records(shared_data: Path, name: str) -> None:
    config = read_config(CONFIGS / f"{name}_warm_tiny.toml")
    task = make_task(config.task, shared_data / name)
    assert isinstance(task, QATask)
    kept = [(tally.records - tally.kept, tally.dropped) for tally in task.load_stats.values()]
    assert kept == [(0, {}), (1, {"empty answer": 1}) if name == "finqa" else (0, {})]
    prompts, answers = encode_examples(task.tokenizer, task.held_out(999))
    assert max(map(len, prompts)) <= 768
    assert max(map(len, answers)) <= 96


@pytest.mark.shared
def test_training_on_real_musique_records_from_a_warm_start(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["train.steps=2", "rollout.prompts=1", "rollout.samples=2", "eval.prompts=1", "eval.samples=2"]
    words += ["rollout.rationale_budget=4", f"data={shared_data / 'musique'}", "--out", str(tmp_path / "run")]
    assert run("train", str(CONFIGS / "musique_warm_tiny.toml"), *words) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["gradient_norm"] > 0 for row in rows] == [True, True]
