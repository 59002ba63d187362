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


@pytest.mark.parametrize("task", ["sigmoid", "arms", "latent-sigmoid", "latent-softmax", "fixed", "chain"])
def test_the_last_float_below_one_is_a_target(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ("--p0", "1e-12", "--delta", "0.9999999999999999", "--q", "0", "--json", str(tmp_path / "a.json"))
    assert run("escape", "--task", task, *words) == 0
    assert capsys.readouterr().err == ""
    # ||s||^2 is between half of (1-P)^2 and twice that near P = 1 in all families.
    [row] = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert 2**53 / 2 < row["time"] < 2**53 * 2


def test_a_path_that_is_not_solved_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("qtheory.flow.path._EVALUATIONS", 20)
    assert run("escape", "--p0", "1e-3") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "20 evaluations were not enough" in err


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
        (["--task", ""], "unknown task ''; valid are: sigmoid, arms"),
        (["--p0", "2"], "p0[0] is 2.0: pass p0 in [2.2e-308, 1)\n"),
        (["--p0", "0"], "p0[0] is 0.0: pass p0 in [2.2e-308, 1)\n"),
        (["--p0", "1e-3", "1e-310"], "p0[1] is 1e-310: pass p0 in [2.2e-308, 1)\n"),
        (["--p0", "nan"], "p0[0] is nan: pass p0 in"),
        (["--p0", "inf"], "p0[0] is inf: pass p0 in"),
        (["--p0", "-0.1"], "p0[0] is -0.1: pass p0 in"),
        (["--p0", "0.5"], "p0 is delta, 0.5: the escape takes no time; lower p0"),
        (["--p0", "0.7"], "p0[0] is 0.7: the start lies above delta"),
        (["--p0", ".49999999999999994"], "p0 is 0.49999999999999994 and delta 0.5: so near each other that rounding"),
        (["--p0", ".75", "--delta", ".9", "--task", "fixed"], "task 'fixed' to delta 0.9 needs p0 < 0.75"),
        (["--p0"], "0 values of p0 and 5 of q: pass at least one of each"),
        (["--q"], "1 values of p0 and 0 of q: pass at least one of each"),
        (["--q", "1.5"], "q[0] is 1.5: q must lie in [0, 1]"),
        (["--q", "0", "-.1"], "q[1] is -0.1: q must lie in [0, 1]"),
        (["--q", "nan"], "q[0] is nan: q must lie in [0, 1]"),
        (["--p0", "tiny"], "--p0"),
        (["--delta", "1"], "delta is 1.0: pass a probability strictly between 0 and 1"),
        (["--delta", "0.99999999999999999"], "delta is 1.0: pass a probability strictly between 0 and 1"),
        (["--delta", "0"], "delta is 0.0: pass a probability strictly between 0 and 1"),
        (["--delta", "nan"], "delta is nan: pass a probability strictly between 0 and 1"),
        (["--p0", "1e-3", "--exponents"], "p0 is 0.001: exponents need three or more p0 in equal ratios"),
        (["--p0", "1e-3", "1e-3", "1e-3", "--exponents"], "p0 is 0.001, 0.001, 0.001: exponents need three or more"),
        (["--p0", "1e-3", "2e-3", "5e-3", "--exponents"], "p0 is 0.001, 0.002, 0.005: exponents need three or more"),
        (["--p0", "1e-3", "1e-2", ".1", "--delta", ".1", "--exponents"], "p0 is delta, 0.1: the escape takes no time"),
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
