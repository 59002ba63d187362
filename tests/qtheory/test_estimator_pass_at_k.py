"""PKPO, on rewards and on likelihoods, and the sign estimator: what they descend, by enumeration."""

import itertools
import math
from functools import partial

import mp_reference as mp
import numpy as np
import pytest
import torch
from array_libraries import Library
from estimator_cases import LOG_W, REWARD

from qtheory.estimators import pkpo, rb_pkpo, sign, star

every_k = pytest.mark.parametrize("k", [1, 2, 4])


@every_k
def test_special_cases(library: Library, k: int):
    reward = library.array(REWARD)
    accepted = library.numpy(star(reward).answer)
    assert np.array_equal(library.numpy(pkpo(reward, 1).answer), accepted)
    assert np.array_equal(library.numpy(sign(reward).answer), 2 * accepted - 1)
    np.testing.assert_allclose(library.numpy(rb_pkpo(library.array(LOG_W), 1).answer), np.exp(LOG_W), rtol=1e-14)
    hard = library.array(np.where(REWARD == 1, 0.0, -np.inf))
    ours, theirs = rb_pkpo(hard, k).answer, pkpo(reward, k).answer
    np.testing.assert_allclose(library.numpy(ours), library.numpy(theirs), rtol=1e-14)


@every_k
def test_likelihoods_are_the_mean_over_sampled_answers(k: int):
    log_w = np.array([-0.3, -2.0, -1e-3, -9.0])
    answers = np.array(list(itertools.product([0.0, 1.0], repeat=len(log_w))))
    chance = np.where(answers == 1, np.exp(log_w), -np.expm1(log_w)).prod(-1)
    np.testing.assert_allclose(rb_pkpo(log_w, k).rationale, chance @ pkpo(answers, k).rationale, rtol=1e-13)


@every_k
@pytest.mark.parametrize("size", [4, 5])
def test_the_likelihoods_estimate_is_the_gradient_of_pass_at_k(k: int, size: int):
    """Autograd of (1-P)^k of an enumerated P, over all pools; M >= k does not matter otherwise."""
    prior = torch.tensor([0.2, -1.0, 0.5], dtype=torch.float64, requires_grad=True)
    answer = torch.tensor([1.0, -0.5, -7.0], dtype=torch.float64, requires_grad=True)
    log_prior, log_w = prior.log_softmax(0), torch.nn.functional.logsigmoid(answer)
    z_NM = torch.tensor(list(itertools.product(range(3), repeat=size)))
    c = rb_pkpo(log_w.detach()[z_NM], k)
    probability_N = log_prior.detach()[z_NM].sum(-1).exp()
    surrogate = -(probability_N * (c.rationale * log_prior[z_NM] + c.answer * log_w[z_NM]).mean(-1)).sum()
    estimate = torch.autograd.grad(surrogate, [prior, answer], retain_graph=True)
    exact = torch.autograd.grad((1 - (log_prior + log_w).exp().sum()) ** k, [prior, answer])
    torch.testing.assert_close(torch.cat(estimate), torch.cat(exact), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("k", [1, 3, 8, 32])
@pytest.mark.parametrize("size", [32, 33])
def test_a_right_answer_counts_where_it_is_the_only_one(library: Library, k: int, size: int):
    """With c right answers, k C(M-c, k-1)/C(M-1, k-1), in whole numbers."""
    right = np.arange(size + 1)[:, None]
    reward = (np.arange(size) < right).astype(float)
    exact = np.array([[k * math.comb(size - int(c), k - 1) / math.comb(size - 1, k - 1)] for c in right[:, 0]])
    ours = library.numpy(pkpo(library.array(reward), k).rationale)
    np.testing.assert_allclose(ours, exact * reward, rtol=1e-13)


def test_tiny_likelihoods(library: Library):
    """1e-300 among others: what is left of the sets is a factor, and the weight's own digits stay."""
    log_w = [math.log(1e-300), math.log(0.5), math.log(1e-200), math.log(0.25)]
    answer = library.numpy(rb_pkpo(library.array(log_w), 2).answer)
    np.testing.assert_allclose(answer[[0, 2]], [2e-300 * 2.25 / 3, 2e-200 * 2.25 / 3], rtol=1e-13)


def test_likelihoods_near_one_keep_the_digits_of_their_complements(library: Library):
    log_w = [-1e-12, -3e-12, -7e-13]
    first = library.numpy(rb_pkpo(library.array(log_w), 3).answer)[0]
    assert abs(mp.mpf(float(first)) / mp.alone(log_w, 3)[0] - 1) < 1e-14


@pytest.mark.slow
@pytest.mark.parametrize("k", [8, 1000])
def test_likelihoods_of_a_large_pool(k: int):
    """Two of 1000 samples with weights down to e^-10000, against elementary symmetric polynomials in mpmath."""
    size, rng = 1000, np.random.default_rng(9)
    log_w = -rng.exponential(3.0, size) * np.where(rng.random(size) < 0.3, 1000, 1) - 1e-3
    log_w[:2] = -1e-3, -10000.0
    w = [mp.weight(float(x)) for x in log_w]
    answer = rb_pkpo(log_w, k).answer
    for m in (0, int(np.argsort(log_w)[size // 2])):
        sums = [mp.mpf(1)] + [mp.mpf(0)] * (k - 1)
        for fail in (1 - w[n] for n in range(size) if n != m):
            for j in range(k - 1, 0, -1):
                sums[j] += fail * sums[j - 1]
        exact = k * w[m] * sums[k - 1] / mp.binomial(size - 1, k - 1)
        assert abs(mp.mpf(float(answer[m])) / exact - 1) <= 1e-14


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (3, ValueError, "k is 3: a pool of M = 2 holds no set of 3 samples; pass at most 2"),
        (0, ValueError, "k is 0: it must be at least 1"),
        (2.0, TypeError, "k is 2.0: pass an integer of at least 1"),
        (True, TypeError, "k is True: pass an integer of at least 1"),
    ],
)
def test_sets_of_a_wrong_size(k: int, error: type[Exception], message: str):
    for estimator, pool in ((pkpo, [0.0, 1.0]), (rb_pkpo, [-1.0, -2.0])):
        with pytest.raises(error, match=message):
            estimator(np.array(pool), k)


def test_rewards_between_right_and_wrong(library: Library):
    for estimator in (partial(pkpo, k=1), sign):
        with pytest.raises(ValueError, match=r"reward\[1\] is 0.5: this estimator needs rewards of 0 or 1"):
            estimator(library.array([0.0, 0.5]))
