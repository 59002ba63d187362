"""Laws of the debiased forms and of the baseline's multiplier: large pools, orders in M, sampling, refusals."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figures.exact.cases import random_task, task
from figures.exact.reference import SlowTask, enumerate_moments, plug_in, rloo
from qtheory.estimators import Coefficients, garl
from qtheory.exact import FORMS, Moments, baseline_multiplier, mean, moments, moments_of_tasks
from qtheory.models import FiniteTask
from qtheory.montecarlo import simulate

POOLS = 40_000


@pytest.mark.parametrize("form", ["jackknife", "delta", "u_series"])
@pytest.mark.parametrize("q", [0.3, 1.0])
@pytest.mark.parametrize("samples", [2, 8])
def test_the_estimators_that_train_have_these_moments(form: str, q: float, samples: int):
    example = random_task(np.random.default_rng(11), 6, 3)
    sampled = simulate(example, form, {"q": q, "baseline": "none"}, samples, POOLS, np.random.default_rng(12))
    exact = moments(example, q, samples, form)
    assert np.abs((sampled.mean - exact.mean) / sampled.mean_error).max() < 4
    assert abs(sampled.variance - exact.variance) < 4 * sampled.variance_error
    assert abs(sampled.second_moment - exact.second_moment) < 4 * sampled.second_moment_error


@pytest.mark.parametrize("form", ["jackknife", "delta"])
@pytest.mark.parametrize("log_w", [(-1.2, -0.3, -4.0), (0.0, -math.inf, -3.0)])
def test_the_corrected_bias_falls_as_one_over_m_squared(form: str, log_w: tuple[float, ...]):
    """Up to M = 10^6, where it is 10^-12 of the gradient and the slope still shows."""
    example, sizes = task((0.3, 0.5, 0.2), log_w), 10 ** np.arange(3, 7)
    for q in (0.25, 0.75, 1.0):
        bias = np.linalg.norm(moments(example, q, sizes, form).bias, axis=-1)
        if bias.max() < 1e-30 * np.linalg.norm(example.gradient(q)):  # hard weights at q = 1 have almost none
            continue
        slope = np.polyfit(np.log(sizes), np.log(bias), 1)[0]
        assert slope == pytest.approx(-2, abs=0.02)


def test_the_jackknife_s_mean_is_a_difference_of_the_plug_in_s():
    """E J_M = M E T_M - (M-1) E T_(M-1), for pools of any size."""
    example = random_task(np.random.default_rng(3), 6, 3)
    q, sizes = np.array([[0.0], [0.4], [1.0]]), np.array([2, 5, 1000])
    larger, smaller = moments(example, q, sizes), moments(example, q, sizes - 1)
    ours = moments(example, q, sizes, "jackknife")
    m = sizes[:, None]
    np.testing.assert_allclose(ours.mean, m * larger.mean - (m - 1) * smaller.mean, rtol=1e-11)
    np.testing.assert_allclose(ours.bias, m * larger.bias - (m - 1) * smaller.bias, atol=1e-13)


@pytest.mark.parametrize("form", ["jackknife", "delta"])
def test_the_corrections_vanish_without_amplification_and_in_single_draws(form: str):
    example = random_task(np.random.default_rng(4), 5, 2)
    for q, size in ((0.0, 7), (0.0, 10**6), (0.7, 1), (1.0, 1)):
        ours, plain = moments(example, q, size, form), moments(example, q, size)
        np.testing.assert_allclose(ours.bias, plain.bias, atol=1e-15)
        assert ours.variance == pytest.approx(float(plain.variance), rel=1e-13)


@pytest.mark.parametrize("form", ["jackknife", "delta"])
def test_the_corrections_cost_little_variance_in_large_pools(form: str):
    """Var/Var(plug-in) = 1 + O(1/M), whose difference from 1 must not be the rounding of a second moment."""
    example, sizes = random_task(np.random.default_rng(5), 5, 2), 10 ** np.arange(3, 7)
    excess = moments(example, 0.6, sizes, form).variance / moments(example, 0.6, sizes).variance - 1
    slope = np.polyfit(np.log(sizes), np.log(np.abs(excess)), 1)[0]
    assert slope == pytest.approx(-1, abs=0.02)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 9), st.integers(1, 50), st.floats(0, 1))
def test_only_products_of_scores_count(seed: int, rationales: int, dimension: int, size: int, q: float):
    """Rotated scores rotate the means and leave the variances."""
    rng = np.random.default_rng(seed)
    example = random_task(rng, rationales, dimension)
    turn = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
    turned = FiniteTask(example.log_prior, example.log_w, example.prior_score @ turn, example.answer_score @ turn)
    for form in ("jackknife", "delta", "u_series"):
        ours, theirs = moments(example, q, size, form), moments(turned, q, size, form)
        scale = math.sqrt(float(ours.second_moment))
        np.testing.assert_allclose(ours.mean @ turn, theirs.mean, atol=1e-13 * scale)
        assert ours.variance == pytest.approx(float(theirs.variance), abs=1e-12 * scale**2)


@pytest.mark.parametrize("q", [1e-6, 0.3, 0.8, 1.0])
@pytest.mark.parametrize(("prior", "size"), [(1e-12, 200), (1e-3, 200), (0.4, 200), (1 - 1e-6, 20)])
def test_the_u_series_mean_is_a_cut_off_series(q: float, prior: float, size: int):
    example = task((prior, 1 - prior), (0.0, -math.inf))
    with mpmath.workdps(250):
        p = mpmath.mpf(float(np.exp(example.log_prior[0])))
        p = p / (p + mpmath.mpf(float(np.exp(example.log_prior[1]))))
        kept = mpmath.fsum(mpmath.rf(q, k) / mpmath.factorial(k) * (1 - p) ** k for k in range(size))
        factor, rest = float(kept), float(p ** -mpmath.mpf(q) - kept)
    ours = moments(example, q, size, "u_series")
    np.testing.assert_allclose(ours.mean, factor * example.gradient(0.0), rtol=1e-12)
    np.testing.assert_allclose(ours.bias, -rest * example.gradient(0.0), rtol=1e-11)


class TestMultiplier:
    @pytest.mark.parametrize("log_w", [(-1.2, -0.3, -4.0), (0.0, -math.inf, -2.0), (-690.0, -0.1, -300.0)])
    @pytest.mark.parametrize("q", [0.0, 0.6, 1.0])
    def test_variances_over_all_pools(self, log_w: tuple[float, ...], q: float):
        """From the definition: plug-in + c (rloo - plug-in); the best c by the parabola through three of them."""
        example, size = task((0.3, 0.5, 0.2), log_w), 4
        slow = SlowTask(example)
        multipliers = np.array([-1.5, 0.0, 1.0, 7.0])
        variances = []
        for c in multipliers:

            def estimate(one: SlowTask, count: tuple[int, ...], order: object, c: float = c) -> np.ndarray:
                plain = plug_in(one, count, order)
                return plain + c * (rloo(one, count, order) - plain)

            variances.append(enumerate_moments(slow, q, size, estimate).variance)
        ours = moments(example, q, size, "rloo", multiplier=multipliers)
        np.testing.assert_allclose(ours.variance, variances, rtol=1e-11)
        a, b, _ = np.polyfit(multipliers[:3], variances[:3], 2)
        assert baseline_multiplier(example, q, size) == pytest.approx(-b / (2 * a), rel=1e-9)

    def test_it_is_the_least(self):
        example = random_task(np.random.default_rng(7), 6, 3)
        q, size = np.linspace(0, 1, 5)[:, None], np.array([2, 10, 1000])
        best = baseline_multiplier(example, q, size)
        assert best.shape == (5, 3)
        variance = moments(example, q, size, "rloo", multiplier=best).variance
        for c in (0.0, 1.0, best - 0.1, best + 0.1):
            assert np.all(moments(example, q, size, "rloo", multiplier=c).variance >= variance)

    def test_a_sampled_multiple(self):
        example = random_task(np.random.default_rng(8), 6, 3)

        def estimate(log_w: np.ndarray, c: float) -> Coefficients:
            plain, full = garl(log_w, 0.6, baseline="none"), garl(log_w, 0.6)
            return Coefficients(plain.rationale + c * (full.rationale - plain.rationale), plain.answer)

        c = float(baseline_multiplier(example, 0.6, 8))
        sampled = simulate(example, estimate, {"c": c}, 8, POOLS, np.random.default_rng(9))
        exact = moments(example, 0.6, 8, "rloo", multiplier=c)
        assert abs(sampled.variance - exact.variance) < 4 * sampled.variance_error

    def test_ends(self):
        example = random_task(np.random.default_rng(9), 4, 2)
        assert baseline_multiplier(example, 0.5, 1) == 0  # no baseline
        assert baseline_multiplier(example, np.zeros(0), 3).shape == (0,)
        plain, none = moments(example, 0.5, 9), moments(example, 0.5, 9, "rloo", multiplier=0.0)
        assert none.variance == plain.variance
        one, default = moments(example, 0.5, 9, "rloo", multiplier=1), moments(example, 0.5, 9, "rloo")
        assert one.variance == default.variance

    def test_refusals(self):
        example = random_task(np.random.default_rng(9), 4, 2)
        with pytest.raises(ValueError, match="only 'rloo' has a baseline"):
            moments(example, 0.5, 3, multiplier=2.0)
        with pytest.raises(ValueError, match=r"multiplier\[1\] is nan"):
            moments(example, 0.5, 3, "rloo", multiplier=np.array([1.0, math.nan]))
        with pytest.raises(TypeError, match="multiplier is 'best'"):
            moments(example, 0.5, 3, "rloo", multiplier="best")
        with pytest.raises(ValueError, match=r"q, M and multiplier have shapes \(2,\), \(\) and \(3,\)"):
            moments(example, np.array([0.1, 0.2]), 3, "rloo", multiplier=np.zeros(3))


@pytest.mark.parametrize("form", FORMS)
def test_tasks_are_a_leading_axis(form: str):
    """Tasks of different numbers of rationales."""
    rng = np.random.default_rng(10)
    tasks = [random_task(rng, rationales, 3) for rationales in (4, 7)]
    q, size = np.array([[0.2], [1.0]]), np.array([1, 3])
    grid = moments_of_tasks(tasks, q, size, form)
    assert grid.mean.shape == (2, 2, 2, 3)
    for i, example in enumerate(tasks):
        alone = moments(example, q, size, form)
        ours = Moments(grid.mean[i], grid.bias[i], grid.variance[i], grid.second_moment[i])
        for name in ("mean", "bias", "variance", "second_moment"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(alone, name))


def test_tasks_that_do_not_go_together():
    rng = np.random.default_rng(10)
    with pytest.raises(ValueError, match=r"tasks\[1\] has 2 parameters and tasks\[0\] 3"):
        moments_of_tasks([random_task(rng, 4, 3), random_task(rng, 4, 2)], 0.5, 3)
    with pytest.raises(ValueError, match="tasks is empty"):
        moments_of_tasks([], 0.5, 3)


def test_the_mean_alone():
    example = random_task(np.random.default_rng(12), 6, 3)
    q, size = np.linspace(0, 1, 5)[:, None], np.array([1, 10, 10**6])
    np.testing.assert_allclose(mean(example, q, size), moments(example, q, size).mean, rtol=1e-13)
    assert mean(example, np.zeros(0), 3).shape == (0, 3)


def test_the_u_series_refuses_large_pools():
    with pytest.raises(ValueError, match=r"M is 4097 with form 'u_series'.*at most 4096"):
        moments(random_task(np.random.default_rng(1), 3, 2), 0.5, np.array([3, 4097]), "u_series")
