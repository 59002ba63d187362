"""Likelihood families: the success probability that was asked for, and the law's shape, by mpmath and quadrature."""

import math
from collections.abc import Callable
from statistics import NormalDist

import mp_reference as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf
from scipy import integrate, stats

from qtheory.models import FixedAnswers, Likelihoods, bernoulli, beta, log_normal, token_answers, two_level

LOG_P0 = [math.log(0.9), math.log(0.5), -3.0, math.log(1e-12), math.log(1e-300), -5000.0]


def exact_log_p(family: Likelihoods) -> mp.Real:
    """Log of the mean weight of the floats in log_prior and log_w."""
    pairs = zip(family.log_prior.tolist(), family.log_w.tolist(), strict=True)
    return mp.log(sum(mp.weight(p) * mp.weight(w) for p, w in pairs))


def assert_p0(family: Likelihoods, log_p0: float) -> None:
    """To the rounding of logarithms of this size."""
    rounding = 4e-16 * (4 + abs(log_p0) + abs(float(family.log_w.max())) + math.log(len(family.log_w)))
    assert abs(exact_log_p(family) - mpf(log_p0)) <= rounding
    assert abs(family.log_p - log_p0) <= 2 * rounding


@pytest.mark.parametrize("log_p0", LOG_P0)
def test_every_family_has_the_p0_that_was_asked_for(log_p0: float):
    families = [
        bernoulli(log_p0),
        two_level(log_p0, log_p0 - 2.0, log_p0 / 2),
        two_level(log_p0, -np.inf, log_p0 / 3),
        beta(log_p0, 0.3, 50),
        beta(log_p0, 0.1, 1),
    ]
    if log_p0 < -1:
        families += [beta(log_p0, 3.0, 50), beta(log_p0, 1.0, 7), log_normal(log_p0, 0.5, 50)]
    if log_p0 < math.log(1e-3):
        families += [log_normal(log_p0, 3.0, 50), log_normal(log_p0, 1000.0, 50), log_normal(log_p0, 0.0, 3)]
        families += [token_answers(log_p0, 0.02, 150), token_answers(log_p0, 9.0, 1), token_answers(log_p0, 0.0, 5)]
    for family in families:
        assert_p0(family, log_p0)
        assert family.log_w.max() <= 0


@given(st.floats(-700, -1e-6), st.floats(1e-3, 50), st.floats(0, 1))
def test_two_levels_keep_their_mean(log_p0: float, below: float, above: float):
    family = two_level(log_p0, log_p0 - below, max(log_p0 * (1 - above), log_p0 / 2)) if above else bernoulli(log_p0)
    # The mean lies between its levels whatever the rounding of the prior, whose error their distance divides.
    assert abs(exact_log_p(family) - mpf(log_p0)) <= 1e-15 * (4 + 2 * abs(log_p0))


def test_answers_of_tokens_are_products_over_their_tokens():
    """All 2^L answers one by one, gathered by weight."""
    law, step = token_answers(-6.0, 0.49, 4), mpf("0.7")
    answers = [[(-1) ** (bits >> i & 1) for i in range(4)] for bits in range(16)]
    sums = [sum(signs) for signs in answers]
    mean = sum(mp.exp(step * s) for s in sums) / 16
    for z, total in enumerate((-4, -2, 0, 2, 4)):
        assert math.exp(law.log_prior[z]) == pytest.approx(sums.count(total) / 16, rel=1e-14)
        assert law.log_w[z] == pytest.approx(float(step * total - 6 - mp.log(mean)), rel=1e-14)


def test_bernoulli_is_hard():
    family = bernoulli(math.log(0.25))
    np.testing.assert_allclose(np.exp(family.log_prior), [0.25, 0.75], rtol=1e-15)
    assert family.log_w.tolist() == [0.0, -math.inf]


@pytest.mark.parametrize(("p0", "spread"), [(0.9, 0.3), (0.3, 1.2), (1e-3, 0.5), (1e-9, 2.0)])
def test_a_beta_cell_has_the_laws_mean_within_it(p0: float, spread: float):
    size = 5
    concentration = (1 - p0) / (p0 * spread**2) - 1
    law = stats.beta(p0 * concentration, (1 - p0) * concentration)
    # w as a function of its own quantile level has no singularity but at an end.
    cells = [
        integrate.quad(law.ppf, i / size, (i + 1) / size, epsabs=0, epsrel=1e-9, limit=200)[0] * size
        for i in range(size)
    ]
    np.testing.assert_allclose(np.exp(beta(math.log(p0), spread, size).log_w), cells, rtol=1e-6)


