"""Escape exponents measured from times, and the command's table."""

import numpy as np
import pytest

from qtheory.escape import escape_table, increment_exponents, local_exponents, log_sigmoid_time, sigmoid_time

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


def test_table_holds_the_closed_forms_and_a_solution_that_agrees():
    rows = escape_table([1e-12, 1e-2], 0.5, Q.tolist())
    assert [(row.p0, row.q) for row in rows] == [(p0, q) for p0 in (1e-12, 1e-2) for q in Q]
    for row in rows:
        assert row.delta == 0.5
        assert row.time == pytest.approx(sigmoid_time(row.p0, 0.5, row.q), rel=1e-13)
        assert row.error == pytest.approx(abs(row.solved / row.time - 1), abs=1e-15)
        assert row.error < 1e-9
        assert row.over_q1 == pytest.approx(row.time / sigmoid_time(row.p0, 0.5, 1.0), rel=1e-13)
        assert row.limit == row.q - 1
        step = 1e-4
        around = log_sigmoid_time(np.log(row.p0) + np.array([-step, step]), 0.5, row.q)
        assert row.exponent == pytest.approx(np.diff(around)[0] / (2 * step), abs=1e-8)


def test_table_refuses_what_has_no_time():
    with pytest.raises(ValueError, match=r"p0 is delta, 0\.5: the escape takes no time; lower p0"):
        escape_table([0.1, 0.5], 0.5, [0.0])
    with pytest.raises(ValueError, match="0 values of p0 and 1 of q: pass at least one of each"):
        escape_table([], 0.5, [0.0])
    with pytest.raises(ValueError, match=r"q\[1\] is 2\.0"):
        escape_table([0.1], 0.5, [0.0, 2.0])
    with pytest.raises(ValueError, match=r"p0\[0\] is 0\.9: the start lies above delta"):
        escape_table([0.9], 0.5, [0.0])
