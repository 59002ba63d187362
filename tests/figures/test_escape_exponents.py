"""Escape fits on synthetic runs whose law is known."""

import math
from pathlib import Path

import numpy as np
import pytest
from synthetic import ESCAPE_LR, SEEDS, escape_updates, norm_sq, studies, write_studies

from figures.plots.escape_exponents import FEWEST_UPDATES, Exponent, caption, compute, updates
from figures.tables.escape import escape_table
from qtrain.errors import UserError


@pytest.fixture(scope="module")
def exponents(data_folder: Path) -> dict[float, Exponent]:
    return {one.q: one for one in compute(data_folder).exponents}


@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_measured_norm_predicts_the_exponent(exponents: dict[float, Exponent], q: float) -> None:
    one = exponents[q]
    slopes = []
    for seed in SEEDS:
        p0 = [row.p0 for row in one.used if row.seed == seed]
        slopes.append(np.polyfit(np.log(p0), np.log([escape_updates(p, q, seed) for p in p0]), 1)[0])
    assert one.fit is not None
    assert one.predicted is not None
    # Whole updates and 3% noise on the measured norms are all that stands between the three.
    assert one.fit.value == pytest.approx(np.mean(slopes), abs=0.03)
    assert one.predicted.value == pytest.approx(np.mean(slopes), abs=0.03)
    assert one.ratio == pytest.approx(1, abs=0.08)


def test_runs_that_escape_late_enough_are_used(exponents: dict[float, Exponent]) -> None:
    for one in exponents.values():
        assert all(updates(row) >= FEWEST_UPDATES and row.score_norm is None for row in one.used)
        assert len(one.used) <= len(one.escaped) <= one.runs
    assert len(exponents[0.0].escaped) < exponents[0.0].runs  # some never escape


def test_slow_runs_of_the_norm_are_no_escapes(exponents: dict[float, Exponent]) -> None:
    assert all(row.lr == ESCAPE_LR for one in exponents.values() for row in one.escaped)


def test_at_q_1_updates_grow_with_the_logarithm(exponents: dict[float, Exponent]) -> None:
    one = exponents[1.0]
    assert one.per_nat is not None
    # d T / d log(1/p0) = 1/(lr ||s||^2), averaged over the grid of p0 and the bases.
    grid = np.linspace(math.log(1e-9), math.log(1e-3), 50)
    expected = np.mean([1 / (ESCAPE_LR * norm_sq(at, seed)) for at in grid for seed in SEEDS])
    assert one.per_nat.value == pytest.approx(expected, rel=0.1)
    assert exponents[0.5].per_nat is None


def test_escapes_shorter_than_the_limit_leave_no_fit(tmp_path: Path) -> None:
    data = studies()
    for row in data["escape_exponents"]["rows"]:
        if row["q"] == 0.75:
            row["escape_step"] = FEWEST_UPDATES
    folder = write_studies(tmp_path, data)
    one = next(one for one in compute(folder).exponents if one.q == 0.75)
    assert (one.used, one.fit, math.isnan(one.ratio)) == ((), None, True)
    assert "q = 0.75: too few runs" in caption(compute(folder))
    assert "too few runs" in escape_table(folder)


def test_updates_of_a_run_without_escape(tmp_path: Path) -> None:
    data = compute(write_studies(tmp_path))
    stuck = data.exponents[0].escaped[0].model_copy(update={"escape_step": None})
    with pytest.raises(ValueError, match="did not escape"):
        updates(stuck)


def test_a_base_without_norm_is_told(tmp_path: Path) -> None:
    data = studies()
    rows = data["escape_exponents"]["rows"]
    data["escape_exponents"]["rows"] = [row for row in rows if not ("score_norm" in row and row["seed"] == 1)]
    with pytest.raises(UserError, match=r"not measured from p0 1e-09 on base 1"):
        compute(write_studies(tmp_path, data))


def test_caption_and_table_say_the_same(data_folder: Path, exponents: dict[float, Exponent]) -> None:
    words, table = caption(compute(data_folder)), escape_table(data_folder)
    for one in exponents.values():
        assert one.fit is not None
        text = f"{one.fit.value:.2f} [{one.fit.low:.2f}, {one.fit.high:.2f}]"
        assert f"q = {one.q:g}: {text}" in words
        assert text in table
