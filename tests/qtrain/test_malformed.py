"""Malformed inputs end in one line and status 2, and leave nothing; the inputs that they are made from are accepted."""

import shutil
from pathlib import Path

import pytest
from good_inputs import COMMANDS, make_good_inputs, use_cache
from malformed import KINDS, run_cases, run_command, snapshot

from qtrain.errors import UserError
from qtrain.policy.base import Base
from qtrain.runs.folder import read_jsonl, read_result
from qtrain.runs.state import RunState
from qtrain.tasks.base import Task
from qtrain.trainer import train


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs") / "good"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", "")
        use_cache(folder)
        make_good_inputs(folder)
    return folder


@pytest.mark.slow
def test_sixty_of_them(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command in `malformed.py` runs 500."""
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    outcomes = list(run_cases(60, 0, tmp_path, good))
    assert {outcome.kind for outcome in outcomes} == set(KINDS)
    assert [outcome for outcome in outcomes if not outcome.clean] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("page", "train")])
def test_what_is_not_broken_is_accepted(name: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    here = tmp_path / "case"
    shutil.copytree(good, here)
    before = snapshot(here)
    use_cache(here)
    assert run_command(COMMANDS[name], here)[0] == 0
    made = set(snapshot(here)) - set(before)
    assert bool(made) == (name in ("resume", "report", "questions"))


def test_a_run_that_cannot_begin_leaves_no_folder(task: Task, base: Base, tmp_path: Path, config) -> None:
    wanted = config.with_values({"model.max_positions": 8})
    with pytest.raises(UserError, match="max_positions=8"):
        train(wanted, task, base, tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_a_result_without_its_keys_is_damage(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"estimator": "grpo"}')
    with pytest.raises(UserError, match="damaged: key 'q' is missing"):
        read_result(tmp_path)
    (tmp_path / "result.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="cannot be read"):
        read_result(tmp_path)


def test_a_log_of_other_bytes_is_damage(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="cannot be read"):
        read_jsonl(tmp_path / "metrics.jsonl")


def test_a_state_counts_from_zero() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        RunState(step=-1, first={"p": 0.1}, last={"p": 0.1}, log_p=-1.0)
    with pytest.raises(ValueError, match="scores without p"):
        RunState(first={}, last={"p": 0.1}, log_p=-1.0)
