"""The M-sample bound, JEPO and the log-probability rewards: exact gradients of what they descend, and their poles."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import mp_reference as mp
import numpy as np
import pytest
import torch
from array_libraries import Library
from estimator_cases import LOG_W, POSSIBLE
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qtheory.estimators import Coefficients, bound, garl, jepo, logprob, logprob_mean, rb_rloo

every_q = pytest.mark.parametrize("q", [0.0, 0.3, 0.75, 1.0])


def expected_gradients(
    estimator: Callable[[Tensor], Coefficients], loss: Callable[[Tensor], Tensor], size: int
) -> tuple[Tensor, Tensor]:
    """The mean of an estimate over all pools of M, and autograd of E[loss(log w of the pool)], (6,) each.

    Three rationales of a softmax prior, one of which gives the answer with a probability of e^-600.
    """
    prior = torch.tensor([0.2, -1.0, 0.5], dtype=torch.float64, requires_grad=True)
    answer = torch.tensor([1.0, -600.0, -3.0], dtype=torch.float64, requires_grad=True)
    z_NM = torch.tensor(list(itertools.product(range(3), repeat=size)))
    log_prior_NM, log_w_NM = prior.log_softmax(0)[z_NM], torch.nn.functional.logsigmoid(answer)[z_NM]
    probability_N = log_prior_NM.sum(-1).exp()
    coefficients = estimator(log_w_NM.detach())
    surrogate_N = (coefficients.rationale * log_prior_NM + coefficients.answer * log_w_NM).mean(-1)
    estimate = torch.autograd.grad(-(probability_N.detach() * surrogate_N).sum(), [prior, answer], retain_graph=True)
    exact = torch.autograd.grad((probability_N * loss(log_w_NM)).sum(), [prior, answer])
    return torch.cat(estimate), torch.cat(exact)


def minus_log_q_of_the_mean(log_w: Tensor, q: float) -> Tensor:
    log_mean = log_w.logsumexp(-1) - math.log(log_w.shape[-1])
    return -log_mean if q == 1 else (1 - ((1 - q) * log_mean).exp()) / (1 - q)


@every_q
@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_bound_is_unbiased_for_the_mean_of_log_q(q: float, size: int):
    estimate, exact = expected_gradients(partial(bound, q=q), partial(minus_log_q_of_the_mean, q=q), size)
    torch.testing.assert_close(estimate, exact, rtol=1e-13, atol=1e-13 * float(exact.abs().max()))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_log_probabilities_are_unbiased_for_their_mean(size: int):
    estimate, exact = expected_gradients(logprob, lambda log_w: -log_w.mean(-1), size)
    torch.testing.assert_close(estimate, exact, rtol=1e-12, atol=1e-13 * float(exact.abs().max()))
    estimate, shorter = expected_gradients(partial(logprob_mean, answer_length=4.0), lambda w: -w.mean(-1) / 4, size)
    torch.testing.assert_close(estimate, shorter, rtol=1e-12, atol=1e-13 * float(exact.abs().max()))


def test_special_cases(library: Library):
    log_w = library.array(LOG_W)
    for ours, theirs in zip(bound(log_w, 0.0), rb_rloo(log_w), strict=True):
        np.testing.assert_allclose(library.numpy(ours), library.numpy(theirs), rtol=1e-13, atol=1e-15)
    possible = library.array(POSSIBLE)
    for ours, theirs in zip(jepo(possible), bound(possible, 1.0), strict=True):
        assert np.array_equal(library.numpy(ours), library.numpy(theirs))
    single = library.array(POSSIBLE.reshape(-1, 1))
    for ours, theirs in zip(jepo(single), logprob(single), strict=True):
        assert np.array_equal(library.numpy(ours), library.numpy(theirs))
    for q in (0.0, 0.4):
        answers = library.numpy(bound(log_w, q).answer)
        np.testing.assert_array_equal(answers, library.numpy(garl(log_w, q).answer))
    impossible = bound(library.array(np.full((2, 1), -np.inf)), 0.5)
    assert library.numpy(impossible.rationale).tolist() == [[-2.0]] * 2
    assert library.numpy(impossible.answer).tolist() == [[0.0]] * 2


@pytest.mark.parametrize("q", [0.0, 0.3, 0.75, 1 - 1e-6])
@pytest.mark.parametrize("size", [2, 3, 64])
def test_one_success_among_failures_has_m_to_the_q_over_one_minus_q(library: Library, q: float, size: int):
    log_w = np.full(size, -np.inf)
    log_w[1] = 0.0
    rationale = library.numpy(bound(library.array(log_w), q).rationale)
    np.testing.assert_allclose(rationale[1], size**q / (1 - q), rtol=1e-13)
    # Leaving a failure out raises the mean.
    exact = float(size * (mp.log_q(mp.mpf(1) / size, q) - mp.log_q(mp.mpf(1) / (size - 1), q)))
    np.testing.assert_allclose(np.delete(rationale, 1), exact, rtol=1e-12)


@every_q
@pytest.mark.parametrize("size", [2, 5, 64])
def test_on_weights_of_like_size_it_is_garl_times_m_over_m_less_q(q: float, size: int):
    """To first order in the spread; on 0/1 weights the factor is 1/(1-q), which M does not lower."""
    log_w = -600 + 1e-6 * np.linspace(-1, 1, size) ** 3
    ours, theirs = bound(log_w, q).rationale, garl(log_w, q).rationale
    np.testing.assert_allclose(ours, size / (size - q) * theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("q", [0.5, 1.0])
def test_a_large_pool_of_like_weights_keeps_the_digits_of_their_differences(library: Library, q: float):
    """The factor M would show the rounding of a logarithm a thousand times over."""
    log_w = np.random.default_rng(8).normal(-50, 0.3, 1000)
    rationale = library.numpy(bound(library.array(log_w), q).rationale)
    w = [mp.weight(float(x)) for x in log_w]
    mean = sum(w) / len(w)
    for m in range(0, len(w), 50):
        others = (sum(w) - w[m]) / (len(w) - 1)
        exact = len(w) * (mp.log_q(mean, q) - mp.log_q(others, q))
        assert abs(mp.mpf(float(rationale[m])) - exact) <= 1e-14 * (w[m] + others) / mean**q


def test_what_all_log_probabilities_have_in_common_is_not_rounded(library: Library):
    log_w = [-9000.3, -9000.1, -9000.7, -9000.2, -9000.9, -9000.4]
    exact = mp.less_the_others(log_w)
    for ours, theirs in zip(library.numpy(logprob(library.array(log_w)).rationale), exact, strict=True):
        assert abs(mp.mpf(float(ours)) - theirs) < 1e-15


@pytest.mark.parametrize("gap", [10.0, 100.0, 10_000.0])
def test_jepo_grows_with_the_log_of_the_ratio(library: Library, gap: float):
    size = 16
    rationale = library.numpy(jepo(library.array([0.0, *[-gap] * (size - 1)])).rationale)
    least = size * (gap - math.log(size))
    assert least <= rationale[0] <= least + size * size * math.exp(-gap)


def test_one_q_and_one_length_a_pool(library: Library):
    orders, lengths = np.linspace(0, 1, len(POSSIBLE)), np.arange(1.0, len(POSSIBLE) + 1)
    together = bound(library.array(POSSIBLE), library.array(orders))
    means = logprob_mean(library.array(POSSIBLE), answer_length=lengths)
    for row, (q, length) in enumerate(zip(orders, lengths, strict=True)):
        pool = library.array(POSSIBLE[row])
        for whole, alone in ((together, bound(pool, float(q))), (means, logprob_mean(pool, answer_length=length))):
            for ours, theirs in zip(whole, alone, strict=True):
                np.testing.assert_allclose(library.numpy(ours)[row], library.numpy(theirs), rtol=1e-13, atol=1e-300)


@given(
    log_w=st.lists(st.floats(-690, 0), min_size=2, max_size=8),
    q=st.one_of(st.floats(0, 1), st.sampled_from([1.0, 1 - 1e-9])),
)
def test_a_coefficient_is_a_slope_between_the_two_means(log_w: list[float], q: float):
    """c_m = (w_m - wbar_(-m))/u^q with a u between wbar and wbar_(-m)."""
    values, w = np.array(log_w), [mp.weight(x) for x in log_w]
    rationale = bound(values, q).rationale
    for m in range(len(w)):
        mean, others = sum(w) / len(w), sum(w[:m] + w[m + 1 :]) / (len(w) - 1)
        steepest, flattest = (edge(mean, others) ** mp.mpf(-q) for edge in (min, max))
        rounding = 1e-14 * (w[m] + others) * steepest
        ends = sorted(((w[m] - others) * flattest, (w[m] - others) * steepest))
        assert ends[0] - rounding <= float(rationale[m]) <= ends[1] + rounding


@pytest.mark.parametrize("estimator", [jepo, logprob, partial(logprob_mean, answer_length=3), partial(bound, q=1.0)])
def test_an_impossible_answer_has_no_logarithm(library: Library, estimator: Callable[..., Coefficients]):
    with pytest.raises(ValueError, match=r"log_w\[1, 0\] is -inf: .* clip log_w to a finite value"):
        estimator(library.array([[-1.0, -2.0], [-np.inf, -3.0]]))


def test_an_impossible_answer_matters_only_at_the_q_of_one(library: Library):
    pools = library.array([[-1.0, -np.inf], [-1.0, -2.0]])
    assert np.all(np.isfinite(library.numpy(bound(pools, library.array([0.5, 1.0])).rationale)))
    with pytest.raises(ValueError, match=r"log_w\[0, 1\] is -inf: at q = 1"):
        bound(pools, library.array([1.0, 0.5]))


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (0, "answer_length is 0.0: an answer must have at least one token"),
        (math.inf, "answer_length is inf: an answer must have at least one token, and finitely many"),
        ([3, math.nan], r"answer_length\[1\] is nan: an answer must have at least one token"),
        ([1, 2, 3], r"answer_length has shape \(3,\): one length a pool is needed, so at most \(2,\)"),
        ("3", "answer_length is '3', a str: pass a number or an array of numbers"),
    ],
)
def test_lengths_out_of_range(length: object, message: str):
    with pytest.raises((TypeError, ValueError), match=message):
        logprob_mean(np.full((2, 3), -1.0), answer_length=length)
