"""Several examples on shared parameters, and noisy labels, against autograd and the paper's flow."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from qtheory.models import AngledSigmoids, Examples, NoisyLabels, Sigmoid, SoftmaxArms, Stacked, TwoHopChain

COSINES = np.array([[1.0, 0.5, -0.8], [0.5, 1.0, 0.0], [-0.8, 0.0, 1.0]])
LOG_P0 = np.array([-0.2, math.log(1e-6), math.log(1e-300)])
every_q = pytest.mark.parametrize("q", [0.0, 0.4, 1.0])


def chain_log_p(theta: Tensor) -> Tensor:
    """Three questions on two sources, two nodes and three answers."""
    first, second = theta[:4].reshape(2, 2).log_softmax(1), theta[4:].reshape(2, 3).log_softmax(1)
    return torch.stack([(first[s] + second[:, y]).logsumexp(0) for s, y in ((0, 2), (1, 2), (1, 0))])


def noisy_log_p(theta: Tensor) -> Tensor:
    return torch.stack([theta.log_softmax(0)[1], (1 - theta.softmax(0)[1]).log()])


CHAINS = Stacked([TwoHopChain(2, 2, 3, source=s, target=y) for s, y in ((0, 2), (1, 2), (1, 0))])
CASES = [
    pytest.param(CHAINS, chain_log_p, np.full(3, 1 / 3), id="chains"),
    pytest.param(NoisyLabels(SoftmaxArms(3, 1), 0.2), noisy_log_p, np.array([0.8, 0.2]), id="noisy"),
]


@every_q
@pytest.mark.parametrize(("examples", "log_p", "weights"), CASES)
def test_loss_and_gradient_agree_with_autograd(
    examples: Examples, log_p: Callable[[Tensor], Tensor], weights: np.ndarray, q: float
):
    def loss(theta: Tensor) -> Tensor:
        p = log_p(theta).exp()
        each = -p.log() if q == 1 else (1 - p ** (1 - q)) / (1 - q)
        return (torch.tensor(weights) * each).sum()

    points = np.random.default_rng(0).standard_normal((4, examples.dimension))
    gradients, scores = examples.gradient(points, q), examples.score(points)
    for at, value, gradient, score in zip(points, examples.loss(points, q), gradients, scores, strict=True):
        leaf = torch.tensor(at, requires_grad=True)
        expected = loss(leaf)
        np.testing.assert_allclose(value, expected.item(), rtol=1e-13)
        np.testing.assert_allclose(gradient, torch.autograd.grad(expected, leaf)[0].numpy(), rtol=1e-11, atol=1e-15)
        jacobian = torch.autograd.functional.jacobian(log_p, torch.tensor(at))
        assert isinstance(jacobian, Tensor)
        np.testing.assert_allclose(score, jacobian.numpy(), rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(examples.log_p(at), log_p(torch.tensor(at)).numpy(), rtol=1e-13)


class TestAngledSigmoids:
    examples = AngledSigmoids(COSINES, LOG_P0)

    def test_starts_are_at_theta_zero(self):
        np.testing.assert_allclose(self.examples.log_p(np.zeros(3)), LOG_P0, rtol=1e-14)

    def test_scores_are_at_the_given_angles_everywhere(self):
        for theta in 5 * np.random.default_rng(1).standard_normal((5, 3)):
            score = self.examples.score(theta)
            unit = score / np.linalg.norm(score, axis=1, keepdims=True)
            np.testing.assert_allclose(unit @ unit.T, COSINES, atol=1e-14)

    @every_q
    def test_loss_and_gradient_agree_with_autograd(self, q: float):
        """Of sigma of the offset plus the projection; the directions' angles are another test's."""
        directions, offsets = torch.tensor(self.examples.directions), torch.tensor(self.examples.offsets)
        for at in 3 * np.random.default_rng(2).standard_normal((4, 3)):
            leaf = torch.tensor(at, requires_grad=True)
            log_p = logsigmoid(directions @ leaf + offsets)
            loss = (-log_p if q == 1 else (1 - torch.exp((1 - q) * log_p)) / (1 - q)).mean()
            np.testing.assert_allclose(self.examples.loss(at, q), loss.item(), rtol=1e-13)
            expected = torch.autograd.grad(loss, leaf)[0].numpy()
            np.testing.assert_allclose(self.examples.gradient(at, q), expected, rtol=1e-11, atol=1e-15)

    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_equal_and_opposite_examples(self, sign: float):
        pair = AngledSigmoids(np.array([[1.0, sign], [sign, 1.0]]), np.array([-1.0, -1.0]))
        np.testing.assert_array_equal(pair.directions[1], sign * pair.directions[0])
        p0 = math.exp(-1.0)
        length = np.linalg.norm(pair.gradient(np.zeros(2), 0.0))
        assert length == pytest.approx(p0 * (1 - p0) if sign > 0 else 0, rel=1e-14, abs=1e-16)

    def test_equal_examples_among_others_stay_equal(self):
        """The eigenvalues that should be 0 are rounding, whose root would turn the vectors by 1e-8."""
        angles = np.array([0.3, 1.7, 0.3, 2.9, 1.7])
        cosines = np.cos(angles[:, None] - angles)
        directions = AngledSigmoids(cosines, np.full(5, -1.0)).directions
        np.testing.assert_allclose(directions[[2, 4]], directions[[0, 1]], atol=1e-14)
        np.testing.assert_allclose(directions @ directions.T, cosines, atol=1e-14)

    def test_many_points_at_once(self):
        theta = np.random.default_rng(3).standard_normal((2, 4, 3))
        gradient, loss = self.examples.gradient(theta, 0.3), self.examples.loss(theta, 0.3)
        assert gradient.shape == theta.shape
        np.testing.assert_allclose(gradient[1, 2], self.examples.gradient(theta[1, 2], 0.3), rtol=1e-14)
        np.testing.assert_allclose(loss[1, 2], self.examples.loss(theta[1, 2], 0.3), rtol=1e-14)


@pytest.mark.parametrize("theta", [-3.0, 0.5, 4.0])
@every_q
def test_contamination_moves_as_prop_c_2_says(theta: float, q: float):
    """dn/dt = -grad n . grad J along the flow is [e n^-q - (1-e)(1-n)^-q] p^2 ||s||^2."""
    flip, n = 0.1, 1 / (1 + math.exp(theta))
    p, score = 1 - n, n
    predicted = (flip * n**-q - (1 - flip) * (1 - n) ** -q) * p**2 * score**2
    velocity = -NoisyLabels(Sigmoid(), flip).gradient(np.array([theta]), q)
    np.testing.assert_allclose(-p * (1 - p) * velocity, [predicted], rtol=1e-12)


def test_contamination_far_below_the_rounding_of_p():
    noisy = NoisyLabels(Sigmoid(), 0.1)
    for log_n in (-40.0, math.log(1e-300)):
        log_p = noisy.log_p(np.array([-log_n]))
        np.testing.assert_allclose(log_p[1], log_n, rtol=1e-13)
        np.testing.assert_allclose(noisy.score(np.array([-log_n]))[1], -1, rtol=1e-12)


def test_noise_without_flips_is_the_model():
    theta = np.array([0.3, -0.2, 0.9])
    clean = SoftmaxArms(3, 1)
    for q in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(NoisyLabels(clean, 0.0).gradient(theta, q), clean.gradient(theta, q), rtol=1e-14)


def cosines(*entries: float) -> np.ndarray:
    return np.array(entries, dtype=float).reshape(2, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Stacked([]), ValueError, r"models have dimensions \[\]: examples that share parameters have one dim"),
        (lambda: Stacked([Sigmoid(), SoftmaxArms(2)]), ValueError, r"models have dimensions \[1, 2\]"),
        (lambda: NoisyLabels(Sigmoid(), 1.5), ValueError, r"flip_rate is 1.5: it must lie in \[0, 1\]"),
        (
            lambda: NoisyLabels(Sigmoid(), 0.1).score(np.array([800.0])),
            ValueError,
            "P rounds to 1, where the wrong label",
        ),
        (
            lambda: AngledSigmoids(cosines(1, 0.2, 0.3, 1), LOG_P0[:2]),
            ValueError,
            r"cosines\[0, 1\] is 0.2: it must equal",
        ),
        (
            lambda: AngledSigmoids(cosines(1, 0, 0, 2), LOG_P0[:2]),
            ValueError,
            r"diag\(cosines\)\[1\] is 2.0: a cosine with",
        ),
        (
            lambda: AngledSigmoids(cosines(1, 1.5, 1.5, 1), LOG_P0[:2]),
            ValueError,
            "cosines has the eigenvalue -0.5: no vec",
        ),
        (lambda: AngledSigmoids(COSINES, LOG_P0[:2]), ValueError, r"cosines has shape \(3, 3\): log_p0 has 2 examples"),
        (lambda: AngledSigmoids(COSINES, np.zeros(3)), ValueError, r"log_p0\[0\] is 0.0: log p0 must be negative"),
    ],
)
def test_bad_input(call: Callable[[], object], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
