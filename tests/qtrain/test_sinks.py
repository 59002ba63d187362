"""Sinks: what they are told, against libraries that only note it; the real ones run in test_real_sinks."""

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from qtrain.cli import main
from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.policy.base import Base
from qtrain.runs.folder import read_jsonl, write_json
from qtrain.runs.sinks import PACKAGES, check_sinks
from qtrain.tasks.base import Task
from qtrain.trainer import train


class Notes:
    """Stands for a library: SummaryWriter of TensorBoard, what wandb knows, and the run that `init` gives."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.closed = 0
        self.mode, self.logged_in = "online", True
        self.settings = self
        self.logins: list[dict[str, Any]] = []

    def setup(self) -> "Notes":
        return self

    def login(self, prompt: bool = True) -> bool:
        self.logins.append({"prompt": prompt})
        return self.logged_in

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
        "wandb": {"init": found.init, "login": found.login, "setup": found.setup},
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("qtrain.runs.sinks.find_spec", lambda name: name)
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
    monkeypatch.setattr("qtrain.runs.sinks.find_spec", lambda _: None)
    config = config.with_values({"sinks": [name]})
    with pytest.raises(UserError, match=f"{name} is not installed: pip install {name}, or leave it out"):
        check_sinks(config)
    write_json(tmp_path / "tiny.json", config.as_table())
    with pytest.raises(SystemExit) as stop:
        main(["train", "tiny.json"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.json"]


def refused(config: Config, capsys: pytest.CaptureFixture[str], here: Path) -> str:
    """The line by which a command refuses a configuration, before it writes anything."""
    write_json(here / "tiny.json", config.as_table())
    for words in (["train", "tiny.json"], ["compare", "tiny.json", "--estimator", "grpo", "--out", "out"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == second
    assert [path.name for path in here.iterdir()] == ["tiny.json"]
    return first


def test_nobody_is_logged_in(
    notes: Notes, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notes.logged_in = False
    config = config.with_values({"sinks": ["wandb"]})
    ways = "run `wandb login` or set WANDB_API_KEY, set WANDB_MODE=offline, or leave it out"
    assert refused(config, capsys, tmp_path) == f"qtrain: sinks='wandb': no login: {ways}"
    assert notes.begun == []
    # Nobody is asked for a key in the midst of things.
    assert notes.logins == 2 * [{"prompt": False}]


@pytest.mark.parametrize("mode", ["offline", "disabled", "dryrun"])
def test_offline_needs_no_login(
    mode: str, notes: Notes, config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    notes.mode, notes.logged_in = mode, False
    train(config.with_values({"sinks": ["wandb"]}), task, base, tmp_path / "run")
    assert notes.closed == 1
    assert notes.logins == []


def test_a_login_that_the_server_refuses(notes: Notes, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def login() -> bool:
        """As in releases that cannot be kept from asking."""
        raise RuntimeError("WANDB_API_KEY invalid:\nit is short")

    monkeypatch.setattr(sys.modules["wandb"], "login", login)
    line = "sinks='wandb': no login: WANDB_API_KEY invalid: it is short; set WANDB_MODE=offline, or leave it out"
    with pytest.raises(UserError, match=f"^{line}$"):
        check_sinks(config.with_values({"sinks": ["wandb"]}))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_library_that_cannot_be_imported(
    name: str, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("qtrain.runs.sinks.find_spec", lambda name: name)

    whole = importlib.import_module

    def broken(module: str) -> types.ModuleType:
        if module.startswith("qtrain"):
            return whole(module)
        raise AttributeError("module 'numpy' has no attribute 'bool8'")

    monkeypatch.setattr("qtrain.runs.sinks.importlib.import_module", broken)
    line = refused(config.with_values({"sinks": [name]}), capsys, tmp_path)
    assert line == f"qtrain: sinks={name!r}: cannot be imported: module 'numpy' has no attribute 'bool8'; leave it out"


@pytest.mark.parametrize(("module", "call"), [("trackio", "init"), ("wandb", "init")])
def test_a_service_that_does_not_start(
    module: str,
    call: str,
    notes: Notes,
    config: Config,
    task: Task,
    base: Base,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**_: Any) -> None:
        raise OSError("no\nroute")

    monkeypatch.setattr(sys.modules[module], call, fail)
    config = config.with_values({"sinks": ["tensorboard", "trackio", "wandb"]})
    with pytest.raises(UserError, match=f"^sinks='{module}': cannot be started: no route; leave it out$"):
        train(config, task, base, tmp_path / "run")
    # What was started before it is ended, and no folder stands in the way of the next attempt.
    assert notes.closed == len(notes.begun) == (1 if module == "wandb" else 0)
    assert not (tmp_path / "run").exists()
