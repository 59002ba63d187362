"""Contamination on noisy labels: mpmath at 60 digits, closed forms, the escort distribution, and a flow in time."""

import math
from typing import Any

import numpy as np
import pytest
from flow_models import Crossing
from hypothesis import given
from hypothesis import strategies as st
from mpmath import MPContext
from scipy.integrate import solve_ivp

from qtheory import tsallis
from qtheory.escape import contamination_time, equilibrium
from qtheory.models import NoisyLabels, Sigmoid

REALS = MPContext()
REALS.dps = 60
SMALLEST = 5e-324


def exact_rest(e: float, q: float) -> Any:
    """Where e n^-q = (1-e) (1-n)^-q."""
    e = REALS.mpf(e)
    return 1 / (1 + ((1 - e) / e) ** (1 / REALS.mpf(q)))


def by_quadrature(start: float, end: float, e: float, q: float, norm: Any = lambda n: n**2) -> Any:
    """The integral of dn/(dn/dt) of Prop C.2, in log n up to half of the rest and in log(rest - n) beyond."""
    rest = exact_rest(e, q)
    start, end, e, q = (REALS.mpf(x) for x in (start, end, e, q))
    middle = min(max(start, rest / 2), end)

    def slowness(n: Any) -> Any:
        return 1 / ((e * n**-q - (1 - e) * (1 - n) ** -q) * (1 - n) ** 2 * norm(n))

    def panels(function: Any, low: Any, high: Any) -> Any:
        pieces = int(REALS.ceil((high - low) / 3)) or 1
        return REALS.quad(function, [low + (high - low) * k / pieces for k in range(pieces + 1)], maxdegree=5)

    below = panels(lambda y: REALS.exp(y) * slowness(REALS.exp(y)), REALS.log(start), REALS.log(middle))
    gaps = REALS.log(rest - end), REALS.log(rest - middle)
    return below + panels(lambda y: REALS.exp(y) * slowness(rest - REALS.exp(y)), *gaps)


def at_q_1(start: float, end: float, e: float) -> Any:
    """The sigmoid's time at q = 1, where dn/dt = (e - n) n (1 - n)."""
    start, end, e = (REALS.mpf(x) for x in (start, end, e))

    def primitive(n: Any) -> Any:
        return (REALS.log(n) - REALS.log(e - n) / (1 - e)) / e + REALS.log(1 - n) / (1 - e)

    return primitive(end) - primitive(start)


def at_q_0(start: float, end: float, e: float) -> Any:
    """The sigmoid's time at q = 0, where dn/dt = (2e - 1) n^2 (1 - n)^2."""
    start, end, e = (REALS.mpf(x) for x in (start, end, e))

    def primitive(n: Any) -> Any:
        return 2 * REALS.log(n / (1 - n)) + 1 / (1 - n) - 1 / n

    return (primitive(end) - primitive(start)) / (2 * e - 1)


@pytest.mark.parametrize("q", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.01, 0.9])
def test_time_is_the_integral(q, share):
    end = share * equilibrium(0.2, q)
    start = end / 300
    assert contamination_time(start, end, 0.2, q) == pytest.approx(float(by_quadrature(start, end, 0.2, q)), rel=1e-11)


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-9])
@pytest.mark.parametrize(("e", "q"), [(0.1, 0.3), (0.8, 0.75), (1e-3, 0.05), (0.9, 0.1), (1e-100, 0.5), (0.55, 0.01)])
def test_time_up_to_the_equilibrium(e, q, distance):
    rest = float(exact_rest(e, q))
    start, end = 0.1 * rest, (1 - distance) * rest
    assert contamination_time(start, end, e, q) == pytest.approx(float(by_quadrature(start, end, e, q)), rel=1e-11)


def test_time_of_a_norm_of_ones_own_up_to_the_equilibrium():
    def linear(n):
        return (1 - n) ** -2

    rest = equilibrium(0.2, 0.4)
    for start, end in ((1e-60, 1e-20), (rest / 2, rest * (1 - 1e-8))):
        expected = float(by_quadrature(start, end, 0.2, 0.4, linear))
        assert contamination_time(start, end, 0.2, 0.4, linear) == pytest.approx(expected, rel=1e-11)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.5, 9), st.floats(-300, -0.01))
def test_closed_form_at_q_1(e, digits, log10_start):
    end = (1 - 10**-digits) * e
    start = end * 10**log10_start
    assert contamination_time(start, end, e, 1.0) == pytest.approx(float(at_q_1(start, end, e)), rel=1e-11)


