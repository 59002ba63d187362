"""Times on noisy labels against closed forms, quadrature in P and plain searches, and what is refused."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from qtheory.escape import best_constant_q, noise_switch, noisy_time, sigmoid_time
from qtheory.estimators import noise_q
from qtheory.flow import Stepwise


def committed(p: float, e: float) -> float:
    """A primitive of the sigmoid's slowness at q = 1, (1 + x)/((1-e) - e x) dx/x in the odds x."""
    odds = p / (1 - p)
    return math.log(odds) / (1 - e) - math.log((1 - e) - e * odds) / (e * (1 - e))


def in_log_p(p0: float, delta: float, e: float, q: Callable[[float], float], norm: Callable[[float], float]) -> float:
    def slowness(x: float) -> float:
        p = math.exp(x)
        return 1 / (((1 - e) * p ** -q(p) - e * (1 - p) ** -q(p)) * p * norm(p))

    return quad(slowness, math.log(p0), math.log(delta), epsabs=0, epsrel=1e-10, limit=400)[0]


@given(st.floats(-300, -1), st.floats(0.001, 0.999), st.floats(1e-4, 0.49))
def test_closed_forms_at_both_ends(log10_p0: float, place: float, e: float):
    p0 = 10**log10_p0
    arrived = 0.2 + place * 0.79
    assert noisy_time(p0, arrived, e, 0.0) == pytest.approx(
        float(sigmoid_time(p0, arrived, 0.0)) / (1 - 2 * e), rel=1e-9
    )
    below = 0.1 + place * (1 - e - 0.1) * 0.999
    assert noisy_time(p0, below, e, 1.0) == pytest.approx(committed(below, e) - committed(p0, e), rel=1e-9)


@pytest.mark.parametrize("e", [0.02, 0.3])
@pytest.mark.parametrize(
    "norm", [lambda p: (1 - p) ** 2, lambda p: p**-0.5, lambda p: 2 + math.sin(p)], ids=["sigmoid", "power", "wave"]
)
def test_schedules_and_norms(e: float, norm: Callable[[float], float]):
    ours: Any = {} if norm(0.5) == 0.25 else {"norm": lambda log_p: np.vectorize(norm)(np.exp(log_p))}
    for q in (lambda _: 0.3, lambda p: 0.5 * (1 - p), lambda p: float(noise_q(math.log(p), e))):
        exact = in_log_p(1e-5, 0.9, e, q, norm)
        assert noisy_time(1e-5, 0.9, e, lambda at, q=q: q(math.exp(at)), **ours) == pytest.approx(exact, rel=1e-8)


def test_steps_are_met_where_they_are():
    at = math.log(noise_switch(0.1))
    stages = committed(0.75, 0.1) - committed(1e-6, 0.1) + float(sigmoid_time(0.75, 0.95, 0.0)) / 0.8
    assert noisy_time(1e-6, 0.95, 0.1, Stepwise((1.0, 0.0), (at,))) == pytest.approx(stages, rel=1e-9)
    # Steps outside the way change nothing.
    outside = Stepwise((0.2, 1.0, 0.0), (math.log(1e-7), math.log(0.96)))
    with pytest.raises(ValueError, match=r"at q = 1 the flow comes to rest at P = 0\.9, "):
        noisy_time(1e-6, 0.95, 0.1, outside)
    assert noisy_time(1e-6, 0.8, 0.1, outside) == noisy_time(1e-6, 0.8, 0.1, 1.0)


@pytest.mark.parametrize("place", [-77.0, -201.3, -313.7])
def test_a_narrow_dip_of_the_norm_is_not_missed(place: float):
    """At q = 1 a cold flow moves log P by (1-e) ||s||^2, so that 1/||s||^2 adds its area."""
    plain, dipped = (
        noisy_time(1e-250, 0.5, 0.1, 1.0, lambda log_p, h=h: 1 / (1 + h * np.exp(-((log_p - place) ** 2))))
        for h in (0.0, 1e4)
    )
    assert dipped - plain == pytest.approx(1e4 * math.sqrt(math.pi) / 0.9, rel=1e-9)


def test_near_one_and_beyond_the_floats():
    assert noisy_time(1e-6, 1 - 1e-12, 0.1, 0.0) == pytest.approx(
        float(sigmoid_time(1e-6, 1 - 1e-12, 0.0)) / 0.8, rel=1e-9
    )
    assert noisy_time(3e-308, 0.5, 0.45, 0.0) == math.inf


@pytest.mark.parametrize(("e", "p"), [(0.1, 0.75), (0.2, 2 / 3), (0.5 - 1e-12, 0.5), (1e-16, 1 - 1e-8)])
def test_switches(e: float, p: float):
    assert noise_switch(e) == pytest.approx(p, rel=1e-11)


@pytest.mark.parametrize(
    ("p0", "delta", "e"), [(1e-6, 0.95, 0.1), (1e-6, 0.99, 0.1), (1e-3, 0.8, 0.3), (0.3, 0.6, 0.1), (0.9, 0.99, 0.3)]
)
def test_no_other_single_q_is_faster(p0: float, delta: float, e: float):
    ours = best_constant_q(p0, delta, e)
    rest = math.log(1 / e - 1) / math.log(delta / (1 - delta))
    others = [noisy_time(p0, delta, e, q) for q in np.linspace(0, min(1.0, 0.999 * rest), 60).tolist()]
    assert noisy_time(p0, delta, e, ours) <= min(others) * (1 + 1e-12)


def test_from_far_below_the_best_single_q_is_next_to_that_which_rests_at_the_target():
    rest = math.log(9) / math.log(19)
    assert best_constant_q(1e-300, 0.95, 0.1) == pytest.approx(rest * (1 - 2e-5), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: noisy_time(0.9, 0.5, 0.1, 0.0), ValueError, r"p0 is 0\.9: the start lies above delta"),
        (lambda: noisy_time(0.5, 0.5, 0.1, 0.0), ValueError, r"p0 is delta, 0\.5: the escape takes no time"),
        (lambda: noisy_time(0.1, 0.5, 0.6, 0.0), ValueError, r"flip_rate is 0\.6: pass a number strictly"),
        (lambda: noisy_time(0.1, 0.5, 0.1, 1.2), ValueError, r"q is 1\.2: q must lie"),
        (lambda: noisy_time(0.1, 0.5, 0.1, lambda _: 2.0), ValueError, r"q is 2\.0: q must lie"),
        (
            lambda: noisy_time(0.1, 0.9, 0.1, 1.0),
            ValueError,
            r"delta is 0\.9: at q = 1 the flow comes to rest at P = 0\.9",
        ),
        (lambda: noisy_time(0.1, 0.5, 0.1, 0.0, lambda x: -x * 0), ValueError, r"norm is -?0\.0 at log P"),
        (lambda: noise_switch(0.5), ValueError, r"flip_rate is 0\.5"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
