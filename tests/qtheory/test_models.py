"""Models of one example against torch autograd of their definitions, finite differences and mpmath."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import mp_reference as mp
import numpy as np
import pytest
import torch
from mpmath import mpf
from torch import Tensor
from torch.nn.functional import logsigmoid

from qtheory.models import (
    FixedAnswers,
    LatentModel,
    Model,
    Sigmoid,
    SigmoidAnswers,
    SoftmaxAnswers,
    SoftmaxArms,
    TwoHopChain,
    bernoulli,
)

FIXED = np.array([-0.5, -40.0, -np.inf, 0.0])


@dataclass(frozen=True)
class Definition:
    """A model and, from theta (d,), the log prior (Z,) and log w (Z,) that define it; Z = 1 without latents."""

    model: Model
    latents: Callable[[Tensor], tuple[Tensor, Tensor]]

    def __str__(self) -> str:
        return type(self.model).__name__

    def log_p(self, theta: Tensor) -> Tensor:
        log_prior, log_w = self.latents(theta)
        return (log_prior + log_w).logsumexp(0)


def no_latents(log_p: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros(1, dtype=torch.float64), log_p.reshape(1)


DEFINITIONS = [
    Definition(Sigmoid(), lambda t: no_latents(logsigmoid(t[0]))),
    Definition(SoftmaxArms(4, 2), lambda t: no_latents(t.log_softmax(0)[2])),
    Definition(FixedAnswers(FIXED), lambda t: (t.log_softmax(0), torch.tensor(FIXED))),
    Definition(SigmoidAnswers(3), lambda t: (t[:3].log_softmax(0), logsigmoid(t[3:]))),
    Definition(SoftmaxAnswers(2, 3, 1), lambda t: (t[:2].log_softmax(0), t[2:].reshape(2, 3).log_softmax(1)[:, 1])),
    Definition(
        TwoHopChain(sources=3, nodes=2, answers=3, source=1, target=2),
        lambda t: (t[:6].reshape(3, 2).log_softmax(1)[1], t[6:].reshape(2, 3).log_softmax(1)[:, 2]),
    ),
]
LATENT = [d for d in DEFINITIONS if isinstance(d.model, LatentModel)]
every_model = pytest.mark.parametrize("definition", DEFINITIONS, ids=str)
every_latent_model = pytest.mark.parametrize("definition", LATENT, ids=str)


def points(definition: Definition, scale: float, seed: int = 0) -> np.ndarray:
    """Parameters (6, d)."""
    return scale * np.random.default_rng(seed).standard_normal((6, definition.model.dimension))


def jacobian(function: Callable[[Tensor], Tensor], theta: np.ndarray) -> np.ndarray:
    result = torch.autograd.functional.jacobian(function, torch.tensor(theta))
    assert isinstance(result, Tensor)
    return result.numpy()


@every_model
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_log_p_and_score_agree_with_autograd(definition: Definition, scale: float):
    theta = points(definition, scale)
    for at, log_p, score in zip(theta, definition.model.log_p(theta), definition.model.score(theta), strict=True):
        np.testing.assert_allclose(log_p, definition.log_p(torch.tensor(at)).numpy(), rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(score, jacobian(definition.log_p, at), rtol=1e-11, atol=1e-14)


@every_model
def test_score_agrees_with_finite_differences(definition: Definition):
    model, step = definition.model, 1e-5
    for at in points(definition, 1.0, seed=1):
        shifts = step * np.eye(model.dimension)
        slopes = (model.log_p(at + shifts) - model.log_p(at - shifts)) / (2 * step)
        np.testing.assert_allclose(model.score(at), slopes, atol=1e-9)


@every_model
@pytest.mark.parametrize("q", [0.0, 0.3, 1.0])
def test_gradient_is_that_of_the_loss(definition: Definition, q: float):
    def loss(theta: Tensor) -> Tensor:
        p = definition.log_p(theta).exp()
        return -p.log() if q == 1 else (1 - p ** (1 - q)) / (1 - q)

    for at in points(definition, 1.0, seed=2):
        np.testing.assert_allclose(definition.model.gradient(at, q), jacobian(loss, at), rtol=1e-12, atol=1e-15)


@every_latent_model
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_latents_agree_with_autograd(definition: Definition, scale: float):
    model = definition.model
    assert isinstance(model, LatentModel)
    for at in points(definition, scale, seed=3):
        log_prior, log_w = definition.latents(torch.tensor(at))
        np.testing.assert_allclose(model.log_prior(at), log_prior.numpy(), rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(model.log_w(at), log_w.numpy(), rtol=1e-14, atol=1e-15)
        for part, scores in enumerate((model.prior_score(at), model.answer_score(at))):
            expected = jacobian(lambda t, part=part: definition.latents(t)[part] + 0 * t.sum(), at)
            np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=1e-15)


@every_latent_model
def test_a_task_is_the_model_at_a_point(definition: Definition):
    model = definition.model
    assert isinstance(model, LatentModel)
    for at in points(definition, 3.0, seed=4):
        task = model.task(at)
        assert task.log_p == model.log_p(at)
        np.testing.assert_allclose(task.score, jacobian(definition.log_p, at), rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(task.gradient(0.3), model.gradient(at, 0.3), rtol=1e-13, atol=1e-300)
        np.testing.assert_allclose(np.exp(task.log_prior) @ task.prior_score, 0, atol=1e-15)


@every_model
def test_arrays_of_points_give_what_the_points_give(definition: Definition):
    model, theta = definition.model, points(definition, 2.0, seed=5).reshape(2, 3, -1)
    q = np.array([[0.0], [0.7]])
    stacked = [model.log_p(theta), model.p(theta), model.score(theta), model.gradient(theta, q)]
    if isinstance(model, LatentModel):
        stacked += [model.log_prior(theta), model.log_w(theta), model.prior_score(theta), model.answer_score(theta)]
    for i, j in itertools.product(range(2), range(3)):
        at = theta[i, j]
        single = [model.log_p(at), np.exp(model.log_p(at)), model.score(at), model.gradient(at, float(q[i, 0]))]
        if isinstance(model, LatentModel):
            single += [model.log_prior(at), model.log_w(at), model.prior_score(at), model.answer_score(at)]
        for one, many in zip(single, stacked, strict=True):
            np.testing.assert_allclose(many[i, j], one, rtol=1e-13, atol=1e-300)


LOG_P0 = np.array([-1e-12, -0.1, -5.0, math.log(1e-12), math.log(1e-300), -5000.0])


@pytest.mark.parametrize("model", [Sigmoid(), SoftmaxArms(2), SoftmaxArms(5, 3)], ids=repr)
def test_a_start_has_the_p0_that_was_asked_for(model: Sigmoid | SoftmaxArms):
    theta = model.start(LOG_P0)
    assert theta.shape == (len(LOG_P0), model.dimension)
    # The exact log P of the floats in theta, by mpmath: the rounding of a logit x is one of x eps in log P.
    for at, asked, log_p in zip(theta, LOG_P0, model.log_p(theta), strict=True):
        right = getattr(model, "target", 0)
        others = sum(mp.exp(mpf(x) - mpf(at[right])) for i, x in enumerate(at) if i != right) or mp.exp(-mpf(at[0]))
        exact = -mp.log(1 + others)
        assert abs(mpf(float(log_p)) - exact) <= 1e-15 * abs(exact)
        assert abs(float(log_p) - asked) <= 1e-14 * abs(asked)
        np.testing.assert_allclose(model.start(float(asked)), at, rtol=1e-15)


@pytest.mark.parametrize(
    "model", [SigmoidAnswers(2), SoftmaxAnswers(2, 4, 3), TwoHopChain(3, 2, 4, source=2, target=1)], ids=repr
)
def test_latent_starts_have_prior_and_weights_that_were_asked_for(model: SigmoidAnswers | SoftmaxAnswers | TwoHopChain):
    for log_p0, log_w in ((-700.0, [-1e-9, -3.0]), (-1e-3, [-690.0, -0.5]), (-0.7, [-4000.0, -4001.0])):
        prior = bernoulli(log_p0).log_prior
        theta = model.start(prior, np.array(log_w))
        np.testing.assert_allclose(model.log_prior(theta), prior, rtol=1e-14)
        np.testing.assert_allclose(model.log_w(theta), log_w, rtol=1e-13)
        joint = [mp.exp(mpf(p) + mpf(w)) for p, w in zip(prior, log_w, strict=True)]
        exact = mp.log(sum(joint))
        assert abs(mpf(float(model.log_p(theta))) - exact) <= 1e-13 * abs(exact)


def test_p_near_one_keeps_its_complement():
    """Where P = 1 - 1e-20, log P is -1e-20 and not 0."""
    model = SigmoidAnswers(2)
    theta = model.start(np.log([0.25, 0.75]), np.array([-1e-20, -2e-20]))
    np.testing.assert_allclose(model.log_p(theta), -1.75e-20, rtol=1e-13)
    # To first order in the failures 1 - w: prior_z times (P - w), which is 0.75e-20 for the surer, and 1 - w.
    steps = 0.25 * 0.75e-20 * np.array([1, -1])
    np.testing.assert_allclose(model.score(theta), [*steps, 0.25e-20, 1.5e-20], rtol=1e-13)


BAD_CALLS = [
    (
        lambda: Sigmoid().log_p(np.zeros(2)),
        ValueError,
        r"theta has shape \(2,\): the last axis must hold the model's 1",
    ),
    (lambda: Sigmoid().log_p(np.array(0.0)), ValueError, r"theta has shape \(\): the last axis"),
    (lambda: Sigmoid().score(np.array([np.nan])), ValueError, r"theta\[0\] is nan: a parameter must be finite"),
    (
        lambda: Sigmoid().log_p(np.zeros(1, dtype=np.float32)),
        TypeError,
        "theta is of float32: pass a numpy array of fl",
    ),
    (lambda: Sigmoid().log_p([0.0]), TypeError, "theta is of list: pass a numpy array of float64"),  # pyright: ignore[reportArgumentType]
    (lambda: Sigmoid().start(0.0), ValueError, "log_p0 is 0.0: log p0 must be negative and finite"),
    (lambda: Sigmoid().start("half"), TypeError, "log_p0 is 'half': pass a number"),  # pyright: ignore[reportArgumentType]
    (lambda: Sigmoid().start(np.array([-1])), TypeError, "log_p0 has dtype int64: pass float64"),
    (lambda: Sigmoid().gradient(np.zeros(1), 2.0), ValueError, r"q is 2.0: q must lie in \[0, 1\]"),
    (lambda: SoftmaxArms(1), ValueError, "arms is 1: it must be at least 2"),
    (lambda: SoftmaxArms(3, 3), ValueError, "target is 3: valid are 0 to 2"),
    (lambda: SoftmaxArms(3, -1), ValueError, "target is -1: it must be at least 0"),
    (lambda: SoftmaxArms(2.5), TypeError, "arms is 2.5: pass an integer"),  # pyright: ignore[reportArgumentType]
    (lambda: SigmoidAnswers(0), ValueError, "rationales is 0: it must be at least 1"),
    (lambda: SoftmaxAnswers(2, 1), ValueError, "answers is 1: it must be at least 2"),
    (lambda: TwoHopChain(2, 2, 2, source=2), ValueError, "source is 2: valid are 0 to 1"),
    (
        lambda: FixedAnswers(np.array([0.1])),
        ValueError,
        r"fixed_log_w\[0\] is 0.1: a log-probability must be at most 0",
    ),
    (lambda: FixedAnswers(np.full(2, -np.inf)), ValueError, "fixed_log_w is -inf throughout: give one a finite value"),
    (
        lambda: SigmoidAnswers(2).start(np.log([0.5, 0.5]), np.array([0.0, -1.0])),
        ValueError,
        r"log_w\[0\] is 0.0: a tr",
    ),
    (lambda: SigmoidAnswers(3).start(np.log([0.5, 0.5]), np.full(2, -1.0)), ValueError, r"log_prior has shape \(2,\)"),
    (lambda: SigmoidAnswers(1).task(np.zeros((1, 2))), ValueError, r"theta has shape \(1, 2\): a task is of one point"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS)
def test_bad_input(call: Callable[[], object], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
