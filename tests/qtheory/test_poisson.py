"""The Poisson limit against sums in mpmath, binomial sums, quadrature and laws, and what it refuses."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import MPContext
from scipy.integrate import quad
from scipy.stats import binom, poisson

from qtheory.escape import hard_time, poisson_time
from qtheory.exact import poisson_limit


def by_definition(held: float, q: float, rho: float) -> tuple[float, float, float]:
    reals = MPContext()
    reals.dps = 50
    mean, power = reals.mpf(held), 1 - reals.mpf(q)
    first = second = reals.zero
    for k in range(1, int(held + 40 * math.sqrt(held)) + 60):
        mass = reals.exp(k * reals.log(mean) - mean - reals.loggamma(k + 1))
        first += mass * (k / mean) ** power
        second += mass * (k / mean) ** (2 * power) * (1 + reals.mpf(rho) / k)
    return float(1 - first), float(second - first**2), float(first**2 / second)


@pytest.mark.parametrize("held", [1e-12, 1e-3, 0.7, 5.0, 60.0, 400.0])
@pytest.mark.parametrize(("q", "rho"), [(0.0, 0.0), (0.3, 2.0), (0.75, 0.0), (1.0, 0.5), (1.0, 0.0)])
def test_sums_in_fifty_digits(held: float, q: float, rho: float):
    ours, (bias, variance, alignment) = poisson_limit(held, q, rho), by_definition(held, q, rho)
    assert ours.bias == pytest.approx(bias, abs=1e-13)
    assert ours.variance == pytest.approx(variance, rel=1e-11, abs=1e-30)
    assert ours.alignment == pytest.approx(alignment, rel=1e-11)


@given(st.floats(0.01, 20), st.floats(0, 1), st.floats(0, 10))
def test_binomial_sums_come_to_it_as_one_over_m(held: float, q: float, rho: float):
    limit = poisson_limit(held, q, rho)

    def finite(size: int) -> np.ndarray:
        k = np.arange(1, 400)
        mass, part = binom.pmf(k, size, held / size), (k / held) ** (1 - q)
        first, second = mass @ part, mass @ (part**2 * (1 + rho / k))
        return np.array([1 - first, second - first**2, first**2 / second])

    ours = np.array([limit.bias, limit.variance, limit.alignment])
    rough, fine = (finite(size) - ours for size in (20_000, 40_000))
    # Of order 1/M: half of it at twice the M, up to the rounding of both and terms of order 1/M^2.
    np.testing.assert_allclose(2 * fine, rough, atol=1e-3 * np.abs(rough).max() + 1e-10, rtol=0.05)


@pytest.mark.parametrize("q", [0.25, 0.5, 0.75])
def test_few_and_many_successes(q: float):
    few, many = poisson_limit(1e-9, q), poisson_limit(1e8, q, 3.0)
    assert few.bias == pytest.approx(1 - 1e-9**q, rel=1e-8)
    assert many.bias == pytest.approx(q * (1 - q) / 2e8, rel=1e-3)
    assert many.variance == pytest.approx(((1 - q) ** 2 + 3) / 1e8, rel=1e-6)


@pytest.mark.parametrize(
    ("start", "end", "q"), [(0.01, 3.0, 0.5), (1.0, 100.0, 0.9), (1e-3, 1e-2, 1.0), (2.0, 2.1, 0.25)]
)
def test_times_are_the_integral(start: float, end: float, q: float):
    k = np.arange(1, 400)

    def slowness(x: float) -> float:
        return 1 / float(poisson.pmf(k, math.exp(x)) @ k ** (1.0 - q))

    exact = quad(slowness, math.log(start), math.log(end), epsabs=0, epsrel=1e-11)[0]
    assert poisson_time(start, end, q) == pytest.approx(exact, rel=1e-10)
    size = 10**7
    assert hard_time(start / size, end / size, q, size) / size ** (1 - q) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize(("start", "end"), [(0.05, 2.7), (1e-3, 50.0), (0.5, 1e6)])
def test_times_in_thirty_digits_where_the_mean_is_in_closed_form(start: float, end: float):
    """E[K^(1-q)] is 1 - e^-lambda at q = 1 and lambda at q = 0."""
    reals = MPContext()
    reals.dps = 30
    far = min(end, 100.0)  # beyond it e^-lambda is below 1e-43
    exact = reals.quad(lambda x: -1 / (x * reals.expm1(-x)), np.geomspace(start, far, 20).tolist())
    exact += reals.log(reals.mpf(end) / far)
    assert poisson_time(start, end, 1.0) == pytest.approx(float(exact), rel=1e-11)
    assert poisson_time(start, end, 0.0) == pytest.approx(1 / start - 1 / end, rel=1e-11)


def test_shapes_and_ends():
    assert poisson_limit(np.ones((2, 1)), [0.0, 0.5, 1.0]).bias.shape == (2, 3)
    assert poisson_limit([], 0.5).bias.shape == (0,)
    assert poisson_time(np.full((2, 1), 0.1), [1.0, 2.0, 3.0], 0.5).shape == (2, 3)
    assert poisson_limit(1e-300, 1.0).bias == 1
    assert poisson_time(1e-300, 1e-200, 0.7) == pytest.approx(1e300, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: poisson_limit(0.0, 0.5), ValueError, r"successes is 0\.0: it must be positive"),
        (lambda: poisson_limit(1e9, 0.5), ValueError, r"successes is 1000000000\.0: pass at most 1e\+08"),
        (lambda: poisson_limit(1.0, 0.5, -1.0), ValueError, r"spread is -1\.0: it must be non-negative"),
        (lambda: poisson_time(1.0, 1.0, 0.5), ValueError, r"start is 1\.0: the start must lie below the end"),
        (lambda: poisson_time(1.0, 1e7, 0.5), ValueError, r"end is 10000000\.0: pass at most 1e\+06"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
