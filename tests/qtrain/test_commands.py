"""The commands as a user runs them: results on disk, resuming, and one line with exit status 2 for every mistake."""

import json
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from qa_cases import pair, write_split

from qtrain.cli import main
from qtrain.config import Config, read_config
from qtrain.jobs import runner
from qtrain.runs.folder import flat, write_json

ROW = [
    "estimator",
    "q",
    "seed",
    "p0",
    "steps",
    "escape_step",
    "p_at_1",
    "p_at_16",
    "maj_at_16",
    "mean_log_p",
    "seconds",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def tiny(config: Config, folder: Path) -> str:
    """A configuration file of the tiny run, all prompts alike and 16 samples in evaluation."""
    path = folder / "tiny.json"
    write_json(path, config.with_values({"task.variant": "cold", "eval.samples": 16}).as_table())
    return str(path)


def run(*words: str) -> int:
    """Exit status of a command."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_compare_writes_one_row_a_cell_and_resumes(tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", tiny, "--estimator", "grpo", "garl:q=.5", "--seeds", "2", "--out", "out", "--jobs", "1"]
    assert run(*words) == 0
    rows = json.loads((folder / "out" / "comparison.json").read_text())
    assert [(row["estimator"], row["seed"]) for row in rows] == [
        ("grpo", 0), ("garl:q=0.5", 0), ("grpo", 1), ("garl:q=0.5", 1),
    ]  # fmt: skip
    assert all(list(row) == ROW for row in rows)
    assert [row["q"] for row in rows] == [None, 0.5, None, 0.5]
    printed = capsys.readouterr()
    assert "out/comparison.json" in printed.out
    assert len(re.findall(r"^\S+ seed \d: done$", printed.err, re.MULTILINE)) == 4
    # A cell without a result is run again, the others are not.
    kept = folder / "out" / "garl-q.5-seed0" / "metrics.jsonl"
    before = kept.stat().st_mtime_ns
    (folder / "out" / "grpo-seed1" / "result.json").unlink()
    assert run(*words) == 0
    again = json.loads((folder / "out" / "comparison.json").read_text())
    assert kept.stat().st_mtime_ns == before
    assert [row | {"seconds": 0} for row in again] == [row | {"seconds": 0} for row in rows]
    # The same folder for another configuration would mix two experiments.
    capsys.readouterr()
    assert run(*words[:2], "optimizer.lr=7", *words[2:]) == 2
    assert "out: holds a comparison of another configuration: optimizer.lr is 0.001 there" in capsys.readouterr().err


def test_train_evaluate_pretrain(tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pretrain", tiny) == 0
    assert "folder" in capsys.readouterr().out
    assert run("train", tiny, "estimator=paft:q=1", "--out", "run") == 0
    capsys.readouterr()
    assert run("evaluate", "run", "--prompts", "2", "--samples", "3") == 0
    out = capsys.readouterr().out
    assert re.search(r"^p_at_3 +\d", out, re.MULTILINE)
    assert run("train", tiny) == 0
    assert (folder / "runs" / "tiny-garl-q1-seed0" / "result.json").exists()


@pytest.mark.parametrize(
    "name", ["out [/b]", "[red]o[/red] :smile: with a path that is far longer than a terminal is wide"]
)
def test_paths_are_printed_as_they_are(name: str, tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", tiny, "--out", f"{name}/run") == 0
    assert f"\ntiny: {name}/run\n" in f"\n{capsys.readouterr().out}"
    assert run("export", f"{name}/run", f"{name}/exported") == 0
    assert capsys.readouterr().out == f"{name}/exported\n"
    assert run("evaluate", f"{name}/exported") == 2
    assert capsys.readouterr().err.startswith(f"qtrain: {name}/exported: is not a finished run")
    assert run("export", f"{name}/run", "\udcff") == 2
    line = "qtrain: \\udcff: cannot be written: its name is no text in UTF-8; choose another folder"
    assert capsys.readouterr().err.splitlines()[-1] == line
    assert run("report", f"{name}/run", "-o", f"{name}/page.html") == 0
    assert capsys.readouterr().out == f"{name}/page.html\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("trian x.toml", 'Did you mean "train"?'),
        ("train", "requires an argument"),
        ("train missing.toml", "missing.toml: no such configuration; shipped ones: "),
        ("train {tiny} estimator=grop", "unknown estimator 'grop'; did you mean 'grpo'?"),
        ("train {tiny} data=records", "task 'digit_sum' makes its own examples; remove the key"),
        ("train {tiny} task.name=finqa", "unknown key 'task."),
        ("compare {tiny} --estimator grpo", "--out"),
        ("compare {tiny} --estimator grpo --out o --seeds 0", "--seeds 0: at least 1 is needed"),
        ("compare {tiny} --estimator grpo --out o --jobs -1", "--jobs -1: at least 1 is needed"),
        ("compare {tiny} --estimator garl --out o", "needs 'q', for example garl:q=.75"),
        ("compare {tiny} --estimator grpo grpo --out o", "one is named twice"),
        ("compare {tiny} --estimator grpo --ot o", "Did you mean --out?"),
        ("compare {tiny} --estimator grpo --out {tiny}", "cannot be written"),
        ("evaluate nowhere", "nowhere: no such folder; give the folder of a finished run"),
        ("evaluate .", ".: is not a finished run (result.json is missing)"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    words: str, line: str, tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words.format(tiny=tiny).split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("qtrain: ")
    assert error.count("\n") == 1
    assert line in error
    assert [path.name for path in folder.iterdir()] == ["tiny.json"]


def rows(folder: Path) -> list[tuple[str, int]]:
    """Estimator and seed of each row of a comparison."""
    return [(row["estimator"], row["seed"]) for row in json.loads((folder / "comparison.json").read_text())]


def test_a_comparison_adds_to_the_one_in_its_folder(
    tiny: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, page = folder / "out", folder / "page.html"
    compare, report = ["compare", tiny, "--out", "out", "--jobs", "1"], ["report", "out", "-o", "page.html"]
    assert run(*compare, "--estimator", "garl:q=.5", "--seeds", "2") == 0
    first = (out / "garl-q.5-seed0" / "metrics.jsonl").stat().st_mtime_ns
    with monkeypatch.context() as patch:

        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(runner, "train", interrupted)
        assert run(*compare, "--estimator", "grpo") == 130
    # What was there before is whole.
    assert run(*report) == 0
    assert rows(out) == [("garl:q=0.5", 0), ("garl:q=0.5", 1)]
    assert "GRPO" not in page.read_text()
    capsys.readouterr()
    assert run(*compare, "--estimator", "grpo") == 0
    assert rows(out) == [("garl:q=0.5", 0), ("garl:q=0.5", 1), ("grpo", 0)]
    assert (out / "garl-q.5-seed0" / "metrics.jsonl").stat().st_mtime_ns == first
    printed = capsys.readouterr()
    assert re.findall(r"^ (\S+) +(\d) ", printed.out, re.MULTILINE) == [
        ("garl:q=0.5", "0"),
        ("garl:q=0.5", "1"),
        ("grpo", "0"),
    ]
    assert "garl" not in printed.err
    assert run(*report) == 0
    assert "GRPO" in page.read_text()
    # A run that is done again keeps its place, new ones come last, and rows without a run folder go.
    before = json.loads((out / "comparison.json").read_text())
    (out / "garl-q.5-seed0" / "result.json").unlink()
    shutil.rmtree(out / "garl-q.5-seed1")
    assert run(*compare, "--estimator", "rloo", "garl:q=.5") == 0
    assert rows(out) == [("garl:q=0.5", 0), ("grpo", 0), ("rloo", 0)]
    after = json.loads((out / "comparison.json").read_text())
    assert after[1] == before[2]
    assert after[0] != before[0]  # by its seconds
    assert after[0] | {"seconds": 0} == before[0] | {"seconds": 0}


def test_a_comparison_is_extended_to_more_steps(tiny: str, folder: Path) -> None:
    words = ["garl:q=0.5", "grpo"]
    assert run("compare", tiny, "--estimator", *words, "--out", "out", "--jobs", "1") == 0
    assert run("compare", tiny, "train.steps=5", "--estimator", *words, "--out", "out", "--jobs", "1") == 0
    after = json.loads((folder / "out" / "comparison.json").read_text())
    assert [(row["estimator"], row["steps"]) for row in after] == [(word, 5) for word in words]
    assert run("report", "out", "-o", "page.html") == 0


def test_a_comparison_does_not_mix_records(tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs that are finished were made from other records than those that are left would be."""
    data = write_split(folder / "data", "pairs", [pair(1), pair(2)], [pair(3)])
    table = json.loads(Path(tiny).read_text())
    table |= {"task": {"name": "pairs"}, "data": "data"}
    table["model"]["max_positions"] = 128
    write_json(folder / "mine.json", table)
    words = ["compare", "mine.json", "--out", "mixed", "--jobs", "1", "--estimator"]
    assert run(*words, "grpo") == 0
    write_split(data, "pairs", [pair(1), pair(2), pair(4)], [pair(3)])
    capsys.readouterr()
    assert run(*words, "grpo", "garl:q=1") == 2
    line = capsys.readouterr().err
    assert "was made from something else: of 2 train records 1 new (first: 'mine-4')" in line


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("optimizer.lr=7", "holds a comparison of another configuration: optimizer.lr is 0.001 there and 7.0 here"),
        ("eval.every=1", "eval.every is 2 there and 1 here; give it that value, or choose another --out"),
        ("train.steps=2", "train.steps is 3 there and 2 here; it can only be raised"),
        ("name=other", "name is 'tiny' there and 'other' here"),
    ],
)
def test_a_comparison_of_another_configuration_is_left_alone(
    override: str, line: str, tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_comparison(tiny, folder / "out")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    # An estimator or a seed in the overrides is one of the runs' own keys.
    own = ["estimator=grpo", "train.seed=5", "pretrain.seed=6"]
    assert run("compare", tiny, *own, override, "--estimator", "grpo", "--out", "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert line in error
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def write_comparison(config: str, out: Path, rows: object = ()) -> None:
    """A comparison without runs, as far as `compare` looks at it."""
    out.mkdir()
    write_json(out / "config.json", read_config(Path(config)).as_table())
    write_json(out / "comparison.json", rows)


@pytest.mark.parametrize(
    "rows",
    [7, [7], {"a": 1}, [{}], [{"estimator": "grop", "seed": 0}], [{"estimator": "grpo", "seed": "x"}], [["grpo", 0]]],
)
def test_a_damaged_comparison_is_one_line(
    rows: object, tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_comparison(tiny, folder / "out", rows)
    assert run("compare", tiny, "--estimator", "grpo", "--out", "out") == 2
    error = capsys.readouterr().err
    assert error == (
        "qtrain: out/comparison.json: damaged: not a list of results; delete it, and name its estimators again\n"
    )


def test_a_comparison_does_not_begin_in_a_run_folder(
    tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", tiny, "--out", "run") == 0
    before = {path.name for path in (folder / "run").iterdir()}
    capsys.readouterr()
    assert run("compare", tiny, "--estimator", "grpo", "--out", "run") == 2
    assert capsys.readouterr().err == "qtrain: run: is a run folder, not a comparison's; choose another --out\n"
    assert {path.name for path in (folder / "run").iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_comparison_stops_its_workers_and_goes_on(jobs: str, tiny: str, folder: Path) -> None:
    words = ["compare", tiny, "train.steps=60", "eval.every=60", "--estimator", "rloo", "grpo", "--out", "out"]
    # A shell that runs the tests in the background has them ignore Ctrl-C, and so would this process.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, "-m", "qtrain", *words, "--jobs", jobs], stderr=subprocess.PIPE, text=True, preexec_fn=heed
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "base, seed 0: ready\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("qtrain: interrupted")
    assert "Traceback" not in error
    assert not list(folder.glob("out/*/result.json"))
    # What the interruption left behind does not stand in the way of the same command.
    assert run(*words, "--jobs", "1") == 0
    assert rows(folder / "out") == [("rloo", 0), ("grpo", 0)]


def test_what_diverged_is_said_in_a_line(tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", tiny, "optimizer.lr=1e30", "train.steps=20", "--out", "wild") == 1
    assert re.search(r"^diverged at step \d+: lower optimizer.lr=1e\+30$", capsys.readouterr().out, re.MULTILINE)
    assert run("pretrain", tiny, "pretrain.steps=5", "pretrain.lr=1e30", "pretrain.seed=9") == 2
    assert re.search(r"^qtrain: pre-training diverged at step \d: lower pretrain.lr=1e\+30$", capsys.readouterr().err)
    bases = [json.loads(path.read_text()) for path in folder.glob("cache/qcontinuum/bases/*/base.json")]
    assert [base["made_from"]["pretrain"]["seed"] for base in bases] == [0]


def test_records_with_a_broken_last_line_are_read(folder: Path) -> None:
    from qtrain.errors import UserError
    from qtrain.runs.folder import read_jsonl

    path = folder / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st')
    assert read_jsonl(path) == [{"step": 1}]
    path.write_text('{"st\n{"step": 1}\n')
    with pytest.raises(UserError, match="line 1: not JSON"):
        read_jsonl(path)


@pytest.mark.shared
def test_twenty_steps_on_real_finqa_records(
    shared_data: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(__file__).parents[2] / "qtrain" / "configs" / "finqa_cold_tiny.toml"
    words = ["train", str(config), f"data={shared_data / 'finqa'}", "task.max_prompt_tokens=128", "--out", "finqa"]
    assert run(*words) == 0
    capsys.readouterr()
    rows = [json.loads(line) for line in (folder / "finqa" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 20
    assert all(row["mean_log_p"] < -5 for row in rows)
    assert all(row["gradient_norm"] > 0 for row in rows)


def test_the_help_of_train_lists_every_setting_with_its_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    lines = [line.strip().split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    listed = {words[0]: words[1:] for words in lines if words and words[0][0] != "["}
    assert listed["train.steps"] == ["300", "whole number"]
    assert listed["optimizer.schedule.kind"] == ["'constant'", "constant | linear | cosine | step"]
    assert listed["model.pretrained"] == ["(needed)", "text"]
    config = Config.model_validate({"name": "x", "task": {"name": "digit_sum"}})
    keys = {key for key in flat(config.as_table()) if not key.startswith(("task.", "model."))}
    assert keys - {"lora"} <= set(listed)
