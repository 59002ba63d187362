"""Figures `adam_testbed` and `warm_start` on data with known laws: what they compute and what their captions say."""

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import ADAM_BUDGET, ADAM_FLOOR, SEEDS, studies, write_studies

from figures.claims.testbed import MissingEvidence, adam_runs, study_rows
from figures.plots import adam_testbed, warm_start


def test_runs_that_obey_the_law_lie_on_it(data_folder: Path) -> None:
    runs = adam_runs(data_folder)
    assert len(runs.q) == 5 * 4 * 2 * len(SEEDS)
    finished = np.isfinite(runs.updates)
    assert 0 < (~finished).sum() < len(finished)
    assert runs.budget == ADAM_BUDGET
    assert set(runs.floor) == {ADAM_FLOOR}
    # The norm is measured with 3% noise, and updates are whole.
    predicted = runs.law + runs.floor
    assert np.abs(runs.updates - predicted)[finished] == pytest.approx(0, abs=1 + 0.05 * predicted[finished].max())
    assert np.all(np.abs(np.log(runs.updates / predicted)[finished & (runs.law > 50)]) < 0.05)
    assert predicted[~finished].min() > 0.9 * ADAM_BUDGET


def test_success_at_the_end_by_q_and_case(data_folder: Path) -> None:
    cases = adam_testbed.compute(data_folder).cases
    assert [list(line.q) for line in cases["d  Adam, conflict"]] == [[0, 0.25, 0.5, 0.75, 1]] * 2 + [[0, 0.25]]
    plain, common = cases["c  Adam, tiny p0"]
    assert plain.mean == pytest.approx([0, 0.97, 0.97, 0.97, 0.97])
    assert common.mean == pytest.approx([0.97] * 5)
    _, relative, no_eps = cases["d  Adam, conflict"]
    assert relative.mean == pytest.approx([0, 0, 0.95, 0.95, 0.95])
    assert no_eps.mean == pytest.approx([0, 0])


def test_captions_say_what_was_measured(data_folder: Path) -> None:
    said = adam_testbed.caption(adam_testbed.compute(data_folder))
    assert f"where every q takes {ADAM_FLOOR} to {ADAM_FLOOR}" in said
    assert f"not within {ADAM_BUDGET} updates" in said
    assert "relative to the batch's largest: 0.97 (q = 0), 0.97 (q = 0.25)" in said
    said = warm_start.caption(warm_start.compute(data_folder))
    assert "q = 0.25, lr 1e-3, leave-one-out: 0.94 (" in said
    assert "3 bases" in said


def test_ends_dips_and_variances_of_the_warm_start(data_folder: Path) -> None:
    found = warm_start.compute(data_folder)
    assert len(found.groups) == 2 * 2 * 3
    for group in found.groups:
        assert group.end == pytest.approx([0.95, 0.94, 0.93])
        assert np.all(group.fall >= 0)
        assert np.any(group.fall > 0.3) == (group.baseline == "leave-one-out")
    assert [gains.q for gains in found.gains] == [0.25, 1]
    for gains in found.gains:
        assert gains.weighted == pytest.approx(np.full(len(gains.p), 0.4))
        assert gains.loo == pytest.approx(0.5 * (1 + (gains.p / (1 - gains.p)) ** 2 / 10))


def test_a_diverged_run_counts_as_no_success(tmp_path: Path) -> None:
    data = studies()
    data["baseline"]["rows"][0] |= {"p_at_1": None, "diverged_step": 5}
    group = warm_start.compute(write_studies(tmp_path, data)).groups[0]
    assert group.end[0] == 0
    assert group.fall[0] > 0.9


def test_missing_data_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        MissingEvidence, match=r"adam_epsilon.json: no data of the study adam_epsilon; `python -m figures run adam_"
    ):
        study_rows("adam_epsilon", tmp_path)
    data = studies()
    write_studies(tmp_path, data)
    (tmp_path / "escape_exponents.json").write_text(json.dumps(data["escape_exponents"] | {"study": "other"}))
    with pytest.raises(MissingEvidence, match="no data of the study escape_exponents"):
        adam_runs(tmp_path)
    data["escape_exponents"]["rows"] = [
        row for row in data["escape_exponents"]["rows"] if not ("score_norm" in row and row["p0_wanted"] == 1e-5)
    ]
    write_studies(tmp_path, data)
    with pytest.raises(MissingEvidence, match=r"no \|\|s\|\|\^2 from the start \(base, p0\) \(0, 1e-05\)"):
        adam_runs(tmp_path)
