"""Dividing draws among prompts: against all divisions of small budgets, binomial sums in mpmath, and its own laws."""

import itertools
import math

import mp_reference as mp
import numpy as np
import pytest
from array_libraries import Library
from hypothesis import given
from hypothesis import strategies as st
from mpmath import exp, mpf

from qtheory.estimators import allocate, draw_gain

every_q = pytest.mark.parametrize("q", [0.0, 0.4, 1.0])


def share(p: float, samples: int, rho: float) -> float:
    """E[K/(K + rho)], from its definition; pools without a success have none."""
    terms = (mp.binomial_pmf(k, samples, p) * k / (k + mpf(rho)) for k in range(1, samples + 1))
    return float(sum(terms, mpf(0)))


@every_q
@pytest.mark.parametrize("rho", [0.0, 0.3, 2.0, 40.0])
@pytest.mark.parametrize("p", [(0.3, 0.03, 0.003), (0.9, 0.5, 1e-6), (0.2, 0.2, 0.1)])
def test_no_division_is_better(q: float, rho: float, p: tuple[float, ...]):
    total = 14
    shares = [[success**-q * share(success, m, rho) for m in range(total + 1)] for success in p]
    divisions = [m for m in itertools.product(range(total + 1), repeat=len(p)) if sum(m) == total]
    best = max(sum(values[m] for values, m in zip(shares, division, strict=True)) for division in divisions)
    ours = allocate(np.log(p), total, q, rho)
    assert ours.sum() == total
    assert sum(values[m] for values, m in zip(shares, ours, strict=True)) == pytest.approx(best, rel=1e-12)
    above = [m for m in divisions if min(m) >= 2]
    best = max(sum(values[m] for values, m in zip(shares, division, strict=True)) for division in above)
    ours = allocate(np.log(p), total, q, rho, least=2)
    assert ours.min() >= 2
    assert sum(values[m] for values, m in zip(shares, ours, strict=True)) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("rho", [0.0, 1e-300, 1e-9, 1e-3, 0.3, 2.0, 100.0, 1e6, 1e300])
@pytest.mark.parametrize("samples", [0, 1, 2, 7, 200])
def test_gains_agree_with_mpmath(rho: float, samples: int):
    logs = [0.0, -1e-17, -1e-9, -0.1, -1.0, -5.0, -30.0, -690.0]
    for log_p, ours in zip(logs, draw_gain(np.array(logs), samples, rho), strict=True):
        p, spread = exp(mpf(log_p)), mpf(rho)
        exact = p * (1 - p) ** samples if rho == 0 else mpf(0)
        for k in range(samples + 1 if rho else 0):
            chance = mp.binomial(samples, k) * p**k * mp.power(1 - p, mpf(samples - k))
            exact += p * spread * chance / ((k + spread) * (k + 1 + spread))
        assert abs(mpf(float(ours)) - exact) <= 1e-13 * max(exact, mpf("2.3e-308"))


def test_gains_of_many_draws_are_those_of_poisson_pools():
    """M P = 3 at P = 1e-5: quadrature over t of the integral that the gain is, with e^(-M P u) for the power."""
    u = np.linspace(0, 1, 200_001)
    rho, size = 2.5, 300_000
    poisson = rho * np.trapezoid(u * (1 - u) ** (rho - 1) * np.exp(-3 * u), u)
    assert draw_gain(math.log(1e-5), size, rho) / 1e-5 == pytest.approx(poisson, rel=2e-5)


@every_q
def test_libraries_and_integers(library: Library, q: float):
    log_p = library.array(np.log([0.3, 0.03, 0.003]))
    ours = library.numpy(allocate(log_p, 48, q, 2.0))
    assert ours.dtype == np.int64
    assert ours.tolist() == allocate(np.log([0.3, 0.03, 0.003]), 48, q, 2.0).tolist()
    assert library.numpy(draw_gain(log_p, 3, 2.0)).dtype == np.float64
    assert library.numpy(draw_gain(library.array([[-1.0]], "float32"), 3, 2.0)).shape == (1, 1)
    assert draw_gain(-1.0, 3, 2.0).shape == ()


def test_at_q_one_every_prompt_is_fed_and_holds_as_many_successes():
    p = np.geomspace(1e-3, 0.9, 9)
    assert allocate(np.log(p), 9, 1.0, 3.0).tolist() == [1] * 9
    many = allocate(np.log(p), 100_000, 1.0, 3.0)
    np.testing.assert_allclose((many * p)[:5], (many * p)[0], rtol=0.05)
    assert allocate(np.log(p), 9, 0.0, 3.0)[0] == 0


@every_q
def test_well_fed_prompts_get_draws_as_a_power_of_p(q: float):
    p = np.geomspace(1e-3, 1e-2, 4)
    draws = allocate(np.log(p), 500_000, q, 1.0)
    np.testing.assert_allclose(np.diff(np.log(draws)) / np.diff(np.log(p)), -(1 + q) / 2, atol=0.02)


def test_ends_and_ties():
    nowhere = [-np.inf, -np.inf, -1.0]
    assert allocate(np.array(nowhere), 10, 0.5, 2.0).tolist() == [0, 0, 10]
    assert allocate(np.array(nowhere), 4, 1.0, 2.0).tolist() == [2, 1, 1]  # the limit: their first draws count alike
    assert allocate(np.full(3, -np.inf), 10, 0.5, 2.0).tolist() == [4, 3, 3]
    assert allocate(np.full(4, -2.0), 10, 0.5, 2.0).tolist() == [3, 3, 2, 2]
    assert allocate(np.full(3, -5000.0), 7, 1.0, 2.0).tolist() == [3, 2, 2]
    assert allocate(np.array([0.0, -1.0]), 10, 0.5, 0.0).tolist() == [1, 9]  # a sure success once is enough
    assert allocate(np.array([-1.0, -2.0]), 0, 0.5, 1.0).tolist() == [0, 0]
    with pytest.raises(ValueError, match="total is 5: it must be at least 6"):
        allocate(np.full(3, -1.0), 5, 0.5, 2.0, least=2)


@given(
    st.lists(st.floats(-40, 0), min_size=1, max_size=6),
    st.integers(0, 60),
    st.floats(0, 1),
    st.floats(0, 1e3),
)
def test_more_draws_take_none_away(logs: list[float], total: int, q: float, rho: float):
    fewer, more = (allocate(np.array(logs), size, q, rho) for size in (total, total + 1))
    assert fewer.sum() == total
    assert sorted((more - fewer).tolist()) == [0] * (len(logs) - 1) + [1]
