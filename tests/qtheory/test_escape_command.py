"""The command `qtheory escape` as a user runs it: its table, its files, and one line for every mistake."""

import csv
import json
import math
from pathlib import Path

import pytest

from qtheory.cli import main


def run(*words: str) -> int:
    """Exit status of a command."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_the_table_and_both_files_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = ("--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv"))
    assert run("escape", "--task", "sigmoid", "--p0", "1e-12", "--q", "0", ".25", ".5", ".75", "1", *files) == 0
    shown = capsys.readouterr().out
    rows = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["time"]) for row in table] == [row["time"] for row in rows]
    assert [row["q"] for row in rows] == [0, 0.25, 0.5, 0.75, 1]
    assert all(f"{row['time']:.6g}" in shown for row in rows)
    assert max(map(len, shown.splitlines())) <= 80
    assert max(row["error"] for row in rows) < 1e-9
    assert rows[-1]["time"] == pytest.approx(math.log(1e12) + 1, rel=1e-9)  # log(u/(1-u)) + 1/(1-u) between the two


def test_exponents_of_a_latent_model(capsys: pytest.CaptureFixture[str]):
    assert run("escape", "--task", "chain", "--p0", "1e-10", "1e-11", "1e-12", "--q", "0", ".5", "--exponents") == 0
    shown = capsys.readouterr().out
    assert "chain: escape exponents" in shown
    assert "-1.00000" in shown
    assert "-0.50000" in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--task", "chian"], "unknown task 'chian'; did you mean 'chain'?"),
        (["--p0", "2"], "p0[0] is 2.0: pass p0 in"),
        (["--p0", "0"], "p0[0] is 0.0: pass p0 in"),
        (["--p0"], "0 values of p0 and 5 of q: pass at least one of each"),
        (["--q", "1.5"], "q must lie in [0, 1]"),
        (["--q", "nan"], "q must lie in [0, 1]"),
        (["--p0", "tiny"], "--p0"),
        (["--delta", "1"], "pass a probability strictly between 0 and 1"),
        (["--p0", "1e-3", "--exponents"], "exponents need three or more p0 in equal ratios"),
        (["--csv", "nowhere/a.csv"], "--csv nowhere/a.csv: no folder nowhere; make it first"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], says: str
):
    monkeypatch.chdir(tmp_path)
    assert run("escape", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
