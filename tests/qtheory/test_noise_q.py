"""The rule on noisy labels against a search over q, at its ends, and what it refuses."""

import math
from typing import Any

import numpy as np
import pytest
from array_libraries import Library
from hypothesis import given
from hypothesis import strategies as st
from mpmath import MPContext

from qtheory.estimators import noise_q

GRID = np.linspace(0, 1, 4001)


def pulls(p: float, e: float, q: Any) -> Any:
    """(1-e) P^-q - e n^-q from its definition."""
    return (1 - e) * p**-q - e * (1 - p) ** -q


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1e-6, 0.4999))
def test_nothing_pulls_harder(p: float, e: float):
    ours = pulls(p, e, float(noise_q(math.log(p), e)))
    assert ours >= pulls(p, e, GRID).max() * (1 - 1e-9)


@pytest.mark.parametrize("log_n", [-1e-3, -0.8, -5.0, -40.0, -200.0])
def test_it_keeps_its_digits_up_to_one(log_n: float):
    reals = MPContext()
    reals.dps = 400
    log_p = float(reals.log(1 - reals.exp(log_n)))
    # The flip rate at which q = 1/2 is best there: (1-e) P^-1/2 log 1/P = e n^-1/2 log 1/n.
    p, n = reals.exp(log_p), -reals.expm1(log_p)
    right, wrong = reals.log(1 / p) / reals.sqrt(p), reals.log(1 / n) / reals.sqrt(n)
    e = float(right / (right + wrong))
    if e < 0.5:
        assert float(noise_q(log_p, e)) == pytest.approx(0.5, abs=1e-13)
    else:
        assert noise_q(log_p, 0.499) == 1


@pytest.mark.parametrize("e", [1e-300, 1e-9, 0.1, 0.3, 0.4999999])
def test_ends(e: float):
    half = math.log(0.5)
    for log_p in (-np.inf, -1e300, -745.0, -1.0, half, np.nextafter(half, 0)):
        assert noise_q(log_p, e) == 1
    for log_p in (0.0, -1e-310):
        assert noise_q(log_p, e) == 0
    # Of a model that is right throughout, the labels as they are shown have the mean probability 1 - e.
    assert noise_q(math.log1p(-e), e) == 0


@given(st.floats(-30, 0), st.floats(-30, 0), st.floats(1e-6, 0.4999), st.floats(1e-6, 0.4999))
def test_it_falls_with_p_and_with_the_flip_rate(log_p: float, other: float, e: float, more: float):
    low, high = sorted((log_p, other))
    assert noise_q(low, e) >= noise_q(high, e) - 1e-9
    clean, noisy = sorted((e, more))
    assert noise_q(low, clean) >= noise_q(low, noisy) - 1e-12


def test_arrays_of_any_library(library: Library):
    log_p = library.array(np.log([[0.1, 0.7], [0.75, 0.8]]))
    expected = [[float(noise_q(math.log(p), 0.1)) for p in row] for row in ((0.1, 0.7), (0.75, 0.8))]
    np.testing.assert_allclose(library.numpy(noise_q(log_p, 0.1)), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("log_p", "flip_rate", "error", "message"),
    [
        (0.1, 0.1, ValueError, r"log_p is 0\.1: a log-probability must be at most 0"),
        ("p", 0.1, TypeError, r"log_p is 'p', a str"),
        (-1.0, 0.5, ValueError, r"flip_rate is 0\.5: pass a number strictly between 0 and 1/2"),
        (-1.0, 0, ValueError, "flip_rate is 0: pass a number strictly"),
        (-1.0, math.nan, ValueError, "flip_rate is nan: pass"),
        (-1.0, True, TypeError, "flip_rate is True: pass"),
        (-1.0, [0.1], TypeError, r"flip_rate is \[0\.1\]: pass"),
    ],
)
def test_refusals(log_p: Any, flip_rate: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        noise_q(log_p, flip_rate)
