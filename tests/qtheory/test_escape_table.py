"""Escape exponents measured from times, and the command's rows, tables and files."""

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from qtheory.escape import (
    escape_csv,
    escape_json,
    escape_rows,
    escape_table,
    exponent_rows,
    increment_exponents,
    local_exponents,
    log_sigmoid_time,
    sigmoid_time,
)

Q = np.array([0.0, 0.25, 0.5, 0.75, 0.9, 1.0])


def test_exponents_of_the_sigmoid_are_minus_one_plus_q():
    log_p0 = np.log(np.geomspace(1e-12, 1e-2, 11))
    slopes = increment_exponents(log_p0, log_sigmoid_time(log_p0[:, None], 0.5, Q))
    assert slopes.shape == (9, 6)
    # The increment's next term is O(p0): within 1e-3 but for the slope that ends at p0 = 1e-2.
    np.testing.assert_allclose(slopes[:-1], np.tile(Q - 1, (8, 1)), atol=1e-3)
    np.testing.assert_allclose(slopes[-1], Q - 1, atol=4e-3)
    np.testing.assert_allclose(slopes[0], Q - 1, atol=1e-9)


def test_times_themselves_have_the_exponent_where_the_expansion_allows():
    # T_q = p0^-(1-q)/(1-q) + constant: its own slope is off by O(p0^(1-q)).
    log_p0 = np.log([1e-12, 1e-11])
    slopes = local_exponents(log_p0, log_sigmoid_time(log_p0[:, None], 0.5, Q))[0]
    np.testing.assert_allclose(slopes[:4], Q[:4] - 1, atol=1e-3)
    far = np.array([-400.0, -390.0])
    np.testing.assert_allclose(
        local_exponents(far, log_sigmoid_time(far[:, None], 0.5, Q[:5]))[0], Q[:5] - 1, atol=1e-12
    )


def test_exponents_of_a_power_law_with_a_constant():
    log_p0 = np.log(np.geomspace(1e-6, 1e-3, 7))
    times = 3 * np.exp(-0.4 * log_p0) + 20
    np.testing.assert_allclose(increment_exponents(log_p0, np.log(times)), -0.4, rtol=1e-10)
    np.testing.assert_allclose(local_exponents(log_p0, np.log(times - 20)), -0.4, rtol=1e-10)


def test_bad_starts_are_refused():
    for x, y, message in (
        ([0.0], [1.0], r"pass \(K,\) and \(K, \.\.\.\), K >= 3"),
        ([0.0, 1.0, 2.0], [1.0, 2.0], r"log_p0 has shape \(3,\) and log_time \(2,\)"),
        ([0.0, 2.0, 1.0], [3.0, 2.0, 1.0], "it must increase"),
        ([0.0, 1.0, 3.0], [3.0, 2.0, 1.0], "equal steps of log p0"),
        ([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], "log_time does not fall as log_p0 rises"),
    ):
        with pytest.raises(ValueError, match=message):
            increment_exponents(x, y)


@pytest.mark.parametrize(("task", "share"), [("sigmoid", 1.0), ("arms", 0.9)])
def test_rows_hold_a_solution_beside_the_closed_form(task, share):
    rows = escape_rows(task, [1e-12, 1e-2], Q.tolist())
    assert [(row.p0, row.q) for row in rows] == [(p0, q) for p0 in (1e-12, 1e-2) for q in Q]
    for row in rows:
        assert (row.task, row.delta) == (task, 0.5)
        assert row.closed is not None
        assert row.error is not None
        assert row.closed == pytest.approx(share * sigmoid_time(row.p0, 0.5, row.q), rel=1e-13)
        assert row.error == pytest.approx(abs(row.time / row.closed - 1), abs=1e-15)
        assert row.error < 1e-9
        assert row.over_q1 == pytest.approx(row.time / (share * sigmoid_time(row.p0, 0.5, 1.0)), rel=1e-9)


def test_rows_of_a_family_without_closed_form():
    rows = escape_rows("chain", [1e-3], [0.0, 0.5], delta=0.3)
    assert [(row.closed, row.error) for row in rows] == [(None, None)] * 2
    assert rows[0].time > rows[1].time > rows[1].time / rows[1].over_q1 > 0


def test_exponent_rows():
    starts = [1e-4, 1e-7, 1e-6, 1e-5]
    rows = exponent_rows("sigmoid", starts, Q.tolist())
    assert [(row.p0, row.p0_end, row.q) for row in rows] == [
        (low, pytest.approx(100 * low), q) for low in (1e-7, 1e-6) for q in Q
    ]
    log_p0 = np.log(sorted(starts))
    times = log_sigmoid_time(log_p0[:, None], 0.5, Q)
    np.testing.assert_allclose([r.increments for r in rows], increment_exponents(log_p0, times).ravel(), atol=1e-8)
    np.testing.assert_allclose([r.times for r in rows], local_exponents(log_p0, times)[:2].ravel(), atol=1e-8)
    for row in rows:
        assert row.limit == row.q - 1
        assert row.error == pytest.approx(abs(row.increments - row.limit), abs=1e-15)
        assert row.error < 1e-3


@pytest.mark.parametrize("task", ["arms", "chain"])
def test_tables_fit_80_columns_and_leave_out_what_is_missing(task):
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(escape_table(escape_rows(task, [1e-300, 1e-2], [0.0, 0.75, 1.0])))
    console.print(escape_table(exponent_rows(task, [1e-6, 1e-5, 1e-4], [0.0, 0.75, 1.0])))
    text = console.export_text()
    assert f"{task}: escape times to delta = 0.5" in text
    assert f"{task}: escape exponents to delta = 0.5" in text
    assert "…" not in text
    assert ("closed form" in text) == (task == "arms")


def test_files_hold_the_rows():
    rows = escape_rows("chain", [1e-3], [0.0, 1.0])
    loaded = json.loads(escape_json(rows))
    assert [(one["task"], one["q"], one["time"], one["closed"]) for one in loaded] == [
        ("chain", row.q, row.time, None) for row in rows
    ]
    read = list(csv.DictReader(io.StringIO(escape_csv(rows))))
    assert [(one["task"], float(one["time"]), one["closed"]) for one in read] == [
        ("chain", row.time, "") for row in rows
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sigmoid", [0.1, 0.5], [0.0]), r"p0 is delta, 0\.5: the escape takes no time; lower p0"),
        (("sigmoid", [], [0.0]), "0 values of p0 and 1 of q: pass at least one of each"),
        (("sigmoid", [0.1], [0.0, 2.0]), r"q\[1\] is 2\.0"),
        (("sigmoid", [0.9], [0.0]), r"p0\[0\] is 0\.9: the start lies above delta"),
        (("arm", [0.1], [0.0]), "unknown task 'arm'; did you mean 'arms'"),
        (("zz", [0.1], [0.0]), "unknown task 'zz'; valid are: sigmoid, arms, latent-sigmoid"),
        (("chain", [0.7], [0.0], 0.9), r"p0 is 0\.7: task 'chain' to delta 0\.9 needs p0 < 0\.6667"),
    ],
)
def test_rows_refuse_what_has_no_time(arguments, message):
    with pytest.raises(ValueError, match=message):
        escape_rows(*arguments)


def test_exponents_and_tables_need_enough():
    for p0 in ([1e-3, 1e-2], [0.1, 0.2, 0.3]):
        with pytest.raises(ValueError, match="exponents need three or more p0 in equal ratios"):
            exponent_rows("arms", p0, [0.0])
    for write in (escape_table, escape_csv):
        with pytest.raises(ValueError, match="there are no rows"):
            write([])
