"""Moments on tempered weights and on draws from another distribution: against sums over all pools, at the extremes."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from qtheory.claims.own.qc_13 import shifted, squared_error, stale, unweighted
from qtheory.estimators import Coefficients, delta, garl, jackknife
from qtheory.exact import REWEIGHTED, best_alpha, moments, reweighted_moments
from qtheory.models import FiniteTask, FixedAnswers

RNG = np.random.default_rng(0)
PRIOR, MU = RNG.dirichlet(np.ones(4)), RNG.dirichlet(np.ones(4))
LOG_W = np.array([-0.3, -2.0, -0.7, -np.inf])
H = RNG.normal(size=(4, 3))
H -= PRIOR @ H
ANSWER = RNG.normal(size=(4, 3))
TASK = FiniteTask(np.log(PRIOR), LOG_W, H, ANSWER)

every_q = pytest.mark.parametrize("q", [0.0, 0.3, 0.75, 1.0])


def over_all_pools(coefficients: Any, mu: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Mean (d,) and variance of estimates from coefficients that are a function of indices (N, M)."""
    pools = np.array(list(itertools.product(np.flatnonzero(mu), repeat=size)))
    rationale, answer = coefficients(pools)
    estimates = np.einsum("nm,nmd->nd", rationale, H[pools]) + np.einsum("nm,nmd->nd", answer, ANSWER[pools])
    chance, estimates = mu[pools].prod(-1), -estimates / size
    mean = chance @ estimates
    return mean, float(chance @ ((estimates - mean) ** 2).sum(-1))


