"""Iterate Adam and SGD with exact gradients on one example, and on an easy and a hard one (QC-6)."""

import math

import numpy as np
from numpy.typing import ArrayLike

from qtheory.flow import Adam, Sgd, Velocity, steps_to, velocity
from qtheory.flow.velocity import LogP, Scores
from qtheory.models import AngledSigmoids, Model, Sigmoid, SoftmaxArms

LEVEL = 0.05
"""The P at which an example has escaped, as in the trainer."""
PAIR = (0.5, 1e-9)
"""P of the easy and of the hard example at the start."""


def sigmoid_steps(
    p0: ArrayLike,
    q: ArrayLike,
    eps: ArrayLike,
    optimiser: Adam | Sgd,
    limit: int,
    *,
    steepness: float = 1.0,
) -> np.ndarray:
    """Steps of the scalar sigmoid to `LEVEL`.

    Args:
        p0: Success probabilities at the start.
        q: Orders in [0, 1], broadcastable.
        eps: Divides the gradient, broadcastable: under an Adam of epsilon 1 it acts as its epsilon.
        optimiser: `Adam` or `Sgd`.
        limit: The largest number of steps.
        steepness: a of P = sigma(a theta), whose score is a (1 - P); positive.

    Returns:
        Broadcast shape; inf if the limit is reached first.
    """
    return _one_example(Sigmoid(), p0, q, eps, optimiser, limit, steepness)


def softmax_steps(p0: ArrayLike, q: ArrayLike, eps: ArrayLike, optimiser: Adam | Sgd, limit: int) -> np.ndarray:
    """`sigmoid_steps` for a softmax over 10 answers with equal wrong ones."""
    return _one_example(SoftmaxArms(10), p0, q, eps, optimiser, limit)


def relative_steps(p0: float, q: np.ndarray, optimiser: Adam | Sgd, limit: int) -> np.ndarray:
    """`sigmoid_steps` (Q,) with the weight P^(1-q) divided by the batch's largest, on a batch of one."""
    pair = AngledSigmoids(np.ones((1, 1)), np.log(np.array([p0])))
    run = steps_to(_relative(pair, np.eye(1), q), pair.log_p, np.zeros((len(q), 1)), math.log(LEVEL), optimiser, limit)
    return run.count[:, 0]


def conflict_steps(cosine: float, turn: float, q: np.ndarray, optimiser: Adam | Sgd, limit: int) -> np.ndarray:
    """Steps of the hard example of `PAIR`, with weights relative to the batch's largest.

    Args:
        cosine: Cosine of the angle between the two scores.
        turn: Radians by which the coordinates are rotated, which affects Adam only; with orthogonal scores and no
            rotation the examples share no parameter.
        q: (Q,) orders in [0, 1].
        optimiser: `Adam` or `Sgd`.
        limit: The largest number of steps.

    Returns:
        (Q,) steps, inf if the limit is reached first.
    """
    pair = AngledSigmoids(np.array([[1.0, cosine], [cosine, 1.0]]), np.log(np.array(PAIR)))
    turned = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    flow = _relative(pair, turned, q)
    run = steps_to(flow, lambda at: pair.log_p(at @ turned.T), np.zeros((len(q), 2)), math.log(LEVEL), optimiser, limit)
    return run.count[:, 1]


def _one_example(
    model: Sigmoid | SoftmaxArms,
    p0: ArrayLike,
    q: ArrayLike,
    eps: ArrayLike,
    optimiser: Adam | Sgd,
    limit: int,
    steepness: float = 1.0,
) -> np.ndarray:
    start, order, scale = np.broadcast_arrays(p0, q, eps)
    theta = np.stack([model.start(float(log_p0)) for log_p0 in np.log(start).ravel()]) / steepness
    scores, log_p = _as_batch(model, steepness)
    flow = velocity(scores, log_p, order.ravel())
    divided = 1 / scale.ravel()[:, None]
    run = steps_to(lambda at, n: divided * flow(at, n), log_p, theta, math.log(LEVEL), optimiser, limit)
    return run.count[:, 0].reshape(start.shape)


def _as_batch(model: Model, steepness: float) -> tuple[Scores, LogP]:
    """Scores and log P of the model with its parameters multiplied by the steepness."""
    return (
        lambda at: steepness * model.score(steepness * at)[..., None, :],
        lambda at: model.log_p(steepness * at)[..., None],
    )


def _relative(examples: AngledSigmoids, turned: np.ndarray, q: np.ndarray) -> Velocity:
    """Mean over examples of P_i^(1-q)/max_j P_j^(1-q) s_i, in rotated coordinates."""

    def at(theta: np.ndarray, _: float) -> np.ndarray:
        levels = (1 - q)[:, None] * examples.log_p(theta @ turned.T)
        weights = np.exp(levels - levels.max(-1, keepdims=True))
        return (weights[..., None] * (examples.score(theta @ turned.T) @ turned)).mean(-2)

    return at
