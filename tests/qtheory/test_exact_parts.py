"""The pieces of the exact moments: the quadrature rule, the Kummer kernel, the binomial law."""

from typing import Any

import mpmath
import numpy as np
import pytest

from qtheory.exact.binomial import binomial
from qtheory.exact.kummer import kummer
from qtheory.exact.laplace import lattice, weights

Real = Any  # an mpf of REALS; mpmath makes the class at run time, out of a type checker's sight
REALS = mpmath.MPContext()
REALS.dps = 40


@pytest.mark.parametrize("a", [0.0, 1e-8, 0.3, 1.0, 1.7, 2.0])
def test_the_rule_gives_powers_of_any_sum(a: float):
    log_sums = np.linspace(-340, 14, 23)  # S^-2 is a float
    v = lattice(14.0, -340.0)
    with np.errstate(under="ignore"):
        exponent = -np.exp(v + log_sums[:, None])
    order = np.full(len(log_sums), a)
    scaled = weights(v, order, np.full_like(order, 2.0), exponent, 0).sum(-1)
    np.testing.assert_allclose(scaled, np.exp(a * (2.0 - log_sums)), rtol=3e-13)  # a v rounds by 1e-13 at 680


def test_the_rule_s_nodes_hardly_grow_with_the_pool():
    assert len(lattice(np.log(1e6), -3.0)) - len(lattice(0.0, -3.0)) < 75


@pytest.mark.parametrize("q", [0.0, 1e-6, 0.25, 0.5, 0.75, 0.999, 1.0])
def test_the_kummer_kernel(q: float):
    x = np.array([1e-10, 0.1, 1.99, 2.0, 30.0, 700.0, 9.9e5, 1.01e6, 1e12, 1e280])
    exact = [_slow_kummer(REALS.mpf(q), REALS.mpf(point)) for point in x]
    value, less_one = kummer(q, x)
    np.testing.assert_allclose(value, np.array(exact, dtype=float), rtol=3e-14)
    np.testing.assert_allclose(less_one, np.array([e - 1 for e in exact], dtype=float), rtol=3e-14)


def test_the_kummer_kernel_at_its_ends():
    for value, limit in ((0.0, 1.0), (np.inf, 0.0)):
        assert kummer(0.5, np.array([value]))[0][0] == pytest.approx(limit, abs=1e-140)


@pytest.mark.parametrize(
    ("size", "odds"), [(1, 1e-12), (7, 0.5), (40, 30.0), (10**6, 1e-6), (10**6, 0.7), (10**6, 1e9)]
)
def test_the_binomial_law(size: int, odds: float):
    count, mass = binomial(size, odds)
    chosen = np.flatnonzero(mass > 1e-40)[:: max(1, len(count) // 12)]
    p = REALS.mpf(odds) / (1 + REALS.mpf(odds))
    exact = [REALS.binomial(size, int(k)) * p ** int(k) * (1 - p) ** (size - int(k)) for k in count[chosen]]
    np.testing.assert_allclose(mass[chosen], np.array(exact, dtype=float), rtol=1e-11)
    assert mass.sum() == pytest.approx(1, abs=1e-14)


def _slow_kummer(q: Real, x: Real) -> Real:
    """1F1(q; 2q; -x) from its definition, or from its asymptotic series, whose neglected part is e^-x."""
    if q == 0:
        return (1 + REALS.exp(-x)) / 2
    if x < 1e4:
        return REALS.hyp1f1(q, 2 * q, -x)
    terms = [REALS.rf(q, k) * REALS.rf(1 - q, k) / (REALS.factorial(k) * x**k) for k in range(8)]
    return REALS.gamma(2 * q) / REALS.gamma(q) * x**-q * REALS.fsum(terms)
