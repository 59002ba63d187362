"""The transformer's evidence for claims: it bears them out, data that contradict them are told, missing data too."""

import json
from pathlib import Path
from typing import Any

import pytest

from figures.claims import CLAIMS, TRANSFORMER, testbed
from figures.claims.testbed import DATA
from figures.cli import main
from qtheory.claims import CLAIMS as THEORY
from qtheory.claims import Comparison

STUDIES = ("adam_epsilon", "baseline", "cold_start", "common_factor", "escape_exponents")


def comparisons(label: str) -> dict[str, Comparison]:
    return {comparison.what: comparison for comparison in TRANSFORMER[label]()}


@pytest.mark.parametrize("label", TRANSFORMER)
def test_the_committed_runs_bear_the_claims_out(label: str) -> None:
    assert all(comparison.agrees for comparison in comparisons(label).values())
    assert all(what.startswith("transformer") for what in comparisons(label))


def test_claims_without_runs_and_sources_are_the_theorys() -> None:
    assert list(CLAIMS) == list(THEORY)
    assert all(CLAIMS[label] is claim for label, claim in THEORY.items() if label not in TRANSFORMER)
    assert all(CLAIMS[label].source == claim.source for label, claim in THEORY.items())


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The committed studies, to be changed; written where the checks read when a test says so."""
    data = {name: json.loads((DATA / f"{name}.json").read_text(encoding="utf-8")) for name in STUDIES}
    monkeypatch.setattr(testbed.study_rows, "__defaults__", (tmp_path,))
    monkeypatch.setattr(testbed.measured_norms, "__defaults__", (tmp_path,))
    monkeypatch.setattr(testbed.adam_runs, "__defaults__", (tmp_path,))
    return data


def write(data: dict[str, Any], folder: Path) -> None:
    for name, study in data.items():
        (folder / f"{name}.json").write_text(json.dumps(study), encoding="utf-8")


def contradicted(label: str) -> list[str]:
    return [what for what, comparison in comparisons(label).items() if not comparison.agrees]


def test_escapes_that_follow_another_law_contradict_qc_6(runs: dict[str, Any], tmp_path: Path) -> None:
    for row in runs["adam_epsilon"]["rows"]:
        if row["eps"] > 1e-8 and row["escape_step"] is not None:
            row["escape_step"] *= 5
    write(runs, tmp_path)
    assert "transformer: log updates, log of the law (eps/lr) T_q + the updates at eps 1e-8" in contradicted("QC-6")


def test_q_zero_that_escapes_in_conflict_contradicts_qc_6(runs: dict[str, Any], tmp_path: Path) -> None:
    for row in runs["common_factor"]["rows"]:
        row["p_at_1"] = 0.9
    write(runs, tmp_path)
    assert contradicted("QC-6") == [
        "transformer, Adam, p0 1e-12, q = 0: p@1, 0",
        "transformer, Adam, conflict, q = 0, common factor: p@1, 0",
        "transformer, Adam, conflict, q = 0, eps 1e-30: p@1, 0",
    ]


def test_a_baseline_that_helps_late_contradicts_qc_4(runs: dict[str, Any], tmp_path: Path) -> None:
    for row in runs["baseline"]["rows"]:
        if gain := row.get("baseline_gain"):
            gain["variance_loo"] = [value / 2 for value in gain["variance_none"]]
    write(runs, tmp_path)
    assert contradicted("QC-4") == ["transformer, P > .9: median of the variance over that without, 1"]


def test_missing_data_are_one_line(runs: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "claims.md"
    with pytest.raises(SystemExit) as stop:
        main(["claims", "QC-6", "--page", str(page)])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("figures: ")
    assert error.count("\n") == 1
    assert "no data of the study" in error
    assert not page.exists()
