"""What the estimators are on average: exact expectations by enumeration, and one Monte Carlo check of the draws."""

import itertools
import math

import mp_reference as mp
import numpy as np
import pytest
from array_libraries import Library

from qtheory.estimators import dr_grpo, garl, grpo, maxrl, paft, paft_from_counts, pkpo, resample, rloo, sign, star

every_q = pytest.mark.parametrize("q", [0.0, 0.3, 0.75, 1.0])

# A latent model: prior, log-weights with two impossible rationales, and everything that M draws can give.
PRIOR = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
LOG_WEIGHTS = np.array([-np.inf, -3.0, -0.2, -np.inf, -30.0])
SAMPLES = 4
TUPLES = np.array(list(itertools.product(range(len(PRIOR)), repeat=SAMPLES)))
PROBABILITY = PRIOR[TUPLES].prod(-1)
# Scores of a softmax prior, one row a rationale: their mean under the prior is 0.
SCORES = np.eye(len(PRIOR)) - PRIOR


def expected_rationale_gradient(coefficients: np.ndarray) -> np.ndarray:
    """E (1/M) sum_m c_m grad log p(z_m|x), (Z,), for coefficients (pools, M) of the pools TUPLES."""
    return np.einsum("n,nm,nmz->z", PROBABILITY, coefficients, SCORES[TUPLES]) / SAMPLES


@every_q
@pytest.mark.parametrize("normalize", [False, True])
def test_the_baseline_leaves_the_expectation_alone(library: Library, q: float, normalize: bool):
    """Prop 6.2, exactly, over all M-tuples: impossible pools (where 0^0 = 1 at q = 1) included."""
    pools = library.array(LOG_WEIGHTS[TUPLES])
    with_baseline, without = (garl(pools, q, baseline=b, normalize=normalize) for b in ("loo", "none"))
    np.testing.assert_allclose(
        expected_rationale_gradient(library.numpy(with_baseline.rationale)),
        expected_rationale_gradient(library.numpy(without.rationale)),
        rtol=0,
        atol=1e-14,  # 625 pools of terms of order 1, summed in turn
    )
    assert np.array_equal(library.numpy(with_baseline.answer), library.numpy(without.answer))


def test_the_baseline_of_impossible_pools_matters_at_q_one():
    """Dropping it, as an implementation that skips such pools does, would bias the estimate."""
    coefficients = garl(LOG_WEIGHTS[TUPLES], 1.0).rationale
    impossible = LOG_WEIGHTS[TUPLES].max(-1) == -np.inf
    skipped = np.where(impossible[:, None], 0, coefficients)
    exact = expected_rationale_gradient(garl(LOG_WEIGHTS[TUPLES], 1.0, baseline="none").rationale)
    assert np.abs(expected_rationale_gradient(skipped) - exact).max() > 1e-3


