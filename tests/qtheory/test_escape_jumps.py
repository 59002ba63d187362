"""The law of the steps to escape: residues at up to 900 digits, its own equations, and pools drawn one by one."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import MPContext
from scipy.stats import expon, norm

from qtheory.escape import EscapeLaw, escape_law, jump


def by_residues(x: float, kappa: float, digits: int) -> list[float]:
    """Logs of density, cdf and survival of X: S(x) = sum_n a_n e^(-x r^-n), a_n = a_0 (-1)^n r^(n(n+1)/2)/(r; r)_n."""
    reals = MPContext()
    reals.dps = digits
    r, x = reals.exp(-reals.mpf(kappa)), reals.mpf(x)
    least = reals.mpf(10) ** -digits
    # 1/a_0 = (r; r), by Euler's pentagonal numbers.
    product, k, power = reals.one, 1, r
    while power > least:
        product += (-1) ** k * (power + power * r**k)
        k += 1
        power = r ** (k * (3 * k - 1) // 2)
    a, n_r, survival, density = 1 / product, reals.one, reals.zero, reals.zero
    while True:
        term = a * reals.exp(-x / n_r)
        survival, density = survival + term, density + term / n_r
        n_r *= r
        a *= -n_r / (1 - n_r)
        if abs(term) / n_r < least:
            return [float(reals.log(value)) for value in (density, 1 - survival, survival)]


@pytest.mark.parametrize(
    ("kappa", "digits", "shares"),
    [
        (30.0, 60, (1e-20, 1e-14, 1e-12, 1e-3, 0.5, 0.999, 1.001, 3.0, 40.0)),
        (5.0, 80, (1e-6, 0.006, 0.1, 0.99, 1.01, 2.0, 30.0)),
        (1.0, 150, (1e-3, 0.03, 0.5, 0.999, 1.001, 1.4, 6.0, 100.0)),
        (0.301, 150, (0.02, 0.3, 0.99, 1.01, 2.0, 20.0)),
        (0.299, 150, (0.02, 0.3, 0.99, 1.01, 2.0, 20.0)),
        (0.02, 250, (0.5, 1.05, 2.0)),
        (1e-3, 900, (1.1,)),
    ],
)
def test_density_and_tails_are_the_residues(kappa: float, digits: int, shares: tuple[float, ...]):
    law = EscapeLaw(1.0, kappa)
    times = law.mean() * np.array(shares)
    ours = np.stack([law.log_density(times), law.log_cdf(times), law.log_survival(times)], axis=-1)
    exact = [by_residues(float(x), kappa, digits) for x in times]
    np.testing.assert_allclose(ours, exact, rtol=1e-14, atol=2e-13)


@given(st.floats(-9, math.log10(700)), st.floats(-3, 3), st.floats(-14, 0))
def test_a_first_wait_and_then_a_shorter_copy(log10_kappa: float, deviation: float, log10_rate: float):
    """X = E + e^-kappa X': the density is F(x e^kappa) - F(x), of which the larger side is taken."""
    kappa = 10**log10_kappa
    law = EscapeLaw(10**log10_rate, kappa)
    time = float(law.mean() * np.exp(deviation * law.cv()))
    later = time * math.exp(min(kappa, 600.0))
    rise = np.exp(law.log_cdf(later)) - np.exp(law.log_cdf(time))
    fall = np.exp(law.log_survival(time)) - np.exp(law.log_survival(later))
    density = float(np.exp(law.log_density(time)) / law.rate)
    # The difference of two probabilities loses 1/sqrt(kappa) digits, and the law is known to 1e-15/kappa.
    slack = (1e-14 + 1e-15 / kappa) / density
    assert density == pytest.approx(float(rise if deviation < 0 else fall), rel=1e-10 + slack)


def test_the_limits_are_the_exponential_and_the_normal():
    law = EscapeLaw(1e-12, [700.0, 1e-8])
    assert law.mean() == pytest.approx([1e12, 1e20])
    assert law.cv() == pytest.approx([1, math.sqrt(5e-9)])
    levels = np.array([1e-12, 0.2, 0.7, 1 - 1e-12])
    times = law.quantile(levels[:, None])
    np.testing.assert_allclose(times[:, 0], expon.ppf(levels) * 1e12, rtol=1e-12)
    np.testing.assert_allclose((times[:, 1] / 1e20 - 1) / math.sqrt(5e-9), norm.ppf(levels), atol=2e-3)


@pytest.mark.parametrize("kappa", [1e-3, 0.1, 2.0, 30.0])
def test_quantiles_invert_the_cdf_on_both_sides(kappa: float):
    law = EscapeLaw([1e-12, 0.01], kappa)
    low, high = np.array([1e-200, 1e-9, 0.1, 0.4])[:, None], np.array([0.6, 0.9, 1 - 1e-9])[:, None]
    np.testing.assert_allclose(law.log_cdf(law.quantile(low)), np.log(low) + np.zeros(2), rtol=1e-11)
    np.testing.assert_allclose(law.log_survival(law.quantile(high)), np.log1p(-high) + np.zeros(2), rtol=1e-11)


