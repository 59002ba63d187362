"""A run knows what it was made from: changed records, tokenizers and bases are told in one line and refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from qa_cases import pair, tiny_model, write_lines, write_split
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from qtrain.callbacks import StepFunction
from qtrain.cli import main
from qtrain.config import Config
from qtrain.load_run import finished_config
from qtrain.policy.base import base_fingerprint
from qtrain.prepare import get_base, prepare
from qtrain.runs.folder import write_json
from qtrain.trainer import train

ROWS = [pair(number, context=f"line {number}") for number in range(8)]
DEV = [pair(number) for number in range(20, 24)]


def write_data(folder: Path, train: list[dict[str, Any]] = ROWS, dev: list[dict[str, Any]] = DEV) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    write_split(folder, "pairs", train, dev)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with data, a model and two configurations, one of them with adapters."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_data(tmp_path / "data")
    tiny_model(tmp_path / "model")
    table = {
        "name": "tiny",
        "data": "data",
        "task": {"name": "pairs"},
        "model": {"pretrained": "model"},
        "rollout": {"prompts": 2, "samples": 2, "rationale_budget": 3, "answer_budget": 3},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "train": {"steps": 2, "checkpoint_every": 1},
        "eval": {"every": 1, "prompts": 2, "samples": 2},
    }
    write_json(tmp_path / "full.json", table)
    write_json(tmp_path / "lora.json", table | {"lora": {"rank": 2}})
    return tmp_path


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def interrupted(work: Path, name: str, folder: str) -> None:
    """A run that was interrupted in its first step."""

    def stop(step: int, metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    config, task, _ = prepare(Config.model_validate(json.loads((work / f"{name}.json").read_text())))
    with pytest.raises(KeyboardInterrupt):
        train(config, task, get_base(config, task), work / folder, callbacks=[StepFunction(stop)])


CHANGES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "gone": (ROWS[1:], "of 8 train records 1 gone (first: 'mine-0')"),
    "new": ([*ROWS, pair(9)], "of 8 train records 1 new (first: 'mine-9')"),
    "changed": ([*ROWS[:7], pair(7, context="other")], "of 8 train records 1 changed (first: 'mine-7')"),
    "answer": ([*ROWS[:7], pair(7, context="line 7", answer="9")], "of 8 train records 1 changed (first: 'mine-7')"),
    "order": (ROWS[::-1], "of 8 train records the order has changed"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_other_records_are_not_gone_on_with(what: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, words = CHANGES[what]
    interrupted(work, "full", "run")
    data = (work / "run" / "data.json").read_bytes()
    write_data(work / "data", rows)
    assert run("train", "full.json", "--out", "run", "--resume") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("qtrain: run: was made from something else: ")
    assert words in line
    assert line.endswith("or add --allow-changes")
    assert (work / "run" / "data.json").read_bytes() == data
    assert run("train", "full.json", "--out", "run", "--resume", "--allow-changes") == 0
    assert (work / "run" / "data.json").read_bytes() != data


@pytest.mark.parametrize("name", ["full", "lora"])
def test_another_base_is_not_gone_on_with(name: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted(work, name, "run")
    assert run("train", f"{name}.json", "--out", "done") == 0
    weights = load_file(work / "model" / "model.safetensors")
    first = min(weights)
    weights[first][0] += 1
    save_file(weights, work / "model" / "model.safetensors", metadata={"format": "pt"})
    capsys.readouterr()
    assert run("train", f"{name}.json", "--out", "run", "--resume") == 2
    assert "the base's weights are others" in capsys.readouterr().err
    # Without adapters the base's weights are in none of what follows.
    status = 2 if name == "lora" else 0
    for words in (["evaluate", "done"], ["export", "done", "out"]):
        assert run(*words) == status
        assert ("the base's weights are others" in capsys.readouterr().err) == (status == 2)
        assert run(*words[:2], *(["out2"] if words[0] == "export" else []), "--allow-changes") == 0
    assert run("train", f"{name}.json", "--out", "run", "--resume", "--allow-changes") == 0


def test_another_tokenizer_is_not_gone_on_with(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted(work, "full", "run")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "model", local_files_only=True)
    tokenizer.add_tokens(["EBITDA"])
    tokenizer.save_pretrained(work / "model")
    assert run("train", "full.json", "--out", "run", "--resume") == 2
    assert "the tokenizer is another" in capsys.readouterr().err


def test_evaluation_refuses_other_held_out_records(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "full.json", "--out", "run") == 0
    assert run("evaluate", "run") == 0
    write_data(work / "data", ROWS[1:])  # training records do not matter here
    assert run("evaluate", "run") == 0
    write_data(work / "data", ROWS, DEV[1:])
    capsys.readouterr()
    assert run("evaluate", "run") == 2
    assert "of 4 held-out records 1 gone (first: 'mine-20')" in capsys.readouterr().err
    assert run("evaluate", "run", "--allow-changes") == 0
    # Another half is another question.
    write_data(work / "data", ROWS, [pair(number) for number in range(20, 60)])
    assert run("evaluate", "run", "--half", "test") == 0


def test_results_and_checkpoints_carry_the_fingerprints(work: Path) -> None:
    assert run("train", "full.json", "--out", "run") == 0
    noted = json.loads((work / "run" / "fingerprints.json").read_text())
    assert set(noted) == {"train", "held_out", "tokenizer", "base"}
    assert json.loads((work / "run" / "result.json").read_text())["fingerprints"] == noted
    for checkpoint in (work / "run" / "checkpoints").glob("step-*"):
        assert json.loads((checkpoint / "state.json").read_text())["fingerprints"] == noted
    assert noted["base"] == base_fingerprint(work / "model")
    assert json.loads((work / "run" / "data.json").read_text()).keys() == {"sources", "used", "ids", "hashes"}


@pytest.mark.parametrize("name", ["full", "lora"])
def test_export_needs_neither_data_nor_the_folder_it_was_started_in(
    name: str, work: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run("train", f"{name}.json", "--out", "run") == 0
    assert run("export", "run", "here") == 0
    shutil.rmtree(work / "data")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    if name == "full":
        shutil.rmtree(work / "model")
    else:
        (work / "model").rename(elsewhere / "moved")
    run_folder = str(work / "run")
    if name == "lora":
        assert run("export", run_folder, "there") == 2
    base = ["--base", "moved"] if name == "lora" else []
    assert run("export", run_folder, "there", *base) == 0
    folders = (work / "here", elsewhere / "there")
    models = [AutoModelForCausalLM.from_pretrained(folder, local_files_only=True) for folder in folders]
    tokens = torch.arange(12)[None]
    torch.testing.assert_close(*(model(input_ids=tokens).logits for model in models), rtol=0, atol=0)
    assert (work / "here" / "tokenizer.json").read_bytes() == (elsewhere / "there" / "tokenizer.json").read_bytes()
    # An evaluation needs the records, wherever they are.
    capsys.readouterr()
    assert run("evaluate", run_folder, *base) == 2
    write_data(elsewhere / "records")
    if name == "full":
        tiny_model(elsewhere / "moved")
        base = ["--base", "moved"]
    assert run("evaluate", run_folder, "--data", "records", *base) == 0


def test_a_run_is_resumed_from_another_folder(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(work, "full", "run")
    (work / "sub").mkdir()
    (work / "data").rename(work / "sub" / "records")
    monkeypatch.chdir(work / "sub")
    status = run("train", "../full.json", "data=records", "model.pretrained=../model", "--out", "../run", "--resume")
    assert status == 0
    assert finished_config(work / "run").data == work / "sub" / "records"


def test_a_diverged_run_is_exported_by_force_alone(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["optimizer.name=sgd", "optimizer.lr=1e30", "train.steps=6"]
    assert run("train", "full.json", *settings, "--out", "run") == 1
    capsys.readouterr()
    assert run("export", "run", "out") == 2
    line = capsys.readouterr().err
    assert line.startswith("qtrain: run: diverged at step ")
    assert "--force" in line
    assert not (work / "out").exists()
    assert run("export", "run", "out", "--force") == 0


def test_weights_that_are_not_finite_are_exported_by_force_alone(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "full.json", "--out", "run") == 0
    weights = load_file(work / "run" / "model.safetensors")
    weights[min(weights)][0] = torch.inf
    save_file(weights, work / "run" / "model.safetensors")
    assert run("export", "run", "out") == 2
    assert "is not finite: the run has diverged" in capsys.readouterr().err
    assert run("export", "run", "out", "--force") == 0


def test_runs_of_an_older_version_are_evaluated_and_exported(work: Path) -> None:
    """They have no fingerprints and no model files, and their configuration lacks newer settings."""
    assert run("train", "full.json", "--out", "run") == 0
    shutil.rmtree(work / "run" / "model")
    (work / "run" / "fingerprints.json").unlink()
    table = json.loads((work / "run" / "config.json").read_text())
    del table["train"]["final_checkpoint"], table["rollout"]["cache_gib"], table["task"]["long_answers"]
    write_json(work / "run" / "config.json", table)
    assert run("evaluate", "run") == 0
    assert run("export", "run", "out") == 0
    assert run("train", "full.json", "train.steps=3", "--out", "run", "--resume") == 0


def test_a_single_file_is_read_and_remembered_too(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(work / "mine.jsonl", [pair(number) for number in range(40)])
    assert run("train", "full.json", "data=mine.jsonl", "--out", "run") == 0
    write_lines(work / "mine.jsonl", [pair(number) for number in range(39)])
    assert run("train", "full.json", "data=mine.jsonl", "train.steps=4", "--out", "run", "--resume") == 2
    assert "records 1 gone (first: 'mine-39')" in capsys.readouterr().err
