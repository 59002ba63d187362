"""Tempered weights and off-policy draws: laws of `alpha` and `log_ratio`, against mpmath and all pools."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import mp_reference as mp
import numpy as np
import pytest
import torch
from array_libraries import Library
from estimator_cases import LOG_W
from mpmath import mpf

from qtheory.estimators import ESTIMATORS, Coefficients, garl, paft, paft_from_counts, resample

RATIO = np.random.default_rng(8).normal(0.0, 3.0, LOG_W.shape)
RATIO[[0, 2, 7], [1, 4, 0]] = -np.inf
RATIO[3] += 400  # to where exp leaves the floats' middle
SMALLEST = np.finfo(float).smallest_normal

every_q = pytest.mark.parametrize("q", [0.0, 0.3, 0.75, 1.0])
every_alpha = pytest.mark.parametrize("alpha", [1.0, 0.4])


@every_q
@every_alpha
@pytest.mark.parametrize("baseline", ["loo", "none"])
def test_garl_agrees_with_mpmath(library: Library, q: float, alpha: float, baseline: Any):
    ours = garl(library.array(LOG_W), q, baseline=baseline, alpha=alpha, log_ratio=library.array(RATIO))
    rationale, answer = (library.numpy(part) for part in ours)
    for row, (log_w, ratio) in enumerate(zip(LOG_W.tolist(), RATIO.tolist(), strict=True)):
        reward, others = mp.garl_terms(log_w, q, alpha, ratio)
        for m, (term, base) in enumerate(zip(reward, others, strict=True)):
            base = base if baseline == "loo" else mpf(0)
            assert abs(mpf(float(answer[row, m])) - term) <= 1e-14 * max(term, SMALLEST)
            assert abs(mpf(float(rationale[row, m])) - (term - base)) <= 1e-14 * max(term + base, SMALLEST)


@every_q
@pytest.mark.parametrize("normalize", [False, True])
def test_paft_agrees_with_mpmath(library: Library, q: float, normalize: bool):
    counts = np.random.default_rng(2).integers(0, 4, LOG_W.shape)
    arrays = (library.array(LOG_W), q, library.array(counts))
    answer = library.numpy(paft_from_counts(*arrays, normalize=normalize, log_ratio=library.array(RATIO)).answer)
    for row, (log_w, ratio) in enumerate(zip(LOG_W.tolist(), RATIO.tolist(), strict=True)):
        # wbar^(1-q) is the mean of the reward terms.
        scale = mp.mpf(sum(mp.garl_terms(log_w, q, 1.0, ratio)[0])) / 6 ** mpf(q if normalize else 0)
        for m, n in enumerate(counts[row]):
            exact = scale * int(n) / max(int(counts[row].sum()), 1)
            assert abs(mpf(float(answer[row, m])) - exact) <= 2e-14 * max(exact, SMALLEST)


@every_q
def test_paft_draws_by_the_reweighted_weights(library: Library, q: float):
    log_w, ratio = np.array([-1.0, -3.0, -2.0, -np.inf]), np.array([-2.0, 3.0, -np.inf, 1.0])
    share = np.exp(log_w + ratio) / np.exp(log_w + ratio).sum()
    pools, rng = 4000, np.random.default_rng(5)
    tiled = [library.array(np.tile(row, (pools, 1))) for row in (log_w, ratio)]
    counts = library.numpy(resample(tiled[0], 2, rng, log_ratio=tiled[1])).sum(0)
    assert np.all(counts[share == 0] == 0)
    z = (counts - 2 * pools * share)[:2] / np.sqrt(2 * pools * share * (1 - share))[:2]
    assert np.abs(z).max() < 3.5
    weights, ratios = library.array(log_w), library.array(ratio)
    drawn = paft(weights, q, k=2, rng=np.random.default_rng(1), log_ratio=ratios)
    again = resample(weights, 2, np.random.default_rng(1), log_ratio=ratios)
    expected = paft_from_counts(weights, q, again, log_ratio=ratios)
    assert np.array_equal(library.numpy(drawn.answer), library.numpy(expected.answer))


@every_q
def test_nothing_changes_at_power_one_and_ratio_one(library: Library, q: float):
    pools, zeros = library.array(LOG_W), library.array(np.zeros_like(LOG_W))
    plain = garl(pools, q)
    for other in (garl(pools, q, alpha=1.0), garl(pools, q, alpha=1), garl(pools, q, log_ratio=zeros)):
        for ours, theirs in zip(other, plain, strict=True):
            assert np.array_equal(library.numpy(ours), library.numpy(theirs))
    seeds = [np.random.default_rng(3) for _ in range(2)]
    drawn, again = paft(pools, q, rng=seeds[0]), paft(pools, q, rng=seeds[1], log_ratio=zeros)
    assert np.array_equal(library.numpy(drawn.answer), library.numpy(again.answer))


@every_q
def test_a_common_ratio_is_a_common_factor(library: Library, q: float):
    """A factor c on all weights is c^(1-q) on the answers, and c^(2-q) on the baseline."""
    pools, factor = LOG_W[[0, 1, 8, 10]], math.exp(1.7)
    ratio = library.array(np.full_like(pools, 1.7))
    plain, scaled = garl(library.array(pools), q), garl(library.array(pools), q, log_ratio=ratio)
    answer, rationale = (library.numpy(part) for part in (scaled.answer, scaled.rationale))
    np.testing.assert_allclose(answer, factor ** (1 - q) * library.numpy(plain.answer), rtol=1e-13)
    baseline = library.numpy(plain.answer) - library.numpy(plain.rationale)
    np.testing.assert_allclose(answer - rationale, factor ** (2 - q) * baseline, rtol=1e-11)


def test_weights_that_differ_by_less_than_their_logarithms_rounding_are_not_equal(library: Library):
    """Log w + log_ratio rounds to one float for both: what it loses is 5e-13 of a weight."""
    log_w, ratio = [-9000.1, -9000.1], [0.0, 5e-13]
    answer = library.numpy(garl(library.array(log_w), 1.0, log_ratio=library.array(ratio)).answer)
    exact = mp.garl_terms(log_w, 1.0, 1.0, ratio)[0]
    assert all(abs(mpf(float(ours)) - term) <= 1e-15 for ours, term in zip(answer, exact, strict=True))


def test_a_power_that_float32_rounds_is_taken_in_full(library: Library):
    """0.4 is off by 6e-9 there, which log w = -10000 would make 6e-5 of a weight."""
    log_w, ratio = [-10000.0, -10010.0, -9990.0], [4000.0, 4001.0, 3998.0]
    arrays = (library.array(values, "float32") for values in (log_w, ratio))
    answer = library.numpy(garl(next(arrays), 0.0, baseline="none", alpha=0.4, log_ratio=next(arrays)).answer)
    exact = [float(term) for term in mp.garl_terms(log_w, 0.0, 0.4, ratio)[0]]
    np.testing.assert_allclose(answer, exact, rtol=2e-6)


def test_hard_weights_are_their_own_powers(library: Library):
    hard = library.array([[0.0, -np.inf, 0.0, -np.inf], [-np.inf] * 4])
    for ours, theirs in zip(garl(hard, 0.6, alpha=0.3), garl(hard, 0.6), strict=True):
        assert np.array_equal(library.numpy(ours), library.numpy(theirs))


# A latent model, another distribution to draw from, and everything that M draws can give.
PRIOR, MU = np.array([0.4, 0.25, 0.2, 0.1, 0.05]), np.array([0.1, 0.3, 0.2, 0.25, 0.15])
WEIGHTS = np.array([-np.inf, -3.0, -0.2, -np.inf, -30.0])
TUPLES = np.array(list(itertools.product(range(5), repeat=4)))
CHANCE, SCORES = MU[TUPLES].prod(-1), np.eye(5) - PRIOR
LOG_RATIO = (np.log(PRIOR) - np.log(MU))[TUPLES]


def mean_on_rationales(coefficients: Coefficients) -> np.ndarray:
    return np.einsum("n,nm,nmz->z", CHANCE, coefficients.rationale, SCORES[TUPLES]) / 4


@every_q
@every_alpha
def test_the_ratio_makes_the_baseline_s_mean_0(q: float, alpha: float):
    """Prop 6.2 off policy (QC-13), exactly over all pools of mu; without the ratio on the baseline it fails."""
    with_it, without = (
        garl(WEIGHTS[TUPLES], q, baseline=baseline, alpha=alpha, log_ratio=LOG_RATIO) for baseline in ("loo", "none")
    )
    np.testing.assert_allclose(mean_on_rationales(with_it), mean_on_rationales(without), rtol=0, atol=1e-14)
    assert np.array_equal(with_it.answer, without.answer)
    bare = (without.rationale - with_it.rationale) / np.exp(LOG_RATIO)
    wrong = Coefficients(without.rationale - bare, without.answer)
    assert np.abs(mean_on_rationales(wrong) - mean_on_rationales(without)).max() > 1e-3


def test_the_registry_knows_who_takes_a_ratio():
    assert [name for name, e in ESTIMATORS.items() if e.takes_log_ratio] == ["garl", "paft"]
    assert "log_ratio" not in ESTIMATORS["garl"].parameters
    assert ESTIMATORS["garl"].parameters["alpha"].default == 1.0


def with_ratio(log_ratio: Any) -> Callable[[], Coefficients]:
    return lambda: garl(np.array([-1.0, -2.0]), 0.5, log_ratio=log_ratio)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (with_ratio(np.array([0.0, np.nan])), ValueError, r"log_ratio\[1\] is nan: a log-ratio must be below inf"),
        (with_ratio(np.array([np.inf, 0.0])), ValueError, r"log_ratio\[0\] is inf: a log-ratio must be below inf"),
        (with_ratio(np.zeros(3)), ValueError, r"log_ratio has shape \(3,\): it must be log_w's, \(2,\)"),
        (with_ratio([0.0, 0.0]), TypeError, r"log_ratio is \[0\.0, 0\.0\], a list: pass a numpy, torch"),
        (with_ratio(torch.zeros(2)), TypeError, "log_ratio is of type Tensor and log_w of type ndarray"),
        (with_ratio(np.array([0, 1])), TypeError, "log_ratio has dtype int64: pass float32 or float64"),
        (lambda: garl(torch.zeros(2), 0.5, log_ratio=torch.zeros(2, requires_grad=True)), ValueError, "requires grad"),
        (lambda: garl(np.zeros(2), 0.5, alpha=0.0), ValueError, r"alpha is 0\.0: the power of the weights must lie in"),
        (lambda: garl(np.zeros(2), 0.5, alpha=1.5), ValueError, r"alpha is 1\.5"),
        (lambda: garl(np.zeros(2), 0.5, alpha=math.nan), ValueError, "alpha is nan"),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