@every_q
@pytest.mark.parametrize("k", [1, 3])
def test_paft_is_garl_on_average_over_its_draws(library: Library, q: float, k: int):
    """Prop D.3, exactly, over all K-tuples of drawn indices."""
    for log_w in ([-0.2, -3.0, -1.0, -np.inf], [-2000.0, -2001.0, -1999.5, -2003.0], [-np.inf] * 4, [-0.3]):
        size = len(log_w)
        weights = np.exp(np.array(log_w) - max(log_w)) if max(log_w) > -np.inf else np.ones(size)
        draws = np.array(list(itertools.product(range(size), repeat=k)))
        probability = (weights / weights.sum())[draws].prod(-1)
        counts = (draws[:, :, None] == np.arange(size)).sum(1)
        pools = library.array(np.tile(log_w, (len(draws), 1)))
        plug_in = garl(library.array(log_w), q, baseline="none", normalize=True)
        resampled = paft_from_counts(pools, q, library.array(counts), normalize=True)
        for ours, theirs in zip(resampled, plug_in, strict=True):
            mean = probability @ library.numpy(ours)
            np.testing.assert_allclose(mean, library.numpy(theirs), rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("k", [None, 2, 40])
def test_the_draws_follow_the_weights(library: Library, k: int | None):
    """z-scores of the mean counts of 20,000 pools drawn at a fixed seed."""
    log_w = np.array([-1.0, -np.inf, -1000.0, -0.1, -2.5, -np.inf])
    pools, draws = 20_000, k or len(log_w)
    counts = library.numpy(resample(library.array(np.tile(log_w, (pools, 1))), k, np.random.default_rng(12)))
    assert np.all(counts.sum(-1) == draws)
    share = np.exp(log_w) / np.exp(log_w).sum()
    assert np.all(counts[:, share == 0] == 0)
    drawn = share > 0
    z = (counts.mean(0) / draws - share)[drawn] / np.sqrt(share * (1 - share) / (draws * pools))[drawn]
    assert np.abs(z).max() < 3.5
    spread = counts.var(0)[drawn] / (draws * share * (1 - share))[drawn]
    np.testing.assert_allclose(spread, 1, atol=0.05)


def test_monte_carlo_paft_is_garl(library: Library):
    log_w, q = np.array([-1.0, -0.2, -2.0, -5.0]), 0.75
    pools = 40_000
    answers = library.numpy(paft(library.array(np.tile(log_w, (pools, 1))), q, rng=np.random.default_rng(4)).answer)
    exact = library.numpy(garl(library.array(log_w), q).answer)
    z = (answers.mean(0) - exact) / (answers.std(0) / math.sqrt(pools))
    assert np.abs(z).max() < 3.5


def test_the_edges_of_the_inverse_cdf():
    """The largest uniform finds the last possible index and 0 the first, through a generator of extremes."""

    class Extremes(np.random.Generator):
        def random(self, size: int) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
            return np.where(np.arange(size) % 2, 1 - 2.0**-53, 0.0)

    log_w = np.array([-np.inf, -0.3, -np.inf, -0.1, -0.7, -np.inf])
    assert resample(log_w, 10, Extremes(np.random.PCG64(0))).tolist() == [0, 5, 0, 0, 5, 0]


def amplification_of_j0(estimator, size: int, p: float, weights: bool = False) -> float:
    """E of the estimate over grad J_0, for 0/1 rewards of probability p: exact, over the binomial distribution.

    Given the rewards, the mean score of a success is grad P / P and that of a failure -grad P / (1 - P).
    """
    successes = np.arange(size + 1)
    reward = (np.arange(size) < successes[:, None]).astype(float)
    coefficients = estimator(np.where(reward == 1, 0.0, -np.inf) if weights else reward).rationale
    pmf = np.array([float(mp.binomial_pmf(int(k), size, p)) for k in successes])
    return float(pmf @ (coefficients * (reward / p - (1 - reward) / (1 - p))).mean(-1))


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 32])
class TestTargets:
    """The targets that the registry names, as factors on grad J_0 = -grad P."""

    def test_unbiased_for_j_0(self, p: float, size: int):
        assert amplification_of_j0(star, size, p) == pytest.approx(1, rel=1e-12)
        assert amplification_of_j0(rloo, size, p) == pytest.approx(1, rel=1e-12)
        assert amplification_of_j0(sign, size, p) == pytest.approx(2, rel=1e-12)
        assert amplification_of_j0(dr_grpo, size, p) == pytest.approx((size - 1) / size, rel=1e-12)

    def test_maxrl_truncates_j_1_at_order_m_minus_one(self, p: float, size: int):
        """d/dP of -sum over j = 1 .. M-1 of (1-P)^j / j; it tends to 1/P, and stays below M."""
        factor = amplification_of_j0(maxrl, size, p)
        assert factor == pytest.approx(sum((1 - p) ** (j - 1) for j in range(1, size)), rel=1e-12)
        assert factor < size

    @pytest.mark.parametrize("k", [1, 2, 8])
    def test_pkpo_descends_the_failure_of_k(self, p: float, size: int, k: int):
        """d/dP of -(1-P)^k."""
        k = min(k, size)
        factor = amplification_of_j0(lambda reward: pkpo(reward, k), size, p)
        assert factor == pytest.approx(k * (1 - p) ** (k - 1), rel=1e-12)

    @every_q
    def test_garl_on_hard_weights_amplifies_by_at_most_m_to_the_q(self, p: float, size: int, q: float):
        factor = amplification_of_j0(lambda log_w: garl(log_w, q), size, p, weights=True)
        assert factor <= size**q * (1 + 1e-12)
        tiny = amplification_of_j0(lambda log_w: garl(log_w, q), size, 1e-9, weights=True)
        assert tiny == pytest.approx(size**q, rel=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_grpo_descends_the_arccosine_of_the_square_root_of_p(p: float):
    """d/dP of -2 arccos(sqrt P) is 1/sqrt(P(1-P)); the finite-M factor falls short of it by O(1/M)."""
    step = 1e-6
    slope = (2 * math.acos(math.sqrt(p - step)) - 2 * math.acos(math.sqrt(p + step))) / (2 * step)
    sizes = (64, 128, 256)
    gaps = [1 - amplification_of_j0(grpo, size, p) / slope for size in sizes]
    rates = np.diff(np.log(gaps)) / np.diff(np.log(sizes))
    np.testing.assert_allclose(rates, -1, atol=0.08)
    assert gaps[-1] < 0.02