def test_at_the_ends():
    law = EscapeLaw(0.1, 2.0)
    assert law.log_cdf(0.0) == -math.inf
    assert law.log_density(0.0) == -math.inf
    assert law.log_survival(0.0) == 0
    assert law.log_survival(1e6) == pytest.approx(-1e5, rel=1e-5)
    assert law.log_cdf(1e6) == 0
    assert law.log_laplace(0.0) == 0
    assert EscapeLaw(np.ones((2, 1)), np.ones(3)).log_cdf(np.ones((4, 1, 1))).shape == (4, 2, 3)
    assert EscapeLaw(1.0, 1.0).quantile([]).shape == (0,)


@pytest.mark.parametrize("kappa", [1e-8, 1e-3, 1.0, 30.0])
def test_far_out_the_tail_is_that_of_the_first_wait(kappa: float):
    law = EscapeLaw(1.0, kappa)
    far = 1e10 + 700 * float(law.mean())
    near, beyond = law.log_survival(far * np.array([1 - 1e-4, 1 + 1e-4]))
    assert near - beyond == pytest.approx(2e-4 * far, rel=1e-9)
    assert law.log_density(2 * far) == law.log_survival(2 * far)


@pytest.mark.parametrize("kappa", [1e-3, 0.2, 0.4, 4.0])
def test_the_transforms_slopes_are_mean_and_variance(kappa: float):
    law = EscapeLaw(0.01, kappa)
    step = 1e-2 / float(law.mean() * law.cv())
    low, middle, high = law.log_laplace(step * np.array([-1.0, 0.0, 1.0]))
    mean, variance = (low - high) / (2 * step), (low - 2 * middle + high) / step**2
    assert mean == pytest.approx(float(law.mean()), rel=1e-4)
    assert math.sqrt(variance) / mean == pytest.approx(float(law.cv()), rel=1e-3)


@pytest.mark.parametrize(("q", "kappa"), [(0.0, 0.4), (0.5, 1.5), (1.0, 6.0)])
def test_every_draw_of_every_pool(q: float, kappa: float):
    """Log P climbs by lr wbar^(1-q) a step where P = e^theta, all of the M draws drawn."""
    rng, runs, samples, p0, slope = np.random.default_rng(3), 1500, 4, 2e-4, 1.3
    lr = kappa * samples ** (1 - q) / slope**2
    log_p, steps = np.full(runs, math.log(p0)), np.zeros(runs)
    while (running := log_p < math.log(0.3)).any():
        right = (rng.random((int(running.sum()), samples)) < np.exp(log_p[running])[:, None]).mean(-1)
        log_p[running] += slope * lr * np.where(right > 0, right ** (1 - q), 0) * slope
        steps[running] += 1
    law = escape_law(p0, q, samples, lr, slope)
    assert abs(steps.mean() - law.mean()) < 4 * steps.std() / math.sqrt(runs)
    for level in (0.1, 0.5, 0.9):
        share = (steps <= law.quantile(level)).mean()
        assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / runs)


def test_jumps():
    assert jump(0.5, 16, 0.3, 2.0) == pytest.approx(0.3)
    assert jump([0.0, 1.0], 10, 0.1) == pytest.approx([0.01, 0.1])
    law = escape_law([1e-6, 1e-3], 1.0, 8, 0.1)
    np.testing.assert_allclose(law.rate, [8e-6, 8e-3])
    np.testing.assert_allclose(law.kappa, 0.1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: EscapeLaw(0.0, 1.0), ValueError, r"rate is 0\.0: it must be positive and finite"),
        (lambda: EscapeLaw(1.0, [1.0, 1e-10]), ValueError, r"kappa\[1\] is 1e-10: pass at least 1e-09"),
        (lambda: EscapeLaw([1.0, 2.0], [1.0, 1.0, 1.0]), ValueError, r"rate and kappa have shapes \(2,\) and \(3,\)"),
        (lambda: EscapeLaw("1", 1.0), TypeError, r"rate is '1', a str"),
        (lambda: EscapeLaw(1.0, 1.0).log_cdf(-1.0), ValueError, r"steps is -1\.0: it must be non-negative"),
        (lambda: EscapeLaw(1e-300, 1.0).log_cdf(0.5), ValueError, r"steps is 0\.5: pass 0, or at least 1e-300/rate"),
        (lambda: EscapeLaw(1.0, 1.0).quantile(1.0), ValueError, r"level is 1\.0: pass a probability strictly"),
        (lambda: EscapeLaw(2.0, 1.0).log_laplace(-2.0), ValueError, r"s is -2\.0: pass s above -rate"),
        (lambda: jump(0.5, 0, 0.1), ValueError, "samples is 0: it must be at least 1"),
        (lambda: jump(1.5, 8, 0.1), ValueError, r"q is 1\.5: q must lie in \[0, 1\]"),
        (lambda: jump(0.5, 8, 0.0), ValueError, r"lr is 0\.0: it must be positive"),
        (lambda: jump(0.5, 8, 0.1, math.inf), ValueError, "score_norm is inf: it must be positive"),
        (lambda: escape_law(1.0, 0.5, 8, 0.1), ValueError, r"p0 is 1\.0: pass a probability strictly"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
