"""Gradient ascent by discrete optimisers: SGD (Euler) with momentum, and Adam with its epsilon."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qtheory._arrays import refuse, shown
from qtheory._numbers import count, fraction, function, non_negative, number, numbers, positive, single
from qtheory.flow.velocity import LogP, Velocity, fitting


@dataclass(frozen=True)
class Sgd:
    """theta += rate m with m = momentum m + v; without momentum, Euler's method for the flow.

    Attributes:
        rate: The step size, positive.
        momentum: In [0, 1).
    """

    rate: float
    momentum: float = 0.0

    def __post_init__(self) -> None:
        single("rate", positive("rate", self.rate))
        fraction("momentum", self.momentum)

    def start(self, theta: np.ndarray) -> np.ndarray:
        """The state m = 0, (..., d)."""
        return np.zeros_like(theta)

    def step(self, state: np.ndarray, v: np.ndarray, _: int) -> tuple[np.ndarray, np.ndarray]:
        """The next state and the parameters' change, both (..., d)."""
        state = self.momentum * state + v
        return state, self.rate * state


@dataclass(frozen=True)
class Adam:
    """Adam with bias correction (Kingma and Ba): theta += rate m_hat / (sqrt(v_hat) + epsilon).

    Attributes:
        rate: The step size, positive.
        beta1: Decay of the mean, in [0, 1).
        beta2: Decay of the squares' mean, in [0, 1).
        epsilon: Non-negative. If it dominates the gradient, Adam is SGD with the rate rate/epsilon (QC-6).
    """

    rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        single("rate", positive("rate", self.rate))
        fraction("beta1", self.beta1)
        fraction("beta2", self.beta2)
        single("epsilon", non_negative("epsilon", self.epsilon))

    def start(self, theta: np.ndarray) -> np.ndarray:
        """The state (2, ..., d): the means of v and of v^2, both 0."""
        return np.zeros((2, *theta.shape))

    def step(self, state: np.ndarray, v: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The next state and the parameters' change (..., d) of step `number`, counted from 1."""
        first = self.beta1 * state[0] + (1 - self.beta1) * v
        second = self.beta2 * state[1] + (1 - self.beta2) * v**2
        mean = first / (1 - self.beta1**number)
        scale = np.sqrt(second / (1 - self.beta2**number)) + self.epsilon
        # A gradient that was always exactly 0 moves nothing, even with epsilon = 0.
        change = self.rate * np.divide(mean, scale, out=np.zeros_like(mean), where=scale > 0)
        return np.stack([first, second]), change


@dataclass(frozen=True)
class Steps:
    """First passages and the end of an iteration.

    Attributes:
        count: (..., N) number of the first step after which each P was at or above the target; 0 if it started there,
            inf if it did not reach it.
        theta: (..., d) parameters at the end.
        taken: Number of steps taken.
    """

    count: np.ndarray
    theta: np.ndarray
    taken: int


def steps_to(
    velocity: Velocity, log_p: LogP, theta: ArrayLike, target: float, optimiser: Sgd | Adam, limit: int
) -> Steps:
    """Iterate until every example of every row has reached the target, or up to the limit.

    Args:
        velocity: (theta (..., d), number) -> (..., d), as `qtheory.flow.velocity` gives it; a schedule sees the
            number of steps taken.
        log_p: theta (..., d) -> log P, (..., N), in nats.
        theta: (..., d) parameters at the start; rows are independent runs.
        target: log P to reach, in nats, below 0.
        optimiser: `Sgd` or `Adam`.
        limit: The largest number of steps, a non-negative integer.

    Returns:
        The first passages.

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: A target of 0 or above, a negative limit, parameters that are not finite at the start or later, or
            a velocity or log P of a shape that does not fit.
    """
    function("velocity", velocity, "(theta, number) -> d theta/dt")
    function("log_p", log_p, "theta -> log P_i")
    if not isinstance(optimiser, Sgd | Adam):
        raise TypeError(f"optimiser is {shown(optimiser)}, a {type(optimiser).__name__}: pass an Sgd or an Adam")
    goal, limit, at = number("target", target), count("limit", limit, 0), numbers("theta", theta)
    if not goal < 0:
        raise ValueError(f"target is {goal}: pass log P in nats, below 0")
    if at.ndim == 0:
        raise ValueError(f"theta is the 0-d {float(at)}: its last axis must hold the parameters")
    refuse(np, "theta", at, ~np.isfinite(at), "a parameter must be finite")
    state, taken = optimiser.start(at), 0
    level = np.asarray(log_p(at))
    fitting("log_p", level, (*at.shape[:-1], *level.shape[-1:]))
    first = np.where(level >= goal, 0.0, np.inf)
    while taken < limit and not np.isfinite(first).all():
        v = velocity(at, taken)
        fitting("velocity", v, at.shape)
        state, change = optimiser.step(state, v, taken + 1)
        at, taken = at + change, taken + 1
        if not np.isfinite(at).all():
            raise ValueError(f"the parameters left the floats at step {taken}: lower the rate, {optimiser.rate}")
        first = np.where((log_p(at) >= goal) & np.isinf(first), taken, first)
    return Steps(first, at, taken)
