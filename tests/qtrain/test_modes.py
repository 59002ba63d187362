"""Every file of a run, its checkpoints, the base cache, an export and a report has the mode that the umask gives."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from figures.bench.gradient import save_gradient
from qtrain.config import Config
from qtrain.load_run import export_policy
from qtrain.prepare import get_base
from qtrain.report import report_command
from qtrain.tasks.base import Task
from qtrain.trainer import train


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Another umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o027, 0o002])
def test_modes(mask: int, config: Config, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = config.with_values({"train.checkpoint_every": 1})
    with umask(mask):
        base = get_base(config, task)
        train(config, task, base, tmp_path / "run")
        export_policy(tmp_path / "run", config, tmp_path / "run", tmp_path / "exported")
        report_command((tmp_path / "run",), tmp_path / "report.html")
        save_gradient(torch.nn.Linear(1, 1), tmp_path / "gradients" / "one.safetensors")
    paths = list(tmp_path.rglob("*"))
    assert len([path for path in paths if path.suffix == ".safetensors"]) >= 7
    wrong = {
        str(path): oct(path.stat().st_mode) for path in paths if path.stat().st_mode & 0o777 != expected(path, mask)
    }
    assert wrong == {}


def expected(path: Path, mask: int) -> int:
    """Of something new."""
    return (0o777 if path.is_dir() else 0o666) & ~mask
