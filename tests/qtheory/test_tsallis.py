"""qtheory.tsallis against mpmath, scipy and its own identities, on numpy, torch and array-api-strict."""

import functools
import itertools
import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import mp_reference as mp
import numpy as np
import pytest
from array_libraries import Library
from hypothesis import given
from mp_reference import Real
from mpmath import exp, mpf
from scipy.special import boxcox

from qtheory import tsallis

ORDERS = (0.0, 1e-300, 1e-17, 0.1, 0.25, 0.37, 0.5, 0.75, 1 - 1e-3, 1 - 1e-8, 1 - 1e-12, 1 - 2.0**-53, 1.0)
LOGS = (0.0, -1e-20, -3e-9, -1e-3, -0.1, -math.log(2), -1.7, -10.3, -99.9, -350.1, -700.0, -1234.5, -1e4)
PROBABILITIES = (1.0, 1 - 2.0**-53, 0.999, 0.7, 0.5, 0.1, 1e-3, 1.7e-12, 3e-77, 2e-200, math.exp(-700))
LARGEST, SMALLEST = np.finfo(float).max, np.finfo(float).smallest_normal


@functools.cache
def reference(name: str, from_log: bool) -> np.ndarray:
    """Reference values (arguments, orders) as mpf objects."""
    rows = [
        [_value(name, exp(mpf(x)) if from_log else mpf(x), q) for q in ORDERS]
        for x in (LOGS if from_log else PROBABILITIES)
    ]
    return np.array(rows, dtype=object)


def _value(name: str, p: Real, q: float) -> Real:
    match name:
        case "log_q":
            return mp.log_q(p, q)
        case "loss":
            return -mp.log_q(p, q)
        case "amplification":
            return mp.power(p, -mpf(q))
        case _:
            return mp.power(p, 1 - mpf(q))


def assert_close(values: np.ndarray, expected: np.ndarray, tolerance: float = 1e-14) -> None:
    """Relative agreement; overflow must be inf, and below the normal numbers only their absolute size counts."""
    for value, exact in zip(values.ravel(), expected.ravel(), strict=True):
        if abs(exact) > LARGEST:
            assert math.isinf(value)
        else:
            assert abs(mpf(float(value)) - exact) <= tolerance * max(abs(exact), SMALLEST), (value, exact)


@pytest.mark.parametrize("name", ["log_q", "loss", "amplification", "attenuation"])
@pytest.mark.parametrize("from_log", [False, True], ids=["from_p", "from_log_p"])
def test_agrees_with_mpmath(library: Library, name: str, from_log: bool):
    arguments = library.array(LOGS if from_log else PROBABILITIES)[:, None]
    function = getattr(tsallis, f"{name}_from_log" if from_log else name)
    values = library.numpy(function(arguments, library.array(ORDERS)))
    assert_close(values, reference(name, from_log))


@pytest.mark.parametrize("name", ["log_q", "loss", "amplification", "attenuation"])
def test_float32_agrees_with_float64_to_its_own_precision(library: Library, name: str):
    p = np.array([1, 0.9, 0.3, 1e-3, 1e-20, 1e-37], dtype=np.float32)
    q = np.array([0, 0.25, 0.5, 0.75, 1], dtype=np.float32)
    values = getattr(tsallis, name)(library.array(p, "float32")[:, None], library.array(q, "float32"))
    assert values.dtype == library.array(p, "float32").dtype
    exact = np.array([[_value(name, mpf(float(x)), float(r)) for r in q] for x in p], dtype=float)
    np.testing.assert_allclose(library.numpy(values), exact, rtol=1e-6)


def test_log_exp_q_agrees_with_mpmath_up_to_the_cut_off(library: Library):
    for q in ORDERS:
        edge = -1 / (1 - q) if q < 1 else -1e4
        near_edge = [edge * (1 - s) for s in (2.0**-53, 2.0**-50, 1e-9, 1e-3, 0.0017, 0.1, 0.49, 0.51, 0.9)]
        x = [0.0, -1e-20, -1e-3, -0.5, *near_edge, edge * (1 + 1e-9)]
        expected = np.array([mp.log_exp_q(v, q) for v in x], dtype=object)
        log_values = library.numpy(tsallis.log_exp_q(library.array(x), q))
        cut = np.array([v == -mp.inf for v in expected])
        assert np.all(np.isneginf(log_values[cut])) if q < 1 else not cut.any()
        assert_close(log_values[~cut], expected[~cut])
        values = library.numpy(tsallis.exp_q(library.array(x), q))
        assert np.all(values[cut] == 0)
        for value, exact in zip(values[~cut], expected[~cut], strict=True):
            scale = max(1, abs(exact)) * max(exp(exact), SMALLEST)
            assert abs(mpf(float(value)) - exp(exact)) <= 1e-14 * scale


