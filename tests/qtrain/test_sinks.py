"""Sinks: what they are told, against libraries that only note it; none of them is installed with the tests."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from qtrain.cli import main
from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.pretrain import Base
from qtrain.run_folder import read_jsonl, write_json
from qtrain.sinks import PACKAGES, check_sinks
from qtrain.tasks.base import Task
from qtrain.train import train


class Notes:
    """Stands for a library: SummaryWriter of TensorBoard, and the run that `init` gives."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.closed = 0

    def writer(self, folder: str, purge_step: int | None) -> "Notes":
        self.begun.append((folder, purge_step))
        return self

    def init(self, **keywords: Any) -> "Notes":
        self.begun.append(keywords)
        return self

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.rows.append((step, {name: value}))

    def log(self, values: dict[str, float], step: int) -> None:
        self.rows.append((step, values))

    def close(self) -> None:
        self.closed += 1

    finish = close


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    """All three libraries, noting in one place."""
    found = Notes()
    for name, content in {
        "torch.utils.tensorboard": {"SummaryWriter": found.writer},
        "trackio": {"init": found.init},
        "wandb": {"init": found.init},
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("qtrain.sinks.find_spec", lambda name: name)
    return found


@pytest.mark.parametrize("name", PACKAGES)
def test_a_sink_is_told_what_the_log_has(
    name: str, notes: Notes, config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    train(config.with_values({"sinks": [name]}), task, base, tmp_path / "run")
    assert len(notes.begun) == 1
    assert notes.closed == 1
    told: dict[tuple[int, str], float] = {(step, key): value for step, row in notes.rows for key, value in row.items()}
    for row in read_jsonl(tmp_path / "run" / "metrics.jsonl"):
        assert all(told[row["step"], f"train/{key}"] == value for key, value in row.items() if key != "step")
    for row in read_jsonl(tmp_path / "run" / "evals.jsonl"):
        assert all(told[row["step"], f"eval/{key}"] == value for key, value in row.items() if key != "step")


def test_services_know_the_run(notes: Notes, config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    config = config.with_values({"sinks": ["trackio", "wandb"]})
    train(config, task, base, tmp_path / "run")
    trackio, wandb = notes.begun
    assert (trackio["project"], trackio["name"], trackio["resume"]) == ("tiny", "run", "never")
    assert trackio["config"] == config.as_table()
    assert len(wandb["id"]) == 16


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_library_is_one_line_at_the_start(
    name: str, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("qtrain.sinks.find_spec", lambda _: None)
    config = config.with_values({"sinks": [name]})
    with pytest.raises(UserError, match=f"{name} is not installed: pip install {name}, or leave it out"):
        check_sinks(config)
    write_json(tmp_path / "tiny.json", config.as_table())
    with pytest.raises(SystemExit) as stop:
        main(["train", "tiny.json"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.json"]
