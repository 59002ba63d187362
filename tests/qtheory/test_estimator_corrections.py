"""The bias-corrected estimators beyond the laws: q by pool, poles, small and large pools, and exact means."""

from collections.abc import Callable

import mp_reference as mp
import numpy as np
import pytest
from array_libraries import Library
from estimator_cases import LOG_W
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from qtheory.claims.support.enumerated import compositions, enumerated
from qtheory.estimators import Coefficients, delta, garl, jackknife, u_series
from qtheory.models import SigmoidAnswers

CORRECTIONS = [jackknife, delta, u_series]
every_correction = pytest.mark.parametrize("estimator", CORRECTIONS, ids=lambda one: one.__name__)
Estimator = Callable[..., Coefficients]


@every_correction
@pytest.mark.parametrize("baseline", ["loo", "none"])
def test_one_q_per_pool(library: Library, estimator: Estimator, baseline: str):
    orders = np.linspace(0, 1, len(LOG_W))
    together = estimator(library.array(LOG_W), library.array(orders), baseline=baseline)
    for row, q in enumerate(orders):
        alone = estimator(library.array(LOG_W[row]), float(q), baseline=baseline)
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(library.numpy(one)[row], library.numpy(other), rtol=1e-13, atol=1e-15)


@every_correction
@pytest.mark.parametrize("q", [0.0, 0.4, 1.0])
def test_special_pools(library: Library, estimator: Estimator, q: float):
    """At q = 0 they are GARL, in a pool of one the weight's power (the U-series: the weight), 0 where w is 0."""
    finite = np.maximum(LOG_W, -700)
    np.testing.assert_allclose(
        library.numpy(estimator(library.array(finite), 0.0).answer), np.exp(finite), rtol=1e-14, atol=1e-15
    )
    single = -3.0 if estimator is u_series else -3.0 * (1 - q)
    for part in estimator(library.array([-3.0]), q):
        np.testing.assert_allclose(library.numpy(part), np.exp(single), rtol=1e-14)
    assert np.all(library.numpy(estimator(library.array(LOG_W), q).answer)[np.isneginf(LOG_W)] == 0)


@every_correction
def test_equal_weights_need_no_correction_but_the_series_cut(estimator: Estimator):
    log_w, q = np.full(6, -2.0), 0.75
    answer = estimator(log_w, q, baseline="none").answer
    if estimator is u_series:
        exact = sum(float(mp.rf(q, k) / mp.factorial(k)) * (1 - np.exp(-2)) ** k for k in range(6)) * np.exp(-2)
    else:
        exact = garl(log_w, q, baseline="none").answer[0]
    np.testing.assert_allclose(answer, exact, rtol=1e-14)


@every_correction
def test_an_unknown_baseline(estimator: Estimator):
    with pytest.raises(ValueError, match="baseline is 'LOO': choose one of loo, none"):
        estimator(np.array([-1.0, -2.0]), 0.5, baseline="LOO")


def test_the_jackknife_of_a_large_pool_with_one_dominating_weight():
    """Every leave-one-out sum of 3000 weights between 1 and e^-10000 against mpmath."""
    rng = np.random.default_rng(4)
    log_w = -rng.exponential(3.0, 3000) * np.where(rng.random(3000) < 0.3, 1000, 1) - 20
    log_w[:3] = 0.0, -10000.0, -np.inf
    w = [mp.weight(float(x)) for x in log_w]
    q, total, size = mpf(0.75), sum(w), len(w)
    without = [mp.power((total - x) / (size - 1), -q) for x in w[1:]]
    without = [mp.power(sum(w[1:]) / (size - 1), -q), *without]
    sum_without, whole = sum(without), mp.power(total / size, -q)
    answer = jackknife(log_w, 0.75, baseline="none").answer
    for m in [0, 1, 2, *rng.choice(size, 40)]:
        exact = w[m] * (size * whole - sum_without + without[m])
        scale = w[m] * (whole + abs(without[0] - whole) * (m > 0))
        assert abs(mpf(float(answer[m])) - exact) <= 1e-14 * max(scale, np.finfo(float).smallest_normal)


@given(
    log_w=st.lists(st.floats(-30, 0), min_size=1, max_size=8),
    q=st.floats(0, 1),
)
def test_the_series_lies_between_reinforce_and_the_cut_amplification(log_w: list[float], q: float):
    """w_m <= a_m <= w_m sum_(k<M) (q)_k/k!."""
    answer, w = u_series(np.array(log_w), q).answer, np.exp(np.array(log_w))
    most = sum(float(mp.rf(mpf(q), k) / mp.factorial(k)) for k in range(len(log_w)))
    assert np.all(answer >= w * (1 - 1e-14))
    assert np.all(answer <= w * most * (1 + 1e-14))


@every_correction
@pytest.mark.parametrize("q", [0.3, 1.0])
def test_the_baseline_leaves_the_expectation_alone(estimator: Estimator, q: float):
    task = SigmoidAnswers(3).task(np.array([0.3, -0.4, 1.0, 0.5, -2.0, -5.0]))
    with_it, without = (enumerated(task, estimator, 4, q, baseline=name).mean for name in ("loo", "none"))
    np.testing.assert_allclose(with_it, without, rtol=0, atol=1e-14)


def test_compositions():
    found = compositions(5, 3)
    assert len({tuple(row) for row in found.tolist()}) == len(found) == 21
    assert np.all(found.sum(1) == 5)
    assert compositions(4, 1).tolist() == [[4]]