@every_q
@pytest.mark.parametrize("alpha", [1.0, 0.4])
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("multiplier", [None, 0.6])
def test_garl_over_all_pools(q: float, alpha: float, size: int, multiplier: float | None):
    for form, baseline in (("plugin", "none"), ("rloo", "loo")):
        given = multiplier if form == "rloo" else None

        def coefficients(pools: np.ndarray, baseline: Any = baseline, factor: float = given or 1.0) -> Coefficients:
            ratio = np.log(PRIOR / MU)[pools]
            return garl(LOG_W[pools], q, baseline=baseline, alpha=alpha, log_ratio=ratio, multiplier=factor)

        mean, variance = over_all_pools(coefficients, MU, size)
        ours = reweighted_moments(TASK, q, size, form, alpha=alpha, log_mu=np.log(MU), multiplier=given)
        np.testing.assert_allclose(ours.mean, mean, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(ours.bias, mean - TASK.gradient(q), rtol=1e-11, atol=1e-13)
        assert ours.variance == pytest.approx(variance, rel=1e-10)
        assert ours.second_moment == pytest.approx(variance + mean @ mean, rel=1e-10)


@every_q
@pytest.mark.parametrize(("form", "estimator"), [("jackknife", jackknife), ("delta", delta)])
def test_the_corrections_over_all_pools(q: float, form: str, estimator: Any):
    """They are of degree 1 - q in the weights: in units that keep (pi/mu) w at or below 1 the estimators take them."""
    log_v = LOG_W + np.log(PRIOR / MU)
    top = log_v.max()

    def coefficients(pools: np.ndarray) -> Coefficients:
        return estimator(log_v[pools] - top, q, baseline="none")

    mean, variance = over_all_pools(coefficients, MU, 4)
    ours = reweighted_moments(TASK, q, 4, form, log_mu=np.log(MU))
    np.testing.assert_allclose(ours.mean, math.exp((1 - q) * top) * mean, rtol=1e-11, atol=1e-13)
    assert ours.variance == pytest.approx(math.exp(2 * (1 - q) * top) * variance, rel=1e-9)


@every_q
def test_paft_is_the_plug_in_and_its_resampling(q: float):
    plain, drawn = (reweighted_moments(TASK, q, 3, form, log_mu=np.log(MU)) for form in ("plugin", "paft"))
    np.testing.assert_array_equal(plain.mean, drawn.mean)
    assert drawn.variance > plain.variance


@every_q
@pytest.mark.parametrize("form", REWEIGHTED)
def test_the_model_itself_is_a_special_case(q: float, form: str):
    for log_mu in (None, np.log(PRIOR)):
        ours = reweighted_moments(TASK, q, np.array([2, 9]), form, log_mu=log_mu)
        plain = moments(TASK, q, np.array([2, 9]), form)
        np.testing.assert_allclose(ours.mean, plain.mean, rtol=1e-13)
        np.testing.assert_allclose(ours.bias, plain.bias, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(ours.variance, plain.variance, rtol=1e-12)


@every_q
def test_what_is_estimated_within_a_support(q: float):
    """The gradient of l_q at P_S, the success through the rationales that mu draws."""
    inside = np.array([True, False, True, True])
    mu = np.where(inside, PRIOR, 0) / PRIOR[inside].sum()
    with np.errstate(divide="ignore"):
        ours = reweighted_moments(TASK, q, 10**6, log_mu=np.log(mu))
    weight = (PRIOR * np.exp(LOG_W))[inside]
    exact = -(weight.sum() ** -q) * (weight @ (H + ANSWER)[inside])
    np.testing.assert_allclose(ours.mean, exact, rtol=1e-5)
    np.testing.assert_allclose(ours.mean - ours.bias, TASK.gradient(q), rtol=1e-12)
    few = over_all_pools(
        lambda pools: garl(LOG_W[pools], q, baseline="none", log_ratio=np.log(PRIOR / np.where(inside, mu, 1))[pools]),
        mu,
        3,
    )
    with np.errstate(divide="ignore"):
        ours = reweighted_moments(TASK, q, 3, log_mu=np.log(mu))
    np.testing.assert_allclose(ours.mean, few[0], rtol=1e-12)
    assert ours.variance == pytest.approx(few[1], rel=1e-11)


@pytest.mark.parametrize("shift", [0.0, -300.0, -600.0])
def test_tiny_weights_and_huge_ratios(shift: float):
    """A rationale that mu hardly draws brings a ratio of e^500; units of the weights change nothing but the scale."""
    prior = np.array([0.25, 0.25, 0.5])
    log_mu = np.array([math.log(0.5), math.log(0.5), -500.0])
    log_w = np.array([-1.0, -2.0, -1.5])
    base, moved = (
        reweighted_moments(FixedAnswers(w).task(np.log(prior)), 0.3, 8, log_mu=log_mu) for w in (log_w, log_w + shift)
    )
    np.testing.assert_allclose(moved.mean, math.exp(0.7 * shift) * base.mean, rtol=1e-11)
    assert moved.variance == pytest.approx(math.exp(1.4 * shift) * base.variance, rel=1e-9)


@pytest.mark.parametrize(("rho", "cost"), [(0.3, 1e-4), (1.0, 1e-4), (3.0, 0.01)])
def test_at_a_small_spread_of_scores_the_ratio_costs_next_to_nothing(rho: float, cost: float):
    """Squared errors at q = 1 beside those without the ratio, from pools of one draw to pools of 40 successes."""
    task, x = shifted(rho)
    for drift in (0.1, 0.4, 0.8):
        log_mu = stale(task, x, drift)
        relative = [
            squared_error(reweighted_moments(task, 1.0, size, log_mu=log_mu))
            / squared_error(unweighted(task, log_mu, 1.0, size))
            for size in (1, 64, 256, 512, 1024, 8192)
        ]
        assert max(relative) <= 1 + cost
        assert relative[-1] < 0.95


class TestBestAlpha:
    def errors(self, alpha: float, rescaled: bool) -> float:
        """The relative squared error at q = 1, from all pools of three draws."""
        mean, variance = over_all_pools(lambda pools: garl(LOG_W[pools], 1.0, baseline="none", alpha=alpha), PRIOR, 3)
        exact = TASK.gradient(1.0)
        if rescaled:
            return float(1 - (mean @ exact) ** 2 / (exact @ exact * (variance + mean @ mean)))
        return float((np.sum((mean - exact) ** 2) + variance) / (exact @ exact))

    @pytest.mark.parametrize("rescaled", [False, True])
    def test_no_power_is_better(self, rescaled: bool):
        best = best_alpha(TASK, 3, rescaled=rescaled)
        assert best.shape == ()
        least = min(self.errors(float(alpha), rescaled) for alpha in np.linspace(0.01, 1, 100))
        assert self.errors(float(best), rescaled) <= least + 1e-12

    def test_many_draws_need_no_tempering(self):
        assert best_alpha(TASK, [3, 10**6]).shape == (2,)
        assert best_alpha(TASK, 10**6) > 0.999

    def test_a_model_without_a_gradient_is_refused(self):
        with pytest.raises(ValueError, match=r"grad log P is 0: .*; pass a task with a score"):
            best_alpha(FiniteTask(np.log(PRIOR), LOG_W, np.zeros((4, 1)), np.zeros((4, 1))), 3)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"form": "u_series"}, "unknown form 'u_series'; "),
        ({"form": "grpo"}, "unknown form 'grpo'; "),
        ({"alpha": 1.2}, r"alpha is 1\.2: the power of the weights must lie in \(0, 1\]"),
        ({"log_mu": np.log([0.5, 0.2, 0.2, 0.2])}, r"log_mu sums to 1\.1: subtract 0\.0953.* to normalise it"),
        ({"log_mu": np.full(3, -1.0)}, r"log_mu has shape \(3,\): \(4,\), one a rationale, is needed"),
        ({"log_mu": np.array([-np.inf] * 3 + [0.0])}, "mu draws impossible rationales alone"),
        (
            {"log_mu": np.array([0.0] + [-np.inf] * 3), "form": "rloo"},
            r"log_mu\[1\] is -inf: the baseline's mean is 0 only where mu can draw all .*; use form 'plugin'",
        ),
        ({"multiplier": 2.0}, "multiplier is 2.0 with form 'plugin'"),
    ],
)
def test_refusals(keywords: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        reweighted_moments(TASK, 0.5, 3, **keywords)