def test_the_beta_law_becomes_a_gamma_law_without_a_step():
    below, above = (beta(log_p0, 0.7, 20).log_w - log_p0 for log_p0 in (-32.001, -31.999))
    np.testing.assert_allclose(below, above, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_many_cells_have_the_spread_that_was_asked_for(spread: float):
    for log_p0 in (-2.0, -20.0, -400.0):
        relative = np.exp(beta(log_p0, spread, 4000).log_w - log_p0)
        assert relative.std() == pytest.approx(spread, rel=0.01)


def test_weights_that_underflow_beside_p0_are_zero():
    family = beta(-50.0, 100.0, 10)
    assert family.log_w[0] == -math.inf
    assert family.log_w[-1] == pytest.approx(-50 + math.log(10), rel=1e-12)
    widest = beta(-5000.0, 1e100, 4)
    assert widest.log_w.tolist()[:-1] == [-math.inf] * 3


def test_log_normal_weights_are_normal_quantiles():
    family = log_normal(-20.0, 2.5, 9)
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / 9) for i in range(9)])
    np.testing.assert_allclose(np.diff(family.log_w), 2.5 * np.diff(quantiles), rtol=1e-13)


@pytest.mark.parametrize("family", [bernoulli(-3.0), two_level(-3.0, -5.0, -1.0), beta(-3.0, 1.0, 6)])
def test_a_family_is_a_task(family: Likelihoods):
    task = FixedAnswers(family.log_w).task(family.log_prior)
    assert task.log_p == pytest.approx(-3.0, rel=1e-14)
    np.testing.assert_allclose(task.log_prior, family.log_prior, rtol=1e-14)
    # In the logits of the prior, grad log P is posterior - prior.
    np.testing.assert_allclose(task.score, task.posterior - np.exp(family.log_prior), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: bernoulli(0.0), ValueError, "log_p0 is 0.0: log p0 must be negative and finite"),
        (lambda: bernoulli(-math.inf), ValueError, "log_p0 is -inf: log p0 must be"),
        (lambda: bernoulli(True), TypeError, "log_p0 is True: pass a number"),
        (lambda: two_level(-3.0, -2.0, -1.0), ValueError, "log_low -2.0, log_p0 -3.0, log_high -1.0: log_low < log_p0"),
        (lambda: two_level(-3.0, -4.0, 0.5), ValueError, "log_high 0.5: log_low < log_p0 < log_high <= 0 is needed"),
        (lambda: two_level(-3.0, math.nan, 0.0), ValueError, "log_low nan"),
        (
            lambda: beta(math.log(0.5), 1.0, 4),
            ValueError,
            "spread is 1.0: a Beta law of this mean has one between 0 and 1",
        ),
        (lambda: beta(-3.0, 0.0, 4), ValueError, "spread is 0.0"),
        (lambda: beta(-3.0, 1.0, 0), ValueError, "size is 0: it must be at least 1"),
        (lambda: log_normal(-3.0, -1.0, 4), ValueError, "sigma is -1.0: it must be finite and at least 0"),
        (
            lambda: log_normal(-0.1, 1.0, 4),
            ValueError,
            "log_p0 is -0.1: with sigma 1.0 and size 4 it can be at most -0.",
        ),
        (lambda: token_answers(-9.0, -0.1, 4), ValueError, "variance is -0.1: it must be finite and at least 0"),
        (lambda: token_answers(-9.0, math.nan, 4), ValueError, "variance is nan"),
        (lambda: token_answers(-9.0, 0.1, 0), ValueError, "length is 0: it must be at least 1"),
        (
            lambda: token_answers(-0.1, 1.0, 4),
            ValueError,
            "log_p0 is -0.1: with variance 1.0 and length 4 it can be at most -2.26",
        ),
        (lambda: Likelihoods(np.zeros(1), np.zeros(2)), ValueError, r"log_w has shape \(2,\): log_prior's, \(1,\)"),
    ],
)
def test_bad_input(call: Callable[[], object], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()


def test_the_bound_that_log_normal_names_is_the_bound():
    with pytest.raises(ValueError, match="at most") as refusal:
        log_normal(-0.1, 1.0, 4)
    bound = float(str(refusal.value).rsplit(" ", 1)[1])
    assert log_normal(bound - 1e-5, 1.0, 4).log_w[-1] == pytest.approx(0, abs=2e-5)
