"""Gradients of the surrogate loss against autograd of -log_q of an enumerated P."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from qtheory.estimators import Coefficients, garl, paft_from_counts, rb_rloo
from qtheory.estimators.garl import Baseline

every_q = pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.75, 1.0])


class LatentModel:
    """Three rationales from a softmax prior, each answering rightly with a probability of its own."""

    def __init__(self, prior: list[float]) -> None:
        self.logits = torch.tensor(prior, dtype=torch.float64).log().requires_grad_()
        self.answer_logits = torch.tensor([0.8, -1.5, -4.0], dtype=torch.float64, requires_grad=True)

    @property
    def log_prior(self) -> Tensor:
        return self.logits.log_softmax(0)

    @property
    def log_w(self) -> Tensor:
        return torch.nn.functional.logsigmoid(self.answer_logits)

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient (6,) of a loss in both groups of parameters."""
        return torch.cat(torch.autograd.grad(loss, [self.logits, self.answer_logits]))

    def exact_gradient(self, q: float) -> Tensor:
        """Autograd of l_q = (1 - P^(1-q))/(1-q), -log P at q = 1."""
        p = (self.log_prior.exp() * self.log_w.exp()).sum()
        return self.gradient(-p.log() if q == 1 else (1 - p ** (1 - q)) / (1 - q))

    def estimate(self, z_NM: Tensor, coefficients: Coefficients, probability_N: Tensor) -> Tensor:
        """The mean over pools z (N, M) of -(1/M) sum_m [ c_m grad log p(z_m) + a_m grad log p(y*|z_m) ]."""
        terms_NM = coefficients.rationale * self.log_prior[z_NM] + coefficients.answer * self.log_w[z_NM]
        return self.gradient(-(probability_N * terms_NM.mean(-1)).sum())


@every_q
def test_exact_when_the_pool_is_the_enumeration(q: float):
    """Each rationale as often as its prior says: the pool's mean weight is P, and the plug-in its gradient."""
    model = LatentModel([3 / 8, 1 / 8, 4 / 8])
    z_NM = torch.tensor([[0, 0, 0, 1, 2, 2, 2, 2]])
    log_w = model.log_w.detach()[z_NM]
    posterior_counts = 8 * log_w.softmax(-1)
    for coefficients in (garl(log_w, q, baseline="none"), paft_from_counts(log_w, q, posterior_counts)):
        estimate = model.estimate(z_NM, coefficients, torch.ones(1, dtype=torch.float64))
        torch.testing.assert_close(estimate, model.exact_gradient(q), rtol=1e-13, atol=1e-15)


def expectation(model: LatentModel, q: float, size: int, baseline: Baseline = "loo") -> Tensor:
    """The exact mean of GARL's gradient: over the compositions of M, with their multinomial probabilities."""
    pairs = [(a, b) for a, b in itertools.product(range(size + 1), repeat=2) if a + b <= size]
    counts_N3 = torch.tensor([(a, b, size - a - b) for a, b in pairs], dtype=torch.float64)
    z_NM = torch.stack([torch.repeat_interleave(torch.arange(3), counts.long()) for counts in counts_N3])
    log_pmf_N = math.lgamma(size + 1) - torch.lgamma(counts_N3 + 1).sum(-1)
    log_pmf_N = log_pmf_N + (counts_N3 * model.log_prior.detach()).sum(-1)
    coefficients = garl(model.log_w.detach()[z_NM], q, baseline=baseline)
    return model.estimate(z_NM, coefficients, log_pmf_N.exp())


@pytest.mark.parametrize("baseline", ["loo", "none"])
@pytest.mark.parametrize("q", [0.25, 0.5, 0.75, 1.0])
def test_the_bias_falls_as_one_over_m(q: float, baseline: Baseline):
    """Thm 6.1 by slope: the exact expectation approaches autograd's gradient at rate M^-1."""
    model = LatentModel([0.3, 0.45, 0.25])
    exact, sizes = model.exact_gradient(q), (16, 32, 64)
    bias = [float((expectation(model, q, size, baseline) - exact).norm()) for size in sizes]
    rates = np.diff(np.log(bias)) / np.diff(np.log(sizes))
    np.testing.assert_allclose(rates, -1, atol=0.1)
    assert abs(rates[-1] + 1) < abs(rates[0] + 1)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_q_zero_is_unbiased_at_every_m(size: int):
    model = LatentModel([0.3, 0.45, 0.25])
    torch.testing.assert_close(expectation(model, 0.0, size), model.exact_gradient(0.0), rtol=1e-13, atol=1e-15)
    log_w = model.log_w.detach()[None]
    assert torch.equal(rb_rloo(log_w).rationale, garl(log_w, 0.0).rationale)
