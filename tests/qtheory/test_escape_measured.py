"""Predicted escape times against closed forms, and the interpolation of the norm."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtheory.escape.measured import constant_norm, interpolated_norm, measured_time

ESCAPED = 0.05


@pytest.mark.parametrize("p0", [1e-12, 1e-6, 1e-3, 0.04])
@pytest.mark.parametrize("q", [0.0, 0.25, 0.75, 1.0])
def test_power_law_norms_have_a_closed_form(q: float, p0: float) -> None:
    # ||s||^2 = 50 P^-a: the integrand is e^(-(1-q-a) L)/50.
    for a in (0.0, 0.2, 1 - q):
        rate = 1 - q - a
        ends = math.log(p0), math.log(ESCAPED)
        exact = (
            ends[1] - ends[0] if abs(rate) < 1e-12 else (math.exp(-rate * ends[0]) - math.exp(-rate * ends[1])) / rate
        )
        found = measured_time(p0, ESCAPED, q, lambda at_n, a=a: 50 * np.exp(-a * at_n))
        assert found == pytest.approx(exact / 50, rel=1e-4)


def test_constant_norm_approaches_the_theorems_exponent() -> None:
    for q in (0.0, 0.5, 0.75):
        ratio = measured_time(1e-12, ESCAPED, q, constant_norm) / measured_time(1e-11, ESCAPED, q, constant_norm)
        assert math.log10(ratio) == pytest.approx(1 - q, abs=0.005)


@pytest.mark.parametrize("p0", [0.0, -1.0, ESCAPED, 0.5, math.nan])
def test_p0_must_lie_below_the_escape(p0: float) -> None:
    with pytest.raises(ValueError, match="p0 is"):
        measured_time(p0, ESCAPED, 0.5, constant_norm)


@given(level=st.floats(50, 100), slope=st.floats(-2, 2), seed=st.integers(0, 100))
def test_interpolation_leaves_straight_lines_alone(level: float, slope: float, seed: int) -> None:
    log_p = np.random.default_rng(seed).uniform(-20, -3, size=30)
    norm = interpolated_norm(log_p.tolist(), (level + slope * log_p).tolist())
    at = np.linspace(log_p.min(), log_p.max(), 7)
    assert norm(at) == pytest.approx(level + slope * at, rel=1e-6)


def test_interpolation_is_constant_beyond_the_measurements() -> None:
    norm = interpolated_norm([-4.0, -10.0, -8.0, -6.0], [2.0, 8.0, 6.0, 4.0])
    assert norm(np.array([-30.0, -10.0, -4.0, 0.0])) == pytest.approx([8, 8, 2, 2])
    assert interpolated_norm([-3.0], [7.0])(np.array([-9.0, 0.0])) == pytest.approx([7, 7])


def test_interpolation_needs_measurements() -> None:
    with pytest.raises(ValueError, match="never measured"):
        interpolated_norm([], [])


def test_interpolation_tells_of_a_norm_lost_in_noise() -> None:
    with pytest.raises(ValueError, match=r"\|\|s\|\|\^2 is -5 at log P = -6.00"):
        interpolated_norm([-9.0, -6.0, -3.0], [1.0, -5.0, 1.0])