@pytest.mark.parametrize("from_log", [False, True], ids=["from_a", "from_log_a"])
def test_escort_agrees_with_mpmath(library: Library, from_log: bool):
    rows = np.array(
        [
            [0.3, 0.3 + 1e-9, 0.2, 0.0],
            [0.25, 0.25, 0.25, 0.25],
            [1.0, 1e-300, 1e-9, 0.5],
            [1e-200, 2e-200, 0, 0],
        ]
    )
    orders = (0.0, 1e-320, 1e-8, 1e-3, 0.1, 0.5, 0.75, 1.0)
    logs = np.where(rows > 0, np.log(np.where(rows > 0, rows, 1)), -np.inf)
    function = tsallis.escort_from_log if from_log else tsallis.escort
    values = library.numpy(function(library.array(logs if from_log else rows), library.array(orders)[:, None]))
    assert values.shape == (len(orders), *rows.shape)
    for (i, q), (j, row) in itertools.product(enumerate(orders), enumerate(rows)):
        a = [mp.weight(x) for x in logs[j]] if from_log else row.tolist()
        for value, exact in zip(values[i, j], mp.escort(a, q), strict=True):
            scale = max(1, -mp.log(exact)) * max(exact, SMALLEST) if exact else 0
            assert abs(mpf(float(value)) - exact) <= 1e-14 * scale


def test_the_limits_at_p_zero(library: Library):
    q = library.array([0.0, 0.5, 1.0])
    for zero, suffix in ((0.0, ""), (-math.inf, "_from_log")):
        at_zero = {
            name: library.numpy(getattr(tsallis, name + suffix)(library.array([zero]), q)).tolist()
            for name in ("log_q", "loss", "amplification", "attenuation")
        }
        assert at_zero == {
            "log_q": [-1, -2, -math.inf],
            "loss": [1, 2, math.inf],
            "amplification": [1, math.inf, math.inf],
            "attenuation": [0, 0, 1],
        }
    assert library.numpy(tsallis.log_exp_q(library.array([-math.inf] * 3), q)).tolist() == [-math.inf] * 3


def test_log_probabilities_far_below_any_float():
    log_p = np.array([-1e5, -1.7e308])
    assert tsallis.log_q_from_log(log_p, 1.0).tolist() == log_p.tolist()
    np.testing.assert_allclose(tsallis.log_q_from_log(log_p, 0.5), [-2, -2], rtol=1e-15)
    assert tsallis.amplification_from_log(log_p, 0.5).tolist() == [math.inf, math.inf]
    assert tsallis.attenuation_from_log(log_p, 0.25).tolist() == [0, 0]


def test_plain_numbers_give_float64_and_q_alone_may_be_the_array(library: Library):
    assert float(tsallis.log_q(0.25, 0.5)) == -1
    assert float(tsallis.log_q(1, 0)) == 0
    values = tsallis.loss(0.25, library.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(library.numpy(values), [0.75, 1, math.log(4)], rtol=1e-15)


def test_q_of_another_library_is_converted(library: Library):
    q = np.array([0.0, 0.5])
    values = tsallis.loss(library.array([0.25]), q)
    np.testing.assert_allclose(library.numpy(values), [0.75, 1], rtol=1e-15)
    assert tsallis.loss(np.array([0.25]), library.array(q)).tolist() == [0.75, 1]


probability = st.floats(1e-300, 1)
order = st.floats(0, 1)


@given(hnp.arrays(float, 4, elements=probability), order)
def test_log_q_is_the_box_cox_transform(p: np.ndarray, q: float):
    # boxcox rounds log P into expm1's argument, as this code does, and 1 - q below q = 1/2.
    np.testing.assert_allclose(tsallis.log_q(p, q), boxcox(p, 1 - q), rtol=1e-13)


@given(probability, order)
def test_attenuation_is_p_times_amplification(p: float, q: float):
    np.testing.assert_allclose(tsallis.attenuation(p, q), p * tsallis.amplification(p, q), rtol=1e-14)


@given(st.floats(-30, 0), order)
def test_exp_q_inverts_log_q(log_p: float, q: float):
    x = float(tsallis.log_q_from_log(log_p, q))
    # The inverse magnifies the rounding of x by its condition number |x| P^(q-1) / |log P|.
    rounding = 4 * np.finfo(float).eps * abs(x) * math.exp((q - 1) * log_p)
    assert abs(float(tsallis.log_exp_q(x, q)) - log_p) <= rounding + 1e-14 * abs(log_p)


@given(probability, order, order)
def test_loss_grows_with_q_from_one_minus_p_to_minus_log_p(p: float, q: float, r: float):
    low, high = (float(tsallis.loss(p, s)) for s in sorted((q, r)))
    assert (1 - p) * (1 - 1e-14) <= low <= high * (1 + 1e-14) <= -math.log(p) * (1 + 3e-14)


@given(hnp.arrays(float, 5, elements=st.floats(1e-6, 1)), st.floats(0.05, 1))
def test_escort_odds_are_the_power_of_the_odds(a: np.ndarray, q: float):
    t = tsallis.escort(a, q)
    assert abs(t.sum() - 1) < 1e-14
    np.testing.assert_allclose(t[0] * a[1:] ** (1 / q), t[1:] * a[0] ** (1 / q), rtol=1e-11, atol=0)


@given(hnp.arrays(float, 5, elements=st.floats(1e-6, 1)))
def test_escort_at_q_one_recovers_a(a: np.ndarray):
    np.testing.assert_allclose(tsallis.escort(a, 1.0), a / a.sum(), rtol=1e-14)
