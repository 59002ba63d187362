"""The commands `python -m figures accuracy` and `python -m figures speed` as a user runs them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from figures.cli import main
from figures.exact.errors import AccuracyResult, AccuracyRow
from figures.exact.speed import SpeedResult, SpeedRow

ROW = AccuracyRow("plugin", 3, 1e-15, 1e-15, 1e-13, 1e-15)


def run(*words: str) -> int:
    """Exit status of a command."""
    try:
        main(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize(("error", "status"), [(1e-15, 0), (1e-9, 1), (float("nan"), 1)])
def test_a_broken_promise_is_exit_status_1(
    error: float, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    row = AccuracyRow("plugin", 3, error, 1e-15, 1e-13, 1e-15)
    monkeypatch.setattr("figures.exact.command.accuracy", lambda quick, _: AccuracyResult((ROW, row), quick))
    assert run("accuracy", "--quick", "--json", str(tmp_path / "a.json")) == status
    data = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert data["quick"] is True
    assert [one["kept"] for one in data["rows"]] == [True, status == 0]
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_speed_prints_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def measured(quick: bool, progress: Callable[[str], None]) -> SpeedResult:
        progress("mean, 1 of 5")
        row = SpeedRow("mean", 100, 54321.0, 2000, 0.5, 1e-2, (2.5, 2e18), (1e5, 1e23))
        return SpeedResult((row,), 5, {"processor": "x86_64"})

    monkeypatch.setattr("figures.exact.command.speed", measured)
    assert run("speed", "--quick", "--json", str(tmp_path / "a.json")) == 0
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["rows"][0]["cells_per_second"] == 54321
    assert "5.4e+04" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["accuracy", "speed"])
def test_bad_input_is_one_line_and_exit_status_2(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert run(command, "--json", "nowhere/a.json") == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "figures: --json nowhere/a.json: no folder nowhere; make it first\n")
