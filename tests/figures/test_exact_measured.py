"""What `python -m figures speed` and `python -m figures accuracy` report."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from figures.exact.cases import task
from figures.exact.errors import AccuracyRow, accuracy, accuracy_json, accuracy_table, relative_errors
from figures.exact.reference import SlowTask, enumerate_moments
from figures.exact.speed import speed, speed_json, speed_table
from qtheory.exact import Moments, moments


def printed(table: Table) -> str:
    """At 80 columns."""
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.slow
def test_the_quick_accuracy_is_as_promised():
    said: list[str] = []
    result = accuracy(quick=True, progress=said.append)
    assert result.within_bounds
    assert said == [row.form for row in result.rows]
    text = printed(accuracy_table(result))
    assert "…" not in text
    assert all(form in text for form in said)
    record = json.loads(accuracy_json(result))
    assert record["quick"]
    assert [row["form"] for row in record["rows"]] == said
    assert all(row["kept"] for row in record["rows"])


def test_a_broken_promise_shows():
    good = AccuracyRow("plugin", 3, 1e-15, 1e-15, 1e-15, 1e-15)
    assert good.within_bounds
    assert not replace(good, bias=2e-12).within_bounds
    assert not replace(good, mean=math.nan).within_bounds
    assert not replace(good, variance=5e-10).within_bounds
    assert replace(good, form="rloo", variance=5e-10).within_bounds


def test_errors_are_relative_and_one_that_is_no_number_stays_one():
    example = task((0.3, 0.5, 0.2), (-1.2, -0.3, -4.0))
    slow = enumerate_moments(SlowTask(example), 0.6, 2)
    ours, gradient = moments(example, 0.6, 2), example.gradient(0.6)
    off = Moments(ours.mean * (1 + 1e-6), ours.bias * (1 + 1e-5), ours.variance * 1.01, ours.second_moment * 1.1)
    assert relative_errors(off, slow, gradient) == pytest.approx((1e-6, 1e-5, 1e-2, 1e-1), rel=1e-6)
    assert max(relative_errors(ours, slow, gradient)) < 1e-13
    broken = replace(ours, variance=np.float64(math.nan))
    assert math.isnan(relative_errors(broken, slow, gradient)[2])


def test_the_bench_s_figures_hang_together():
    result = speed(quick=True)
    assert [row.what for row in result.rows] == ["mean", "plugin", "paft", "rloo", "jackknife", "delta"]
    for row in result.rows:
        expected = row.simulation_seconds * (row.simulation_error / 1e-3) ** 2
        assert row.equal_seconds == pytest.approx((expected, expected * 1e18))
        assert row.ratio == pytest.approx([seconds * row.cells_per_second for seconds in row.equal_seconds])
    text = printed(speed_table(result))
    assert "…" not in text
    assert "numpy" in text
    assert json.loads(speed_json(result))["errors"] == [1e-3, 1e-12]
