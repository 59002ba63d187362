"""`python -m figures paper` as a user runs it: cells listed, run once, and one line for every mistake."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from paper_cases import TINY, official_files, pretrained_folder

from figures.cli import main
from figures.paper.cells import SIZES, Cell, choose
from figures.paper.tables import TABLES, home
from qtrain.config import Config
from qtrain.tasks.qa_config import QAConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.startswith("python -m figures paper")
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> int:
    """Exit status of a command."""
    try:
        main(["paper", *words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def all_cells() -> list[Cell]:
    return list(dict.fromkeys(cell for table in TABLES.values() for cell in table.cells))


def paper(name: str, cell: str) -> tuple[object, ...]:
    """What a table reports for a cell."""
    (entry,) = [one for one in TABLES[name].entries if one.cell.name == cell]
    return entry.p_at_1, entry.p_at_16, entry.maj_at_16, entry.collapsed


def test_the_tables_are_the_papers() -> None:
    assert {name: len(table.cells) for name, table in TABLES.items()} == {
        "table1": 6, "table2": 9, "table3": 21, "fig3": 5, "fig4": 2,
    }  # fmt: skip
    assert len(all_cells()) == 31
    assert paper("table1", "finqa-cold-garl-q.75") == (30.5, 61.1, 38.3, False)
    assert paper("table2", "hotpotqa-cold-garl-q1") == (48.7, 75.5, 56.6, False)
    assert paper("table3", "musique-warm-garl-q.25") == (None, None, 24.3, True)
    assert paper("table3", "hotpotqa-warm-base") == (None, None, 22.2, False)
    starred = {entry.cell.name for entry in TABLES["table3"].entries if entry.collapsed}
    assert starred == {f"{data}-warm-garl-q{q}" for data in ("hotpotqa", "musique") for q in ("0", ".25", ".75")}
    assert home(Cell("finqa", "warm", "grpo")) == "table2"


@pytest.mark.parametrize("cell", all_cells(), ids=lambda cell: cell.name)
def test_what_the_paper_states_of_each_cell(cell: Cell) -> None:
    config, test = cell.config(), cell.config(test=True)
    whole = {"finqa": 4096, "hotpotqa": 3072, "musique": 2048}[cell.data]
    assert (config.rollout.rationale_budget, config.rollout.answer_budget) == (whole - 128, 128)
    assert (config.rollout.samples, config.eval.samples) == (32, 16)
    assert config.model.model_dump()["pretrained"] == "Qwen/Qwen3-0.6B"
    assert config.rollout.off_policy_setting() is None
    assert config.train.checkpoint_every == config.eval.every
    for one in (config, test):
        assert isinstance(one.task, QAConfig)
        assert (one.task.name, one.task.variant, one.name) == (cell.data, cell.start, cell.name)
    assert isinstance(config.task, QAConfig)
    assert isinstance(test.task, QAConfig)
    if cell.estimator is not None:
        name, params = config.estimator.name, dict(config.estimator.params)
        assert str(config.estimator) == cell.estimator
        assert params.get("normalize", name == "grpo")
        assert "k" not in params  # K = M
    # No record chooses a checkpoint and reports it too.
    if cell.data == "finqa":
        assert (config.task.held_out_split, test.task.held_out_split) == ("dev", "test")
    else:
        assert (config.task.held_out_half, test.task.held_out_half) == ("validation", "test")
        sizes = SIZES[cell.data]
        assert (config.task.train_size, config.task.held_out_size) == (sizes["train"], sizes["validation"])
        assert test.task.held_out_size == sizes["test"] == test.eval.prompts
    assert config.eval.prompts >= SIZES[cell.data]["validation"]
    assert test.eval.prompts >= SIZES[cell.data]["test"]


def test_what_is_ours_is_marked() -> None:
    stated = {"name", "estimator", "variant", "pretrained", "samples", "rationale_budget", "answer_budget"}
    for path in sorted((ROOT / "figures" / "paper" / "configs").glob("*.toml")):
        body = path.read_text(encoding="utf-8").split("[task]", 1)[1]
        lines = [line for line in body.splitlines() if "=" in line and not line.startswith("#")]
        for line in lines:
            key = line.split(" = ")[0]
            if "[paper]" in line:
                assert key in stated, (path.name, line)
            elif not key.startswith(("hub", "train_size", "held_out")):  # said in the lines above them
                assert "[ours]" in line, (path.name, line)


@pytest.mark.parametrize("name", TABLES)
def test_list(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--list") == 0
    out = capsys.readouterr().out
    assert out.startswith(TABLES[name].title)
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == [cell.name for cell in TABLES[name].cells]


@pytest.mark.slow
def test_a_cell_is_run_once_and_its_table_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = pretrained_folder(folder / "model"), official_files(folder / "data", "finqa")
    settings = [f"model.pretrained={model}", *TINY]
    words = [*settings, "--only", "finqa-cold-garl-q.75", "--data", str(data), "--out", "out"]
    assert run("table1", *words) == 0
    out = capsys.readouterr().out
    assert re.search(r"finqa-cold-garl-q\.75 +\d+\.\d\*? +\d+\.\d\*? +\d+\.\d\*? +30\.5 +61\.1 +38\.3 +[12] *\n", out)
    assert re.search(r"finqa-cold-grpo +0\.0 +0\.0 +0\.0 +not run *\n", out)
    cell = folder / "out" / "table1" / "finqa-cold-garl-q.75"
    test = json.loads((cell / "test.json").read_text())
    assert test["step"] == json.loads((cell / "result.json").read_text())["best_step"]
    assert test["config"]["task"]["held_out_split"] == "test"
    written = json.loads((folder / "out" / "table1" / "table.json").read_text())
    (row,) = [row for row in written["rows"] if row["here"] is not None]
    assert row["paper"] == {"p_at_1": 30.5, "p_at_k": 61.1, "maj_at_k": 38.3}
    assert row["here"]["maj_at_k"] == round(100 * test["scores"]["maj_at_2"], 2)
    before = {path: path.stat().st_mtime_ns for path in cell.rglob("*.json*")}
    # The figure shows the same run, and nothing is run again.
    assert run("table1", *words) == 0
    assert run("fig3", *words) == 0
    assert {path: path.stat().st_mtime_ns for path in cell.rglob("*.json*")} == before
    assert re.search(
        r"finqa-cold-garl-q\.75 +(above 0\.1 from step \d, )?at most \S+ +rises near", capsys.readouterr().out
    )
    curve = json.loads((folder / "out" / "fig3" / "table.json").read_text())["rows"][3]["curve"]
    assert curve["step"] == [1, 2]
    # The same folder for other settings would mix two experiments.
    assert run("table1", *settings, "optimizer.lr=7", *words[len(settings) :]) == 2
    assert "holds a run of another configuration: optimizer.lr is 0.001 there and 7.0 here" in capsys.readouterr().err


@pytest.mark.slow
def test_cells_run_side_by_side_where_there_are_two_gpus(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPUs in name only: the workers, which find none, compute on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    model, data = pretrained_folder(folder / "model"), official_files(folder / "data", "finqa")
    names = ["finqa-cold-garl-q.75", "finqa-cold-grpo"]
    words = [f"model.pretrained={model}", *TINY, "--only", *names, "--data", str(data)]
    assert run("table1", *words) == 0
    assert len(re.findall(r"^ *finqa-cold-(?:garl-q\.75|grpo) +\d", capsys.readouterr().out, re.MULTILINE)) == 2
    for name in names:
        cell = folder / "runs" / "paper" / "table1" / name
        assert json.loads((cell / "test.json").read_text())["step"] is not None


@pytest.mark.slow
def test_the_base_is_evaluated_without_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = pretrained_folder(folder / "model"), official_files(folder / "data", "hotpotqa")
    sizes = ["task.train_size=none", "task.held_out_size=none"]
    words = [f"model.pretrained={model}", *TINY, *sizes, "--only", "hotpotqa-warm-base", "--data", str(data)]
    assert run("table3", *words) == 0
    assert re.search(r"hotpotqa-warm-base +\d+\.\d +22\.2 +- *\n", capsys.readouterr().out)
    cell = folder / "runs" / "paper" / "table3" / "hotpotqa-warm-base"
    assert [path.name for path in cell.iterdir()] == ["test.json"]
    test = json.loads((cell / "test.json").read_text())
    assert test["step"] is None
    assert test["config"]["task"]["held_out_half"] == "test"
    # It is not evaluated again.
    before = (cell / "test.json").stat().st_mtime_ns
    assert run("table3", *words) == 0
    assert (cell / "test.json").stat().st_mtime_ns == before
    capsys.readouterr()
    assert run("table3", *words, "eval.samples=3") == 2
    assert "test.json: is of another configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("tabel1 --list", "unknown table 'tabel1'; did you mean 'table1'?"),
        ("table1 rnu", "'rnu': write key=value, for example train.steps=50, or name cells with --only"),
        ("table1 --list --only finqa-cold-gral-q1", "no such cell; did you mean 'finqa-cold-garl-q1'?"),
        ("table1 --list train.stps=3", "unknown key 'train.stps'; did you mean 'steps'?"),
        (
            "table1 --list estimator=grpo",
            "override 'estimator=grpo': a cell is its estimator; choose cells with --only",
        ),
        ("table1 --list data=x", "override 'data=x': give the folder of all data sets with --data"),
        ("table1 --list --data nowhere", "--data nowhere: has no folder finqa with the official files"),
        ("table1 --lst", "--list"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    words: str, line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("figures: ")
    assert error.count("\n") == 1
    assert line in error
    assert list(folder.iterdir()) == []


def test_overrides_may_stand_behind_only() -> None:
    table = TABLES["table1"].cells
    assert choose(table, ["finqa-cold-garl-q1", "finqa-cold-grpo"]) == [table[0], table[5]]
    assert choose(table, None) == list(table)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_pages_commands(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As they stand if they list cells; those that run are listed instead, with their settings checked."""
    _, _, _, _, *words = shlex.split(line)
    words += ["--list"] * ("--list" not in words)
    if "--data" in words:
        names = ("finqa", "hotpotqa", "musique")
        for name in names:
            official_files(folder / words[words.index("--data") + 1], name)
    words = [word.replace("=PATH", f"={pretrained_folder(folder / 'model')}") for word in words]
    assert run(*words) == 0
    assert capsys.readouterr().out


def test_a_config_reads_its_own_table() -> None:
    config = Cell("musique", "cold", "grpo").config()
    assert Config.model_validate(config.as_table()) == config
