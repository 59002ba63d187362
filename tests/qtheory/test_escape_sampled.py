"""Escape at finite M: the pool's mean power against binomial sums, and QC-1's exponents by slope."""

import math
from typing import Any

import numpy as np
import pytest
from mpmath import binomial, mp, mpf, quad

from qtheory.escape import hard_time, mean_power, sigmoid_time, soft_time
from qtheory.estimators import garl

Q = (0.0, 0.25, 0.5, 1.0)


def by_binomial_sum(p, levels, q, samples):
    """E[wbar^(1-q)] for two weights, the second of probability p."""
    with mp.workdps(30):
        p, (low, high) = mpf(p), (mpf(x) for x in levels)
        total = mpf(0)
        for k in range(samples + 1):
            mean = (k * high + (samples - k) * low) / samples
            power = mean ** (1 - mpf(q)) if mean else mpf(0)  # a pool of zeros has update 0 at every q
            total += binomial(samples, k) * p**k * (1 - p) ** (samples - k) * power
        return total


@pytest.mark.parametrize("q", Q)
@pytest.mark.parametrize("samples", [1, 2, 7, 64])
@pytest.mark.parametrize("levels", [(0.0, 1.0), (1e-300, 1.0), (1e-6, 0.3), (0.2, 0.9)])
def test_mean_power_is_the_binomial_sum(levels, samples, q):
    p = np.array([1e-300, 1e-6, 0.1, 0.9])
    means = mean_power(np.stack([1 - p, p], axis=-1), levels, q, samples)
    expected = [float(by_binomial_sum(one, levels, q, samples)) for one in p]
    np.testing.assert_allclose(means, expected, rtol=1e-12)


def test_mean_power_of_a_million_draws_is_that_of_their_mean():
    # The delta method: E[wbar^a] = P^a (1 - a(1-a)/2 CV^2/M + O(M^-2)).
    mean, squared, samples, power = 0.35, 0.5 * (0.1**2 + 0.6**2), 10**6, 0.75
    correction = power * (1 - power) / 2 * (squared / mean**2 - 1) / samples
    assert mean_power([0.5, 0.5], [0.1, 0.6], 1 - power, samples) == pytest.approx(
        mean**power * (1 - correction), rel=1e-11
    )


@pytest.mark.parametrize("q", Q)
def test_mean_power_is_the_mean_update_of_garls_own_coefficients(q):
    # With hard weights and one score s = 1 the plug-in is the mean of GARL's unbaselined coefficients.
    rng, samples, p, pools = np.random.default_rng(0), 8, 0.15, 40_000
    hits = rng.random((pools, samples)) < p
    updates = garl(np.where(hits, 0.0, -math.inf), q, baseline="none").answer.mean(-1)
    error = updates.std(ddof=1) / math.sqrt(pools)
    assert abs(updates.mean() - mean_power([1 - p, p], [0.0, 1.0], q, samples)) < 4 * error


@pytest.mark.parametrize("q", [0.25, 1.0])
@pytest.mark.parametrize("p0", [1e-6, 1e-2])
def test_hard_time_is_the_integral_of_the_mean_field(p0, q):
    samples, delta = 16, 0.7
    with mp.workdps(15):
        ends = [mp.log(mpf(u) / (1 - mpf(u))) for u in (p0, delta)]

        def inverse_speed(x):
            p = 1 / (1 + mp.e**-x)
            return 1 / ((1 - p) * by_binomial_sum(p, (0, 1), q, samples))

        expected: Any = quad(inverse_speed, [ends[0], (ends[0] + ends[1]) / 2, ends[1]], method="gauss-legendre")
    assert hard_time(p0, delta, q, samples) == pytest.approx(float(expected), rel=1e-11)


