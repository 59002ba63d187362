"""The sigmoid's escape times against mpmath: quadrature of App C.1's integral, and a power series for tiny p0."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import log, mp, mpf, quad

from qtheory.escape import log_sigmoid_time, sigmoid_time

Q = (0.0, 1e-9, 0.25, 0.5, 0.75, 1 - 1e-7, 1.0)


def by_quadrature(p0, delta, q) -> Any:
    """The integral as the paper writes it, in y = log u."""
    with mp.workdps(25):
        p0, delta, q = mpf(p0), mpf(delta), mpf(q)
        knots = [log(p0) + (log(delta) - log(p0)) * k / 6 for k in range(7)]
        return quad(lambda y: mp.e ** (-(1 - q) * y) / (1 - mp.e**y) ** 2, knots, method="gauss-legendre")


def by_series(p0, delta, q) -> Any:
    """The integral up to u = 0.05 by 1/(1-u)^2 = sum (k+1) u^k, and beyond by quadrature in the logit."""
    with mp.workdps(30):
        p0, delta, q, edge = mpf(p0), mpf(delta), mpf(q), mpf("0.05")
        start, total = max(p0, edge), mpf(0)
        if p0 < edge:
            for k in range(24):
                a = q - 1 + k
                total += (k + 1) * ((edge**a - p0**a) / a if a else log(edge / p0))
        ends = [log(u / (1 - u)) for u in (start, delta)]
        knots = [ends[0] + (ends[1] - ends[0]) * k / 4 for k in range(5)]
        return total + quad(lambda x: mp.e**x * (1 + mp.e**-x) ** (2 - q), knots, method="gauss-legendre")


@pytest.mark.parametrize("q", Q)
@pytest.mark.parametrize(("p0", "delta"), [(1e-12, 0.5), (1e-3, 0.9), (0.2, 0.7), (0.6, 0.99), (0.3, 0.3001)])
def test_time_is_the_papers_integral(p0, delta, q):
    assert sigmoid_time(p0, delta, q) == pytest.approx(float(by_quadrature(p0, delta, q)), rel=1e-13)


@pytest.mark.parametrize("q", Q)
@pytest.mark.parametrize("p0", [1e-300, 1e-12, 0.1192, 0.5])
@pytest.mark.parametrize("delta", [0.1193, 0.55, 0.8808, 1 - 1e-9])
def test_time_is_within_1e_12_down_to_1e_300(p0, delta, q):
    if p0 < delta:
        expected = by_series(p0, delta, q)
        assert sigmoid_time(p0, delta, q) == pytest.approx(float(expected), rel=1e-12)
        # log p0 is itself rounded: near delta only its own rounding limits the distance.
        rounding = 1e-15 * abs(math.log(p0)) / (1 - p0 / delta)
        assert log_sigmoid_time(math.log(p0), delta, q) == pytest.approx(float(log(expected)), abs=2e-13 + rounding)


def test_log_time_goes_below_the_smallest_float():
    log_p0 = np.array([-1e3, -1e5, -1e9])
    for q in (0.0, 0.25, 0.75):
        leading = -(1 - q) * log_p0 - math.log1p(-q)
        np.testing.assert_allclose(log_sigmoid_time(log_p0, 0.5, q), leading, rtol=1e-15, atol=1e-15)
    # At q = 1 the exact time is logit(delta) + 1/(1-delta) - logit(p0) - 1/(1-p0).
    np.testing.assert_allclose(log_sigmoid_time(log_p0, 0.5, 1.0), np.log(1 - log_p0), rtol=1e-15)


def test_time_overflows_to_infinity_and_vanishes_at_the_target():
    assert sigmoid_time(2.3e-308, 0.9999999, 0.0) == pytest.approx(1 / 2.3e-308, rel=1e-12)
    assert sigmoid_time(0.3, 0.3, 0.5) == 0
    assert log_sigmoid_time(math.log(0.5), 0.5, 0.5) == -math.inf


def test_arguments_broadcast():
    times = sigmoid_time(np.array([1e-6, 1e-3])[:, None, None], np.array([0.4, 0.6])[:, None], np.array(Q))
    assert times.shape == (2, 2, len(Q))
    assert times[1, 0, 2] == sigmoid_time(1e-3, 0.4, Q[2])


@given(st.floats(-300, -0.4), st.floats(0.01, 0.95), st.floats(0.01, 0.95), st.floats(0, 1), st.floats(0, 1))
def test_time_adds_up_along_the_path_and_falls_in_q(log10_p0, u, v, q, other):
    p0 = 10**log10_p0
    mid, end = sorted(p0 + (0.999 - p0) * x for x in (u, v))
    whole = sigmoid_time(p0, end, q)
    assert sigmoid_time(p0, mid, q) + sigmoid_time(mid, end, q) == pytest.approx(whole, rel=1e-12)
    low, high = sorted((q, other))
    assert sigmoid_time(p0, end, high) <= sigmoid_time(p0, end, low) * (1 + 1e-12)
    # Hölder along one path that q does not change: log T_q is convex in q.
    bound = sigmoid_time(p0, end, 0) ** (1 - q) * sigmoid_time(p0, end, 1) ** q
    assert whole <= bound * (1 + 1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.5, 0.5), r"p0 is 0\.0: pass p0 in \[2\.2e-308, 1\); log_sigmoid_time goes lower"),
        (([0.1, math.nan], 0.5, 0.5), r"p0\[1\] is nan"),
        ((0.1, 1.0, 0.5), r"delta is 1\.0: pass a probability strictly between 0 and 1"),
        ((0.6, 0.5, 0.5), r"p0 is 0\.6: the start lies above delta"),
        ((0.1, 0.5, [0.0, 1.5]), r"q\[1\] is 1\.5: q must lie in \[0, 1\]"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sigmoid_time(*arguments)


def test_bad_log_p0_is_refused():
    for value in (0.0, -math.inf, math.nan):
        with pytest.raises(ValueError, match=r"log_p0 is .*: pass log p0 in nats, finite and below 0"):
            log_sigmoid_time(value, 0.5, 0.5)
    with pytest.raises(ValueError, match=r"log_p0 is -0\.1: the start lies above delta"):
        log_sigmoid_time(-0.1, 0.5, 0.5)
