"""The common slope against design-matrix least squares, scipy's regression, and lines without noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress
from scipy.stats import t as student

from figures.plots.slopes import common_slope


def test_equals_least_squares_with_one_dummy_a_group() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat([4, 7, 9], [5, 8, 3])
    x = rng.normal(size=16)
    y = 0.3 * group - 0.6 * x + 0.1 * rng.normal(size=16)
    design = np.column_stack([group == 4, group == 7, group == 9, x]).astype(float)
    solution, rss, *_ = np.linalg.lstsq(design, y, rcond=None)
    error = math.sqrt(rss[0] / 12 * np.linalg.inv(design.T @ design)[3, 3])
    half = student.ppf(0.975, 12) * error

    fit = common_slope(group.tolist(), x.tolist(), y.tolist())

    assert fit is not None
    assert fit.value == pytest.approx(solution[3], rel=1e-12)
    assert (fit.low, fit.high) == pytest.approx((solution[3] - half, solution[3] + half), rel=1e-10)
    assert fit.intercepts == pytest.approx({4: solution[0], 7: solution[1], 9: solution[2]}, rel=1e-10)
    assert fit.points == 16


def test_one_group_is_simple_regression() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=9), rng.normal(size=9)
    slope, _, _, _, error = linregress(x, y)
    half = student.ppf(0.95, 7) * error
    fit = common_slope([0] * 9, x.tolist(), y.tolist(), confidence=0.9)
    assert fit is not None
    assert (fit.value, fit.high) == pytest.approx((slope, slope + half), rel=1e-12)


@given(
    slope=st.floats(-3, 3),
    levels=st.lists(st.floats(-5, 5), min_size=1, max_size=4),
    x=st.lists(st.integers(-20, 20), min_size=2, max_size=6, unique=True),
)
def test_exact_lines_are_recovered(slope: float, levels: list[float], x: list[int]) -> None:
    points = [(index, at, level + slope * at) for index, level in enumerate(levels) for at in x]
    fit = common_slope(*zip(*points, strict=True))
    assert fit is not None
    assert fit.value == pytest.approx(slope, abs=1e-10)
    assert fit.intercepts == pytest.approx(dict(enumerate(levels)), abs=1e-9)


@pytest.mark.parametrize(("group", "x"), [([], []), ([0], [1.0]), ([0, 1], [1.0, 2.0]), ([0, 0], [1.0, 1.0])])
def test_no_slope_where_no_group_has_two_abscissae(group: list[int], x: list[float]) -> None:
    assert common_slope(group, x, x) is None


def test_no_interval_without_a_degree_of_freedom() -> None:
    fit = common_slope([0, 0], [0.0, 1.0], [1.0, 3.0])
    assert fit is not None
    assert fit.value == 2
    assert math.isnan(fit.low)
    assert math.isnan(fit.high)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="lengths 1, 2 and 2"):
        common_slope([0], [0.0, 1.0], [0.0, 1.0])