def test_hard_time_has_the_exact_flow_as_its_limits():
    p0, q = np.array([1e-300, 1e-12, 0.2])[:, None], np.array(Q)
    np.testing.assert_allclose(hard_time(p0, 0.6, q, 1), sigmoid_time(p0, 0.6, 0.0) + 0 * q, rtol=1e-12)
    np.testing.assert_allclose(hard_time(p0, 0.6, 0.0, 32), sigmoid_time(p0, 0.6, 0.0), rtol=1e-12)
    assert hard_time(0.3, 0.3, 0.5, 8) == 0
    many = hard_time(np.array([[0.05], [0.2]]), 0.6, q, 10**7) / sigmoid_time(np.array([[0.05], [0.2]]), 0.6, q)
    assert ((many >= 1 - 1e-12) & (many < 1 + 1e-5)).all()


@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("samples", [1, 8, 32, 1024])
def test_hard_weights_bring_the_exponent_back_to_minus_one(samples, q):
    # QC-1: for P << 1/M at every q, with the amplification saturated at M^q.
    p0 = np.array([1e-12, 1e-11])
    times = hard_time(p0, 0.5, q, samples)
    slope = np.diff(np.log(times)) / np.diff(np.log(p0))
    # At q = 1 the part of the path above 1/M adds of order M p0 log(1/p0).
    assert slope == pytest.approx([-1.0], abs=1e-7)
    assert times[0] * p0[0] == pytest.approx(samples**-q, rel=1e-6)


@pytest.mark.parametrize("q", [0.0, 0.25, 0.5])
def test_soft_weights_and_many_draws_keep_the_exponent(q):
    p0 = np.array([1e-12, 1e-11])
    law = {"prior": [0.7, 0.3], "relative": [0.4, 2.4]}
    for times in (soft_time(p0, 0.3, q, 4, **law), hard_time(np.array([1e-6, 1e-5]), 0.5, q, 10**10)):
        assert np.diff(np.log(times)) / math.log(10) == pytest.approx([-(1 - q)], abs=2e-3)


def test_soft_time_is_the_exact_time_over_the_mean_power_of_relative_weights():
    q, law = np.array(Q), {"prior": [0.7, 0.3], "relative": [0.4, 2.4]}
    factor = [float(by_binomial_sum(0.3, (0.4, 2.4), one, 5)) for one in Q]
    np.testing.assert_allclose(soft_time(1e-8, 0.3, q, 5, **law), sigmoid_time(1e-8, 0.3, q) / factor, rtol=1e-12)
    assert factor[0] == pytest.approx(1)  # q = 0 is unbiased
    assert soft_time(1e-8, 0.3, 1.0, 5, **law) == pytest.approx(sigmoid_time(1e-8, 0.3, 1.0))  # and so is P^0


def test_bad_arguments_are_refused():
    samples: Any
    for samples, error in ((0, ValueError), (2.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="samples is"):
            hard_time(1e-3, 0.5, 0.5, samples)
    with pytest.raises(ValueError, match=r"relative has mean 1\.5 under the prior: divide it by that"):
        soft_time(1e-3, 0.3, 0.5, 4, prior=[0.5, 0.5], relative=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"delta times the largest relative weight is 1\.2"):
        soft_time(1e-3, 0.8, 0.5, 4, prior=[0.5, 0.5], relative=[0.5, 1.5])
    with pytest.raises(ValueError, match=r"prior has shape \(2,\) and w \(3,\)"):
        mean_power([0.5, 0.5], [0.1, 0.2, 0.3], 0.5, 4)
    with pytest.raises(ValueError, match=r"the sum of prior is 1\.1: its last axis must sum to 1"):
        mean_power([0.5, 0.6], [0.1, 0.2], 0.5, 4)
    with pytest.raises(ValueError, match=r"w\[0\] is -0\.5: a weight must be non-negative and finite"):
        mean_power([0.5, 0.5], [-0.5, 0.5], 0.5, 4)
    for w, message in (
        ([1e-310, 0.5], r"w\[0\] is 1e-310: pass 0, or a weight of at least 1e-305"),
        ([0.5, 1e308], r"w\[1\] is 1e\+308: the sum of 4 such weights is no float"),
    ):
        with pytest.raises(ValueError, match=message):
            mean_power([0.5, 0.5], w, 0.5, 4)
    assert mean_power([0.5, 0.5], [0.0, 0.0], 0.5, 4) == 0
