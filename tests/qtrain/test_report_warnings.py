"""A warning that training shows is in the run folder, with its step, and on the report's page."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from report_cases import Page, report

from qtrain import step as step_module
from qtrain.config import Config
from qtrain.policy.base import Base
from qtrain.rollout.mismatch import EngineMismatch
from qtrain.runs.folder import WARNINGS, read_jsonl
from qtrain.tasks.base import Task
from qtrain.trainer import train


def test_warnings_reach_folder_and_page(
    config: Config, task: Task, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a text, as Python shows it; those around the run are not the run's."""
    config = config.with_values({"train.steps": 3})
    real = step_module.self_check

    def self_check(*arguments: Any, **keywords: Any) -> dict[str, float]:
        if arguments[4] >= 2:  # the step
            warnings.warn("far <b>off</b>", EngineMismatch, stacklevel=1)
        return real(*arguments, **keywords)

    monkeypatch.setattr(step_module, "self_check", self_check)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        warnings.warn("before", UserWarning, stacklevel=1)
        train(config, task, base, tmp_path / "run")
        warnings.warn("after", UserWarning, stacklevel=1)
    assert [str(one.message) for one in shown] == ["before", "far <b>off</b>", "after"]
    logged = read_jsonl(tmp_path / "run" / WARNINGS)
    assert logged == [{"step": 2, "category": "EngineMismatch", "message": "far <b>off</b>"}]
    page = Page(report(tmp_path / "run"))
    assert ["EngineMismatch", "1", "2", "far <b>off</b>"] in [row[1:] for row in page.rows]


def test_a_quiet_run_says_so(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    train(config.with_values({"train.steps": 1}), task, base, tmp_path / "run")
    assert read_jsonl(tmp_path / "run" / WARNINGS) == []
    assert "nor showed a warning" in Page(report(tmp_path / "run")).text
