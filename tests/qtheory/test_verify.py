"""The command `qtheory` as a user runs it: its table, its JSON, and its exit status."""

import errno
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from qtheory.claims import CLAIMS, Claim, Comparison, Evidence, by_label, verify
from qtheory.claims.page import anchor, heading
from qtheory.claims.table import claims_table
from qtheory.cli import main

KEYS = [
    "label",
    "statement",
    "verdict",
    "condition",
    "measured",
    "predicted",
    "tolerance",
    "agrees",
    "seconds",
    "figure",
    "source",
]


def run(*words: str) -> int:
    """Exit status of a command."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def wrong_claim(measured: Any = 3.0) -> Claim:
    def check() -> Evidence:
        return Evidence((Comparison("2 + 2, 4", np.array([2.0, measured]), np.array([2.0, 4]), 1e-9, "relative"),))

    return Claim("Thm 0", "2 + 2 = 4", "holds", None, check)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    """Replace the registered claims."""

    def replace(*claims: Claim) -> None:
        monkeypatch.setattr("qtheory.claims.CLAIMS", by_label(claims))

    return replace


def test_every_claim_in_one_table_and_one_file(register, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    # test_claims.py checks all of them.
    register(*(CLAIMS[label] for label in ("Eq 1-3", "Prop 6.2", "Prop D.2", "Sec 6.1.1", "QC-1")))
    assert run("verify", "--json", str(tmp_path / "claims.json")) == 0
    rows = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert [row["label"] for row in rows] == ["Eq 1-3", "Prop 6.2", "Prop D.2", "Sec 6.1.1", "QC-1"]
    for row in rows:
        assert list(row) == KEYS
        assert row["agrees"] is True
        assert (row["condition"] is None) == (row["verdict"] != "conditional")
        assert list(row["measured"]) == list(row["predicted"]) == list(row["tolerance"])
        for what, limit in row["tolerance"].items():
            assert set(limit) == {"value", "kind", "relation"}
            assert np.shape(row["measured"][what]) == np.shape(row["predicted"][what])
    shown = capsys.readouterr().out
    assert all(row["label"] in shown for row in rows)
    assert 'more: qtheory verify "' in " ".join(shown.split())
    assert shown.endswith("5 of 5 claims as recorded\n")
    assert [path.name for path in tmp_path.iterdir()] == ["claims.json"]


def test_the_file_alone_lets_a_reader_redo_the_comparison(tmp_path: Path):
    assert run("verify", "Prop 6.2", "--json", str(tmp_path / "claims.json")) == 0
    (row,) = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    relations = set()
    for what, limit in row["tolerance"].items():
        measured, predicted = np.array(row["measured"][what]), np.array(row["predicted"][what])
        distance = np.abs(measured - predicted)
        if limit["kind"] == "relative":
            distance = np.where(distance > 0, distance / np.where(predicted == 0, 1e-300, np.abs(predicted)), 0)
        assert np.all(distance > limit["value"] if limit["relation"] == "!=" else distance <= limit["value"])
        relations.add(limit["relation"])
    assert relations == {"=", "!="}  # both sides of the condition


def test_labels_choose_and_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "claims.json"
    assert run("verify", "Sec 6.1.1", "Prop 4.1", "Sec 6.1.1", "--json", str(path)) == 0
    assert [row["label"] for row in json.loads(path.read_text(encoding="utf-8"))] == ["Sec 6.1.1", "Prop 4.1"]
    assert capsys.readouterr().out.endswith("2 of 2 claims as recorded\n")


@pytest.mark.parametrize(("measured", "written"), [(3.0, 3.0), (np.nan, None), (np.inf, None)])
def test_a_contradicted_verdict_is_exit_status_1(
    register, tmp_path: Path, capsys: pytest.CaptureFixture[str], measured: float, written: float | None
):
    register(CLAIMS["Sec 6.1.1"], wrong_claim(measured))
    assert run("verify", "--json", str(tmp_path / "claims.json")) == 1
    right, wrong = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert (right["agrees"], wrong["agrees"]) == (True, False)
    assert wrong["measured"] == {"2 + 2, 4": [2, written]}
    shown = capsys.readouterr().out
    assert "CONTRADICTED" in shown
    assert "NOT SO" in shown
    assert shown.endswith("1 of 2 claims contradicted: Thm 0\n")


def test_the_table_fits_80_columns():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(claims_table([verify(CLAIMS["Prop 6.2"]), verify(wrong_claim())]))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "holds with a" in text
    assert "≠" in text


def test_the_short_table_shows_what_is_off_and_the_closest_of_each_relation():
    def one(what: str, measured: float, relation: Any) -> Comparison:
        return Comparison(what, np.array(measured), np.array(0.0), 0.5, "absolute", relation)

    comparisons = (
        one("far", 0.1, "="),
        one("near", 0.4, "="),
        one("off", 0.7, "<="),
        one("below", -0.3, "<="),
        one("apart", 9.0, "!="),
        one("just apart", 0.6, "!="),
    )
    claim = Claim("Thm 0", "some", "fails", None, lambda: Evidence(comparisons))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(claims_table([verify(claim)], detail=False))
    shown = " ".join(console.export_text().split())
    assert [what in shown for what in ("far:", "near:", "off:", "below:", "just apart:")] == [
        False,
        True,
        True,
        False,
        True,
    ]
    assert " apart: 9" not in shown
    assert 'and 3 more: qtheory verify "Thm 0"' in shown


def test_the_page_has_every_claim_with_links_to_its_file_and_figure(tmp_path: Path):
    assert run("verify", "Prop 6.2", "Eq 1-3", "--page", str(tmp_path / "claims.md")) == 0
    page = (tmp_path / "claims.md").read_text(encoding="utf-8")
    for label in ("Prop 6.2", "Eq 1-3"):
        claim = CLAIMS[label]
        assert heading(claim) in page
        assert f"](../{claim.source})" in heading(claim)
        assert f"({anchor(label)})=" in page
        assert f"| [{label}](#{anchor(label)}) | " in page
    assert page.count("≠") > 1
    rows = [line for line in page.splitlines() if line.startswith("| ") and line.count(" | ") == 6]
    shown = sum(len(verify(CLAIMS[label]).evidence.comparisons) for label in ("Prop 6.2", "Eq 1-3"))
    assert len(rows) == shown


def test_signs_that_are_markup_are_escaped_on_the_page():
    claim = Claim("Thm 0", "a_b * |c| < [d]", "holds", None, CLAIMS["Eq 1-3"].check)
    assert r"> a\_b \* \|c\| \< \[d\]" in heading(claim)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["verify", "prop 4.1"], "unknown claim 'prop 4.1'; did you mean 'Prop 4.1'?"),
        (["verify", "Prop 4.1", "nothing like it"], "unknown claim 'nothing like it'; valid are: Eq 1-3, "),
        (["verify", "Prop", "4.1"], "the label 'Prop 4.1' needs quotes"),
        (["verify", "--json"], "--json requires an argument"),
        (["verify", "--jsn", "x.json"], "Did you mean --json?"),
        (["verify", "--json", "nowhere/claims.json"], "--json nowhere/claims.json: no folder nowhere; make it first"),
        (["verify", "--json", "."], "--json .: is a folder; name a file in it"),
        (["verfy"], 'Did you mean "verify"?'),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], says: str
):
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("qtheory: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_to_is_refused_before_computing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("qtheory.command.files.os.access", lambda *_: False)
    assert run("verify", "--json", str(tmp_path / "claims.json")) == 2
    assert "may not be written to; choose another folder" in capsys.readouterr().err


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "claims.json"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert run("verify", "Sec 6.1.1", "--json", str(path)) == 2
    assert capsys.readouterr().err.endswith("cannot be written: No space left on device\n")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_an_interrupt_is_exit_status_130_and_writes_nothing(register, tmp_path: Path):
    def check() -> Evidence:
        raise KeyboardInterrupt

    register(Claim("Thm 0", "none", "holds", None, check))
    assert run("verify", "--json", str(tmp_path / "claims.json")) == 130
    assert list(tmp_path.iterdir()) == []


def test_the_module_runs_as_the_command():
    words = [sys.executable, "-m", "qtheory", "verify", "Prop 4.1"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("1 of 1 claims as recorded\n")
