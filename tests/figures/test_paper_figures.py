"""Figures `max_coefficient`, `garl_paft` and `escape_laws` on data with known laws."""

from pathlib import Path

import pytest
from synthetic import MAX_C_RISE, P0, WARM_FALL, studies, write_studies

from figures.plots import escape_laws, garl_paft, max_coefficient
from qtrain.errors import UserError


def test_the_largest_coefficients_peak_and_step(data_folder: Path) -> None:
    data = max_coefficient.compute(data_folder)
    peaks = {run.q: run.peak for run in data.runs}
    assert peaks[0.75] == (0.4, MAX_C_RISE)
    assert peaks[0.5] == (pytest.approx(P0**0.5 / 10), 1)
    said = max_coefficient.caption(data)
    assert f"0.4 at step {MAX_C_RISE}" in said
    assert "q = 0.75 at step 112" in said


def test_falls_of_garl_and_paft(data_folder: Path) -> None:
    data = garl_paft.compute(data_folder)
    assert {(pair.name, pair.q) for pair in data.pairs} == {(n, q) for n in ("garl", "paft") for q in (0.25, 1.0)}
    for pair in data.pairs:
        assert pair.fall == pytest.approx(WARM_FALL - 0.1 if pair.name == "garl" else 0.1)
    assert "GARL q = 0.25 0.90, 0.90 (0.30)" in garl_paft.caption(data)


def test_the_exponents_of_theory_and_of_finite_m(data_folder: Path) -> None:
    data = escape_laws.compute(data_folder)
    for title in (escape_laws.CLOSED, escape_laws.SOLVED):
        exponents = [line.exponent for line in data.panels[title]]
        assert exponents[:-1] == pytest.approx([-1, -0.75, -0.5, -0.25], abs=0.02)
    assert [line.exponent for line in data.panels[escape_laws.FINITE]] == pytest.approx([-1] * 5, abs=0.01)
    assert [line.exponent for line in data.soft][:-1] == pytest.approx([-1, -0.75, -0.5, -0.25], abs=0.02)


def test_files_without_what_the_figures_need(tmp_path: Path) -> None:
    data = studies()
    del data["max_coefficient"]["rows"][0]["series"]
    data["warm_paft"]["rows"] = [row for row in data["warm_paft"]["rows"] if row["estimator"] != "paft:q=1"]
    folder = write_studies(tmp_path, data)
    with pytest.raises(UserError, match="rb_rloo has no series; `python -m figures run max_coefficient`"):
        max_coefficient.compute(folder)
    with pytest.raises(UserError, match="no run of paft at q = 1; `python -m figures run warm_paft`"):
        garl_paft.compute(folder)
    del data["warm_paft"]["rows"][0]["curve"]["maj_at_16"]
    data["warm_paft"]["rows"].append(studies()["warm_paft"]["rows"][-1])
    with pytest.raises(UserError, match=r"garl:q=0.25 has no maj_at_16 along the run"):
        garl_paft.compute(write_studies(tmp_path, data))
