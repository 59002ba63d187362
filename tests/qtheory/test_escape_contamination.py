"""Contamination on noisy labels: mpmath's quadrature, the escort distribution, and a flow in time."""

import math
from typing import Any

import numpy as np
import pytest
from flow_models import Crossing
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf, quad
from scipy.integrate import solve_ivp

from qtheory import tsallis
from qtheory.escape import contamination_time, equilibrium
from qtheory.tasks import NoisyLabels, Sigmoid


def by_quadrature(start, end, e, q) -> Any:
    """Integral of dn/(dn/dt) for the sigmoid, in log n."""
    with mp.workdps(25):
        e, q, ends = mpf(e), mpf(q), [mp.log(mpf(x)) for x in (start, end)]
        knots = [ends[0] + (ends[1] - ends[0]) * k / 8 for k in range(9)]

        def slowness(y):
            n = mp.e**y
            return n / ((e * n**-q - (1 - e) * (1 - n) ** -q) * ((1 - n) * n) ** 2)

        return quad(slowness, knots)


@pytest.mark.parametrize("q", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.01, 0.9])
def test_time_is_the_integral(q, share):
    end = share * equilibrium(0.2, q)
    start = end / 300
    assert contamination_time(start, end, 0.2, q) == pytest.approx(float(by_quadrature(start, end, 0.2, q)), rel=1e-10)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1e-3, 0.3, 0.2, 1.0), r"start is 0\.001 and end 0\.3: n rises from start to end below the equilibrium 0\.2"),
        ((1e-2, 1e-3, 0.2, 1.0), "n rises from start to end"),
        ((1e-3, 1e-2, 1.2, 1.0), r"flip_rate is 1\.2: pass a probability"),
        ((1e-3, 1e-2, 0.2, 0.0), r"q is 0\.0: at q = 0 the flow runs to one label; pass q above 0"),
        ((1e-3, 1e-2, 0.2, 1.5), r"q is 1\.5: q must lie in \[0, 1\]"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        contamination_time(*arguments)