@given(st.floats(0.5, 1, exclude_min=True, exclude_max=True), st.floats(0.5, 9), st.floats(-150, -0.01))
def test_closed_form_at_q_0_and_near_it(e, digits, log10_start):
    end = 1 - 10**-digits
    start = end * 10**log10_start
    expected = float(at_q_0(start, end, e))
    assert contamination_time(start, end, e, 0.0) == pytest.approx(expected, rel=1e-11)
    if e > 0.5001:
        for q in (SMALLEST, 1e-310, 1e-40):
            assert contamination_time(start, end, e, q) == pytest.approx(expected, rel=1e-11)


def test_a_way_of_two_neighbouring_floats_takes_the_time_of_its_length():
    low, high = 0.05, np.nextafter(0.05, 1)
    slowness = 1 / ((0.2 / 0.05 - 0.8 / 0.95) * 0.95**2 * 0.05**2)
    assert contamination_time(low, high, 0.2, 1.0) == pytest.approx(slowness * (high - low), rel=1e-12)


def test_time_is_the_flows():
    noisy = NoisyLabels(Sigmoid(), 0.3)
    start, end, q = 1e-3, 0.1, 0.7
    flow = solve_ivp(
        lambda _, at: -noisy.gradient(at, q),
        (0, 1e6),
        Sigmoid().start(math.log1p(-start)),
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
        events=Crossing(lambda at: float(noisy.log_p(at)[1]) - math.log(end), terminal=True),
    )
    assert contamination_time(start, end, 0.3, q) == pytest.approx(flow.t_events[0][0], rel=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.05, 1))
def test_the_flow_rests_at_the_escort(e, q):
    assert equilibrium(e, q) == pytest.approx(tsallis.escort(np.array([e, 1 - e]), q)[0], rel=1e-9)


@given(
    st.floats(0, 1, exclude_min=True, exclude_max=True),
    st.one_of(st.floats(0, 1, exclude_min=True), st.sampled_from([SMALLEST, 1e-300, 1e-3])),
)
def test_the_equilibrium_of_any_noise_is_the_exact_one_rounded(e, q):
    assert equilibrium(e, q) == float(exact_rest(e, q))


def test_an_equilibrium_below_the_floats_has_nothing_below_it():
    assert equilibrium(0.01, 1e-3) == 0.0
    assert equilibrium(0.99, 1e-3) == 1.0
    assert equilibrium(0.5, 1e-3) == 0.5
    with pytest.raises(ValueError, match=r"n rises from start to end below the equilibrium 0\.0"):
        contamination_time(1e-300, 1e-200, 0.01, 1e-3)


@pytest.mark.parametrize(("e", "q"), [(0.2, 1.0), (0.1, 0.3), (0.9, 0.1), (0.99, 1e-3), (0.7, 0.0)])
def test_an_end_that_floats_cannot_tell_from_the_equilibrium_is_refused(e, q):
    rest = equilibrium(e, q) if q else 1.0
    assert contamination_time(rest / 2, rest * (1 - 1e-9), e, q) > 0
    for distance in (5e-10, 1e-12, 1.2e-16):
        with pytest.raises(ValueError, match=r"end is .*: (pass at most \(1 - 1e-9\) times|n rises from start to end)"):
            contamination_time(rest / 2, rest * (1 - distance), e, q)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1e-3, 0.3, 0.2, 1.0), r"start is 0\.001 and end 0\.3: n rises from start to end below the equilibrium 0\.2"),
        ((1e-2, 1e-3, 0.2, 1.0), "n rises from start to end"),
        ((1e-3, 1e-2, 1.2, 1.0), r"flip_rate is 1\.2: pass a probability"),
        ((1e-3, 1e-2, 0.2, 0.0), r"q is 0\.0: at q = 0 the flow runs to one label; pass q above 0"),
        ((1e-3, 1e-2, 0.5, 0.0), r"q is 0\.0: at q = 0 the flow runs to one label; pass q above 0"),
        ((1e-3, 1e-2, 0.2, 1.5), r"q is 1\.5: q must lie in \[0, 1\]"),
        ((1e-3, 1e-2, 0.2, 1.0, lambda n: -n), r"norm is -0\.00\d* at n = 0\.00\d*: \|\|s\|\|\^2 must be positive"),
        ((1e-3, 1e-2, 0.2, 1.0, lambda n: n[0]), r"norm has shape \(20,\) at n of shape \(\d+, 20\): the two must"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        contamination_time(*arguments)
